"""The job whose items are the rows of a plan."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from itertools import islice
from typing import Final, TypeVar

import attrs

from invoicexpress_async.call.realm import KeyedLock
from invoicexpress_async.errors import (
    AccountNotPortugueseError,
    AuthenticationError,
    ConfigurationError,
    InvoiceXpressError,
    NoOpenActivityError,
    OutcomeUnknownError,
    ServerError,
    StatusError,
    TaxAuthorityCredentialsError,
    TransportError,
    UntrustedConnectionError,
)
from invoicexpress_async.jobs.engine import Verdict
from invoicexpress_async.jobs.journal import Commit, Difference, JournalError, JournalState, Key
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.plan import Plan, requested_rows
from invoicexpress_async.provisioning.reading import CsvRows
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.row import PlanRow, RowConflicts
from invoicexpress_async.provisioning.rows_table import RowJournal, RowRecord, key_of
from invoicexpress_async.provisioning.runner import RowRunner
from invoicexpress_async.provisioning.task import ReschedulePolicy, RowTask

T = TypeVar("T")

# The rows of one call to the journal; each call holds the event loop for a few milliseconds.
_CHUNK: Final = 1_024
# Errors that concern the whole account, whichever operation raised them: its other rows would be
# refused too, and repeated tries of wrong tax-authority credentials lock the sub-user.
_SUSPENDS_ACCOUNT: Final = (
    AuthenticationError,
    TaxAuthorityCredentialsError,
    NoOpenActivityError,
    AccountNotPortugueseError,
)


@attrs.frozen(kw_only=True)
class RowJob:
    """The engine's `Job` for the rows of a plan."""

    runner: RowRunner
    policy: ReschedulePolicy
    settings: RunSettings
    stop: RunStop
    # By account: the error that it was suspended for.
    suspended: dict[str, InvoiceXpressError]
    # One row of an account at a time: of two in flight, both could send the wrong credentials.
    _turns: KeyedLock = attrs.field(factory=KeyedLock, init=False)

    def recorded(self, item: RowTask) -> RowOutcome | None:
        """Return the outcome of a row that gets no turn; None when it gets one."""
        return recorded_outcome(item, retry_refused=self.settings.retry_refused)

    async def turn(self, item: RowTask) -> RowOutcome | None:
        """Ensure a row, unless its account is suspended."""
        async with self._turns.hold(item.row.account):
            if self.stop.is_requested and item.last is None:
                return None  # it waited for another row of its account, and has not begun
            outcome = self._refused(item) or await self.runner.run(item)
        item.last = outcome
        cause = item.read_failure or outcome.error
        if isinstance(cause, _SUSPENDS_ACCOUNT):
            self.suspended[item.row.account] = cause
        return outcome

    def failure(self, item: RowTask, outcome: RowOutcome) -> InvoiceXpressError | None:
        """Return the error that must end the run: of the journal, or of an untrusted server."""
        for error in (outcome.error, item.read_failure):
            if isinstance(error, JournalError | UntrustedConnectionError):
                return error
        return None

    def verdict(self, item: RowTask, outcome: RowOutcome) -> Verdict:
        """Return what an outcome shows about the server as a whole."""
        error = outcome.error
        if _may_be_the_servers(item, error):
            return Verdict.FAILS
        # A list without the sequence proves nothing: a server may list and yet fail every create.
        is_answered = error is None or (error.attempts and outcome.state is not RowState.ABSENT)
        return Verdict.WORKS if is_answered else Verdict.NOTHING

    def account_of(self, item: RowTask) -> str:
        """Return the account of a row."""
        return item.row.account

    def due(self, item: RowTask, outcome: RowOutcome) -> float | None:
        """Return when the row's next turn is; None when this outcome is the last."""
        return self.policy.next_turn_at(item, outcome)

    def record(self, item: RowTask, outcome: RowOutcome) -> Commit | None:
        """Write how the row's turn ended."""
        return self.runner.record(item, outcome)

    def last(self, item: RowTask) -> RowOutcome | None:
        """Return how the row's last turn ended."""
        return item.last

    def _refused(self, item: RowTask) -> RowOutcome | None:
        error = self.suspended.get(item.row.account)
        if error is None or item.intent is not None:
            return None  # an unknown outcome is looked up all the same
        return RowOutcome.of_error(item.row, _copy_for(error, item.row), seconds=0, intent=None)


def recorded_outcome(item: RowTask, *, retry_refused: bool) -> RowOutcome | None:
    """Return the outcome of a row that is settled or clashes with another; None otherwise."""
    state, row = item.record.state, item.row
    if state is JournalState.DONE or (state is JournalState.REFUSED and not retry_refused):
        outcome = outcome_of_record(row, item.record)
        return attrs.evolve(outcome, created=False, is_recorded=True)
    if item.refusal is not None:
        return RowOutcome.of_error(row, item.refusal, seconds=0.0, intent=None)
    return None


def outcome_of_record(row: PlanRow, record: RowRecord, **text: str) -> RowOutcome:
    """Return the outcome of a row that another run or another process worked on.

    Args:
        row: The row.
        record: The journal's record of the row; not in state PLANNED.
        text: The `text` of the error.
    """
    error: InvoiceXpressError | None = None
    is_unknown = record.state is JournalState.INTENT
    state = RowState.UNKNOWN if is_unknown else RowState(record.state)
    if state not in {RowState.DONE, RowState.PREPARED}:
        name = OutcomeUnknownError.__name__ if is_unknown else record.error
        error = recorded_error(name, status=record.status, code=record.code, **text)
        error.operation, error.account = "ensure", row.account
        error.subject = f"sequence {row.serie!r}"
    return RowOutcome(
        row=row,
        state=state,
        seconds=0.0,
        sequence=record.sequence,
        created=record.is_created,
        error=error,
        intent=record.intent,
    )


def _may_be_the_servers(item: RowTask, error: InvoiceXpressError | None) -> bool:
    if isinstance(error, OutcomeUnknownError):
        if not item.was_sent_before:
            return not error.was_absent
        error = item.read_failure
    return isinstance(error, TransportError | ServerError)


def _copy_for(error: InvoiceXpressError, row: PlanRow) -> InvoiceXpressError:
    mine = copy.copy(error)
    mine.subject = f"sequence {row.serie!r}"
    mine.attempts = 0
    mine.may_have_been_processed = False
    if isinstance(mine, StatusError):
        mine.sequence = None
    return mine


async def sync_plan(
    journal: RowJournal, plan: Plan, settings: RunSettings, *, stop: RunStop
) -> tuple[Difference, ...]:
    """Enter a plan into the journal, and return how it differs from the plan entered before.

    When a stop is requested before the end, nothing is entered.

    Raises:
        JournalDifferenceError: the plans differ, and that is not accepted.
    """
    await journal.open()
    await journal.begin_plan()
    async for chunk in _chunks(requested_rows(plan), is_file=isinstance(plan.rows, CsvRows)):
        if stop.is_requested:
            return ()  # a stop must not wait for a million rows
        await journal.add_to_plan(chunk)
    return await journal.enter_plan(
        accept_changes=settings.accept_changes, accept_added=settings.accept_added
    )


async def row_tasks(plan: Plan, journal: RowJournal | None) -> AsyncIterator[RowTask]:
    """Yield the rows of a plan; if they can be read twice, those with an unknown outcome first.

    Raises:
        JournalError: the journal cannot be read.
    """
    if plan.stream is not None:
        async for task in _streamed(plan, plan.stream, journal):
            yield task
        return
    if journal is None:
        async for chunk in _chunks(plan.rows, is_file=isinstance(plan.rows, CsvRows)):
            for row in filter(plan.is_chosen, chunk):
                yield RowTask(row=row)
        return
    unresolved = await journal.unresolved()
    if unresolved:
        async for task in _looked_up(plan, journal, only=unresolved):
            yield task
    async for task in _looked_up(plan, journal, but=unresolved):
        yield task


async def _looked_up(
    plan: Plan,
    journal: RowJournal,
    *,
    only: frozenset[Key] | None = None,
    but: frozenset[Key] = frozenset(),
) -> AsyncIterator[RowTask]:
    async for chunk in _chunks(plan.rows, is_file=isinstance(plan.rows, CsvRows)):
        wanted = [
            row
            for row in filter(plan.is_chosen, chunk)
            if (only is None or key_of(row) in only) and key_of(row) not in but
        ]
        records = await journal.look_up(wanted) if wanted else []
        for row, record in zip(wanted, records, strict=True):
            yield RowTask.of_record(row, record)
        await asyncio.sleep(0)  # a million rows, none of them wanted, must not hold the loop


async def _streamed(
    plan: Plan, rows: AsyncIterable[PlanRow], journal: RowJournal | None
) -> AsyncIterator[RowTask]:
    with contextlib.closing(RowConflicts()) as conflicts:
        async for row in rows:
            if not plan.is_chosen(row):
                continue
            problem = conflicts.find(row)
            if problem is not None:
                # Not entered into the journal: it has the key of the earlier row there.
                yield RowTask(row=row, refusal=_refusal(row, problem))
            elif journal is None:
                yield RowTask(row=row)
            else:
                yield RowTask.of_record(row, await journal.admit(row))


def _refusal(row: PlanRow, problem: str) -> ConfigurationError:
    return ConfigurationError(f"Account {row.account}, serie {row.serie!r}: {problem}.")


async def _chunks(rows: Iterable[T], *, is_file: bool) -> AsyncIterator[list[T]]:
    iterator = iter(rows)
    # A disk may be slow: a file is read in a thread. The caller's own rows may need its thread.
    while True:
        piece = islice(iterator, _CHUNK)
        chunk = await asyncio.to_thread(list, piece) if is_file else list(piece)
        if not chunk:
            return
        yield chunk
