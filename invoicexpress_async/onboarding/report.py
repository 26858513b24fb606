"""The outcomes of companies, and the report of a run."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.outcomes import ErrorDetails
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.onboarding.company import Company


class CompanyStep(StrEnum):
    """The next step of a company, or the one that it could not complete."""

    ACCOUNT = "account"
    """The account is to be created."""
    KEY = "key"
    """The account exists; its key must be delivered."""
    AT = "at"
    """The key is delivered; the tax-authority credentials are to be set."""
    SERIES = "series"
    """The credentials are set; the first sequence is to be ensured."""
    VERIFY = "verify"
    """The sequence exists; a last read must show it as registered and default."""
    END = "end"
    """All steps are done and verified."""


class CompanyState(StrEnum):
    """How a company ended at its step."""

    DONE = JournalState.DONE
    """The company can invoice."""
    UNKNOWN = JournalState.UNKNOWN
    """A request that must not be sent twice was sent, and its outcome is unknown. At ACCOUNT: the
    account may exist, and its key was only in the lost response."""
    KEY_LOST = JournalState.KEY_LOST
    """The account exists, and the only response with its key could not be used."""
    REFUSED = JournalState.REFUSED
    """The server, or the client before sending, refused: something must be changed first."""
    FAILED = JournalState.FAILED
    """The step failed without leaving an outcome unknown: run it again."""


@attrs.frozen(kw_only=True)
class CompanyOutcome(ErrorDetails):
    """How one company ended.

    Attributes:
        company: The company.
        step: The step at which the company ended.
        state: How it ended at that step.
        account_name: The name of its account, once known.
        account_id: The id of its account for the partner, once known.
        sequence: The sequence as last read; None when there is none.
        error: The error that stopped it, without its traceback; None when it is done.
        intent: The unresolved intent, with the fields to search for; None without one.
        is_recorded: Whether the outcome is an earlier run's, from the journal: nothing was sent
            or read.
    """

    company: Company
    step: CompanyStep
    state: CompanyState
    account_name: str | None = None
    account_id: str | None = None
    sequence: Sequence | None = None
    error: InvoiceXpressError | None = None
    intent: Intent | None = None
    is_recorded: bool = False


@attrs.frozen(kw_only=True)
class OnboardingReport:
    """The report of a run: how the companies ended.

    Attributes:
        outcomes: The outcomes, in the order of the input.
        seconds: How long the run took.
        not_started: How many companies had not begun when the run ended early.
        undelivered: How many keys are still in the spool.
        problem: The error that ended the run early or kept the spool from being emptied; None
            otherwise.
    """

    outcomes: tuple[CompanyOutcome, ...]
    seconds: float
    not_started: int = 0
    undelivered: int = 0
    problem: InvoiceXpressError | None = None

    @property
    def counts(self) -> Mapping[CompanyState, int]:
        """How many companies ended in each state, 0 included."""
        counter = Counter(outcome.state for outcome in self.outcomes)
        return MappingProxyType({state: counter[state] for state in CompanyState})

    @property
    def is_complete(self) -> bool:
        """Whether every company can invoice."""
        is_whole = not self.not_started and self.problem is None
        return is_whole and self.counts[CompanyState.DONE] == len(self.outcomes)

    def raise_for_failures(self) -> None:
        """Raise the errors of the companies, if any.

        Raises:
            ExceptionGroup: one error for each company that is not done, and the error of the run.
        """
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if self.problem is not None:
            raise ExceptionGroup("The run ended early", [self.problem, *errors])
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self.outcomes)} companies failed", errors)
