"""The life of a manager: which loop and process it belongs to, and what is in flight."""

import asyncio
import contextlib
import os

from invoicexpress_async.errors import SessionClosedError


class Lifecycle:
    """Lets calls in while the manager is open, and ends them in bounded time when it closes."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._scopes: set[asyncio.Timeout] = set()
        self._drained: asyncio.Future[None] | None = None
        self.is_closing: bool = False
        self.is_aborting: bool = False

    @property
    def in_flight(self) -> int:
        """The calls under way."""
        return len(self._scopes)

    @property
    def is_forked(self) -> bool:
        """Whether this process is a child of the one that it belongs to."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Refuse a call that cannot work here.

        Raises:
            SessionClosedError: closed, or of another event loop or process.
        """
        if self.is_closing:
            raise SessionClosedError("The SessionManager is closed.")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self.is_forked:
            raise SessionClosedError("The SessionManager belongs to the process before fork().")
        if self._loop is not loop:
            raise SessionClosedError("The SessionManager belongs to another event loop.")

    def enter(self, scope: asyncio.Timeout) -> None:
        """Note a call by the scope of its deadline."""
        self._scopes.add(scope)

    def leave(self, scope: asyncio.Timeout) -> None:
        """Note that a call has ended."""
        self._scopes.discard(scope)
        if not self._scopes and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drain(self, grace_seconds: float) -> None:
        """Let no call in, give those in flight `grace_seconds`, then end them."""
        self.is_closing = True
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            # Its sockets died with its loop; awaiting them here would never end.
            self._scopes.clear()
        if self._scopes:
            await self._wait(grace_seconds)
        self.is_aborting = True
        for scope in self._scopes:
            with contextlib.suppress(RuntimeError):  # its deadline has fired, and it is unwinding
                scope.reschedule(asyncio.get_running_loop().time())
        if self._scopes:
            # An ended call has only to unwind; a callable of the user's that will not be
            # cancelled must not hold the shutdown up for ever.
            await self._wait(1.0)

    async def _wait(self, seconds: float) -> None:
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._drained], timeout=seconds)
