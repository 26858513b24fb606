"""Wakes a waiter of any event loop, from any thread."""

import asyncio
import contextlib


def wake(waiter: "asyncio.Future[None]") -> None:
    """Wake a waiter, whichever event loop it waits in."""
    loop = waiter.get_loop()
    if loop is _running():
        _set(waiter)
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing waits any more
        loop.call_soon_threadsafe(_set, waiter)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
