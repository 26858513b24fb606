"""Carry a plan out."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import attrs

from invoicexpress_async.config import check_type
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.engine import Engine
from invoicexpress_async.jobs.journal import Difference, Journal, check_journal
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings, check_concurrency
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.job import RowJob, row_tasks, sync_plan
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.report import (
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    count_states,
)
from invoicexpress_async.provisioning.reschedule import ReschedulePolicy
from invoicexpress_async.provisioning.rows_table import RowJournal, key_of
from invoicexpress_async.provisioning.runner import RowRunner
from invoicexpress_async.provisioning.task import RowTask
from invoicexpress_async.session import SessionManager


async def provision(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    plan: Plan,
    *,
    journal: Journal | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    on_progress: Callable[[Progress], None] | None = None,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    keep_done: bool = True,
    stop: RunStop | None = None,
    breaker: CircuitBreaker | None = None,
) -> ProvisioningReport:
    """Ensure every row of a plan. Safe to run again: what is there is not created twice.

    No row's error is raised; it is an outcome, and the others go on. With a journal, each create
    is on the disk before its first byte leaves, and a run that was killed is ended by running it
    again; without one, only this process knows what it sent. To end it early, use its `stop`:
    then every row that had begun has its outcome. When it is cancelled instead, rows in flight
    may have been sent: the journal has them, and `manager.unresolved()`.

    A row whose create was sent, with an unknown outcome, is looked up later, on the schedule
    of the manager's `RetryPolicy`, while the others continue. An account that gets 401, 422/004
    or 422/005 is set aside: its other rows are refused with the same. When the server fails for
    every account, the run pauses, tries it with one row at a time, and goes on by itself.

    Args:
        manager: Whose connections and limits are used; it is not closed.
        plan: What to do.
        journal: Where intents and outcomes are recorded; open.
        concurrency: How many rows are in flight at a time.
        settings: What the run may do.
        on_progress: Called after each outcome, and when the run pauses or goes on; what it
            raises is in the report, and harms nothing.
        on_outcome: Called with each outcome as it comes, in the event loop; what it raises
            ends the run.
        keep_done: Whether the report keeps the outcomes of rows that are done or prepared, too;
            not, for a plan of a million rows.
        stop: Ends the run early.
        breaker: What is known of the server as a whole, where several runs at a time share it.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
        JournalDifferenceError: the journal is of another plan.
        JournalError: the journal cannot be used. Nothing was sent.
    """
    _check_types(manager, plan, journal, settings)
    run = _Run(
        manager=manager,
        plan=plan,
        settings=settings,
        on_progress=on_progress,
        breaker=breaker or CircuitBreaker(manager.clock),
    )
    outcomes: list[RowOutcome] = []
    async with aclosing(run.outcomes(journal, concurrency, stop or RunStop())) as stream:
        async for outcome in stream:
            if keep_done or outcome.error is not None:
                outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return run.report(outcomes)


async def iter_outcomes(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    plan: Plan,
    *,
    journal: Journal | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
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
    breaker = CircuitBreaker(manager.clock)
    run = _Run(manager=manager, plan=plan, settings=settings, breaker=breaker)
    async with aclosing(run.outcomes(journal, concurrency, stop or RunStop())) as stream:
        async for outcome in stream:
            yield outcome
    if run.problem is not None:
        raise run.problem


async def enter_plan(
    journal: Journal,
    plan: Plan,
    *,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
) -> tuple[Difference, ...]:
    """Enter a plan into a journal that workers share, and send nothing. No key is kept of it.

    Args:
        journal: Open.
        plan: What to do; not one that comes row by row.
        settings: `accept_changes`, `accept_added` and `default_not_before` count.

    Returns:
        How it differs from what was there, the first 100 rows.

    Raises:
        JournalDifferenceError: the journal is of another plan, and that is not accepted.
        JournalError: the journal cannot be used.
    """
    rows = RowJournal(check_journal(journal), default_not_before=settings.default_not_before)
    return await sync_plan(rows, plan, settings, stop=RunStop())


def _check_types(manager: object, plan: object, journal: object, settings: object) -> None:
    check_type("manager", manager, SessionManager)
    check_type("plan", plan, Plan)
    check_type("settings", settings, RunSettings)
    if journal is not None:
        check_journal(journal)


@attrs.define(kw_only=True, eq=False)
class _Run:
    manager: SessionManager
    plan: Plan
    settings: RunSettings
    breaker: CircuitBreaker
    on_progress: Callable[[Progress], None] | None = None
    callback_error: Exception | None = None
    started: float = attrs.field(factory=time.monotonic)
    counts: Counter[RowState] = attrs.field(factory=Counter[RowState])
    created: int = 0
    differences: tuple[Difference, ...] = ()
    problem: InvoiceXpressError | None = None
    _engine: Engine[RowTask, RowOutcome] | None = None

    async def outcomes(
        self, journal: Journal | None, concurrency: int, stop: RunStop
    ) -> AsyncGenerator[RowOutcome, None]:
        check_concurrency(concurrency)
        day = self.settings.default_not_before
        # On a machine without time-zone data this is found before anything is sent.
        self.settings.may_default()
        rows = None if journal is None else RowJournal(journal, default_not_before=day)
        if rows is not None:
            if self.plan.stream is not None:
                await rows.open()
            else:
                self.differences = await sync_plan(rows, self.plan, self.settings, stop=stop)
        engine = self._engine = self._new_engine(rows, stop)
        workers = concurrency if self.plan.stream else min(concurrency, self.plan.summary.rows)
        stream = engine.outcomes(row_tasks(self.plan, rows), concurrency=max(1, workers))
        try:
            async with aclosing(stream):
                async for outcome in stream:
                    self._count(outcome)
                    yield outcome
        finally:
            self.problem = engine.problem

    def report(self, outcomes: list[RowOutcome]) -> ProvisioningReport:
        ended = sum(self.counts.values())
        return ProvisioningReport(
            outcomes=self._in_order(outcomes),
            seconds=time.monotonic() - self.started,
            counts=count_states(self.counts),
            created=self.created,
            not_started=0 if self.plan.stream else self.plan.summary.rows - ended,
            problem=self.problem,
            differences=self.differences,
            callback_error=self.callback_error,
        )

    def _in_order(self, outcomes: list[RowOutcome]) -> list[RowOutcome]:
        if not isinstance(self.plan.rows, tuple):
            # Not by reading the file again: it may have changed, which must be reported.
            return sorted(outcomes, key=lambda one: one.row.line)
        places = {key_of(row): place for place, row in enumerate(self.plan.rows)}
        return sorted(outcomes, key=lambda one: places.get(key_of(one.row), 0))

    def _new_engine(self, journal: RowJournal | None, stop: RunStop) -> Engine[RowTask, RowOutcome]:
        runner = RowRunner(
            manager=self.manager,
            journal=journal,
            stop=stop,
            may_default=self.settings.may_default,
            is_staged=self.settings.is_staged,
        )
        policy = ReschedulePolicy.of_run(self.manager, self.breaker, self.settings)
        return Engine(
            job=RowJob(runner=runner, policy=policy, settings=self.settings, stop=stop),
            settings=self.settings,
            stop=stop,
            clock=self.manager.clock,
            breaker=self.breaker,
            on_change=self._report_progress,
        )

    def _count(self, outcome: RowOutcome) -> None:
        self.counts[outcome.state] += 1
        self.created += outcome.created is True
        self._report_progress()

    def _report_progress(self) -> None:
        if self.on_progress is None or self._engine is None:
            return
        progress = Progress(
            counts=count_states(self.counts),
            total=None if self.plan.stream else self.plan.summary.rows,
            waiting=self._engine.waiting,
            is_paused=self.breaker.is_open,
            seconds=time.monotonic() - self.started,
            next_turn_in_seconds=self._engine.next_turn_in_seconds,
        )
        try:
            self.on_progress(progress)
        except Exception as error:  # noqa: BLE001  # the user's own: reported apart, harms nothing
            self.callback_error = self.callback_error or error
