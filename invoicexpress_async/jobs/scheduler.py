"""Decides which item is next: a delayed item that is due, else a new item."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.stop import RunStop

T = TypeVar("T")

_NOW: Final = float("-inf")
_NEVER: Final = float("inf")
# Enough items that a fetch, with its steps of the event loop, costs little per item.
_MAX_PREFETCHED: Final = 16
# More than a cancelled task needs; a user's stream might swallow the cancellation.
_CLOSE_SECONDS: Final = 1.0


class Scheduler(Generic[T]):
    """Hands out items to all workers of a run. One timer serves all items that wait."""

    def __init__(
        self, source: AsyncIterator[T], *, clock: Clock, stop: RunStop, breaker: CircuitBreaker
    ) -> None:
        self._source: AsyncIterator[T] | None = source
        self._prefetched: deque[T] = deque()
        self._fetching: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._clock = clock
        self._stop = stop
        self._breaker = breaker
        self._delayed: list[tuple[float, int, T]] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._has_probe = False
        self._changed = asyncio.Event()
        self._takers = 0
        self._timer: asyncio.Task[None] | None = None
        self._wake_at = _NEVER
        self._is_ended = False
        stop.listen(self._notify)
        breaker.listen(self._notify)

    @property
    def waiting(self) -> int:
        """How many items wait for another turn."""
        return len(self._delayed)

    @property
    def next_due(self) -> float | None:
        """When the first waiting item has its turn, on the clock; None when no item waits."""
        return self._delayed[0][0] if self._delayed else None

    def has_item(self) -> bool:
        """Whether an item could have a turn now."""
        if self._is_ended:
            return False
        is_due = bool(self._delayed) and self._delayed[0][0] <= self._clock.now()
        return is_due or (self._has_new() and not self._stop.is_requested)

    async def take(self) -> T | None:
        """Wait for the next item; return None when there is no further item in this run."""
        while not self._is_over():
            item = self._next() if self._breaker.allows() else None
            if item is not None:
                self._in_flight += 1
                self._has_probe |= self._breaker.on_start()
                return item
            # The source may yield nothing for long, while waiting items become due.
            await self._change()
        self._notify()
        return None

    def end(self) -> None:
        """Hand out no more items."""
        self._is_ended = True
        self._notify()

    def has_time_until(self, due: float) -> bool:
        """Whether the run will still be going on at `due`."""
        return not self._is_ended and due - self._clock.now() <= self._stop.seconds_left

    def reschedule(self, item: T, due: float) -> None:
        """Let an item wait until `due`. It stays in flight until `task_done`."""
        heapq.heappush(self._delayed, (due, next(self._order), item))

    def task_done(self) -> None:
        """Note that the turn of an item has ended."""
        self._in_flight -= 1
        if self._has_probe and not self._in_flight:
            self._has_probe = False
            self._breaker.on_idle()
        self._notify()

    async def close(self) -> list[T]:
        """Stop the timer and the fetch, and return the items that still wait."""
        self._breaker.unlisten(self._notify)
        if self._timer is not None:
            self._timer.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching}, timeout=_CLOSE_SECONDS)
        return [item for _, _, item in sorted(self._delayed)]

    def _next(self) -> T | None:
        if self._delayed and self._delayed[0][0] <= self._clock.now():
            return heapq.heappop(self._delayed)[2]
        # An item that was only fetched when a stop is requested does not start.
        return None if self._stop.is_requested else self._next_new()

    def _next_new(self) -> T | None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._prefetched:
            return self._prefetched.popleft()
        if self._source is not None and self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(self._source))
            self._fetching.add_done_callback(self._fetched)
        return None

    def _has_new(self) -> bool:
        return bool(self._prefetched) or (self._source is not None and self._fetching is None)

    async def _fetch(self, source: AsyncIterator[T]) -> None:
        while len(self._prefetched) < _MAX_PREFETCHED:
            item = await anext(source, None)
            if item is None:
                self._source = None
                return
            self._prefetched.append(item)
            self._notify()

    def _fetched(self, fetching: "asyncio.Task[None]") -> None:
        self._fetching = None
        error = None if fetching.cancelled() else fetching.exception()
        if isinstance(error, Exception):
            self._source, self._failure = None, error
        self._notify()

    def _is_over(self) -> bool:
        if self._is_ended:
            return True
        if self._stop.is_requested:
            # A request that was sent is still looked up, while there is time and a server.
            may_read = self._delayed and not self._breaker.is_open
            return not (may_read and self.has_time_until(self._delayed[0][0]))
        is_idle = not (self._in_flight or self._delayed)
        return is_idle and not (self._prefetched or self._source or self._failure)

    async def _change(self) -> None:
        due = self._delayed[0][0] if self._delayed else _NEVER
        if self._breaker.is_open:
            due = max(self._breaker.next_probe_at, _NOW if self._has_new() else due)
        self._set_timer(due)
        self._takers += 1
        try:
            await self._changed.wait()
        finally:
            self._takers -= 1

    def _set_timer(self, when: float) -> None:
        is_set = self._timer is not None and not self._timer.done()
        if is_set and self._wake_at <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._wake_at = None, when
        if when < _NEVER:
            self._timer = asyncio.create_task(self._wake_later(when))

    async def _wake_later(self, when: float) -> None:
        await self._clock.sleep(max(0.0, when - self._clock.now()))
        self._notify()

    def _notify(self) -> None:
        if self._takers:
            self._changed.set()
            self._changed.clear()
