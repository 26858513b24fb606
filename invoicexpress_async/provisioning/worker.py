"""A worker: works on the slices of a shared journal that have open rows, until it is stopped.

It needs no job queue: the journal has the open rows, and the worker looks them up every few
seconds. A worker that dies leaves only its holds behind, which expire by themselves.
"""

import abc
import asyncio
import random
from collections.abc import Callable
from typing import Final

import attrs

from invoicexpress_async.config import check_seconds, check_type
from invoicexpress_async.jobs.journal import Entry, JournalError, JournalState
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings, check_concurrency
from invoicexpress_async.jobs.shared_breaker import SharedBreaker
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.report import Progress, RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import ROWS
from invoicexpress_async.provisioning.slice_run import (
    SliceReport,
    SliceRun,
    hold_and_work,
    row_with,
)
from invoicexpress_async.provisioning.slice_work import slices_left
from invoicexpress_async.session import SessionManager

# Also the longest wait of a new plan's rows, and how often an idle worker queries the database.
SWEEP_SECONDS: Final = 5.0
# Lower than the default concurrency, so that a worker takes several slices at a time.
_MAX_ROWS_OF_A_SLICE: Final = 25


@attrs.define(kw_only=True, eq=False)
class SliceWorker(abc.ABC):
    """Works on slices, beside any number of other workers that share the journal.

    Attributes:
        manager: The session manager that sends the requests.
        journal: The journal; open.
        concurrency: How many rows are in flight at a time.
        settings: The settings of the runs.
        stop: Ends the worker.
        breaker: The circuit breaker that all processes with this journal share.
        sweep_seconds: How often the worker looks for open rows when it has none.
    """

    manager: SessionManager
    journal: PostgresJournal
    concurrency: int
    settings: RunSettings
    stop: RunStop
    breaker: SharedBreaker = attrs.field(init=False)
    sweep_seconds: float = SWEEP_SECONDS
    # By slice that it works on: the highest number of its rows that can be in flight.
    _rows: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    # By slice that is left to other workers for now: when to try it again, on the clock.
    _again_at: dict[int, float] = attrs.field(factory=dict[int, float], init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.breaker = SharedBreaker(self.manager.clock, self.journal)

    @abc.abstractmethod
    def row_of(self, entry: Entry) -> PlanRow | None:
        """Return the row of an entry, with its key; None for a row to be skipped here."""

    @abc.abstractmethod
    async def is_over(self, left: list[SliceLeft]) -> bool:
        """Whether there is nothing left to do or to wait for, given the slices with open rows."""

    def wants(self, number: int) -> bool:  # noqa: ARG002  # a worker wants each
        """Whether a slice may have rows for this worker."""
        return True

    async def on_outcome(self, outcome: RowOutcome) -> None:  # noqa: B027  # the journal has it
        """Handle an outcome as it comes."""

    def on_progress(self, number: int, progress: Progress) -> None:  # noqa: B027  # may be
        """Handle the progress of the work on a slice."""

    @abc.abstractmethod
    def on_slice(self, report: SliceReport) -> None:
        """Handle the report of a slice when the work on it ends."""

    @abc.abstractmethod
    def on_problem(self, error: JournalError) -> None:
        """Handle the error of a journal that cannot be used."""

    @property
    def is_working(self) -> bool:
        """Whether it works on a slice."""
        return bool(self._rows)

    def is_working_on(self, number: int) -> bool:
        """Whether it works on this slice."""
        return number in self._rows

    def try_again_in(self, number: int, seconds: float) -> None:
        """Leave a slice to other workers for this many seconds."""
        self._again_at[number] = self.manager.clock.now() + seconds

    async def run(self) -> None:
        """Work until `is_over`, or until a stop was requested and all slices are released."""
        self.stop.listen(self._changed.set)
        # While the server fails for every account, one row of one worker at a time tries it.
        self.breaker.listen(self._changed.set)
        try:
            async with asyncio.TaskGroup() as outer:
                # An error of `follow` ends the worker: it would no longer share the breaker.
                following = outer.create_task(self.breaker.follow())
                async with asyncio.TaskGroup() as group:
                    await self._work_on(group)
                following.cancel()
            if not self.stop.is_requested:
                await self.breaker.exchange()  # the others hear the last, and so does this process
        finally:
            self.breaker.unlisten(self._changed.set)

    async def _work_on(self, group: asyncio.TaskGroup) -> None:
        while not self.stop.is_requested:
            while not self._room() and not self.stop.is_requested:
                await self._change()
            has_taken = await self._sweep(group)
            if has_taken is None:
                break
            if not has_taken:
                await self._change(self.sweep_seconds)

    async def _sweep(self, group: asyncio.TaskGroup) -> bool | None:
        """Start work on slices that are due; return whether any was started, None at the end."""
        has_taken = False
        try:
            left = await slices_left(self.journal)
            if await self.is_over(left):
                return None
            due = [one for one in left if one.is_due and self._may_try(one.number)]
            # In random order, so that several workers begin with different slices.
            for one in random.sample(due, len(due)):
                room = self._room()
                if self.stop.is_requested or not room:
                    break
                self._rows[one.number] = min(one.rows, room)
                group.create_task(self._work(one, room))
                has_taken = True
        except JournalError as error:
            self.on_problem(error)
            return False
        return has_taken

    async def _work(self, left: SliceLeft, concurrency: int) -> None:
        number = left.number

        def note(progress: Progress) -> None:
            # Rows that wait, perhaps for minutes, free their places for another slice.
            begun = left.rows - progress.ended - progress.waiting
            if 0 <= begun < self._rows[number]:
                self._rows[number] = begun
                self._changed.set()
            self.on_progress(number, progress)

        try:
            with self.stop.part() as stop:
                run = SliceRun(
                    manager=self.manager,
                    row_of=self.row_of,
                    settings=self.settings,
                    concurrency=concurrency,
                    stop=stop,
                    breaker=self.breaker,
                    on_outcome=self.on_outcome,
                    on_progress=note,
                )
                report = await hold_and_work(self.journal, number, run, no_key_seconds=None)
            if report is None:
                self.try_again_in(number, self.sweep_seconds)
            else:
                self.on_slice(report)
        except JournalError as error:
            self.try_again_in(number, self.sweep_seconds)
            self.on_problem(error)
        finally:
            del self._rows[number]
            self._changed.set()

    def _may_try(self, number: int) -> bool:
        now = self.manager.clock.now()
        is_free = number not in self._rows and self._again_at.get(number, now) <= now
        return is_free and self.wants(number)

    def _room(self) -> int:
        """Return how many rows of another slice may be in flight."""
        if self.breaker.is_open and self._rows:
            return 0  # one slice is enough to try the server
        return min(_MAX_ROWS_OF_A_SLICE, self.concurrency - sum(self._rows.values()))

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until a slice has ended or a stop was requested, at most this many seconds."""
        self._changed.clear()
        if self.stop.is_requested:
            return
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(self._changed.wait())]
        if seconds is not None:
            tasks.append(asyncio.create_task(self.manager.clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


# How long a slice with rows whose key this worker lacks is left to other workers.
_NO_KEY_SECONDS: Final = 60.0


async def run_worker(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    journal: PostgresJournal,
    keys: AccountKeys,
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    until_done: bool = False,
    stop: RunStop | None = None,
    sweep_seconds: float = SWEEP_SECONDS,
    on_slice: Callable[[SliceReport], None] | None = None,
    on_problem: Callable[[JournalError], None] | None = None,
) -> None:
    """Work on the slices of a journal that have open rows, beside any number of other workers.

    It returns once `stop` was requested and its slices are released, or with `until_done` once no
    slice is due and no worker works on one. It does not wait for rows that wait for a later try,
    for a worker with their key, or for the day from which they may be the default.

    Args:
        manager: The session manager that sends the requests; one without a journal.
        journal: The journal; open, with the rows of one or more plans.
        keys: An async callable that returns the key of an account.
        concurrency: How many rows are in flight at a time.
        settings: The settings of the runs. With `retry_refused`, rows that are refused when the
            worker starts are tried again once, whichever plan they belong to.
        until_done: Return when there is nothing to do.
        stop: Ends the worker; rows in flight have the time that the stop request gives.
        sweep_seconds: How often the worker looks for open rows when it has none.
        on_slice: Called with the report of each slice, in the event loop; it must not raise.
        on_problem: Called with the error when the journal cannot be used; it is tried again.

    Raises:
        ConfigurationError: an invalid argument.
        JournalError: the database cannot be reached for `retry_refused`.
    """
    check_type("manager", manager, SessionManager)
    check_type("journal", journal, PostgresJournal)
    worker = _Worker(
        manager=manager,
        journal=journal,
        keys=keys,
        concurrency=check_concurrency(concurrency),
        settings=settings,
        until_done=until_done,
        stop=stop or RunStop(),
        sweep_seconds=check_seconds("sweep_seconds", sweep_seconds),
        report_slice=on_slice or _ignore,
        report_problem=on_problem or _ignore,
    )
    if settings.retry_refused:
        await journal.prepare(ROWS)  # it may start before the first plan
        await journal.reset_to_planned(ROWS, frozenset({JournalState.REFUSED}))
    await worker.run()


def _ignore(_: object) -> None:
    """Ignore the report."""


@attrs.define(kw_only=True, eq=False)
class _Worker(SliceWorker):
    keys: AccountKeys
    until_done: bool
    report_slice: Callable[[SliceReport], None]
    report_problem: Callable[[JournalError], None]
    # Slices with rows whose key this worker lacks.
    _no_key: set[int] = attrs.field(factory=set[int], init=False)

    def row_of(self, entry: Entry) -> PlanRow | None:
        return row_with(self.keys)(entry)

    async def is_over(self, left: list[SliceLeft]) -> bool:
        return self.until_done and not (self.is_working or any(map(self._is_of_now, left)))

    def on_slice(self, report: SliceReport) -> None:
        self._no_key.discard(report.number)
        if report.no_key:
            self._no_key.add(report.number)
            self.try_again_in(report.number, _NO_KEY_SECONDS)
        self.report_slice(report)

    def on_problem(self, error: JournalError) -> None:
        self.report_problem(error)

    def _is_of_now(self, left: SliceLeft) -> bool:
        """Whether a worker holds the slice, or this worker is to work on it now."""
        may_do = left.is_due and left.number not in self._no_key
        return left.holder is not None or may_do
