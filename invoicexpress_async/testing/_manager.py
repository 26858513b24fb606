"""A manager for tests: made before the test's event loop, and closed on that loop."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Final

from invoicexpress_async.config import Timeouts
from invoicexpress_async.events import Event
from invoicexpress_async.protocol.decision import RetryPolicy
from invoicexpress_async.session import SessionManager

# With these, a test of a lost response takes a second, not the minutes that a server may need.
_TIMEOUTS: Final = Timeouts(total_seconds=10.0, attempt_seconds=1.0, connect_seconds=1.0)
_RETRY: Final = RetryPolicy(
    base_seconds=0.01, cap_seconds=0.1, read_after_seconds=(0.05, 0.1, 0.2, 0.4, 0.8)
)


@contextlib.contextmanager
def quick_manager(base_url: str | None = None) -> Generator[SessionManager]:
    """Yield a manager for the event loop that first uses it, and close it on that loop.

    It waits for tenths of a second where an ordinary manager waits for seconds. The block itself
    needs no event loop: enter it in a synchronous fixture, and use the manager in one loop, such
    as that of pytest-asyncio, anyio or `asyncio.run`.

    Args:
        base_url: The base URL; by default the variable `INVOICEXPRESS_BASE_URL`.

    Raises:
        RuntimeError: it is entered in a coroutine, whose loop it could not use to close.
    """
    if _is_in_coroutine():
        raise RuntimeError(
            "quick_manager closes its manager outside of any coroutine: enter it in a synchronous "
            "fixture, or write `async with SessionManager(...)` here."
        )
    closing = _ClosingInLoop()
    manager = SessionManager(
        base_url=base_url, timeouts=_TIMEOUTS, retry=_RETRY, on_event=closing.begin
    )
    closing.manager = manager
    try:
        yield manager
    finally:
        closing.end()


def _is_in_coroutine() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _ClosingInLoop:
    """Closes a manager while its loop still exists, whichever plugin owns the loop.

    Sockets can only be closed on their own loop. A loop of pytest-asyncio outlives the test's
    fixtures, so `end` can run it once more. A loop of anyio or `asyncio.run` is closed earlier,
    but it first ends the asynchronous generators that were started on it, and one of these closes
    the manager.
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
            # The manager was never used, or is closed already, or has no socket, as under a mock.
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
