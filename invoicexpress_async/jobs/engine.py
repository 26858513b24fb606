"""The engine of every job: workers over one scheduler, each outcome durable before it is reported.

The job defines what an item is, and what a turn of an item does.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeVar

import attrs

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker, OutageError
from invoicexpress_async.jobs.concurrent import drain
from invoicexpress_async.jobs.journal import Commit, JournalError
from invoicexpress_async.jobs.scheduler import Scheduler
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Outcome = TypeVar("Outcome")


class Verdict(StrEnum):
    """What an outcome says about the server as a whole."""

    WORKS = "works"
    FAILS = "fails"
    NOTHING = "nothing"


class Job(Protocol[Item_contra, Outcome]):
    """How one kind of job handles its items."""

    def recorded(self, item: Item_contra) -> Outcome | None:
        """Return the outcome of an item that an earlier run settled; None if it needs a turn."""
        ...

    async def turn(self, item: Item_contra) -> Outcome | None:
        """Run one turn of an item and return its outcome; None if the turn did not begin."""
        ...

    def failure(self, item: Item_contra, outcome: Outcome) -> InvoiceXpressError | None:
        """Return the error if an outcome ends the whole run."""
        ...

    def verdict(self, item: Item_contra, outcome: Outcome) -> Verdict:
        """Return what an outcome says about the server."""
        ...

    def account_of(self, item: Item_contra) -> str:
        """Return the account of an item: the server may fail for this account only."""
        ...

    def due(self, item: Item_contra, outcome: Outcome) -> float | None:
        """Return the time of the next turn, on the clock; None when this outcome is the last."""
        ...

    def record(self, item: Item_contra, outcome: Outcome) -> Commit | None:
        """Write an outcome to the journal; return None when nothing is to be written."""
        ...

    def last(self, item: Item_contra) -> Outcome | None:
        """Return the outcome of the last turn of an item that still waits."""
        ...


_LAST_COMMIT_SECONDS: Final = 2.0


@attrs.define(kw_only=True, eq=False)
class Engine(Generic[Item, Outcome]):
    """Carries out all items of one run.

    Attributes:
        job: The job.
        settings: The settings of the run.
        stop: Ends the run early.
        clock: The clock of the run.
        breaker: The circuit breaker of the server.
        on_change: Called when an item waits, and when the run pauses or continues.
        problem: The error that ended the run early, if there is one.
    """

    job: Job[Item, Outcome]
    settings: RunSettings
    stop: RunStop
    clock: Clock
    breaker: CircuitBreaker
    on_change: Callable[[], None] = lambda: None
    problem: InvoiceXpressError | None = None
    _input_failure: Exception | None = attrs.field(default=None, init=False)
    _scheduler: Scheduler[Item] | None = attrs.field(default=None, init=False)
    # Outcomes, each with the future that is done when it is durable; None wakes the reader.
    _ready: asyncio.Queue[tuple[Outcome, Commit | None] | None] = attrs.field(init=False)

    @property
    def waiting(self) -> int:
        """The number of items that wait for another turn."""
        return 0 if self._scheduler is None else self._scheduler.waiting

    @property
    def next_turn_in_seconds(self) -> float | None:
        """The seconds until the first waiting item has its turn; None when none waits."""
        due = None if self._scheduler is None else self._scheduler.next_due
        return None if due is None else max(0.0, due - self.clock.now())

    async def outcomes(
        self, items: AsyncIterator[Item], *, concurrency: int
    ) -> AsyncGenerator[Outcome, None]:
        """Yield each outcome as it comes; a slow consumer makes the run wait.

        An exception of `items` is raised once the turns that have begun have ended. Any other of a
        worker, apart from the errors of its items, is a bug, and is raised as an ExceptionGroup.
        """
        self._ready = asyncio.Queue(2 * concurrency)
        self._scheduler = Scheduler(items, clock=self.clock, stop=self.stop, breaker=self.breaker)
        pool = asyncio.create_task(self._run(self._scheduler, concurrency))
        async with aclosing(drain(self._ready, pool)) as stream:
            async for outcome, commit in stream:
                await self._wait_until(commit)
                yield outcome
        if self._input_failure is not None:
            raise self._input_failure

    async def _run(self, scheduler: Scheduler[Item], workers: int) -> None:
        self.breaker.add_item_check(scheduler.has_item)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(scheduler))
        finally:
            self.breaker.remove_item_check(scheduler.has_item)
            left = await scheduler.close()
        for item in left:
            outcome = self.job.last(item)
            if outcome is not None:
                await self._ready.put((outcome, None))

    async def _work(self, scheduler: Scheduler[Item]) -> None:
        while (item := await self._take(scheduler)) is not None:
            try:
                ended = await self._turn(scheduler, item)
                if ended is not None:
                    await self._ready.put(ended)
            finally:
                scheduler.task_done()

    async def _take(self, scheduler: Scheduler[Item]) -> Item | None:
        try:
            return await scheduler.take()
        except InvoiceXpressError as error:  # of the journal or of the input
            self._end(error)
        except Exception as error:  # noqa: BLE001  # of the caller's iterator
            self._input_failure = error
            self._cease()
        return None

    async def _turn(
        self, scheduler: Scheduler[Item], item: Item
    ) -> tuple[Outcome, Commit | None] | None:
        """Run a turn; return the outcome if it is the last of the item, else None."""
        if (recorded := self.job.recorded(item)) is not None:
            return recorded, None
        outcome = await self.job.turn(item)
        if outcome is None:
            return None
        self._judge(item, outcome)
        due = self.job.due(item, outcome)
        commit = self.job.record(item, outcome)
        if due is None:
            return outcome, commit
        await self._wait_until(commit)
        if not scheduler.has_time_until(due):
            return outcome, None
        scheduler.reschedule(item, due)
        self.on_change()
        return None

    async def _wait_until(self, commit: Commit | None) -> None:
        """Wait until an outcome is durable; a journal error ends the run."""
        if commit is None:
            return
        try:
            if not commit.done():
                await self._wait_as_long_as_allowed(commit)
            commit.result()
        except JournalError as error:
            self._end(error)
        except RowCutOffError:
            self._end(JournalError("The run was stopped before its outcomes were in the journal."))

    async def _wait_as_long_as_allowed(self, commit: Commit) -> None:
        try:
            async with self.stop.row():
                await asyncio.shield(commit)
        except RowCutOffError:
            # The outcome is being written; only a locked file delays it for longer.
            await asyncio.wait({commit}, timeout=_LAST_COMMIT_SECONDS)
            if not commit.done():
                raise

    def _judge(self, item: Item, outcome: Outcome) -> None:
        was_open = self.breaker.is_open
        failure = self.job.failure(item, outcome)
        if failure is not None:
            self._end(failure)
        elif not self.stop.is_requested:  # a turn that was cut off says nothing about the server
            self._note(item, self.job.verdict(item, outcome))
        if was_open is not self.breaker.is_open:
            self.on_change()

    def _note(self, item: Item, verdict: Verdict) -> None:
        if verdict is Verdict.WORKS:
            self.breaker.record_success()
        elif verdict is Verdict.FAILS:
            self.breaker.record_failure(self.job.account_of(item))
            if self.breaker.seconds > self.settings.outage_patience_seconds:
                seconds = f"{self.breaker.seconds:.0f}"
                text = f"The server has failed for every account for {seconds} seconds."
                self._end(OutageError(text))

    def _end(self, problem: InvoiceXpressError) -> None:
        if self.problem is None:
            self.problem = problem.with_traceback(None)
        self._cease()

    def _cease(self) -> None:
        self.stop.request()
        if self._scheduler is not None:
            self._scheduler.end()
