"""The state of one company during a run, and the state in which it ended."""

from typing import Self

import attrs

from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    ServerError,
    StatusError,
)
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.onboarding.companies_table import CompanyRecord
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.credential_history import CredentialHistory
from invoicexpress_async.onboarding.errors import (
    CredentialsUnknownError,
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
)
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.onboarding.sinks import name_of
from invoicexpress_async.onboarding.spool import SpoolError
from invoicexpress_async.provisioning.task import RowTask


@attrs.define(kw_only=True, eq=False)
class CompanyTask:
    """The state of one company during a run.

    Attributes:
        record: The journal's record of the company.
        intent: The intent for its series that an earlier run left unresolved.
        row_task: The task of its series, once this run has reached it.
        account: The account with its key, once this run has it.
        at_sends: How many sends of AT credentials were cut off, including the one in flight.
        known_credentials: `at_sends` and the history, as last read from or written to the journal.
        history: The history of the AT credentials that were sent.
        is_after_5xx: Whether the last send of AT credentials got a 5xx.
        has_renewed: Whether this run has sent refused credentials again, for `retry_refused`.
        is_delivered: Whether this run has delivered the key to the sink.
        has_begun: Whether the company has had a turn in this run.
        tries: How many turns have failed.
        has_sent_request: Whether this turn has sent a request.
        spool_problem: The error that kept the key out of the spool; None without one.
        was_cut_off: Whether the last turn was ended by a stop.
        is_of_another: Whether another run that shares the journal holds the claim on the account.
    """

    company: Company
    record: CompanyRecord
    step: CompanyStep = CompanyStep.ACCOUNT
    intent: Intent | None = None
    row_task: RowTask | None = None
    account: CreatedAccount | None = None
    at_sends: int = 0
    known_credentials: tuple[int, str | None] = (0, None)
    history: CredentialHistory = attrs.field(factory=CredentialHistory)
    is_after_5xx: bool = False
    has_renewed: bool = False
    sequence: Sequence | None = None
    is_delivered: bool = False
    has_begun: bool = False
    tries: int = 0
    has_sent_request: bool = False
    spool_problem: SpoolError | None = None
    was_cut_off: bool = False
    is_of_another: bool = False
    last: CompanyOutcome | None = None

    @classmethod
    def of_record(cls, company: Company, record: CompanyRecord) -> Self:
        """Return the task of a company that continues from its record."""
        is_at, is_at_series = (record.step is step for step in (CompanyStep.AT, CompanyStep.SERIES))
        return cls(
            company=company,
            record=record,
            step=record.step,
            intent=record.intent if is_at_series else None,
            at_sends=record.at_sends,
            known_credentials=record.known_credentials,
            history=record.history,
            is_after_5xx=is_at and record.error == ServerError.__name__,
        )

    @property
    def unresolved_intent(self) -> Intent | None:
        """The intent for its series whose outcome is still unknown after the turns so far."""
        if self.row_task is None:
            return self.intent
        return self.row_task.intent or self.row_task.superseded_intent

    @property
    def account_id(self) -> str | None:
        """The account's id for the partner; None when it is not known."""
        return (self.account and self.account.id) or self.record.account_id

    @property
    def account_name(self) -> str | None:
        """The account's name; None when it is not known."""
        return name_of(self.account) or None if self.account else self.record.account_name


def known_account(company: Company) -> CreatedAccount | None:
    """Return the account that a person has found for a company, or None."""
    known = company.known
    if known is None:
        return None
    return CreatedAccount(id=known.id or "", url=url_of(known.name), api_key=known.api_key)


def url_of(name: str) -> str:
    """Return the url of an account by its name."""
    return f"https://{name}.app.invoicexpress.com"


def state_of(error: InvoiceXpressError | None, intent: Intent | None) -> CompanyState:
    """Return the state of a company from its turn's error and its unresolved intent."""
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
