"""A row on its way through a run."""

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.timestamps import Moment
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowRecord


@attrs.define(kw_only=True, eq=False)
class Ticket:
    """What a run knows of one row.

    Attributes:
        row: The row.
        record: What the journal said of it when it was admitted.
        intent: Of the send that is in doubt, if one is.
        announced: The intent of its last send, in doubt or not.
        intending: The intent that is on its way to the disk.
        intended_at: When the last send was.
        doubt_seconds: When the doubt was first seen by this run, on the run's clock.
        reads: How many times it has been read for since.
        absent_since: When a complete list first did not show it, late enough to count.
        resending: The intent that is given up for another send, until that one is on the disk.
        may_resend: Whether all that the caller asked for before another send is there.
        tries: How many turns of it have failed without a doubt.
        seconds: How long its turns took, together.
        last: How its last turn ended.
        refusal: Why it gets no turn at all.
        read_failure: Why its last turn could not even read for it; None when it could.
    """

    row: PlanRow
    record: RowRecord = attrs.field(factory=RowRecord)
    intent: Intent | None = None
    announced: Intent | None = None
    intending: Intent | None = None
    intended_at: Moment | None = None
    doubt_seconds: float | None = None
    reads: int = 0
    absent_since: Moment | None = None
    resending: Intent | None = None
    may_resend: bool = False
    tries: int = 0
    seconds: float = 0.0
    last: RowOutcome | None = None
    refusal: InvoiceXpressError | None = None
    read_failure: InvoiceXpressError | None = None

    @classmethod
    def of_record(cls, row: PlanRow, record: RowRecord) -> "Ticket":
        """Take up what an earlier run left."""
        return cls(
            row=row,
            record=record,
            intent=record.intent,
            intended_at=record.intended_at,
            absent_since=record.absent_since,
        )

    @property
    def is_old_doubt(self) -> bool:
        """Whether what is in doubt was sent in an earlier turn, or by an earlier run."""
        return self.announced is None or self.doubt_seconds is not None

    def sent(self) -> Moment:
        """Return when the send in doubt was, or at the earliest was."""
        if self.intended_at is not None:
            return self.intended_at
        return Moment(wall=self.intent["sent_at"] if self.intent else 0.0, steady=0.0, boot="")
