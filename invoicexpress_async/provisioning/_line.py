"""Who is next: rows whose time to be read has come, then rows of the plan."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from typing import Final

from invoicexpress_async._clock import Clock
from invoicexpress_async.provisioning._ticket import Ticket
from invoicexpress_async.provisioning.outage import Outage
from invoicexpress_async.provisioning.stop import RunStop

_NEVER: Final = float("inf")


class Line:
    """The tickets that wait, for all workers of a run. No task sleeps for any of them."""

    def __init__(
        self, fresh: AsyncIterator[Ticket], *, clock: Clock, stop: RunStop, outage: Outage
    ) -> None:
        self._fresh: AsyncIterator[Ticket] | None = fresh
        self._fetching = asyncio.Lock()
        self._clock = clock
        self._stop = stop
        self._outage = outage
        self._parked: list[tuple[float, int, Ticket]] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = _NEVER
        self._is_ended = False
        stop.listen(self._tell)

    @property
    def parked(self) -> int:
        """How many rows wait to be looked at again."""
        return len(self._parked)

    async def take(self) -> Ticket | None:
        """Wait for the next ticket; None when there will be none before the run ends."""
        while not self._is_over():
            if self._outage.may_start():
                self._in_flight += 1
                ticket = self._due() or await self._next_fresh()
                if ticket is not None:
                    self._outage.starts()
                    return ticket
                self._in_flight -= 1
            if not self._is_over():
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

    def park(self, ticket: Ticket, due: float) -> None:
        """Let a row wait until `due`. It is still in flight until `leave`."""
        heapq.heappush(self._parked, (due, next(self._order), ticket))

    def leave(self) -> None:
        """Say that a row has had its turn."""
        self._in_flight -= 1
        self._tell()

    def close(self) -> list[Ticket]:
        """Return those that still wait, and let no alarm sound any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        return [ticket for _, _, ticket in sorted(self._parked)]

    def _due(self) -> Ticket | None:
        # While the server is down the one row that tries it need not be due.
        if self._parked and (self._outage.is_on or self._parked[0][0] <= self._clock.now()):
            return heapq.heappop(self._parked)[2]
        return None

    async def _next_fresh(self) -> Ticket | None:
        async with self._fetching:
            if self._fresh is None or self._is_stopping():
                return None
            ticket = await anext(self._fresh, None)
            if ticket is None:
                self._fresh = None
            # One that was fetched while a stop was asked for has not begun, and does not.
            return None if self._is_stopping() else ticket

    def _is_stopping(self) -> bool:
        return self._stop.is_requested

    def _is_over(self) -> bool:
        if self._is_ended:
            return True
        if self._is_stopping():
            # What was sent is still read for, as long as there is time.
            return not (self._parked and self.has_time_until(self._parked[0][0]))
        return not (self._in_flight or self._parked or self._fresh)

    async def _change(self) -> None:
        due = self._parked[0][0] if self._parked else _NEVER
        self._arm(self._outage.probe_at if self._outage.is_on else due)
        await self._changed.wait()

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
        self._changed.set()
        self._changed.clear()
