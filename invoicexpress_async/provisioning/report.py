"""What became of the rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    StatusError,
    UnprocessableError,
)
from invoicexpress_async.models import Ensured, Intent, Sequence
from invoicexpress_async.provisioning.row import PlanRow


class RowState(StrEnum):
    """How a row ended."""

    DONE = "done"
    """The sequence is there, registered and default as asked."""
    REFUSED = "refused"
    """The server, or the client before it, said no: something must be changed first."""
    PARTIAL = "partial"
    """The sequence is there, and some document types have no code: it must not be used yet."""
    UNKNOWN = "unknown"
    """Something was sent, and what became of it is not known: it must not be sent again."""
    FAILED = "failed"
    """It did not come about and had no effect: running the row again is safe."""


@attrs.frozen(kw_only=True)
class RowOutcome:
    """How one row ended.

    Attributes:
        row: The row of the plan.
        state: How it ended.
        seconds: How long it took, waiting in the limiter included.
        sequence: As last read; of a refusal, what it left behind; None when there is none.
        created: Whether this run's create made it; None when it is not known.
        error: What `ensure` raised, without its traceback; None when it is done.
    """

    row: PlanRow
    state: RowState
    seconds: float
    sequence: Sequence | None = None
    created: bool | None = None
    error: InvoiceXpressError | None = None

    @classmethod
    def of_ensured(cls, row: PlanRow, ensured: Ensured, *, seconds: float) -> "RowOutcome":
        """Return the outcome of a row that is done."""
        return cls(
            row=row,
            state=RowState.DONE,
            seconds=seconds,
            sequence=ensured.sequence,
            created=ensured.created,
        )

    @classmethod
    def of_error(cls, row: PlanRow, error: InvoiceXpressError, *, seconds: float) -> "RowOutcome":
        """Return the outcome of a row that raised."""
        sequence = (
            error.sequence
            if isinstance(error, PartialRegistrationError | UnprocessableError)
            else None
        )
        return cls(
            row=row,
            state=_state(error, sequence),
            seconds=seconds,
            sequence=sequence,
            created=None if error.may_have_been_processed else False,
            # Its frames would keep the whole call alive for as long as the report.
            error=error.with_traceback(None),
        )

    @property
    def error_name(self) -> str | None:
        """The name of the error's class."""
        return None if self.error is None else type(self.error).__name__

    @property
    def status(self) -> int | None:
        """The HTTP status of a refusal."""
        return self.error.status if isinstance(self.error, StatusError) else None

    @property
    def code(self) -> str | None:
        """The API's code of a refusal, such as "004"."""
        return self.error.code if isinstance(self.error, StatusError) else None

    @property
    def cure(self) -> str | None:
        """What to do about it."""
        return None if self.error is None else self.error.cure

    @property
    def intent(self) -> Intent | None:
        """What `sequences.resume` takes to find out, when the outcome is not known."""
        return self.error.intent if isinstance(self.error, OutcomeUnknownError) else None


def _state(error: InvoiceXpressError, sequence: Sequence | None) -> RowState:
    if isinstance(error, PartialRegistrationError):
        return RowState.PARTIAL
    if error.may_have_been_processed and sequence is None:
        return RowState.UNKNOWN
    if isinstance(error, StatusError) and not error.is_transient:
        return RowState.REFUSED
    # A name or a reference that cannot be right: as final as the server's no.
    return RowState.REFUSED if isinstance(error, ValueError) else RowState.FAILED


def _as_outcomes(outcomes: Iterable[RowOutcome]) -> tuple[RowOutcome, ...]:
    return tuple(outcomes)


def _as_rows(rows: Iterable[PlanRow]) -> tuple[PlanRow, ...]:
    return tuple(rows)


@attrs.frozen(kw_only=True)
class ProvisioningReport:
    """How all rows of a plan ended.

    Attributes:
        outcomes: In the order of the plan.
        seconds: How long the run took.
        not_started: The rows that had not begun when the run was asked to stop: nothing of them
            was sent.
    """

    outcomes: tuple[RowOutcome, ...] = attrs.field(converter=_as_outcomes)
    seconds: float
    not_started: tuple[PlanRow, ...] = attrs.field(default=(), converter=_as_rows)

    @property
    def counts(self) -> Mapping[RowState, int]:
        """How many rows ended in each state, 0 included."""
        counter = Counter(outcome.state for outcome in self.outcomes)
        return MappingProxyType({state: counter[state] for state in RowState})

    @property
    def is_complete(self) -> bool:
        """Whether every row is done."""
        return not self.not_started and all(
            outcome.state is RowState.DONE for outcome in self.outcomes
        )

    def raise_for_failures(self) -> None:
        """Raise what the rows raised, when any did. Rows that were not started raise nothing.

        Raises:
            ExceptionGroup: of one error for each row that is not done.
        """
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self.outcomes)} rows failed", errors)
