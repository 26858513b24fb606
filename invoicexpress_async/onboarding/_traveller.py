"""A company on its way, and how its way ends."""

import attrs

from invoicexpress_async.account_models import CreatedAccount
from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    StatusError,
)
from invoicexpress_async.models import Intent, Sequence
from invoicexpress_async.onboarding._company_log import CompanyRecord
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import (
    CredentialsUnknownError,
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
)
from invoicexpress_async.onboarding.report import CompanyState, CompanyStep
from invoicexpress_async.onboarding.sinks import name_of
from invoicexpress_async.onboarding.spool import SpoolError


@attrs.define(kw_only=True, eq=False)
class Traveller:
    """A company on its way.

    Attributes:
        company: The company.
        record: What the journal said of it.
        step: Where it is.
        intent: Of the send for its series that an earlier run left in doubt.
        account: Its account with its key, once this run has it.
        at_sends: How many times its AT credentials were sent and the outcome is not known.
        sequence: As last read.
        is_delivered: Whether its key has come to the sink.
        tries: How many turns of it came to nothing.
        has_asked: Whether this turn has asked the server for anything.
        spool_problem: Why the spool does not have its key.
    """

    company: Company
    record: CompanyRecord
    step: CompanyStep = CompanyStep.ACCOUNT
    intent: Intent | None = None
    account: CreatedAccount | None = None
    at_sends: int = 0
    sequence: Sequence | None = None
    is_delivered: bool = False
    tries: int = 0
    has_asked: bool = False
    spool_problem: SpoolError | None = None

    @property
    def account_id(self) -> str | None:
        """The id of its account for the partner; None when it is not known."""
        return (self.account and self.account.id) or self.record.account_id

    @property
    def account_name(self) -> str | None:
        """The name of its account; None when it is not known."""
        return name_of(self.account) or None if self.account else self.record.account_name


def known_account(company: Company) -> CreatedAccount | None:
    """Return the account that a person has found for a company, if one has."""
    known = company.known
    if known is None:
        return None
    return CreatedAccount(id=known.id or "", url=url_of(known.name), api_key=known.api_key)


def url_of(name: str) -> str:
    """Return the url of an account by its name."""
    return f"https://{name}.app.invoicexpress.com"


def state_of(error: InvoiceXpressError | None, intent: Intent | None) -> CompanyState:
    """Return how a company ended that was stopped by `error`, `intent` being in doubt."""
    if error is None:
        return CompanyState.DONE
    if intent is not None or isinstance(error, OutcomeUnknownError | CredentialsUnknownError):
        return CompanyState.UNKNOWN
    if isinstance(error, KeyLostError):
        return CompanyState.KEY_LOST
    if isinstance(error, StatusError):
        return CompanyState.FAILED if error.is_transient else CompanyState.REFUSED
    is_final = isinstance(
        error, ValueError | PartialRegistrationError | KeyNeededError | NameUnknownError
    )
    return CompanyState.REFUSED if is_final else CompanyState.FAILED
