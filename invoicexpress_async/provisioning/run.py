"""Carry a plan out."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import attrs

from invoicexpress_async.config import check_type
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.jobs.journal import Difference
from invoicexpress_async.jobs.outage import Outage
from invoicexpress_async.jobs.scheduler import Line
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.sqlite import SqliteJournal
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.admission import compare, tickets
from invoicexpress_async.provisioning.engine import Deliver, Ended, Engine
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.progress import Progress
from invoicexpress_async.provisioning.report import (
    ProvisioningReport,
    RowOutcome,
    RowState,
    count_states,
)
from invoicexpress_async.provisioning.reschedule import Waiting
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowLog
from invoicexpress_async.provisioning.runner import Carrier
from invoicexpress_async.provisioning.task import Ticket
from invoicexpress_async.session import SessionManager

# Half of a manager's connections: a web service beside it is not starved.
_DEFAULT_CONCURRENCY: Final = 50


async def provision(  # noqa: PLR0913  # keyword-only wishes, each with a default
    manager: SessionManager,
    plan: Plan,
    *,
    journal: SqliteJournal | None = None,
    concurrency: int = _DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    on_progress: Callable[[Progress], None] | None = None,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    keep_done: bool = True,
    stop: RunStop | None = None,
) -> ProvisioningReport:
    """Ensure every row of a plan. Safe to run again: what is there is not created twice.

    No row's error is raised; it is an outcome, and the others go on. With a journal, each create
    is on the disk before its first byte leaves, and a run that was killed is ended by running it
    again; without one, only this process knows what it sent. To end it early, ask its `stop`:
    then every row that had begun has its outcome. When it is cancelled instead, rows in flight
    may have been sent: the journal has them, and `manager.unresolved()`.

    A row whose create was sent and is not known to have worked is read for later, on the schedule
    of the manager's `RetryPolicy`, while the others go on. An account that answers 401, 422/004
    or 422/005 is set aside: its other rows are refused with the same. When the server fails for
    every account, the run pauses, tries it with one row at a time, and goes on by itself.

    Args:
        manager: Whose connections and limits are used; it is not closed.
        plan: What to do.
        journal: Where to keep what is meant and what became of it; open.
        concurrency: How many rows are in flight at a time.
        settings: What the run may do.
        on_progress: Called after each outcome, and when the run pauses or goes on; what it
            raises is in the report, and harms nothing.
        on_outcome: Called with each outcome as it comes, in the event loop; what it raises
            ends the run.
        keep_done: Whether the report keeps the outcomes of rows that are done or prepared, too;
            not, for a plan of a million rows.
        stop: Asked to end the run early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
        JournalDifferenceError: the journal is of another plan.
        JournalError: the journal cannot be used. Nothing was sent.
    """
    _check_types(manager, plan, journal, settings)
    run = _Run(manager=manager, plan=plan, settings=settings, on_progress=on_progress)
    outcomes: list[RowOutcome] = []
    async with aclosing(run.outcomes(journal, concurrency, stop or RunStop())) as stream:
        async for outcome in stream:
            if keep_done or outcome.error is not None:
                outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return run.report(outcomes)


async def iter_outcomes(  # noqa: PLR0913  # keyword-only wishes, each with a default
    manager: SessionManager,
    plan: Plan,
    *,
    journal: SqliteJournal | None = None,
    concurrency: int = _DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    stop: RunStop | None = None,
) -> AsyncGenerator[RowOutcome, None]:
    """Yield each outcome of `provision` as it comes, and keep none.

    A consumer that is slow makes the run wait. One that stops early must close the generator,
    with `contextlib.aclosing`: rows in flight are then cancelled, and yield no outcome. One that
    wants those too asks `stop`, and goes on to the end.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
        JournalError: as for `provision`; also at the end, when the journal failed on the way.
        OutageError: at the end, when the server had failed for too long.
    """
    _check_types(manager, plan, journal, settings)
    run = _Run(manager=manager, plan=plan, settings=settings)
    async with aclosing(run.outcomes(journal, concurrency, stop or RunStop())) as stream:
        async for outcome in stream:
            yield outcome
    if run.problem is not None:
        raise run.problem


def _check_types(manager: object, plan: object, journal: object, settings: object) -> None:
    check_type("manager", manager, SessionManager)
    check_type("plan", plan, Plan)
    check_type("settings", settings, RunSettings)
    if journal is not None:  # a path is a natural slip: it wants `async with SqliteJournal(path)`
        check_type("journal", journal, SqliteJournal)


@attrs.define(kw_only=True, eq=False)
class _Run:
    manager: SessionManager
    plan: Plan
    settings: RunSettings
    on_progress: Callable[[Progress], None] | None = None
    callback_error: Exception | None = None
    started: float = attrs.field(factory=time.monotonic)
    counts: Counter[RowState] = attrs.field(factory=Counter[RowState])
    created: int = 0
    differences: tuple[Difference, ...] = ()
    problem: InvoiceXpressError | None = None
    _line: Line[Ticket] | None = None
    _outage: Outage | None = None

    async def outcomes(
        self, journal: SqliteJournal | None, concurrency: int, stop: RunStop
    ) -> AsyncGenerator[RowOutcome, None]:
        if type(concurrency) is not int or concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency!r:.40}: give 1 or more.")
        log = None if journal is None else RowLog(journal.writer)
        if log is not None and self.plan.stream is None:
            self.differences = await compare(log, self.plan, self.settings, stop=stop)
        ready = asyncio.Queue[Ended | None](2 * concurrency)
        workers = concurrency if self.plan.stream else min(concurrency, len(self.plan.rows))
        engine = self._engine(log, stop, ready.put)

        def wake(_: object) -> None:
            if not ready.full():  # who takes from a full one needs no waking
                ready.put_nowait(None)

        pool = asyncio.create_task(engine.run(workers))
        pool.add_done_callback(wake)
        try:
            while not (pool.done() and ready.empty()):
                ended = await ready.get()
                if ended is None:
                    break
                outcome, kept = ended
                await engine.wait_until(kept)
                self._count(outcome)
                yield outcome
            await pool  # what a worker raised beside its rows' own errors is a bug, and shown
        finally:
            self.problem = engine.problem
            pool.cancel()
            await asyncio.wait({pool})

    def report(self, outcomes: list[RowOutcome]) -> ProvisioningReport:
        ended = sum(self.counts.values())
        return ProvisioningReport(
            outcomes=self._in_order(outcomes),
            seconds=time.monotonic() - self.started,
            counts=count_states(self.counts),
            created=self.created,
            not_started=0 if self.plan.stream else len(self.plan.rows) - ended,
            problem=self.problem,
            differences=self.differences,
            callback_error=self.callback_error,
        )

    def _in_order(self, outcomes: list[RowOutcome]) -> list[RowOutcome]:
        if not isinstance(self.plan.rows, tuple):
            # Not by reading the file again: it may have been changed, and this is to be told.
            return sorted(outcomes, key=lambda one: one.row.line)
        places = {_identity(row): place for place, row in enumerate(self.plan.rows)}
        return sorted(outcomes, key=lambda one: places.get(_identity(one.row), 0))

    def _engine(self, log: RowLog | None, stop: RunStop, deliver: Deliver) -> Engine:
        clock = self.manager.clock
        outage = Outage(clock)
        line = Line(tickets(self.plan, log), clock=clock, stop=stop, outage=outage)
        self._line, self._outage = line, outage
        return Engine(
            line=line,
            carrier=Carrier(
                manager=self.manager,
                log=log,
                stop=stop,
                may_default=self.settings.may_default,
                is_staged=self.settings.is_staged,
            ),
            waiting=Waiting(
                clock=clock,
                outage=outage,
                schedule=self._schedule(),
                resend_absent_after=self.settings.resend_absent_after,
            ),
            outage=outage,
            settings=self.settings,
            stop=stop,
            deliver=deliver,
            on_change=self._tell,
        )

    def _schedule(self) -> tuple[float, ...]:
        # A row is read for no longer than one call would: the user has said how long that is.
        at_seconds = self.manager.retry.read_after_seconds
        return tuple(one for one in at_seconds if one < self.manager.total_seconds)

    def _count(self, outcome: RowOutcome) -> None:
        self.counts[outcome.state] += 1
        self.created += outcome.created is True
        self._tell()

    def _tell(self) -> None:
        if self.on_progress is None or self._line is None or self._outage is None:
            return
        progress = Progress(
            counts=count_states(self.counts),
            total=None if self.plan.stream else len(self.plan.rows),
            waiting=self._line.parked,
            is_paused=self._outage.is_on,
            seconds=time.monotonic() - self.started,
        )
        try:
            self.on_progress(progress)
        except Exception as error:  # noqa: BLE001  # the user's own: told apart, harms nothing
            self.callback_error = self.callback_error or error


def _identity(row: PlanRow) -> tuple[str, str]:
    return row.account, row.serie
