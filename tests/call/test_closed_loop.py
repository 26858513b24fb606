"""An event loop that is closed with calls in flight blocks no call of another event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from invoicexpress_async import RateLimit
from invoicexpress_async.call.limiter import AccountLimiter
from invoicexpress_async.call.realm import KeyedLock


class _StandingClock:
    """The time that the test sets; a sleeper is never woken."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> float:
        return self.seconds

    def uptime(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.Event().wait()

    def timeout(self, seconds: float) -> asyncio.Timeout:
        del seconds
        return asyncio.timeout(None)


def _begin_and_close(*work: Coroutine[Any, Any, None]) -> list[Coroutine[Any, Any, None]]:
    """Begin the work in an event loop of its own, which is then closed; return the work."""

    async def begin() -> None:
        for one in work:
            task = asyncio.ensure_future(one)
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # it is meant
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    return [*work]


async def _hold(lock: KeyedLock) -> None:
    async with lock.hold("key"):
        await asyncio.Event().wait()


@pytest.mark.fault(44)
def test_a_lock_that_a_closed_loop_holds_is_taken_over() -> None:
    lock = KeyedLock()
    left = _begin_and_close(*(_hold(lock) for _ in range(3)))

    async def take_second() -> bool:
        async with lock.hold("key") as has_waited:
            return has_waited

    async def take() -> None:
        async with lock.hold("key") as has_waited:
            assert not has_waited
            for one in left:
                one.close()  # as the garbage collector does, sooner or later
            second = asyncio.ensure_future(take_second())
            await asyncio.sleep(0)
            assert not second.done()
        assert await second

    asyncio.run(asyncio.wait_for(take(), 20))


@pytest.mark.fault(44)
def test_a_call_that_waited_in_a_closed_loop_leaves_the_queue_of_the_limiter() -> None:
    clock = _StandingClock()
    limiter = AccountLimiter(RateLimit(1), clock)
    limiter.acquire_at_once()
    left = _begin_and_close(limiter.acquire(), limiter.acquire())
    limiter.release()
    clock.seconds += 61.0

    async def take() -> None:
        await limiter.acquire()
        limiter.release()

    asyncio.run(asyncio.wait_for(take(), 20))
    for one in left:
        one.close()
    assert not limiter.acquire_at_once()
    clock.seconds += 61.0
    assert limiter.acquire_at_once()
