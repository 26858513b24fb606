"""A row during a run, and the policy that decides when it gets another turn."""

from typing import Final

import attrs

from invoicexpress_async.call.claims import MAX_SECONDS_BEFORE_SEND, ClaimEnd, Claims
from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import (
    InvoiceXpressError,
    StatusError,
    TransportError,
    UntrustedConnectionError,
)
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.keys import KeyUnavailableError
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowRecord
from invoicexpress_async.session import SessionManager


@attrs.define(kw_only=True, eq=False)
class RowTask:
    """The state of one row during a run.

    Attributes:
        row: The row.
        record: The journal's record of the row when it was admitted.
        intent: The intent of the send whose outcome is unknown, if there is one.
        last_intent: The intent of the last send, whatever its outcome.
        is_of_another: Whether `intent` belongs to another sender that shares the journal.
        is_created: Whether a create of this run is known to have made the sequence.
        token: The token of the row's claim, when it was admitted or as this run won it last.
        intended_at: When the last send was.
        turn_at: The start of the last turn, before anything was read in it.
        unknown_since: When this run first saw that the outcome is unknown, on its clock.
        reads: How many times the outcome has been looked up since.
        absent_since: When a complete list first did not show the sequence, late enough to count.
        incomplete_lists: How many lists in a row were late enough to count, but not complete.
        superseded_intent: The intent that another send replaces, until the new one is sent. From
            its claim on it is the new one, which stands for both in the journal.
        resend_allowed: Whether the conditions of the settings for another send are met.
        tries: How many turns have failed without an unknown outcome.
        sends: How many times a create or register of the row was sent, in all runs.
        seconds: How long the turns took, together.
        last: The outcome of the last turn.
        refusal: The error of a row that gets no turn at all.
        read_failure: The error that kept the last turn from looking the outcome up, or None.
    """

    row: PlanRow
    record: RowRecord = attrs.field(factory=RowRecord)
    intent: Intent | None = None
    last_intent: Intent | None = None
    intended_at: Timestamp | None = None
    turn_at: Timestamp | None = None
    unknown_since: float | None = None
    reads: int = 0
    absent_since: Timestamp | None = None
    incomplete_lists: int = 0
    is_of_another: bool = False
    is_created: bool = False
    token: str | None = None
    superseded_intent: Intent | None = None
    resend_allowed: bool = False
    tries: int = 0
    sends: int = 0
    seconds: float = 0.0
    last: RowOutcome | None = None
    refusal: InvoiceXpressError | None = None
    read_failure: InvoiceXpressError | None = None

    @classmethod
    def of_record(cls, row: PlanRow, record: RowRecord) -> "RowTask":
        """Return the task of a row that continues from its record."""
        return cls(
            row=row,
            record=record,
            intent=record.intent,
            intended_at=record.intended_at,
            token=record.token,
            absent_since=record.absent_since,
            is_of_another=record.intent is not None and not record.sends,
            sends=record.sends,
        )

    @property
    def was_sent_before(self) -> bool:
        """Whether the unknown request was sent in an earlier turn or by an earlier run."""
        return self.last_intent is None or self.unknown_since is not None

    def sent_at(self) -> Timestamp:
        """Return when the unknown request was sent, at the earliest."""
        if self.intended_at is not None:
            return self.intended_at
        return Timestamp(wall=self.intent["sent_at"] if self.intent else 0.0, steady=0.0, boot="")


@attrs.frozen
class RowClaims:
    """Claims through `inner`, and notes it in the task. Without `inner`, no other process sends."""

    task: RowTask
    inner: Claims | None

    @property
    def token(self) -> str | None:
        """The token of the claim that was won last."""
        return None if self.inner is None else self.inner.token

    async def claim(self, intent: Intent) -> Intent | None:
        """Win the right to send, or return the intent of the sender that has it."""
        task = self.task
        if self.inner is not None and (other := await self._claim(self.inner, intent)) is not None:
            task.intent, task.is_of_another = other, True
            # The earlier reads were about an older send.
            task.absent_since = task.unknown_since = None
            task.reads = 0
            # The wall clock of another host does not show when its send was: before now, or at
            # most a minute later.
            task.intended_at = Timestamp.now()
            return other
        task.last_intent, task.is_of_another = intent, False
        task.superseded_intent = task.superseded_intent and intent
        task.sends += 1
        task.intended_at = Timestamp.now()
        task.absent_since = task.unknown_since = None
        task.reads = 0
        return None

    async def _claim(self, inner: Claims, intent: Intent) -> Intent | None:
        try:
            return await inner.claim(intent)
        finally:  # a claim that is cancelled may be won
            self.task.token = inner.token or self.task.token

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Record how a claimed request ended."""
        if end is ClaimEnd.NOT_SENT:
            self.task.sends -= 1
        else:
            self.task.superseded_intent = None
        if end is ClaimEnd.APPLIED and intent["operation"] == "create":
            self.task.is_created = True
        if self.inner is not None:
            self.inner.end(intent, end)

    def observe(self, intent: Intent) -> None:
        """Record that the object of an intent, of any sender, was seen on the server."""
        if self.inner is not None:
            self.inner.observe(intent)

    def forget(self, intent: Intent) -> None:
        """Let the next claim replace this intent, and no other."""
        if self.inner is not None:
            self.inner.forget(intent)

    def check_right(self) -> None:
        """Raise if this process may not send for the account any more."""
        if self.inner is not None:
            self.inner.check_right()


# The waits before another turn after a failure without effect, whose calls were retried already.
RETRY_AFTER_SECONDS: Final = (2.0, 8.0)
# After this many incomplete lists in a row, each after the longest wait of the schedule, more
# would not help.
_MAX_INCOMPLETE_LISTS: Final = 20


@attrs.frozen(kw_only=True)
class ReschedulePolicy:
    """Decides when a row gets another turn. Unknown outcomes follow `RetryPolicy`'s schedule.

    Attributes:
        clock: The clock of the run.
        breaker: The circuit breaker for the server as a whole.
        schedule: The times of the lookups, in seconds since the outcome was first unknown.
        resend_absent_after: A create may be sent again after two complete lists without its
            sequence. The first must come at least this many seconds after the send, the second
            at least this many after the first. None for never.
    """

    clock: Clock
    breaker: CircuitBreaker
    schedule: tuple[float, ...]
    resend_absent_after: float | None

    @classmethod
    def of_run(
        cls, manager: SessionManager, breaker: CircuitBreaker, settings: RunSettings
    ) -> "ReschedulePolicy":
        """Return the policy of a run. A row is looked up for no longer than one call may take."""
        at_seconds = manager.retry.read_after_seconds
        return cls(
            clock=manager.clock,
            breaker=breaker,
            schedule=tuple(one for one in at_seconds if one < manager.total_seconds),
            resend_absent_after=settings.resend_absent_after,
        )

    def next_turn_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return when the row's next turn is, on the clock; None when this outcome is the last."""
        if task.intent is not None:
            return self._next_read_at(task, outcome)
        if outcome.error is None or not is_transient(outcome.error):
            return None
        if self.breaker.is_open and not isinstance(outcome.error, KeyUnavailableError):
            return self.clock.now()  # the server as a whole fails: not counted as a try
        task.tries += 1
        if task.tries > len(RETRY_AFTER_SECONDS):
            return None
        return self.clock.now() + RETRY_AFTER_SECONDS[task.tries - 1]

    def _next_read_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        now = self.clock.now()
        if task.unknown_since is None:
            task.unknown_since, task.reads = now, 0
        elif task.read_failure is None or not self.breaker.is_open:
            task.reads += 1  # a read that failed in an outage is not counted
        if isinstance(task.read_failure, StatusError) and not is_transient(task.read_failure):
            return None  # the key is refused: every later read would be refused too
        resend_in = self._resend_in(task, outcome)
        if task.resend_allowed:
            return now
        if task.reads < len(self.schedule):
            return max(now, task.unknown_since + self.schedule[task.reads])
        if task.incomplete_lists > _MAX_INCOMPLETE_LISTS:
            _explain_end(outcome)
            return None
        return None if resend_in is None else now + resend_in

    def _resend_in(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return the seconds until the next list that counts towards sending again."""
        needed, intent = self.resend_absent_after, task.intent
        if needed is None or intent is None or intent["operation"] != "create":
            return None
        # A list was requested between the start of the turn and now, and the machine may have slept
        # since: each wait is measured so that it is not shorter than it was.
        now = Timestamp.now()
        requested = task.turn_at or now
        # The time of the claim is known; the send came up to this much later.
        since_send = task.sent_at().seconds_until(requested) - MAX_SECONDS_BEFORE_SEND
        if since_send < needed:
            return needed - since_send
        if outcome.state is not RowState.ABSENT:
            task.incomplete_lists += not self.breaker.is_open
            return self.schedule[-1] if self.schedule else needed
        task.incomplete_lists = 0
        if task.absent_since is None:
            task.absent_since = now
            return needed
        since_absent = task.absent_since.seconds_until(requested)
        task.resend_allowed = since_absent >= needed
        return max(needed - since_absent, 0.0)


def _explain_end(outcome: RowOutcome) -> None:
    error = outcome.error
    if error is not None:
        text = (
            f"{_MAX_INCOMPLETE_LISTS} lists in a row could not be believed: it was not sent again."
        )
        error.args = (f"{error.args[0]} {text}", *error.args[1:])


def is_transient(error: InvoiceXpressError) -> bool:
    """Whether the same call could succeed later without any change by a person."""
    if isinstance(error, StatusError):
        return error.is_transient
    if isinstance(error, UntrustedConnectionError):
        return False
    if isinstance(error, KeyUnavailableError):
        return error.is_transient
    return isinstance(error, TransportError)
