"""The outcomes of the companies."""

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
    """How far a company is: the step that is the next, or that it stands at."""

    ACCOUNT = "account"
    """Its account is to be created."""
    KEY = "key"
    """The account exists; its key must be delivered."""
    AT = "at"
    """The key is delivered; the tax-authority credentials are to be set."""
    SERIES = "series"
    """The credentials are set; the first sequence is to be ensured."""
    VERIFY = "verify"
    """The sequence exists; a last read must show it as registered and default."""
    END = "end"
    """All is done and was seen."""


class CompanyState(StrEnum):
    """How a company ended, at its step."""

    DONE = JournalState.DONE
    """It can invoice."""
    UNKNOWN = JournalState.UNKNOWN
    """Something was sent that must not be sent twice, and its outcome is unknown. At
    ACCOUNT: the account may exist, and its key was in the lost response only."""
    KEY_LOST = JournalState.KEY_LOST
    """The account exists, and the one response with its key could not be used."""
    REFUSED = JournalState.REFUSED
    """The server, or the client before it, said no: something must be changed first."""
    FAILED = JournalState.FAILED
    """It failed without leaving an outcome unknown: run it again."""


@attrs.frozen(kw_only=True)
class CompanyOutcome(ErrorDetails):
    """How one company ended.

    Attributes:
        company: The company.
        step: Where it stands.
        state: How it ended there.
        account_name: Of its account, once known.
        account_id: Of its account for the partner, once known.
        sequence: As last read; None when there is none.
        error: What stopped it, without its traceback; None when it is done.
        intent: The unresolved intent, with the fields to search for; None without one.
        is_recorded: Whether it is an earlier run's, from the journal: nothing was sent or read.
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
    """How all companies ended.

    Attributes:
        outcomes: In the order of the input.
        seconds: How long the run took.
        not_started: How many had not begun when the run ended early.
        undelivered: How many keys are still in the spool.
        problem: What ended the run early; None otherwise.
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
        """Raise what the companies raised, when any did.

        Raises:
            ExceptionGroup: of one error for each company that is not done, and the run's own.
        """
        errors = [outcome.error for outcome in self.outcomes if outcome.error is not None]
        if self.problem is not None:
            raise ExceptionGroup("The run ended early", [self.problem, *errors])
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self.outcomes)} companies failed", errors)
