"""Lanes: one connection each, counted, lent to one request at a time, and given back when idle."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from invoicexpress_async.clock import Clock
from invoicexpress_async.transport.idle import IdleLanes, Lane
from invoicexpress_async.transport.slots import FairSlots

IDLE_SECONDS: Final = 15.0
"""How long an unused connection is kept, which is also aiohttp's own default."""

_MAX_VISITORS: Final = 100


L = TypeVar("L", bound=Lane)


class LanePool(Generic[L]):
    """At most `size` lanes over all origins, busy and idle together.

    A connector that serves thousands of hosts bounds its busy connections only: its idle ones
    pile up. Here a new origin takes the place of an idle lane, so that lanes, and thus sockets,
    never outnumber `size`.

    An idle lane is worth as much as its origin is likely to call again soon. Those of visitors,
    of which nothing is known, are few: a job over thousands of accounts leaves no more behind. An
    origin that comes back after its lane was closed becomes a regular: its lane is kept while there
    is room, and visitors go first.
    """

    def __init__(self, make: Callable[[str], L], *, size: int, clock: Clock) -> None:
        self._make = make
        self._size = size
        self._clock = clock
        self._slots = FairSlots(size)
        self._count = 0
        self._idle = IdleLanes[L](
            max_visitors=min(size, _MAX_VISITORS), max_regulars=max(0, size - _MAX_VISITORS)
        )
        self._sweeper: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def count(self) -> int:
        """The lanes there are, busy or idle."""
        return self._count

    def take_at_once(self, origin: str) -> L | None:
        """Lend an idle lane of the origin if no other call waits, as `take` does, at less cost."""
        if not self._idle.has(origin) or not self._slots.acquire_at_once():
            return None
        return self._idle.take(origin)

    async def take(self, origin: str, account: str) -> L:
        """Lend a lane to `account`; give it back with `give`."""
        await self._slots.acquire(account)
        try:
            return self._idle.take(origin) or await self._open(origin)
        except BaseException:
            self._slots.release()
            raise

    def give(self, lane: L) -> None:
        """Take a lane back: its request has ended, one way or another."""
        if self._is_closed:
            self._count -= 1
            lane.abandon()
            self._slots.release()
            return
        for leaving in self._idle.give(lane, self._clock.now()):
            self._count -= 1
            leaving.abandon()
        self._slots.release()
        self._schedule_sweep()

    async def close(self) -> None:
        """Close all idle lanes, and the busy ones when they are given back."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._sweeping is not None:
            await self._sweeping
        await self.close_idle(0.0)

    def abandon(self) -> None:
        """Let go of all idle lanes at once, as when their owner was forgotten."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while lane := self._idle.pop_oldest(self._clock.now()):
            lane.abandon()
            self._count -= 1

    async def close_idle(self, seconds: float) -> None:
        """Close the lanes that have been idle for `seconds` or more."""
        now = self._clock.now()
        while lane := self._idle.pop_oldest(now, idle_seconds=seconds):
            self._count -= 1
            await lane.close()

    async def _open(self, origin: str) -> L:
        # This caller holds a slot and no lane: of `size` lanes at least one is idle. It counts
        # until its socket is closed, or two callers could both open in its place.
        while self._count >= self._size and (lane := self._idle.pop_oldest(self._clock.now())):
            try:
                await lane.close()
            finally:
                self._count -= 1
        self._count += 1
        try:
            return self._make(origin)
        except BaseException:
            self._count -= 1
            raise

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(IDLE_SECONDS, self._start_sweep)

    def _start_sweep(self) -> None:
        self._sweeper = None
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        await self.close_idle(IDLE_SECONDS)
        self._sweeping = None
        if len(self._idle):
            self._schedule_sweep()
