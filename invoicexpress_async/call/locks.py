"""A lock for each key, there only while somebody holds it or waits for it."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeAlias

from invoicexpress_async.call.wake import wake

# Thousands may be cancelled together: each leaves at no cost.
_Queue: TypeAlias = OrderedDict["_Turn", None]


class KeyedLock:
    """Lets one holder of a key go at a time, first come first served.

    The holders may be tasks of event loops in several threads: none holds up another's loop.
    """

    def __init__(self) -> None:
        # The waiters for each key that is held; None without any, which is nearly always.
        self._waiting: dict[Hashable, _Queue | None] = {}
        self._mutex = threading.Lock()

    def hold(self, key: Hashable) -> "_Guard":
        """Hold the lock of `key` for the block; yield whether somebody else had it before."""
        return _Guard(self, key)

    def enter(self, key: Hashable) -> "_Turn | None":
        """Take the lock, or return a place in its queue."""
        with self._mutex:
            if key not in self._waiting:
                self._waiting[key] = None
                return None
            queue = self._waiting[key]
            if queue is None:
                queue = self._waiting[key] = OrderedDict()
            turn = _Turn()
            queue[turn] = None
            return turn

    def leave(self, key: Hashable) -> None:
        """Hand the lock over to the next in the queue."""
        with self._mutex:
            queue = self._waiting[key]
            if not queue:
                del self._waiting[key]
                return
            turn, _ = queue.popitem(last=False)
            turn.has_come = True
        wake(turn.waiter)

    def give_up(self, key: Hashable, turn: "_Turn") -> None:
        """Leave the queue; a lock that was handed over in the same moment is handed on."""
        with self._mutex:
            queue = self._waiting[key]
            if not turn.has_come and queue is not None:
                del queue[turn]
                return
        self.leave(key)


class _Turn:
    """A place in a queue. It is handed the lock before its task runs again."""

    __slots__ = ("has_come", "waiter")

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_come: bool = False


class _Guard:
    # A class, as contextlib's generators cost a hundredth of a whole call.
    __slots__ = ("_key", "_lock")

    def __init__(self, lock: KeyedLock, key: Hashable) -> None:
        self._lock = lock
        self._key = key

    async def __aenter__(self) -> bool:
        turn = self._lock.enter(self._key)
        if turn is None:
            return False
        try:
            await turn.waiter
        except asyncio.CancelledError:
            self._lock.give_up(self._key, turn)
            raise
        return True

    async def __aexit__(self, *_: object) -> None:
        self._lock.leave(self._key)
