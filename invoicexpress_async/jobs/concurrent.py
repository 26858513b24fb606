"""The same done for many, so many at a time, in the order in which they end."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.stop import RunStop

T = TypeVar("T")
R = TypeVar("R")


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], *, concurrency: int, stop: RunStop | None
) -> AsyncGenerator[R, None]:
    """Yield the result of each item; a slow consumer makes the work wait.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency!r:.40}: give 1 or more.")
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
