"""Running a coroutine until it ends or a signal asks for the end."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run_until_signal(work: Coroutine[object, object, T]) -> T:
    """Run it. SIGINT and SIGTERM cancel it, so that it can clean up.

    Raises:
        KeyboardInterrupt: after one of the two.
    """
    with contextlib.suppress(asyncio.CancelledError):
        return asyncio.run(_cancelled_by_sigterm(work))
    raise KeyboardInterrupt


async def _cancelled_by_sigterm(work: Coroutine[object, object, T]) -> T:
    task = asyncio.current_task()
    if task is not None:
        # Windows has no such handlers, and a thread that is not the main one may set none.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
