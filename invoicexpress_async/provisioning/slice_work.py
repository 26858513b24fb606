"""The one unit of work that any engine calls: what is open in one slice of a shared journal."""

import asyncio
from collections.abc import Callable
from typing import Final

from invoicexpress_async.config import check_type
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import HeldSlice, PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import RunSettings, check_concurrency
from invoicexpress_async.jobs.shared_breaker import SharedBreaker
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.rows_table import ROWS
from invoicexpress_async.provisioning.slice_run import (
    OPEN,
    OnOutcome,
    SliceReport,
    SliceRun,
    hold_and_work,
    ignore_outcome,
    row_with,
)
from invoicexpress_async.session import SessionManager

_DEFAULT_CONCURRENCY: Final = 25
_NO_KEY_SECONDS: Final = 60.0


async def slices_left(journal: PostgresJournal) -> list[SliceLeft]:
    """Return the slices with open rows, for an engine to wake workers with.

    Raises:
        JournalError: the journal cannot be read.
    """
    await journal.prepare(ROWS)
    return await journal.left(ROWS, OPEN)


async def work_slice(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    held: HeldSlice,
    keys: AccountKeys,
    *,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    concurrency: int = _DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    breaker: CircuitBreaker | None = None,
) -> SliceReport:
    """Ensure the open rows of a slice that is held. No row's error is raised, nor the journal's.

    What the last holder has sent counts towards the limits, and what this one has sent is kept
    for the next: release the slice with `due_seconds` of the report.

    Args:
        manager: Whose connections and limits are used; without a journal of its own.
        held: The slice.
        keys: An async callable that returns the key of an account.
        settings: What the run may do; the day from which a serie may be the default is that of
            the rows.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early; one of its own, since what ends this slice asks it to stop.
        on_outcome: Called with each outcome as it comes, in the event loop; it must not raise.
        breaker: What is known of the server as a whole, where several slices at a time share it.

    Raises:
        ConfigurationError: an argument that cannot be right.
    """
    check_type("manager", manager, SessionManager)
    check_type("held", held, HeldSlice)
    run = SliceRun(
        manager=manager,
        row_of=row_with(keys),
        settings=settings,
        concurrency=check_concurrency(concurrency),
        stop=stop or RunStop(),
        breaker=breaker or CircuitBreaker(manager.clock),
        on_outcome=_passing(on_outcome),
    )
    return await run.run(held)


async def work_free_slice(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    journal: PostgresJournal,
    number: int,
    keys: AccountKeys,
    *,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    concurrency: int = _DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
    breaker: CircuitBreaker | None = None,
    no_key_seconds: float | None = _NO_KEY_SECONDS,
) -> SliceReport | None:
    """Take a slice, `work_slice` it and release it: what a task of any queue does.

    It may be called twice for one slice, or too late, or be killed: the journal decides who
    works on a slice.

    Args:
        manager: Whose connections and limits are used; without a journal of its own.
        journal: Open.
        number: Of the slice, as of `slices_left`.
        keys: As of `work_slice`, like all others.
        settings: What the run may do.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early.
        breaker: What is known of the server as a whole; by default, what all processes that share
            the journal know.
        no_key_seconds: When rows whose key could not be had may be tried again, by anybody; None
            for at once.

    Returns:
        How it ended; None when another process holds the slice or may still send for it.

    Raises:
        ConfigurationError: an argument that cannot be right.
        JournalError: the database cannot be reached, before anything was sent.
    """
    check_type("manager", manager, SessionManager)
    shared = SharedBreaker(manager.clock, journal)
    run = SliceRun(
        manager=manager,
        row_of=row_with(keys),
        settings=settings,
        concurrency=check_concurrency(concurrency),
        stop=stop or RunStop(),
        breaker=breaker or shared,
    )
    if breaker is not None:
        return await hold_and_work(journal, number, run, no_key_seconds=no_key_seconds)
    await shared.exchange()
    following = asyncio.create_task(shared.follow())
    try:
        return await hold_and_work(journal, number, run, no_key_seconds=no_key_seconds)
    finally:
        following.cancel()
        await asyncio.wait({following})


def _passing(on_outcome: Callable[[RowOutcome], None] | None) -> OnOutcome:
    if on_outcome is None:
        return ignore_outcome

    async def pass_on(outcome: RowOutcome) -> None:
        on_outcome(outcome)

    return pass_on
