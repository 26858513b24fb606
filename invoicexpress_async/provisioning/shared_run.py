"""A run of a plan with a shared journal: this process is a worker for its own plan."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.concurrent import drain
from invoicexpress_async.jobs.journal import (
    Difference,
    Entry,
    Journal,
    JournalError,
    JournalState,
    Key,
)
from invoicexpress_async.jobs.postgres import FencedError, PostgresJournal, SliceLeft, slice_of
from invoicexpress_async.jobs.settings import check_concurrency
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.job import (
    outcome_of_record,
    recorded_outcome,
    row_tasks,
    sync_plan,
)
from invoicexpress_async.provisioning.plan_run import PlanRun
from invoicexpress_async.provisioning.report import Progress, RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import ROWS, RowJournal, key_of
from invoicexpress_async.provisioning.slice_run import SliceReport
from invoicexpress_async.provisioning.worker import SliceWorker

if TYPE_CHECKING:
    from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker

_LOOKED_UP_AT_ONCE: Final = 500
# How often a run that waits for other processes looks up their progress.
_SWEEP_SECONDS: Final = 1.0
_BY_ANOTHER: Final = "Another process that shares the journal has had this row."


@attrs.define(kw_only=True, eq=False)
class SharedRun(PlanRun):
    """Enters the plan, works on the slices it can hold, and reports what other processes did."""

    # By slice that this process works on.
    _progress: dict[int, Progress] = attrs.field(factory=dict[int, Progress], init=False)
    _is_paused: bool = attrs.field(default=False, init=False)

    async def outcomes(
        self, journal: Journal | None, concurrency: int, stop: RunStop
    ) -> AsyncGenerator[RowOutcome, None]:
        """Yield each outcome once it is durable, including those of other processes."""
        if not isinstance(journal, PostgresJournal):
            raise TypeError("Only a PostgresJournal has slices.")
        check_concurrency(concurrency)
        self.settings.may_default()
        rows = RowJournal(journal, default_not_before=self.settings.default_not_before)
        differences = await sync_plan(rows, self.plan, self.settings, stop=stop)
        self.differences: tuple[Difference, ...] = differences
        left: dict[int, dict[Key, PlanRow]] = {}
        refused: list[Key] = []
        if stop.is_requested:
            return
        async for task in row_tasks(self.plan, rows):
            key = key_of(task.row)
            outcome = recorded_outcome(task, retry_refused=self.settings.retry_refused)
            if outcome is None:
                left.setdefault(slice_of(task.row.account, journal.slices), {})[key] = task.row
                refused += [key] * (task.record.state is JournalState.REFUSED)
                continue
            self.count(outcome)
            yield outcome
        if refused:
            await journal.reset_to_planned(ROWS, frozenset({JournalState.REFUSED}), keys=refused)
        worker = _PlanWorker(
            manager=self.manager,
            journal=journal,
            rows=rows,
            left=left,
            concurrency=concurrency,
            settings=self.settings,
            stop=stop,
            sweep_seconds=_SWEEP_SECONDS,
            note_progress=self._note_progress,
        )
        self.breaker: CircuitBreaker = worker.breaker
        self.breaker.listen(self._note_pause)  # other processes' failures can pause this run
        try:
            async with aclosing(worker.outcomes()) as stream:
                async for outcome in stream:
                    self.count(outcome)
                    yield outcome
        finally:
            self.problem: InvoiceXpressError | None = worker.problem

    def waits(self) -> tuple[int, float | None]:
        """Return how many rows wait for another turn, and the seconds until the first turn."""
        of_slices = self._progress.values()
        turns = [one.next_turn_in_seconds for one in of_slices]
        return (
            sum(one.waiting for one in of_slices),
            min((one for one in turns if one is not None), default=None),
        )

    def _note_pause(self) -> None:
        if self.breaker.is_open is not self._is_paused:
            self._is_paused = self.breaker.is_open
            self.report_progress()

    def _note_progress(self, number: int, progress: Progress | None) -> None:
        if progress is None:
            self._progress.pop(number, None)
        else:
            self._progress[number] = progress
        self.report_progress()


@attrs.define(kw_only=True, eq=False)
class _PlanWorker(SliceWorker):
    rows: RowJournal
    # The rows of the plan that have no outcome yet, by slice.
    left: dict[int, dict[Key, PlanRow]]
    note_progress: Callable[[int, Progress | None], None]
    problem: InvoiceXpressError | None = None
    # The slices that this process has finished working on and that are not settled yet.
    _finished: set[int] = attrs.field(factory=set[int], init=False)
    _ready: "asyncio.Queue[RowOutcome | None]" = attrs.field(init=False)

    async def outcomes(self) -> AsyncGenerator[RowOutcome, None]:
        self._ready = asyncio.Queue(2 * self.concurrency)
        working = asyncio.create_task(self.run())
        async with aclosing(drain(self._ready, working)) as stream:
            async for outcome in stream:
                yield outcome

    def row_of(self, entry: Entry) -> PlanRow | None:
        row = self.left.get(self._slice_of(str(entry["account"])), {}).get(ROWS.key_of(entry))
        if row is not None:
            self.rows.check_requested(row, entry)
        return row

    def wants(self, number: int) -> bool:
        return number in self.left

    async def is_over(self, left: list[SliceLeft]) -> bool:
        by_number = {one.number: one for one in left}
        for number in [*self.left]:
            one = by_number.get(number)
            # Another process tried these rows: the slice has no open row, or it is free and not
            # due yet, or this process worked on it and did not find these rows open.
            is_finished = (
                one is None or (one.holder is None and not one.is_due) or number in self._finished
            )
            if is_finished and number in self.left and not self.is_working_on(number):
                self._finished.discard(number)
                await self._settle(number)
        return not (self.left or self.is_working)

    async def on_outcome(self, outcome: RowOutcome) -> None:
        if isinstance(outcome.error, FencedError):
            return  # the process that took the slice over continues with the row
        if self._take_out(outcome.row):
            await self._ready.put(outcome)

    def on_progress(self, number: int, progress: Progress) -> None:
        self.note_progress(number, progress)

    def on_slice(self, report: SliceReport) -> None:
        self.note_progress(report.number, None)
        if not report.is_fenced:
            self._finished.add(report.number)
        if report.problem is not None and not report.is_fenced:
            self._end(report.problem)

    def on_problem(self, error: JournalError) -> None:
        self._end(error)

    async def _settle(self, number: int) -> None:
        """Report the rows of a slice that another process worked on."""
        given = iter([*self.left[number].values()])
        while chunk := [*itertools.islice(given, _LOOKED_UP_AT_ONCE)]:
            for row, record in await self.rows.settled(chunk):
                self._take_out(row)
                await self._ready.put(outcome_of_record(row, record, text=_BY_ANOTHER))

    def _take_out(self, row: PlanRow) -> bool:
        number = self._slice_of(row.account)
        rows = self.left.get(number, {})
        was_left = rows.pop(key_of(row), None) is not None
        if was_left and not rows:
            del self.left[number]
        return was_left

    def _slice_of(self, account: str) -> int:
        return slice_of(account, self.journal.slices)

    def _end(self, problem: InvoiceXpressError) -> None:
        self.problem = self.problem or problem.with_traceback(None)
        self.stop.request()
