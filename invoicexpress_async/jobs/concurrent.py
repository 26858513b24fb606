"""Concurrent work on many items: each result is yielded when it is ready."""

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
    """Yield the result of each item when it is ready; a slow consumer delays further items.

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


async def drain(
    queue: "asyncio.Queue[T | None]", filling: "asyncio.Task[None]"
) -> AsyncGenerator[T, None]:
    """Yield what the task `filling` puts into a queue, until the task has ended.

    A full queue makes the task wait. An exception of the task is raised here. When the reader
    leaves early, the task is cancelled.
    """

    def wake(_: object) -> None:
        if not queue.full():  # the reader of a full queue is not waiting
            queue.put_nowait(None)

    filling.add_done_callback(wake)
    try:
        while not (filling.done() and queue.empty()):
            item = await queue.get()
            if item is None:
                break
            yield item
        await filling
    finally:
        filling.cancel()
        await asyncio.wait({filling})
