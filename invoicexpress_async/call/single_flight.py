"""One piece of work for all calls that ask for the same at the same time."""

import asyncio
import copy
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


class SingleFlight(Generic[T]):
    """Shares running work by key. Nothing is kept once it has ended.

    Each waiter has its own deadline; the work ends when the last of them has gone.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(
        self, key: Hashable, call: Call, work: Callable[[Call], Coroutine[object, object, T]]
    ) -> T:
        """Await the work of `key`, started if nobody has, on behalf of `call`.

        Cancelling one waiter cancels no other; when the last one goes, the work is cancelled,
        and has ended before the cancellation goes on.
        """
        flight = self._flights.get(key)
        while flight is not None and flight.is_given_up:
            # What the cancelled work had sent must be on record before anyone starts anew.
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
        task.add_done_callback(lambda _: self._flights.pop(key))
        return flight

    async def _follow(self, flight: _Flight[T], call: Call) -> T:
        call.leader = flight.call
        flight.call.deadline = max(flight.call.deadline, call.deadline)
        flight.waiters += 1
        is_shared = flight.waiters > 1
        try:
            return await asyncio.shield(flight.task)
        except InvoiceXpressError as error:
            if not is_shared:
                raise
            failure = error
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                await _give_up(flight)
        # One error object must not be raised in a thousand tasks: its traceback would grow.
        raise copy.copy(failure)


async def _give_up(flight: _Flight[T]) -> None:
    flight.is_given_up = True
    flight.task.cancel()
    flight.task.add_done_callback(_retrieve)
    await asyncio.wait([flight.task])


def _retrieve(task: "asyncio.Task[T]") -> None:
    """Nobody is left to be told, and asyncio would complain of that."""
    if not task.cancelled():
        task.exception()
