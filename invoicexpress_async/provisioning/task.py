"""A row on its way through a run, and when it gets another turn."""

from typing import Final

import attrs

from invoicexpress_async.call.claims import ClaimEnd, Claims
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
    """What a run knows of one row.

    Attributes:
        row: The row.
        record: What the journal had of it when it was admitted.
        intent: Of the send whose outcome is not known, if there is one.
        last_intent: The intent of its last send, whatever its outcome.
        is_of_another: Whether `intent` is that of another sender, who shares the journal.
        is_created: Whether a create of this run is known to have made the sequence.
        token: Of the claim that this run won last.
        intended_at: When the last send was.
        unknown_since: When this run first saw that the outcome is not known, on its clock.
        reads: How many times it has been looked up since.
        absent_since: When a complete list first did not show it, late enough to count.
        unbelieved: How many lists in a row were late enough to count, and not complete.
        superseded_intent: The intent that another send replaces, until that one is durable.
        resend_allowed: Whether all that the caller requires before another send is there.
        tries: How many turns of it have failed without an unknown outcome.
        sends: How many times a create or register of it was sent, in all runs.
        seconds: How long its turns took, together.
        last: How its last turn ended.
        refusal: Why it gets no turn at all.
        read_failure: Why its last turn could not even look it up; None when it could.
    """

    row: PlanRow
    record: RowRecord = attrs.field(factory=RowRecord)
    intent: Intent | None = None
    last_intent: Intent | None = None
    intended_at: Timestamp | None = None
    unknown_since: float | None = None
    reads: int = 0
    absent_since: Timestamp | None = None
    unbelieved: int = 0
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
        """Take up what an earlier run left."""
        return cls(
            row=row,
            record=record,
            intent=record.intent,
            intended_at=record.intended_at,
            absent_since=record.absent_since,
            is_of_another=record.intent is not None and not record.sends,
            sends=record.sends,
        )

    @property
    def was_sent_before(self) -> bool:
        """Whether what is unknown was sent in an earlier turn, or by an earlier run."""
        return self.last_intent is None or self.unknown_since is not None

    def sent_at(self) -> Timestamp:
        """Return when the send whose outcome is unknown was, or at the earliest was."""
        if self.intended_at is not None:
            return self.intended_at
        return Timestamp(wall=self.intent["sent_at"] if self.intent else 0.0, steady=0.0, boot="")


@attrs.frozen
class RowClaims:
    """Claims where `inner` does; without it, this process is the only sender."""

    task: RowTask
    inner: Claims | None

    @property
    def token(self) -> str | None:
        """The token of the claim that was won last."""
        return None if self.inner is None else self.inner.token

    async def claim(self, intent: Intent) -> Intent | None:
        """Win the right to send, or return the intent of the one who has it."""
        task = self.task
        if self.inner is not None and (other := await self.inner.claim(intent)) is not None:
            task.intent, task.is_of_another = other, True
            # What was found out was of an older send.
            task.absent_since = task.unknown_since = None
            task.reads = 0
            # The wall clock of another host says nothing of when that was: it is before now, or
            # a minute after at the most.
            task.intended_at = Timestamp.now()
            return other
        task.last_intent, task.superseded_intent, task.is_of_another = intent, None, False
        task.token = self.token
        task.sends += 1
        task.intended_at = Timestamp.now()
        task.absent_since = task.unknown_since = None
        task.reads = 0
        return None

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a request that was claimed."""
        if end is ClaimEnd.NOT_SENT:
            self.task.sends -= 1
        if end is ClaimEnd.APPLIED and intent["operation"] == "create":
            self.task.is_created = True
        if self.inner is not None:
            self.inner.end(intent, end)

    def observe(self, intent: Intent) -> None:
        """Write that what somebody's intent requested was seen to be there."""
        if self.inner is not None:
            self.inner.observe(intent)

    def forget(self, intent: Intent) -> None:
        """Let the next claim take over from this very intent."""
        if self.inner is not None:
            self.inner.forget(intent)

    def check_right(self) -> None:
        """Raise when no byte may be sent for the account any more."""
        if self.inner is not None:
            self.inner.check_right()


# A failure without effect, each of them after the retries of its calls.
RETRY_AFTER_SECONDS: Final = (2.0, 8.0)
# So many lists in a row that cannot be believed, each after the longest wait of the schedule: more
# would end no differently.
_MAX_UNBELIEVED: Final = 20


@attrs.frozen(kw_only=True)
class ReschedulePolicy:
    """Decides it. A row whose outcome is unknown is looked up on the schedule of `RetryPolicy`.

    Attributes:
        clock: The run's.
        breaker: What is known of the server as a whole.
        schedule: The seconds after the outcome was first unknown at which to look it up.
        resend_absent_after: The seconds between a send, a first list without the sequence and a
            second one, after which it may be sent again; None for never.
    """

    clock: Clock
    breaker: CircuitBreaker
    schedule: tuple[float, ...]
    resend_absent_after: float | None

    @classmethod
    def of_run(
        cls, manager: SessionManager, breaker: CircuitBreaker, settings: RunSettings
    ) -> "ReschedulePolicy":
        """Return the policy of a run: a row is looked up no longer than one call would be."""
        at_seconds = manager.retry.read_after_seconds
        return cls(
            clock=manager.clock,
            breaker=breaker,
            schedule=tuple(one for one in at_seconds if one < manager.total_seconds),
            resend_absent_after=settings.resend_absent_after,
        )

    def next_turn_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return when its next turn is, on the clock; None when this outcome is the last."""
        if task.intent is not None:
            return self._next_read_at(task, outcome)
        if outcome.error is None or not is_transient(outcome.error):
            return None
        if self.breaker.is_open and not isinstance(outcome.error, KeyUnavailableError):
            return self.clock.now()  # its failures are the server's, and are not counted
        task.tries += 1
        if task.tries > len(RETRY_AFTER_SECONDS):
            return None
        return self.clock.now() + RETRY_AFTER_SECONDS[task.tries - 1]

    def _next_read_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        now = self.clock.now()
        if task.unknown_since is None:
            task.unknown_since, task.reads = now, 0
        elif task.read_failure is None or not self.breaker.is_open:
            task.reads += 1  # a read that a failing server did not complete is made up for
        if isinstance(task.read_failure, StatusError) and not is_transient(task.read_failure):
            return None  # the key is refused: every later read would be, too
        resend_in = self._resend_in(task, outcome)
        if task.resend_allowed:
            return now
        if task.reads < len(self.schedule):
            return max(now, task.unknown_since + self.schedule[task.reads])
        if task.unbelieved > _MAX_UNBELIEVED:
            _explain_end(outcome)
            return None
        return None if resend_in is None else now + resend_in

    def _resend_in(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return the seconds until the next list that counts towards sending again."""
        needed, intent = self.resend_absent_after, task.intent
        if needed is None or intent is None or intent["operation"] != "create":
            return None
        now = Timestamp.now()
        since_send = task.sent_at().seconds_until(now)
        if since_send < needed:
            return needed - since_send
        if outcome.state is not RowState.ABSENT:
            task.unbelieved += not self.breaker.is_open
            return self.schedule[-1] if self.schedule else needed
        task.unbelieved = 0
        task.absent_since = task.absent_since or now
        since_absent = task.absent_since.seconds_until(now)
        task.resend_allowed = since_absent >= needed
        return max(needed - since_absent, 0.0)


def _explain_end(outcome: RowOutcome) -> None:
    error = outcome.error
    if error is not None:
        text = f"{_MAX_UNBELIEVED} lists in a row could not be believed: it was not sent again."
        error.args = (f"{error.args[0]} {text}", *error.args[1:])


def is_transient(error: InvoiceXpressError) -> bool:
    """Whether the same could go well later, without anybody changing anything."""
    if isinstance(error, StatusError):
        return error.is_transient
    if isinstance(error, UntrustedConnectionError):
        return False
    if isinstance(error, KeyUnavailableError):
        return error.is_transient
    return isinstance(error, TransportError)
