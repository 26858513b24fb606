"""Shares one piece of work among all simultaneous calls that request the same."""

import asyncio
import copy
import functools
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

import attrs

from invoicexpress_async.call.context import Call
from invoicexpress_async.errors import InvoiceXpressError

T = TypeVar("T")


@attrs.define(eq=False)
class _Flight(Generic[T]):
    call: Call
    task: "asyncio.Task[T]"
    waiters: int = 0
    is_given_up: bool = False
    # A dict, and one callback on the task for all waiters: thousands may be cancelled together.
    waiting: "dict[asyncio.Future[None], None]" = attrs.field(
        factory=dict["asyncio.Future[None]", None]
    )

    async def result(self) -> T:
        """Wait for the work without cancelling it; return its result or raise its error."""
        if not self.task.done():
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting[ended] = None
            try:
                await ended
            finally:
                del self.waiting[ended]
        return self.task.result()

    def wake(self) -> None:
        """Wake all waiters."""
        for ended in self.waiting:
            if not ended.done():
                ended.set_result(None)


class SingleFlight(Generic[T]):
    """Shares running work by key. Nothing is kept after the work has ended.

    Each waiter has its own deadline; the work is cancelled when the last waiter has gone.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(
        self, key: Hashable, call: Call, work: Callable[[Call], Coroutine[object, object, T]]
    ) -> T:
        """Await the work of `key` on behalf of `call`; start it if it is not running.

        Cancelling one waiter cancels no other. When the last waiter goes, the work is cancelled,
        and has ended before the waiter's cancellation continues.
        """
        flight = self._flights.get(key)
        while flight is not None and flight.is_given_up:
            # What the cancelled work has sent must be recorded before new work starts.
            await asyncio.wait([flight.task])
            flight = self._flights.get(key)
        if flight is None:
            flight = self._start(key, call, work)
        return await self._follow(flight, call)

    def _start(
        self, key: Hashable, call: Call, work: Callable[[Call], Coroutine[object, object, T]]
    ) -> _Flight[T]:
        leader = call.for_leader()
        task = asyncio.get_running_loop().create_task(work(leader))
        flight = self._flights[key] = _Flight(leader, task)
        task.add_done_callback(functools.partial(self._end, key, flight))
        return flight

    def _end(self, key: Hashable, flight: _Flight[T], task: "asyncio.Task[T]") -> None:
        del self._flights[key]
        flight.wake()
        if not task.cancelled():
            task.exception()  # all waiters may be gone, and asyncio would warn

    async def _follow(self, flight: _Flight[T], call: Call) -> T:
        call.leader = flight.call
        flight.call.deadline = max(flight.call.deadline, call.deadline)
        flight.waiters += 1
        is_shared = flight.waiters > 1
        try:
            result = await flight.result()
        except InvoiceXpressError as error:
            if not is_shared:
                raise
            failure = error
        else:
            flight.call.applied = None
            return result
        finally:
            flight.waiters -= 1
            flight.call.is_wanted = flight.waiters > 0
            if not flight.waiters and not flight.task.done():
                flight.is_given_up = True
                flight.task.cancel()
                await asyncio.wait([flight.task])
        # One error object must not be raised in a thousand tasks: its traceback would grow.
        raise copy.copy(failure)
