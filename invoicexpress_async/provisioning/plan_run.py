"""A run of a plan by this process alone: the engine runs the rows, and a report sums them up."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.engine import Engine
from invoicexpress_async.jobs.journal import Difference, Journal
from invoicexpress_async.jobs.settings import RunSettings, check_concurrency
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
from invoicexpress_async.provisioning.rows_table import RowJournal, key_of
from invoicexpress_async.provisioning.runner import RowRunner
from invoicexpress_async.provisioning.task import ReschedulePolicy, RowTask
from invoicexpress_async.session import SessionManager


@attrs.define(kw_only=True, eq=False)
class PlanRun:
    """A run of a plan: yields its outcomes, and then makes its report.

    Attributes:
        manager: The session manager that sends the requests.
        plan: The plan.
        settings: The settings of the run.
        breaker: The circuit breaker for the server as a whole.
        on_progress: Called after each outcome, and when the run pauses or resumes.
        callback_error: The first exception that `on_progress` raised.
        started: When the run began, on the monotonic clock.
        counts: The number of rows that have ended, by state.
        created: How many sequences are known to have been created.
        differences: The differences between the plan and the journal, when they were accepted.
        problem: The error that ended the run early.
        suspended: The accounts for which nothing more is sent, each with the error that caused it.
    """

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
    suspended: dict[str, InvoiceXpressError] = attrs.field(factory=dict[str, InvoiceXpressError])
    _engine: Engine[RowTask, RowOutcome] | None = None

    async def outcomes(
        self, journal: Journal | None, concurrency: int, stop: RunStop
    ) -> AsyncGenerator[RowOutcome, None]:
        """Run the plan, and yield each outcome once it is durable."""
        check_concurrency(concurrency)
        day = self.settings.default_not_before
        # On a machine without time-zone data this raises before anything is sent.
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
                    self.count(outcome)
                    yield outcome
        finally:
            self.problem = engine.problem

    def report(self, outcomes: list[RowOutcome]) -> ProvisioningReport:
        """Return the report, with the outcomes that were kept."""
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
            # Without reading the file again: if it changed meanwhile, that would raise here.
            return sorted(outcomes, key=lambda one: one.row.line)
        places = {key_of(row): place for place, row in enumerate(self.plan.rows)}
        return sorted(outcomes, key=lambda one: places.get(key_of(one.row), 0))

    def _new_engine(self, journal: RowJournal | None, stop: RunStop) -> Engine[RowTask, RowOutcome]:
        runner = RowRunner(
            manager=self.manager,
            journal=journal,
            stop=stop,
            settings=self.settings,
        )
        policy = ReschedulePolicy.of_run(self.manager, self.breaker, self.settings)
        return Engine(
            job=RowJob(
                runner=runner,
                policy=policy,
                settings=self.settings,
                stop=stop,
                suspended=self.suspended,
            ),
            settings=self.settings,
            stop=stop,
            clock=self.manager.clock,
            breaker=self.breaker,
            on_change=self.report_progress,
        )

    def count(self, outcome: RowOutcome) -> None:
        """Count an outcome, and report the progress."""
        self.counts[outcome.state] += 1
        self.created += outcome.created is True
        self.report_progress()

    def report_progress(self) -> None:
        """Call `on_progress`; an exception from it is kept, and does not stop the run."""
        if self.on_progress is None:
            return
        waiting, next_turn_in_seconds = self.waits()
        progress = Progress(
            counts=count_states(self.counts),
            total=None if self.plan.stream else self.plan.summary.rows,
            waiting=waiting,
            is_paused=self.breaker.is_open,
            seconds=time.monotonic() - self.started,
            next_turn_in_seconds=next_turn_in_seconds,
        )
        try:
            self.on_progress(progress)
        except Exception as error:  # noqa: BLE001  # the user's own: reported apart, stops nothing
            self.callback_error = self.callback_error or error

    def waits(self) -> tuple[int, float | None]:
        """Return how many rows wait for another turn, and the seconds until the first turn."""
        if self._engine is None:
            return 0, None
        return self._engine.waiting, self._engine.next_turn_in_seconds
