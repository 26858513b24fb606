import asyncio
import random
from collections import deque
from collections.abc import Callable

import pytest
from fakes import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicexpress_async import ConfigurationError, RateLimit
from invoicexpress_async.call.limiter import AccountLimiter, LimiterRegistry


def limiter(clock: FakeClock, requests: int = 3, per_seconds: float = 60.0) -> AccountLimiter:
    return AccountLimiter(RateLimit(requests, per_seconds=per_seconds), clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_full_burst_goes_at_once(clock: FakeClock) -> None:
    one = limiter(clock, 780)

    for _ in range(780):
        await one.acquire()

    assert clock.slept == []


async def test_a_slot_is_freed_a_window_after_the_response_and_not_after_the_start(
    clock: FakeClock,
) -> None:
    one = limiter(clock, 1)
    await one.acquire()
    clock.advance(30.0)
    one.release()
    started = clock.now()

    await one.acquire()

    assert 60.0 <= clock.now() - started <= 60.1


async def test_waiters_are_served_first_come_first_served(clock: FakeClock) -> None:
    one = limiter(clock, 2)
    order: list[int] = []

    async def call(number: int) -> None:
        await one.acquire()
        order.append(number)
        one.release()

    await asyncio.gather(*(call(number) for number in range(20)))

    assert order == list(range(20))


async def test_with_all_slots_in_flight_the_next_waits_for_a_response(clock: FakeClock) -> None:
    one = limiter(clock, 1)
    await one.acquire()
    waiter = asyncio.create_task(one.acquire())
    await settle()
    assert not waiter.done()

    one.release()
    await waiter

    assert clock.now() >= 1_060.0


async def test_a_cancelled_waiter_gives_its_turn_to_the_next(clock: FakeClock) -> None:
    one = limiter(clock, 1)
    await one.acquire()
    first, second = (asyncio.create_task(one.acquire()) for _ in range(2))
    await settle()

    first.cancel()
    one.release()
    await second

    with pytest.raises(asyncio.CancelledError):
        await first
    one.release()
    assert not one.is_idle
    clock.advance(61.0)
    assert one.is_idle


async def test_a_waiter_cancelled_while_it_sleeps_leaks_no_slot(clock: FakeClock) -> None:
    one = limiter(clock, 1)
    await one.acquire()
    one.pause(5.0)
    one.release_unused()
    waiter = asyncio.create_task(one.acquire())
    await asyncio.sleep(0)

    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    clock.advance(6.0)
    await one.acquire()
    assert not one.is_idle


async def test_a_slot_that_was_never_used_is_free_at_once(clock: FakeClock) -> None:
    one = limiter(clock, 1)
    await one.acquire()

    one.release_unused()

    assert one.is_idle


async def test_a_pause_holds_the_whole_account_and_only_grows(clock: FakeClock) -> None:
    one = limiter(clock, 10)
    one.pause(30.0)
    one.pause(5.0)
    assert one.is_paused
    started = clock.now()

    await one.acquire()

    assert clock.now() - started == 30.0
    assert not one.is_paused


async def test_a_pause_of_one_account_is_not_felt_by_another(clock: FakeClock) -> None:
    registry = LimiterRegistry(clock)
    slowed, other = registry.of("slowed", RateLimit()), registry.of("other", RateLimit())
    assert slowed is not None
    assert other is not None

    slowed.pause(30.0)
    await other.acquire()

    assert clock.slept == []
    assert registry.count_paused() == 1


def test_the_same_account_has_the_same_limiter(clock: FakeClock) -> None:
    registry = LimiterRegistry(clock)

    assert registry.of("acme", RateLimit()) is registry.of("acme", RateLimit())
    assert registry.of("acme", RateLimit()) is not registry.of("beta", RateLimit())
    assert not LimiterRegistry(clock).of("acme", None).is_paused


async def test_limiters_that_know_nothing_are_forgotten(clock: FakeClock) -> None:
    registry = LimiterRegistry(clock)
    busy = registry.of("busy", RateLimit())
    assert busy is not None
    await busy.acquire()

    for number in range(5_000):
        registry.of(f"account-{number}", RateLimit())

    assert registry.of("busy", RateLimit()) is busy
    assert len(registry) < 2_100


@pytest.mark.parametrize(("share", "allowed"), [(1.0, 780), (0.5, 390), (0.001, 1), (0.333, 259)])
def test_a_share_leaves_room_for_other_processes(share: float, allowed: int) -> None:
    assert RateLimit(780, share=share).allowed == allowed


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: RateLimit(0), id="no requests"),
        pytest.param(lambda: RateLimit(True), id="a boolean"),
        pytest.param(lambda: RateLimit(780, per_seconds=0.0), id="no window"),
        pytest.param(lambda: RateLimit(780, share=0.0), id="no share"),
        pytest.param(lambda: RateLimit(780, share=1.5), id="more than all"),
        pytest.param(lambda: RateLimit(780, share=float("nan")), id="NaN"),
        pytest.param(lambda: RateLimit(780, share="0.5"), id="text"),  # type: ignore[arg-type]  # the point
    ],
)
def test_a_limit_that_cannot_be_is_refused(make: Callable[[], RateLimit]) -> None:
    with pytest.raises(ConfigurationError, match="give"):
        make()


class FixedWindow:
    """Counts per minute of its own clock."""

    def __init__(self, limit: int, per_seconds: float, phase: float) -> None:
        self.limit, self.per_seconds, self.phase = limit, per_seconds, phase
        self.counts: dict[int, int] = {}

    def allows(self, now: float) -> bool:
        window = int((now + self.phase) // self.per_seconds)
        self.counts[window] = self.counts.get(window, 0) + 1
        return self.counts[window] <= self.limit


class SlidingWindow:
    """Counts the minute before each request."""

    def __init__(self, limit: int, per_seconds: float, _phase: float) -> None:
        self.limit, self.per_seconds = limit, per_seconds
        self.seen: deque[float] = deque()

    def allows(self, now: float) -> bool:
        while self.seen and self.seen[0] <= now - self.per_seconds:
            self.seen.popleft()
        self.seen.append(now)
        return len(self.seen) <= self.limit


class TokenBucket:
    """A bucket as deep as the limit, refilled evenly. It lets a full burst go after a rest only."""

    def __init__(self, limit: int, per_seconds: float, _phase: float) -> None:
        self.rate, self.limit = limit / per_seconds, float(limit)
        self.tokens, self.at = self.limit, 0.0

    def allows(self, now: float) -> bool:
        self.tokens = min(self.limit, self.tokens + (now - self.at) * self.rate)
        self.at = now
        self.tokens -= 1.0
        return self.tokens >= -1e-6


@pytest.mark.parametrize("server_class", [FixedWindow, SlidingWindow, TokenBucket])
@settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    phase=st.floats(0, 60),
    callers=st.integers(1, 40),
)
def test_no_window_of_any_server_is_ever_passed_whatever_the_delays(
    server_class: type[FixedWindow] | type[SlidingWindow] | type[TokenBucket],
    limit: int,
    seed: int,
    phase: float,
    callers: int,
) -> None:
    async def scenario() -> tuple[list[bool], int]:
        clock, chance = FakeClock(), random.Random(seed)
        one, server = limiter(clock, limit), server_class(limit, 60.0, phase)
        arrivals: list[bool] = []

        async def call() -> None:
            for _ in range(3):
                await one.acquire()
                await clock.sleep(chance.choice([0.0, 0.01, chance.uniform(0, 5), 30.0]))
                arrivals.append(server.allows(clock.now()))
                await clock.sleep(chance.choice([0.0, 0.01, chance.uniform(0, 5), 70.0]))
                one.release()

        await asyncio.gather(*(call() for _ in range(callers)))
        return arrivals, callers * 3

    arrivals, requested = asyncio.run(scenario())

    assert len(arrivals) == requested
    assert all(arrivals)


async def test_sustained_throughput_is_nearly_the_whole_limit(clock: FakeClock) -> None:
    one = limiter(clock, 780)
    answered = 0

    async def call() -> None:
        nonlocal answered
        await one.acquire()
        await clock.sleep(0.1)
        one.release()
        answered += 1

    started = clock.now()
    await asyncio.gather(*(call() for _ in range(780 * 10)))

    allowed = 780 * (1 + (clock.now() - started) // 60)
    assert answered / allowed >= 0.99


def test_the_limit_is_the_providers_by_default() -> None:
    limit = RateLimit()

    assert (limit.requests, limit.per_seconds, limit.share) == (780, 60.0, 1.0)
    assert RateLimit(1, share=0.001).allowed == 1
    with pytest.raises(TypeError):
        RateLimit(780, 60.0)  # type: ignore[call-arg]  # on purpose: seconds or a share?
    with pytest.raises(TypeError):
        RateLimit(780, 60.0, 0.5)  # type: ignore[call-arg]  # on purpose


async def test_who_comes_as_a_slot_is_freed_does_not_overtake_who_waits(clock: FakeClock) -> None:
    one = limiter(clock, 1)
    order: list[str] = []

    async def call(name: str) -> None:
        await one.acquire()
        order.append(name)
        one.release_unused()

    await one.acquire()
    waiting = asyncio.create_task(call("who waits"))
    await settle()
    one.release_unused()  # there is room now, and nobody has taken it yet
    late = asyncio.create_task(call("who comes"))
    await asyncio.gather(waiting, late)

    assert order == ["who waits", "who comes"]


async def test_the_slot_that_is_freed_first_is_the_one_that_is_waited_for(
    clock: FakeClock,
) -> None:
    one = limiter(clock, 2)
    await one.acquire()
    await one.acquire()
    one.release()
    first = clock.now()
    clock.advance(30.0)
    one.release()

    await one.acquire()

    assert clock.now() - first == pytest.approx(60.0, rel=2e-3)


async def test_without_a_limit_nothing_is_held_and_a_pause_still_holds(clock: FakeClock) -> None:
    one = AccountLimiter(None, clock)
    for _ in range(3):
        await one.acquire()
        one.release()
    assert one.is_idle
    assert clock.slept == []

    one.pause(5.0)
    assert not one.is_idle
    await one.acquire()
    assert clock.slept == [5.0]


async def test_a_pause_ends_at_its_very_moment(clock: FakeClock) -> None:
    one = limiter(clock)
    one.pause(5.0)

    clock.advance(5.0)

    assert not one.is_paused


async def test_what_a_429_taught_is_forgotten_when_bursts_were_taken_for_as_long(
    clock: FakeClock,
) -> None:
    one = limiter(clock)
    one.pause(5.0)

    clock.advance(5.0 + 2 * 5 * 60.0)
    assert not one.is_idle
    clock.advance(1.0)

    assert one.is_idle


async def test_the_registry_sweeps_at_a_thousand_and_then_at_twice_what_is_left(
    clock: FakeClock,
) -> None:
    registry = LimiterRegistry(clock)
    for number in range(1_000):
        await registry.of(f"busy-{number}", RateLimit()).acquire()
    registry.of("the one that sweeps", RateLimit())
    assert len(registry) == 1_001
    for number in range(1_000):
        registry.of(f"busy-{number}", RateLimit()).release()
    clock.advance(120.0)

    for number in range(999):
        registry.of(f"new-{number}", RateLimit())
    assert len(registry) == 2_000
    registry.of("the one that sweeps again", RateLimit())

    assert len(registry) == 1


async def test_a_thousand_idle_limiters_are_kept_until_one_more_comes(clock: FakeClock) -> None:
    registry = LimiterRegistry(clock)

    for number in range(1_000):
        registry.of(f"idle-{number}", RateLimit())
    before = len(registry)
    registry.of("one more", RateLimit())

    assert (before, len(registry)) == (1_000, 1)
