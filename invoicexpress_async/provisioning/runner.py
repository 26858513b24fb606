"""One turn of one row: look up an unknown outcome, ensure the sequence, write the outcome."""

import functools
import time
from collections.abc import Iterable

import attrs

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.errors import (
    DefaultChangedError,
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
)
from invoicexpress_async.jobs.claims import joined
from invoicexpress_async.jobs.journal import Commit, JournalError, JournalState
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Ensured, Sequence
from invoicexpress_async.protocol.decision import RetryPolicy
from invoicexpress_async.provisioning.next_serie import is_step_backwards, step_backwards
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.provisioning.task import RowClaims, RowTask
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.services.sequences import SequenceService
from invoicexpress_async.session import SessionManager


def _without_reads(runner: "RowRunner") -> RetryPolicy:
    return attrs.evolve(runner.manager.retry, read_after_seconds=())


@attrs.frozen(kw_only=True)
class RowRunner:
    """Runs rows, turn by turn.

    Attributes:
        manager: The session manager that sends the requests.
        journal: The rows in the journal; None without a journal.
        stop: The stop of the run.
        settings: The settings of the run.
    """

    manager: SessionManager
    journal: RowJournal | None
    stop: RunStop
    settings: RunSettings
    # No turn waits for an unknown outcome: later turns look it up.
    _policy: RetryPolicy = attrs.field(
        init=False, default=attrs.Factory(_without_reads, takes_self=True)
    )

    async def run(self, task: RowTask) -> RowOutcome:
        """Run one turn of a row and return its outcome; the row's errors are not raised."""
        started, row = time.monotonic(), task.row
        task.turn_at = Timestamp.now()
        account = _account(self.manager, row)
        claims = RowClaims(task, self._claims(account, task))
        check = functools.partial(_check_no_later_default, row) if self._is_rollover(row) else None
        claiming = account.claiming(claims, retry=self._policy, check_list=check)
        failure: InvoiceXpressError
        try:
            async with self.stop.row():
                ensured = await self._ensure(claiming, task)
        except InvoiceXpressError as error:
            failure = error
        else:
            task.intent = task.superseded_intent = None
            task.seconds += time.monotonic() - started
            outcome = RowOutcome.of_ensured(row, ensured, seconds=task.seconds)
            return _with_created(outcome, is_known=task.is_created)
        # A call that made no attempt has learned nothing about what an earlier run sent.
        task.intent = _unresolved(account, task) or (None if failure.attempts else task.intent)
        if task.intent is None and not isinstance(failure, PartialRegistrationError):
            # The allowed second send did not happen: the first one's outcome is still unknown.
            task.intent = task.superseded_intent
        task.superseded_intent = None
        if isinstance(failure, RowCutOffError):
            failure = _cut_off(failure, task)
        task.seconds += time.monotonic() - started
        outcome = RowOutcome.of_error(row, failure, seconds=task.seconds, intent=task.intent)
        return _with_created(outcome, is_known=task.is_created)

    def _is_rollover(self, row: PlanRow) -> bool:
        return row.is_default and self.settings.is_staged

    def _claims(self, account: AccountSession, task: RowTask) -> Claims | None:
        if self.journal is None:
            return account.claims
        return joined(self.journal.claims(task.row, lambda: task.sends), account.claims)

    def record(self, task: RowTask, outcome: RowOutcome) -> Commit | None:
        """Write the outcome of a turn to the journal; None when there is nothing to write.

        Raises:
            JournalError: from the returned commit, when the write failed; the outcome stands, and
                the next run finds it again.
        """
        # If the journal did not accept the intent, nothing was sent, and there is no outcome.
        if self.journal is None or isinstance(outcome.error, JournalError):
            return None
        has_claimed = task.token != task.record.token
        was_prepared = task.record.state is JournalState.PREPARED and not has_claimed
        if was_prepared and outcome.state is RowState.FAILED:
            return None  # it is prepared still: a read that failed has not changed that
        return self.journal.record_outcome(
            _with_created(outcome, is_known=task.record.is_created),
            intent=task.intent,
            intended_at=task.intended_at,
            absent_since=task.absent_since,
            token=task.token,
        )

    async def _ensure(self, account: AccountSession, task: RowTask) -> Ensured:
        row, sequences = task.row, account.sequences
        if task.resend_allowed and task.intent is not None:
            sequences.forget(task.intent)
            task.superseded_intent, task.intent, task.resend_allowed = task.intent, None, False
        if task.intent is not None:
            await _read_for(sequences, task, task.intent)
            task.is_created |= task.intent["operation"] == "create" and not task.is_of_another
            task.intent = None
        settings = self.settings
        is_staged = row.is_default and (settings.is_staged or not settings.may_default())
        default = row.is_default and not is_staged
        ensure = functools.partial(sequences.ensure, row.serie, shared=False)
        ensured = await ensure(default=default)
        task.is_created |= ensured.created
        if is_staged and not settings.may_default():
            _check_not_default(task, ensured)
        if not is_staged or ensured.sequence.is_default or not settings.may_default():
            return ensured
        final = await ensure(default=True)
        return attrs.evolve(ensured, sequence=final.sequence)


def _with_created(outcome: RowOutcome, *, is_known: bool | None) -> RowOutcome:
    """Return the outcome as created if a turn, this or an earlier one, created the sequence."""
    return attrs.evolve(outcome, created=True) if is_known else outcome


def _check_no_later_default(row: PlanRow, sequences: Iterable[Sequence]) -> None:
    """Refuse a step backwards: the default may have changed since the plan was made."""
    for one in sequences:
        if one.is_default and is_step_backwards(one.serie, row.serie):
            raise step_backwards(row.account, one.serie, row.serie)


def _check_not_default(task: RowTask, ensured: Ensured) -> None:
    """Raise if a sequence of this job became the default by itself, before its day."""
    sequence, sent = ensured.sequence, task.last_intent
    is_ours = task.is_created or (sent is not None and sent["operation"] == "create")
    if is_ours and sequence.is_default:
        raise DefaultChangedError(
            f"The server made {sequence.serie!r} (id {sequence.id}) the default by itself, before "
            "its day.",
            operation="ensure",
            subject=f"sequence {sequence.serie!r}",
            account=task.row.account,
            sequence=sequence,
        )


def _account(manager: SessionManager, row: PlanRow) -> AccountSession:
    # Not in a frame that awaits: a traceback that prints locals would show the key.
    return manager.account(row.account, source_of(row.api_key, row.account))


async def _read_for(sequences: SequenceService, task: RowTask, intent: Intent) -> None:
    task.read_failure = None
    try:
        await sequences.resume(intent)
    except OutcomeUnknownError as error:
        unknown = error
    else:
        return
    if not unknown.was_absent:
        # This error does not show whether the server fails or the key is refused: a list does.
        try:
            await sequences.list()
        except InvoiceXpressError as error:
            task.read_failure = error.with_traceback(None)
    raise unknown


def _unresolved(account: AccountSession, task: RowTask) -> Intent | None:
    """Return the row's intent that is unresolved after a failed turn, or None."""
    mine = [_identity(one) for one in (task.last_intent, task.intent) if one is not None]
    for intent in account.sequences.unresolved():
        if _identity(intent) in mine:
            return intent
    return None


def _identity(intent: Intent) -> tuple[object, ...]:
    return intent["operation"], intent["serie"], intent["sequence_id"]


def _cut_off(failure: RowCutOffError, task: RowTask) -> InvoiceXpressError:
    error: InvoiceXpressError = failure
    if task.intent is not None:
        text = "Sent once; the run was stopped before its outcome was known."
        error = OutcomeUnknownError(text, intent=task.intent)
    error.operation = "ensure"
    error.subject = f"sequence {task.row.serie!r}"
    error.account = task.row.account
    return error
