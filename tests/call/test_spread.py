"""Servers whose limiter counts otherwise than ours, on real sockets."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import attrs
import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicexpress_async import SessionManager, Timeouts
from invoicexpress_async.call.spread import Spread

LIMIT = 780
WINDOW = 60.0
RATE = LIMIT / WINDOW


class Limiter(Protocol):
    def allows(self, now: float) -> bool: ...


@attrs.define
class Bucket:
    """Leaks evenly and takes so many at once, as nginx does."""

    burst: int
    level: float = 0.0
    at: float = 0.0

    def allows(self, now: float) -> bool:
        self.level = max(0.0, self.level - (now - self.at) * RATE)
        self.at = now
        if self.level + 1 > self.burst + 1e-6:
            return False
        self.level += 1
        return True


@attrs.define
class WeightedWindow:
    """Adds to this minute's count the part of the last one's that is less than a minute old."""

    index: int = 0
    count: int = 0
    before: int = 0

    def allows(self, now: float) -> bool:
        index, into = int(now // WINDOW), now % WINDOW / WINDOW
        if index != self.index:
            self.before = self.count if index == self.index + 1 else 0
            self.index, self.count = index, 0
        if self.before * (1 - into) + self.count + 1 > LIMIT:
            return False
        self.count += 1
        return True


@attrs.define
class CountsRefused:
    """Counts every request of the last minute, refused ones too, as haproxy's rates do."""

    limit: int = LIMIT
    seen: deque[float] = attrs.field(factory=deque)

    def allows(self, now: float) -> bool:
        while self.seen and self.seen[0] <= now - WINDOW:
            self.seen.popleft()
        self.seen.append(now)
        return len(self.seen) <= self.limit


@attrs.define
class LimitedServer:
    limiter: Limiter
    clock: FakeClock
    taken: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)
    base_url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                now = self.clock.now()
                is_taken = self.limiter.allows(now)
                (self.taken if is_taken else self.refused).append(now)
                body = json.dumps({"sequences": []}).encode() if is_taken else b""
                status = "200 OK" if is_taken else "429 Too Many Requests"
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()

    def share(self, since: float, until: float) -> float:
        """Return what was taken in that time, of what the limit allows."""
        taken = sum(since <= moment < until for moment in self.taken)
        return taken / (RATE * (until - since))


@contextlib.asynccontextmanager
async def limited(limiter: Limiter, clock: FakeClock) -> AsyncIterator[LimitedServer]:
    server = LimitedServer(limiter, clock)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/{{account}}"
    try:
        yield server
    finally:
        listener.close()


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("make", "least_share", "most_refused"),
    [
        pytest.param(WeightedWindow, 0.85, 40, id="weighted window"),
        pytest.param(lambda: Bucket(10), 0.70, 40, id="bucket of 10"),
        pytest.param(lambda: Bucket(40), 0.70, 40, id="bucket of 40"),
        pytest.param(lambda: Bucket(100), 0.70, 40, id="bucket of 100"),
        pytest.param(CountsRefused, 0.85, 40, id="refused ones count"),
    ],
)
async def test_after_the_first_429_the_account_is_spread_out(
    make: Callable[[], Limiter], least_share: float, most_refused: int, clock: FakeClock
) -> None:
    at_once, calls = 40, 3_000
    async with (
        limited(make(), clock) as server,
        SessionManager(
            base_url=server.base_url, clock=clock, timeouts=Timeouts(total_seconds=180.0)
        ) as manager,
    ):
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        left = iter(range(calls))

        async def caller() -> None:
            for _ in left:
                await sequences.list()  # raises nothing inside its deadline

        await asyncio.gather(*(caller() for _ in range(at_once)))

    assert len(server.refused) <= most_refused
    since = server.refused[0] if server.refused else server.taken[0]
    assert server.share(since, server.taken[-1]) >= least_share


@pytest.mark.fault(67)
async def test_bursts_are_tried_again_later_and_ever_more_rarely(clock: FakeClock) -> None:
    spread = Spread(WINDOW, LIMIT)

    spans = []
    for _ in range(4):
        spread.refused(clock.now(), clock.now() + 5.0)
        spans.append(spread.ends_at - clock.now())
        clock.advance(spans[-1])
        assert not spread.is_active(clock.now())
        spread.sent(clock.now())

    assert spans == [305.0, 1205.0, 4805.0, 14405.0]
    clock.advance(14400.0)
    assert spread.is_over(clock.now())


def test_a_pace_that_is_refused_too_is_slowed_down_and_eased_again(clock: FakeClock) -> None:
    spread = Spread(WINDOW, LIMIT)
    spread.refused(clock.now(), clock.now())
    plain = _interval(spread, clock)
    spread.refused(clock.now(), clock.now())

    slow = _interval(spread, clock)
    clock.advance(WINDOW)
    spread.sent(clock.now())

    assert slow == pytest.approx(1.25 * plain)
    assert _interval(spread, clock) == pytest.approx(plain)


def test_refusals_of_what_was_on_its_way_count_as_one(clock: FakeClock) -> None:
    spread = Spread(WINDOW, LIMIT)
    for _ in range(40):
        spread.refused(clock.now(), clock.now() + 5.0)

    assert spread.next_at == clock.now() + 5.0
    clock.advance(5.0)
    assert _interval(spread, clock) == pytest.approx(WINDOW * 1.03 / LIMIT)


def _interval(spread: Spread, clock: FakeClock) -> float:
    clock.advance(max(0.0, spread.next_at - clock.now()))
    spread.sent(clock.now())
    first = spread.next_at
    clock.advance(first - clock.now())
    spread.sent(clock.now())
    return spread.next_at - first


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 0.3), min_size=20, max_size=200))
def test_however_late_the_requests_a_bucket_of_two_is_never_passed(delays: list[float]) -> None:
    clock, bucket = FakeClock(), Bucket(2)
    spread = Spread(WINDOW, LIMIT)
    spread.refused(clock.now(), clock.now() + 5.0)

    for late in delays:
        clock.advance(max(0.0, spread.next_at - clock.now()) + late)
        spread.sent(clock.now())
        assert bucket.allows(clock.now())
