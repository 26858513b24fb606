"""A row on its way through a run."""

import attrs

from invoicexpress_async.call.claims import ClaimEnd, Claims
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowRecord


@attrs.define(kw_only=True, eq=False)
class RowTask:
    """What a run knows of one row.

    Attributes:
        row: The row.
        record: What the journal had of it when it was admitted.
        intent: Of the send whose outcome is not known, if there is one.
        last_intent: The intent of its last send, whatever its outcome.
        is_of_another: Whether `intent` is that of another sender, who shares the journal.
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
