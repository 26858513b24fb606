"""The outcomes of rows, the report of a run, and its progress."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from invoicexpress_async.errors import (
    DefaultChangedError,
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    StatusError,
)
from invoicexpress_async.jobs.journal import Difference, JournalState
from invoicexpress_async.jobs.outcomes import ErrorDetails
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Ensured, Sequence
from invoicexpress_async.provisioning.row import PlanRow


class RowState(StrEnum):
    """How a row ended."""

    DONE = JournalState.DONE
    """The sequence exists, registered, and the default if requested."""
    REFUSED = JournalState.REFUSED
    """The server, or the client before sending, refused: something must be changed first."""
    PREPARED = JournalState.PREPARED
    """The sequence exists and is registered; the day on which it becomes the default is ahead."""
    PARTIAL = JournalState.PARTIAL
    """The sequence exists, but some document types have no code: it must not be used yet."""
    UNKNOWN = JournalState.UNKNOWN
    """A request was sent, and its outcome is unknown: it must not be sent again."""
    ABSENT = JournalState.ABSENT
    """A create was sent, and a complete list does not show its sequence, which can still appear.
    It is sent again only with `resend_absent_after`."""
    FAILED = JournalState.FAILED
    """The row failed without any effect: running it again is safe."""


@attrs.frozen(kw_only=True)
class RowOutcome(ErrorDetails):
    """How one row ended.

    Attributes:
        row: The row of the plan.
        state: How it ended.
        seconds: How long the row took, waiting in the limiter included.
        sequence: The sequence as last read, or as a refusal left it behind; None when there is
            none.
        created: Whether this run's create made the sequence; None when that is not known.
        error: The error of `ensure`, without its traceback; None when it succeeded.
        intent: The intent for `sequences.resume`, when the outcome of a send is unknown.
        is_recorded: Whether the outcome is an earlier run's, from the journal: nothing was sent
            or read.
    """

    row: PlanRow
    state: RowState
    seconds: float
    sequence: Sequence | None = None
    created: bool | None = None
    error: InvoiceXpressError | None = None
    intent: Intent | None = None
    is_recorded: bool = False

    @classmethod
    def of_ensured(cls, row: PlanRow, ensured: Ensured, *, seconds: float) -> "RowOutcome":
        """Return the outcome of a row that is done, or done except for the default."""
        is_done = ensured.sequence.is_default or not row.is_default
        return cls(
            row=row,
            state=RowState.DONE if is_done else RowState.PREPARED,
            seconds=seconds,
            sequence=ensured.sequence,
            created=ensured.created,
        )

    @classmethod
    def of_error(
        cls, row: PlanRow, error: InvoiceXpressError, *, seconds: float, intent: Intent | None
    ) -> "RowOutcome":
        """Return the outcome of a row that ended with an error, with its unresolved `intent`."""
        sequence = (
            error.sequence
            if isinstance(error, PartialRegistrationError | DefaultChangedError | StatusError)
            else None
        )
        return cls(
            row=row,
            state=_state(error, sequence, intent),
            seconds=seconds,
            sequence=sequence,
            created=None if error.may_have_been_processed else False,
            # The frames of a traceback would keep the whole call alive for as long as the report.
            error=error.with_traceback(None),
            intent=intent,
        )


def _state(error: InvoiceXpressError, sequence: Sequence | None, intent: Intent | None) -> RowState:
    if isinstance(error, PartialRegistrationError):
        return RowState.PARTIAL
    if isinstance(error, DefaultChangedError):
        return RowState.REFUSED  # a person must set the default, and no later run may call it done
    if intent is not None:
        was_absent = isinstance(error, OutcomeUnknownError) and error.was_absent
        return RowState.ABSENT if was_absent else RowState.UNKNOWN
    if error.may_have_been_processed and sequence is None:
        return RowState.UNKNOWN
    if isinstance(error, StatusError) and not error.is_transient:
        return RowState.REFUSED
    # A ValueError is an invalid name or reference: as final as the server's refusal.
    return RowState.REFUSED if isinstance(error, ValueError) else RowState.FAILED


def _as_outcomes(outcomes: Iterable[RowOutcome]) -> tuple[RowOutcome, ...]:
    return tuple(outcomes)


def _counted(report: "ProvisioningReport") -> Mapping[RowState, int]:
    return count_states(Counter(outcome.state for outcome in report.outcomes))


def _created(report: "ProvisioningReport") -> int:
    return sum(outcome.created is True for outcome in report.outcomes)


@attrs.frozen(kw_only=True)
class ProvisioningReport:
    """The report of a run: how the rows of a plan ended.

    Attributes:
        outcomes: The outcomes in the order of the plan; with `keep_done=False`, only those with
            an error.
        counts: How many rows ended in each state, 0 included.
        created: How many sequences this run is known to have created.
        seconds: How long the run took.
        not_started: How many rows had not begun when the run ended early: nothing was sent for
            them.
        problem: The error that ended the run early, because the journal or the server as a whole
            failed; None otherwise.
        differences: The first differences between the plan and the journal, when they were
            accepted; at most 100.
        callback_error: The first exception that `on_progress` raised; it did not stop the run.
    """

    outcomes: tuple[RowOutcome, ...] = attrs.field(converter=_as_outcomes)
    seconds: float
    counts: Mapping[RowState, int] = attrs.Factory(_counted, takes_self=True)
    created: int = attrs.Factory(_created, takes_self=True)
    not_started: int = 0
    problem: InvoiceXpressError | None = None
    differences: tuple[Difference, ...] = ()
    callback_error: Exception | None = None

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        left = f", {self.not_started} not started" if self.not_started else ""
        why = f"; ended early: {self.problem.args[0]}" if self.problem and self.problem.args else ""
        return f"{counts or 'no rows'}{left}, {self.created} created in {self.seconds:.1f} s{why}"

    @property
    def is_complete(self) -> bool:
        """Whether every row is done, or prepared."""
        good = self.counts[RowState.DONE] + self.counts[RowState.PREPARED]
        is_whole = not self.not_started and self.problem is None
        return is_whole and good == sum(self.counts.values())

    def raise_for_failures(self) -> None:
        """Raise the errors of the rows, if any. Rows that were not started raise nothing.

        Raises:
            ExceptionGroup: one error for each row that is not done, and the error of the run.
        """
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        total = sum(self.counts.values())
        if self.problem is not None:
            raise ExceptionGroup("The run ended early", [self.problem, *errors])
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {total} rows failed", errors)


def count_states(counter: Mapping[RowState, int]) -> Mapping[RowState, int]:
    """Return the counts of all states, 0 included."""
    return MappingProxyType({state: counter.get(state, 0) for state in RowState})


@attrs.frozen(kw_only=True)
class Progress:
    """The progress of a run at one moment.

    Attributes:
        counts: The number of rows that have ended, by state, 0 included.
        total: The number of rows of the plan; None for a stream.
        waiting: The number of rows that are looked up or tried again later.
        is_paused: Whether the server as a whole fails, so that one row at a time tries it.
        seconds: The time since the run began.
        next_turn_in_seconds: The time until the next turn of a waiting row; None when none waits.
    """

    counts: Mapping[RowState, int]
    total: int | None
    waiting: int
    is_paused: bool
    seconds: float
    next_turn_in_seconds: float | None = None

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return sum(self.counts.values())
