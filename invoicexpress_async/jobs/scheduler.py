"""Who is next: rows whose time to be read has come, then rows of the plan."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.outage import Outage
from invoicexpress_async.jobs.stop import RunStop

T = TypeVar("T")

_NOW: Final = float("-inf")
_NEVER: Final = float("inf")
# Enough that a fetch, with its turns of the loop, costs little per row.
_MOST_AHEAD: Final = 16
# More than a cancelled task needs; a user's stream might swallow its cancelling.
_CLOSE_SECONDS: Final = 1.0


class Line(Generic[T]):
    """The tickets that wait, for all workers of a run. No task sleeps for any of them."""

    def __init__(
        self, fresh: AsyncIterator[T], *, clock: Clock, stop: RunStop, outage: Outage
    ) -> None:
        self._fresh: AsyncIterator[T] | None = fresh
        self._ahead: deque[T] = deque()
        self._fetching: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._clock = clock
        self._stop = stop
        self._outage = outage
        self._parked: list[tuple[float, int, T]] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._waiting = 0
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = _NEVER
        self._is_ended = False
        stop.listen(self._tell)

    @property
    def parked(self) -> int:
        """How many rows wait to be looked at again."""
        return len(self._parked)

    async def take(self) -> T | None:
        """Wait for the next ticket; None when there will be none before the run ends."""
        while not self._is_over():
            ticket = self._next() if self._outage.may_start() else None
            if ticket is not None:
                self._in_flight += 1
                self._outage.starts()
                return ticket
            # Whoever gives rows one by one may be silent for long; meanwhile others fall due.
            await self._change()
        self._tell()
        return None

    def end(self) -> None:
        """Hand out no more tickets."""
        self._is_ended = True
        self._tell()

    def has_time_until(self, due: float) -> bool:
        """Whether the run still goes on then."""
        return not self._is_ended and due - self._clock.now() <= self._stop.seconds_left

    def park(self, ticket: T, due: float) -> None:
        """Let a row wait until `due`. It is still in flight until `leave`."""
        heapq.heappush(self._parked, (due, next(self._order), ticket))

    def leave(self) -> None:
        """Say that a row has had its turn."""
        self._in_flight -= 1
        if not self._in_flight:
            self._outage.ends()
        self._tell()

    async def close(self) -> list[T]:
        """Return those that still wait, and let no alarm sound any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching}, timeout=_CLOSE_SECONDS)
        return [ticket for _, _, ticket in sorted(self._parked)]

    def _next(self) -> T | None:
        if self._parked and self._parked[0][0] <= self._clock.now():
            return heapq.heappop(self._parked)[2]
        # One that was fetched when a stop is asked for has not begun, and does not.
        return None if self._stop.is_requested else self._next_fresh()

    def _next_fresh(self) -> T | None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._ahead:
            return self._ahead.popleft()
        if self._fresh is not None and self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(self._fresh))
            self._fetching.add_done_callback(self._fetched)
        return None

    def _has_fresh(self) -> bool:
        return bool(self._ahead) or (self._fresh is not None and self._fetching is None)

    async def _fetch(self, fresh: AsyncIterator[T]) -> None:
        while len(self._ahead) < _MOST_AHEAD:
            ticket = await anext(fresh, None)
            if ticket is None:
                self._fresh = None
                return
            self._ahead.append(ticket)
            self._tell()

    def _fetched(self, fetching: "asyncio.Task[None]") -> None:
        self._fetching = None
        error = None if fetching.cancelled() else fetching.exception()
        if isinstance(error, Exception):
            self._fresh, self._failure = None, error
        self._tell()

    def _is_over(self) -> bool:
        if self._is_ended:
            return True
        if self._stop.is_requested:
            # What was sent is still read for, as long as there is time and a server.
            may_read = self._parked and not self._outage.is_on
            return not (may_read and self.has_time_until(self._parked[0][0]))
        is_idle = not (self._in_flight or self._parked)
        return is_idle and not (self._ahead or self._fresh or self._failure)

    async def _change(self) -> None:
        due = self._parked[0][0] if self._parked else _NEVER
        if self._outage.is_on:
            due = max(self._outage.changes_at, _NOW if self._has_fresh() else due)
        self._arm(due)
        self._waiting += 1
        try:
            await self._changed.wait()
        finally:
            self._waiting -= 1

    def _arm(self, when: float) -> None:
        is_armed = self._alarm is not None and not self._alarm.done()
        if is_armed and self._alarm_at <= when:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, when
        if when < _NEVER:
            self._alarm = asyncio.create_task(self._sound(when))

    async def _sound(self, when: float) -> None:
        await self._clock.sleep(max(0.0, when - self._clock.now()))
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._changed.set()
            self._changed.clear()
