"""One turn of one row: read for what is in doubt, ensure, and keep on the disk how it ended."""

import asyncio
import functools
import time
from collections.abc import Callable

import attrs

from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
)
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.jobs.sqlite_writer import Written
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop
from invoicexpress_async.jobs.timestamps import Moment
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Ensured, Via
from invoicexpress_async.protocol.decision import RetryPolicy
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowLog
from invoicexpress_async.provisioning.task import Ticket
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.services.sequences import SequenceService
from invoicexpress_async.session import SessionManager


def _without_reads(carrier: "Carrier") -> RetryPolicy:
    return attrs.evolve(carrier.manager.retry, read_after_seconds=())


@attrs.frozen(kw_only=True)
class Carrier:
    """Carries rows out, turn by turn.

    Attributes:
        manager: Whose connections and limits are used.
        log: The journal's part of it; None without a journal.
        stop: The run's.
        may_default: Whether a new serie may become the default now; it is asked each time.
        is_staged: Whether to make a serie the default only when it is seen to be registered.
    """

    manager: SessionManager
    log: RowLog | None
    stop: RunStop
    may_default: Callable[[], bool]
    is_staged: bool
    # No turn waits for what is in doubt: the row is read for in later ones.
    _policy: RetryPolicy = attrs.field(
        init=False, default=attrs.Factory(_without_reads, takes_self=True)
    )

    async def carry(self, ticket: Ticket) -> RowOutcome:
        """Give a row its turn and return how it ended, whatever it is."""
        started, row = time.monotonic(), ticket.row
        account = _account(self.manager, row, self._policy)
        failure: InvoiceXpressError
        ticket.intending = None
        try:
            async with self.stop.row():
                ensured = await self._ensure(account, ticket)
        except asyncio.CancelledError:
            self._take_back(account, ticket)
            raise
        except InvoiceXpressError as error:
            failure = error
        else:
            ticket.intent = ticket.resending = None
            ticket.seconds += time.monotonic() - started
            return RowOutcome.of_ensured(row, ensured, seconds=ticket.seconds)
        # A call that was not even begun has found nothing out of what an earlier run sent.
        ticket.intent = _doubt(account, ticket) or (None if failure.attempts else ticket.intent)
        if ticket.intent is None and not isinstance(failure, PartialRegistrationError):
            # What was to be sent again and was not is in doubt as it was before.
            ticket.intent = ticket.resending
        ticket.resending = None
        if isinstance(failure, RowCutOffError):
            failure = _cut_off(failure, ticket)
        ticket.seconds += time.monotonic() - started
        return RowOutcome.of_error(row, failure, seconds=ticket.seconds, intent=ticket.intent)

    def keep(self, ticket: Ticket, outcome: RowOutcome) -> Written | None:
        """Put on the disk how the turn ended; None when nothing is to be kept of it.

        Raises:
            JournalError: from what is returned: it is not there; the outcome stands, and the next
                run finds it anew.
        """
        # What the journal did not take as an intent was not sent: nothing of it is to be kept.
        if self.log is None or isinstance(outcome.error, JournalError):
            return None
        return self.log.end(outcome, intent=ticket.intent, absent_since=ticket.absent_since)

    async def _ensure(self, account: AccountSession, ticket: Ticket) -> Ensured:
        row, sequences = ticket.row, account.sequences
        if ticket.may_resend and ticket.intent is not None:
            sequences.forget(ticket.intent)
            ticket.resending, ticket.intent, ticket.may_resend = ticket.intent, None, False
        was_created = False
        if ticket.intent is not None:
            await _read_for(sequences, ticket, ticket.intent)
            was_created, ticket.intent = ticket.intent["operation"] == "create", None
        keep = functools.partial(self._intend, ticket)
        is_staged = row.is_default and (self.is_staged or not self.may_default())
        default = row.is_default and not is_staged
        ensure = functools.partial(sequences.ensure, row.serie, on_intent=keep, shared=False)
        ensured = await ensure(default=default)
        if was_created:
            ensured = attrs.evolve(ensured, created=True, via=Via.OBSERVED)
        if not is_staged or ensured.sequence.is_default or not self.may_default():
            return ensured
        final = await ensure(default=True)
        return attrs.evolve(ensured, sequence=final.sequence)

    async def _intend(self, ticket: Ticket, intent: Intent) -> None:
        if self.log is not None:
            ticket.intending = intent
            await self.log.intend(ticket.row, intent)
        ticket.announced, ticket.intending, ticket.resending = intent, None, None
        ticket.intended_at = Moment.now()
        ticket.absent_since = ticket.doubt_seconds = None
        ticket.reads = 0

    def _take_back(self, account: AccountSession, ticket: Ticket) -> None:
        # Cancelled while it was written, it was not sent: the next run would read for it in vain.
        intent = ticket.intending
        if self.log is None or intent is None or intent["operation"] != "create":
            return
        sent = ticket.record.intent, ticket.announced, *account.sequences.unresolved()
        if _identity(intent) not in [_identity(one) for one in sent if one is not None]:
            self.log.take_back(ticket.row)


def _account(manager: SessionManager, row: PlanRow, policy: RetryPolicy) -> AccountSession:
    # Not in a frame that awaits: a traceback that prints locals would show the key.
    account = manager.account(row.account, source_of(row.api_key, row.account))
    return account.with_options(retry=policy)


async def _read_for(sequences: SequenceService, ticket: Ticket, intent: Intent) -> None:
    ticket.read_failure = None
    try:
        await sequences.resume(intent)
    except OutcomeUnknownError as error:
        unknown = error
    else:
        return
    if not unknown.was_absent:
        # It does not say in its class whether the server fails, or the key: a list does.
        try:
            await sequences.list()
        except InvoiceXpressError as error:
            ticket.read_failure = error.with_traceback(None)
    raise unknown


def _doubt(account: AccountSession, ticket: Ticket) -> Intent | None:
    """Return the intent that is in doubt after a turn that failed."""
    mine = [_identity(one) for one in (ticket.announced, ticket.intent) if one is not None]
    for intent in account.sequences.unresolved():
        if _identity(intent) in mine:
            return intent
    return None


def _identity(intent: Intent) -> tuple[object, ...]:
    return intent["operation"], intent["serie"], intent["sequence_id"]


def _cut_off(failure: RowCutOffError, ticket: Ticket) -> InvoiceXpressError:
    error: InvoiceXpressError = failure
    if ticket.intent is not None:
        text = "Sent once; the run was stopped before its outcome was known."
        error = OutcomeUnknownError(text, intent=ticket.intent)
    error.operation = "ensure"
    error.subject = f"sequence {ticket.row.serie!r}"
    error.account = ticket.row.account
    return error
