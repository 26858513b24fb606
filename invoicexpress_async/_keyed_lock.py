"""A lock for each key, there only while somebody holds it or waits for it."""

import asyncio
from collections.abc import Hashable


class KeyedLock:
    """Lets one holder of a key go at a time, first come first served."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}

    def hold(self, key: Hashable) -> "_Hold":
        """Hold the lock of `key` for the block; yield whether somebody else had it before."""
        return _Hold(self._locks, key)


class _Lock(asyncio.Lock):
    users = 0


class _Hold:
    # A class, as contextlib's generators cost a hundredth of a whole call.
    __slots__ = ("_key", "_lock", "_locks")

    def __init__(self, locks: dict[Hashable, _Lock], key: Hashable) -> None:
        self._locks = locks
        self._key = key

    async def __aenter__(self) -> bool:
        lock = self._lock = self._locks.get(self._key) or _Lock()
        self._locks[self._key] = lock
        lock.users += 1
        is_shared = lock.users > 1
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise
        return is_shared

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._lock.users -= 1
        if not self._lock.users:
            del self._locks[self._key]
