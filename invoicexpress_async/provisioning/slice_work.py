"""The unit of work for any job queue: the open rows of one slice of a shared journal."""

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
    """Return the slices with open rows, so that a job queue can start a task for each.

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
    """Ensure the open rows of a held slice. Errors of rows and of the journal are not raised.

    The last holder's requests count towards the limits, and this holder's are noted for the next.
    Release the slice afterwards, with `due_seconds` of the report.

    Args:
        manager: The session manager that sends the requests; one without a journal.
        held: The slice.
        keys: An async callable that returns the key of an account.
        settings: The settings of the run; the day of the default is taken from the rows instead.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early. Do not share it with other slices: an error that ends this
            slice requests it.
        on_outcome: Called with each outcome as it comes, in the event loop; it must not raise.
        breaker: The circuit breaker for the server as a whole, if several slices share one.

    Raises:
        ConfigurationError: an invalid argument.
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
    """Take a slice, call `work_slice` and release it: the body of a task of any queue.

    It may be called twice for one slice, or too late, or be killed: the journal decides who
    works on a slice.

    Args:
        manager: The session manager that sends the requests; one without a journal.
        journal: The journal; open.
        number: The number of the slice, from `slices_left`.
        keys: As for `work_slice`.
        settings: As for `work_slice`.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early.
        breaker: The circuit breaker for the server as a whole; by default one that all processes
            with this journal share.
        no_key_seconds: The seconds until a process may try the slice again when it has rows
            whose key this process could not get; None for at once.

    Returns:
        The report; None when another process holds the slice or may still send for it.

    Raises:
        ConfigurationError: an invalid argument.
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
