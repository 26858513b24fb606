"""The same work for many items, some at a time, in the order in which they end."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

from invoicexpress_async.jobs.settings import check_concurrency
from invoicexpress_async.jobs.stop import RunStop

T = TypeVar("T")
R = TypeVar("R")


async def map_concurrently(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, concurrency: int, stop: RunStop | None
) -> AsyncGenerator[R, None]:
    """Yield the result of each item; a slow consumer makes the work wait.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    check_concurrency(concurrency)
    waiting = iter(items)
    running: set[asyncio.Future[R]] = set()
    try:
        while True:
            while len(running) < concurrency and not (stop and stop.is_requested):
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                running.add(asyncio.ensure_future(work(item)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                yield one.result()
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)
