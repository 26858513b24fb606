"""The view of a row that has ended, for tables, reports and JSON."""

from typing import Final

import attrs

from invoicexpress_async import DocumentType
from invoicexpress_async.cli.cures import (
    WAIT,
    cure_of_recorded_row,
    cure_of_row,
    cure_of_step,
    cure_of_unknown,
)
from invoicexpress_async.cli.failures import cause_text, hint_of
from invoicexpress_async.cli.output import documents_of
from invoicexpress_async.cli.summary import Ended
from invoicexpress_async.jobs.outcomes import ErrorParts, recorded_error
from invoicexpress_async.provisioning import RolloverStep, RowOutcome, RowState
from invoicexpress_async.provisioning.rows_table import RowRecord

_NOT_BEGUN: Final = "planned"
_INTENT: Final = "intent"
_IN_FLIGHT: Final = "in flight"
UNPLANNED: Final = "unplanned"  # an account whose next serie is not known
GOOD: Final = (RowState.DONE, RowState.PREPARED)
UNKNOWN_STATES: Final = frozenset({RowState.UNKNOWN, RowState.ABSENT})
STATE_MEANINGS: Final[dict[str, str]] = {
    RowState.DONE: "there, registered and default as requested",
    RowState.PREPARED: "there and registered; not the default before the day that was given",
    _NOT_BEGUN: "nothing was sent",
    _INTENT: "sent, and not looked for yet",
    RowState.UNKNOWN: "sent, outcome not known: it is never sent again by itself",
    RowState.ABSENT: "sent, and a complete list does not show it; it can still come",
    RowState.PARTIAL: "there, and some document types have no code: do not use it yet",
    RowState.REFUSED: "the server said no; not tried again without --retry-refused",
    RowState.FAILED: "had no effect; tried again by the next run",
    UNPLANNED: "its next serie is not known: name it in the column serie",
}
STATE_STYLES: Final[dict[str, str]] = {
    RowState.DONE: "green",
    RowState.PREPARED: "cyan",
    RowState.UNKNOWN: "bold magenta",
    RowState.ABSENT: "bold magenta",
    RowState.PARTIAL: "yellow",
    RowState.REFUSED: "red",
    RowState.FAILED: "red",
    UNPLANNED: "yellow",
}


@attrs.frozen(kw_only=True)
class RowView(Ended, ErrorParts):
    """The view of a row that has ended, or of an account that got no row."""

    account: str
    seconds: float = 0.0

    @property
    def is_shown(self) -> bool:
        """Whether to show the row; not if it is good and an earlier run did it."""
        return not (self.is_good and self.is_recorded)

    @property
    def rank(self) -> int:
        return int(self.is_good or self.state == _NOT_BEGUN)

    @property
    def example(self) -> str:
        return self.account

    @property
    def cause(self) -> str:
        return code_text(self.state, self.error_name, self.status, self.code)

    @property
    def hint(self) -> str:
        return hint_of(self.error)

    @property
    def invoice_code(self) -> str | None:
        invoice = documents_of(self.sequence).get(DocumentType.INVOICE)
        return None if invoice is None else invoice.validation_code


def code_text(state: str, error: str | None, status: int | None, code: str | None) -> str:
    """Return the status and code of the response, else the error's short name or "-"."""
    # Without a response the name of the error is shown, unless the state already shows the cause.
    is_clear = status is None and state in {RowState.PARTIAL, UNPLANNED, _INTENT, *UNKNOWN_STATES}
    return "-" if is_clear else cause_text(error, status, code)


def row_view(outcome: RowOutcome, *, has_journal: bool) -> RowView:
    """Return the view of an outcome. Its cure depends on whether the run has a journal."""
    error = outcome.error
    cure = None if error is None else cure_of_row(error, outcome.state, has_journal=has_journal)
    return RowView(
        line=outcome.row.line,
        account=outcome.row.account,
        serie=outcome.row.serie,
        state=outcome.state,
        created=outcome.created,
        seconds=outcome.seconds,
        sequence=outcome.sequence,
        error=error,
        cure=cure,
        intent=outcome.intent,
        is_recorded=outcome.is_recorded,
    )


def kept_view(account: str, serie: str, kept: RowRecord, *, is_held: bool = False) -> RowView:
    """Return the view of a row in a journal."""
    error = cure = None
    state: str = kept.state
    if state == _INTENT:
        unknown = RowState.UNKNOWN, cure_of_unknown(RowState.UNKNOWN, has_journal=True)
        state, cure = (_IN_FLIGHT, WAIT) if is_held else unknown
    if kept.error is not None:
        error = recorded_error(kept.error, status=kept.status, code=kept.code)
        cure = cure or cure_of_recorded_row(kept.error, kept.state)
    return RowView(
        line=0,
        account=account,
        serie=serie,
        state=state,
        created=kept.is_created,
        sequence=kept.sequence,
        error=error,
        cure=cure,
        intent=kept.intent,
        is_recorded=True,
    )


def unplanned_view(step: RolloverStep) -> RowView:
    error = step.problem
    return RowView(
        line=step.row.line,
        account=step.row.account,
        serie=None,
        state=UNPLANNED,
        error=error,
        cure=None if error is None else cure_of_step(error),
    )
