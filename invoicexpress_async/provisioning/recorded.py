"""What an earlier run has settled: told again, and not done again."""

from typing import Final

from invoicexpress_async import errors
from invoicexpress_async.errors import InvoiceXpressError, StatusError
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.task import Ticket

_RECORDED: Final = "An earlier run was refused this, and it is not tried again unless you say so."


def recorded_outcome(ticket: Ticket, *, retry_refused: bool) -> RowOutcome | None:
    """Return the outcome of a row that the journal has settled, or None when it has a turn."""
    record = ticket.record
    if record.state == RowState.DONE:
        return RowOutcome(
            row=ticket.row, state=RowState.DONE, seconds=0.0, created=False, is_recorded=True
        )
    if record.state != RowState.REFUSED or retry_refused:
        return None
    return RowOutcome(
        row=ticket.row,
        state=RowState.REFUSED,
        seconds=0.0,
        created=False,
        error=_refusal(ticket),
        is_recorded=True,
    )


def _refusal(ticket: Ticket) -> InvoiceXpressError:
    record, row = ticket.record, ticket.row
    kind = getattr(errors, record.error or "", InvoiceXpressError)
    error: InvoiceXpressError
    if isinstance(kind, type) and issubclass(kind, StatusError):
        error = kind(_RECORDED, status=record.status or 0, code=record.code)
    elif isinstance(kind, type) and issubclass(kind, InvoiceXpressError):
        error = kind(_RECORDED)
    else:
        error = InvoiceXpressError(_RECORDED)
    error.operation, error.account, error.subject = "ensure", row.account, f"sequence {row.serie!r}"
    return error
