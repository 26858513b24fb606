"""A clock for tests. Time passes when tasks sleep and nothing else happens, or on request."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Iterator

_QUIET_ROUNDS = 25


class FakeClock:
    """Virtual seconds for both the package and the sandbox."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timeouts: list[tuple[float, int, asyncio.Timeout]] = []
        self.ticker: asyncio.Task[None] | None = None
        self.slept: list[float] = []
        self._stops = 0
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._asleep_seconds = 0.0

    def now(self) -> float:
        return self._now

    def uptime(self) -> float:
        return self._now + self._asleep_seconds

    def suspend(self, seconds: float) -> None:
        """Let the machine be suspended for some time, which its monotonic clock does not count."""
        self._asleep_seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        if self.ticker is None:
            self.ticker = asyncio.get_running_loop().create_task(self._tick())
        await future

    def timeout(self, seconds: float) -> asyncio.Timeout:
        timeout = asyncio.timeout(None)
        when = self._now + seconds
        heapq.heappush(self._timeouts, (when, next(self._order), timeout))
        return timeout

    def advance(self, seconds: float) -> None:
        """Move the clock on at once."""
        self._move_to(self._now + seconds)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let no time pass by itself meanwhile: something outside of the event loop is awaited."""
        self._stops += 1
        self._goes_on.clear()
        try:
            yield
        finally:
            self._stops -= 1
            if not self._stops:
                self._goes_on.set()

    def _move_to(self, when: float) -> None:
        self._now = max(self._now, when)
        while self._timeouts and self._timeouts[0][0] <= self._now:
            timeout = heapq.heappop(self._timeouts)[2]
            with contextlib.suppress(RuntimeError):  # its block has ended already
                timeout.reschedule(asyncio.get_running_loop().time())
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    async def _tick(self) -> None:
        try:
            while self._sleepers:
                await self._goes_on.wait()
                for _ in range(_QUIET_ROUNDS):
                    await asyncio.sleep(0)
                if self._sleepers and not self._stops:
                    self._move_to(self._sleepers[0][0])
        finally:
            self.ticker = None
