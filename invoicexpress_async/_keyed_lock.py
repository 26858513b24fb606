"""A lock for each key, there only while somebody holds it or waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Hashable


class KeyedLock:
    """Lets one holder of a key go at a time, first come first served."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncGenerator[bool]:
        """Hold the lock of `key` for the block; yield whether somebody else had it before."""
        lock, users = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield users > 0
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1
