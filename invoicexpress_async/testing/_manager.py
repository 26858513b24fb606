"""A manager that exists before the event loop of its test, and is closed on that loop."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Final

from invoicexpress_async.config import Timeouts
from invoicexpress_async.events import Event
from invoicexpress_async.protocol.decision import RetryPolicy
from invoicexpress_async.session import SessionManager

# A test of a lost response takes a second, and not the minutes that a real server may need.
_TIMEOUTS: Final = Timeouts(total_seconds=10.0, attempt_seconds=1.0, connect_seconds=1.0)
_RETRY: Final = RetryPolicy(
    base_seconds=0.01, cap_seconds=0.1, read_after_seconds=(0.05, 0.1, 0.2, 0.4, 0.8)
)


@contextlib.contextmanager
def quick_manager(base_url: str | None = None) -> Generator[SessionManager]:
    """Give a manager to whatever event loop first calls with it, and close it there.

    It waits for tenths of a second where an ordinary one waits for seconds. The block itself
    needs no event loop: enter it in a synchronous fixture, and use the manager in one loop,
    such as that of pytest-asyncio, anyio or `asyncio.run`.

    Args:
        base_url: By default `INVOICEXPRESS_BASE_URL`.
    """
    closing = _ClosingInLoop()
    manager = SessionManager(
        base_url=base_url, timeouts=_TIMEOUTS, retry=_RETRY, on_event=closing.begin
    )
    closing.manager = manager
    try:
        yield manager
    finally:
        closing.end()


class _ClosingInLoop:
    """Closes a manager while its loop is alive, with any plugin that owns the loop.

    Sockets can only be closed on their own loop. Those of pytest-asyncio live until after the
    test's fixtures, so that `end` can run them once more. anyio's and `asyncio.run`'s are closed
    before; but each of them first ends the asynchronous generators that were begun on it, and
    one of these closes the manager.
    """

    def __init__(self) -> None:
        self.manager: SessionManager | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: AsyncGenerator[None] | None = None

    def begin(self, _: Event) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._waiting = self._until_loop_ends()
            with contextlib.suppress(StopIteration):  # it waits at its first yield
                self._waiting.asend(None).send(None)

    def end(self) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            # Never called, closed already, or without a socket, as under a mock.
            loop = asyncio.new_event_loop()
            loop.run_until_complete(self._close())
            loop.close()
            return
        loop.run_until_complete(self._close())

    async def _until_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._close()

    async def _close(self) -> None:
        if self.manager is not None:
            await self.manager.close(grace_seconds=0.0)
