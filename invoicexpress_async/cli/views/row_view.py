"""One line of a run as it is shown: how a row ended, or an account that got no row."""

from typing import Final

import attrs

from invoicexpress_async import Intent, Sequence, errors, provisioning
from invoicexpress_async.cli.failures import cure_of, cure_of_kind
from invoicexpress_async.cli.shell import in_place
from invoicexpress_async.errors import (
    ConfigurationError,
    InvoiceXpressError,
    OutcomeUnknownError,
    StatusError,
)
from invoicexpress_async.provisioning import RolloverStep, RowCutOffError, RowOutcome, RowState

UNPLANNED: Final = "unplanned"  # of an account whose next serie could not be told
GOOD: Final = (RowState.DONE, RowState.PREPARED)
STATES: Final[tuple[str, ...]] = (*GOOD, *(one for one in RowState if one not in GOOD), UNPLANNED)
IN_DOUBT: Final = frozenset({RowState.UNKNOWN, RowState.ABSENT})

_LOOK: Final = (
    "Give its intent to `invoicexpress sequences resume` in some minutes, and again later; it only "
    "reads. Until it shows, do not run this again: without a --journal, the next run does not know "
    "of this send, and would send another if a list does not have it."
)
_READ: Final = "Run the same command again in some minutes: it reads first, and sends none twice."
_RESEND: Final = " If it never shows: --resend-absent-after 900 sends it again."
_RETRY: Final = " Then run again with --retry-refused."
_AGAIN: Final = "Run the same command again: it looks first, and creates only what is absent."
_NAME_IT: Final = "Name its next serie in the column `serie` of the file, or give a --pattern."


@attrs.frozen(kw_only=True)
class ShownRow:
    """What is shown of it, on the screen, in JSON and in a report."""

    line: int
    account: str
    serie: str | None
    state: str
    created: bool | None = False
    seconds: float = 0.0
    sequence: Sequence | None = None
    error: InvoiceXpressError | None = None
    cure: str | None = None
    intent: Intent | None = None
    is_recorded: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nothing needs a person."""
        return self.state in GOOD

    @property
    def error_name(self) -> str | None:
        """The name of the error's class."""
        return None if self.error is None else type(self.error).__name__

    @property
    def code(self) -> str | None:
        """The API's code of a refusal, such as "004"."""
        return self.error.code if isinstance(self.error, StatusError) else None


def shown_outcome(outcome: RowOutcome, *, has_journal: bool) -> ShownRow:
    """Return an outcome as it is shown; its cure depends on what the next run will know."""
    error = outcome.error
    cure = None if error is None else cure_of_row(error, outcome.state, has_journal=has_journal)
    return ShownRow(
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


def shown_step(step: RolloverStep) -> ShownRow:
    """Return an account whose next serie could not be told."""
    error = step.problem
    return ShownRow(
        line=step.row.line,
        account=step.row.account,
        serie=None,
        state=UNPLANNED,
        error=error,
        cure=None if error is None else cure_of_step(error),
    )


def cure_of_step(error: InvoiceXpressError) -> str:
    """Return what to do about an account whose next serie could not be told."""
    return _NAME_IT if isinstance(error, ConfigurationError) else cure_of(error)


def cure_of_row(error: InvoiceXpressError, state: str, *, has_journal: bool) -> str:
    """Return what to do about a row of a run."""
    return _of_row(type(error), state, cure_of(error), has_journal=has_journal)


def cure_of_recorded(name: str, state: str) -> str:
    """Return what to do about a row of which a journal has the class of its error."""
    for module in (errors, provisioning):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, InvoiceXpressError):
            return _of_row(kind, state, cure_of_kind(kind), has_journal=True)
    return _AGAIN


def _of_row(kind: type[InvoiceXpressError], state: str, cure: str, *, has_journal: bool) -> str:
    if issubclass(kind, OutcomeUnknownError):
        return cure_of_doubt(state, has_journal=has_journal)
    if issubclass(kind, RowCutOffError):
        return _AGAIN
    is_kept = has_journal and state == RowState.REFUSED
    return cure + (_RETRY if is_kept else "")


def cure_of_doubt(state: str, *, has_journal: bool) -> str:
    """Return what to do about what was sent and is not known to have worked."""
    if not has_journal:
        return in_place(_LOOK)
    return _READ + (_RESEND if state == RowState.ABSENT else "")
