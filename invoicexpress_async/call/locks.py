"""A lock for each key, there only while somebody holds it or waits for it."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeAlias

# Thousands may be cancelled together: each leaves at no cost.
_Queue: TypeAlias = OrderedDict[asyncio.Future[None], None]


class KeyedLock:
    """Lets one holder of a key go at a time, first come first served."""

    def __init__(self) -> None:
        # Who waits for each key that is held; None for nobody, as nearly always.
        self._waiting: dict[Hashable, _Queue | None] = {}

    def hold(self, key: Hashable) -> "_Guard":
        """Hold the lock of `key` for the block; yield whether somebody else had it before."""
        return _Guard(self._waiting, key)


class _Guard:
    # A class, as contextlib's generators cost a hundredth of a whole call.
    __slots__ = ("_key", "_waiting")

    def __init__(self, waiting: dict[Hashable, _Queue | None], key: Hashable) -> None:
        self._waiting = waiting
        self._key = key

    async def __aenter__(self) -> bool:
        if self._key not in self._waiting:
            self._waiting[self._key] = None
            return False
        queue = self._waiting[self._key]
        if queue is None:
            queue = self._waiting[self._key] = OrderedDict()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake_next()  # it was handed over in the same moment
            else:
                queue.pop(turn, None)
            raise
        return True

    async def __aexit__(self, *_: object) -> None:
        self._wake_next()

    def _wake_next(self) -> None:
        queue = self._waiting[self._key]
        while queue:
            turn, _ = queue.popitem(last=False)
            # A cancelled one is passed over: its task has not run yet to leave the queue.
            if not turn.cancelled():
                turn.set_result(None)
                return
        del self._waiting[self._key]
