"""Run a plan, or only enter it into a journal."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from invoicexpress_async.config import check_type
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.journal import Difference, Journal, check_journal
from invoicexpress_async.jobs.postgres import PostgresJournal
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.plan_run import PlanRun
from invoicexpress_async.provisioning.report import Progress, ProvisioningReport, RowOutcome
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.provisioning.shared_run import SharedRun
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
) -> ProvisioningReport:
    """Ensure every row of a plan. Safe to run again: no sequence is created twice.

    No row's error is raised: it becomes the row's outcome, and the others continue. With a
    journal, each create is on the disk before its first byte leaves, and a run that was killed is
    completed by running it again; without one, only this process knows what it sent. To end a run
    early, use `stop`: then every row that had begun has its outcome. If the run is cancelled
    instead, rows in flight may have been sent: the journal and `manager.unresolved()` have them.

    A row whose create was sent, with an unknown outcome, is looked up later, on the schedule
    of the manager's `RetryPolicy`, while the others continue. An account that gets 401, 422/004
    or 422/005 is set aside: its other rows are refused with the same error. When the server fails
    for every account, the run pauses, tries it with one row at a time, and resumes by itself.

    Args:
        manager: The session manager that sends the requests; it is not closed.
        plan: The plan.
        journal: The journal that records intents and outcomes; open. Requests are also claimed in
            the manager's own journal, if it has one, so that a service that shares that one does
            not send them too.
        concurrency: How many rows are in flight at a time.
        settings: The settings of the run.
        on_progress: Called after each outcome, and when the run pauses or resumes; an exception
            from it is in the report, and does not stop the run.
        on_outcome: Called with each outcome as it comes, in the event loop; an exception from it
            ends the run.
        keep_done: Whether the report also keeps the outcomes of rows that are done or prepared;
            use False for a plan of a million rows.
        stop: Ends the run early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
        JournalDifferenceError: the journal is of another plan.
        JournalError: the journal cannot be used. Nothing was sent.
    """
    _check_types(manager, plan, journal, settings)
    run = _new_run(manager, plan, journal, settings, on_progress)
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

    A slow consumer makes the run wait. A consumer that ends early must close the generator, with
    `contextlib.aclosing`: rows in flight are then cancelled, and yield no outcome. To get their
    outcomes too, request `stop` and iterate to the end.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
        JournalError: as for `provision`; also at the end, when the journal failed during the run.
        OutageError: at the end, when the server had failed for too long.
    """
    _check_types(manager, plan, journal, settings)
    run = _new_run(manager, plan, journal, settings)
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
    """Enter a plan into a journal that workers share, and send nothing. No key is stored.

    Args:
        journal: The journal; open.
        plan: The plan; its rows must not come from a stream.
        settings: Only `accept_changes`, `accept_added` and `default_not_before` are used.

    Returns:
        The differences from the plan that was there, for the first 100 rows that differ.

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


def _new_run(
    manager: SessionManager,
    plan: Plan,
    journal: Journal | None,
    settings: RunSettings,
    on_progress: Callable[[Progress], None] | None = None,
) -> PlanRun:
    kind = SharedRun if isinstance(journal, PostgresJournal) and plan.stream is None else PlanRun
    return kind(
        manager=manager,
        plan=plan,
        settings=settings,
        breaker=CircuitBreaker(manager.clock),
        on_progress=on_progress,
    )
