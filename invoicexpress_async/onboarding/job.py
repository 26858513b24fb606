"""The job whose items are companies."""

from typing import Final

import attrs

from invoicexpress_async.errors import (
    AuthenticationError,
    InvoiceXpressError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ServerError,
    StatusError,
    TransportError,
    UntrustedConnectionError,
)
from invoicexpress_async.jobs.engine import Verdict
from invoicexpress_async.jobs.journal import Commit, JournalError, JournalState, Value
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding.errors import (
    AccountUnknownError,
    CredentialsBusyError,
    CredentialsUnknownError,
    SeriesWaitingError,
)
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.onboarding.spool import SpoolError
from invoicexpress_async.onboarding.steps import OnboardingSteps
from invoicexpress_async.onboarding.task import CompanyTask, state_of
from invoicexpress_async.provisioning.task import (
    RETRY_AFTER_SECONDS,
    ReschedulePolicy,
    is_transient,
)

_MAX_RETRY_AFTER_SECONDS: Final = 120.0  # as inside a call
# How often a company whose first serie is left to workers is checked.
_WORKERS_SECONDS: Final = 5.0
# Without the journal and the spool nothing may be sent; an untrusted server fails every company.
_ENDS_RUN: Final = (JournalError, SpoolError, UntrustedConnectionError)
_OF_THE_PARTNER: Final = (AuthenticationError, PermissionDeniedError)


@attrs.frozen(kw_only=True)
class CompanyJob:
    """The engine's `Job` for companies."""

    steps: OnboardingSteps
    policy: ReschedulePolicy
    settings: RunSettings
    stop: RunStop

    def recorded(self, item: CompanyTask) -> CompanyOutcome | None:
        """Return the outcome of a company that the journal has settled, or None."""
        return _recorded_outcome(item, retry_refused=self.settings.retry_refused)

    async def turn(self, item: CompanyTask) -> CompanyOutcome:
        """Take a company through its steps as far as possible."""
        failure: InvoiceXpressError | None = None
        item.has_sent_request = False
        if item.row_task is not None:
            item.row_task.last = None
        try:
            async with self.stop.row():
                await self.steps.advance(item)
        except InvoiceXpressError as error:
            failure = error.with_traceback(None)
        item.has_begun = True
        item.last = self._outcome(item, failure)
        return item.last

    def failure(self, item: CompanyTask, outcome: CompanyOutcome) -> InvoiceXpressError | None:
        """Return an error of the journal, the spool or the partner: every company would fail."""
        error = outcome.error
        ends_run = isinstance(error, _ENDS_RUN) or _is_the_partners(item, error)
        return error if ends_run else None

    def verdict(self, item: CompanyTask, outcome: CompanyOutcome) -> Verdict:
        """Return what an outcome shows about the server as a whole."""
        error = outcome.error
        if not item.has_sent_request or _says_nothing(item, error):
            # The error of an earlier turn or run says nothing about the server now.
            return Verdict.NOTHING
        if isinstance(error, TransportError | ServerError | OutcomeUnknownError):
            return Verdict.FAILS
        return Verdict.WORKS

    def account_of(self, item: CompanyTask) -> str:
        """Return the fiscal number of a company: it has no account yet."""
        return item.company.fiscal_id

    def due(self, item: CompanyTask, outcome: CompanyOutcome) -> float | None:
        """Return when the next turn is, on the clock; None when this outcome is the last."""
        row = item.row_task
        if item.was_cut_off:
            return None
        if isinstance(outcome.error, SeriesWaitingError):
            return self.policy.clock.now() + _WORKERS_SECONDS
        if row is not None and row.last is not None and row.intent is not None:
            is_in_vain = row.read_failure is not None and not is_transient(row.read_failure)
            return None if is_in_vain else self.policy.next_turn_at(row, row.last)
        if outcome.state is not CompanyState.FAILED or item.tries >= len(RETRY_AFTER_SECONDS):
            return None
        wait = RETRY_AFTER_SECONDS[item.tries]
        error = outcome.error
        requested = error.retry_after_seconds if isinstance(error, StatusError) else None
        if requested is not None and requested > _MAX_RETRY_AFTER_SECONDS:
            return None
        # The AT step counts its own sends, in the journal.
        is_counted = outcome.step is CompanyStep.AT and isinstance(error, ServerError)
        item.tries += not (self.policy.breaker.is_open or is_counted)
        return self.policy.clock.now() + max(wait, requested or 0.0)

    def record(self, item: CompanyTask, outcome: CompanyOutcome) -> Commit | None:
        """Write how the company's turn ended; None when there is nothing to write."""
        if isinstance(outcome.error, JournalError):
            return None  # the journal has an older outcome; the next run continues from it
        if isinstance(outcome.error, SeriesWaitingError):
            return None  # the state is in the row
        if item.is_of_another or isinstance(outcome.error, CredentialsBusyError):
            return None  # the other run writes it
        columns: dict[str, Value] = {}
        if item.account is not None:
            columns = {"account_id": item.account_id, "account_name": item.account_name}
        if item.row_task is not None:
            since = item.row_task.absent_since
            columns["absent_since"] = None if since is None else since.dump()
        return self.steps.journal.record_outcome(outcome, item.step, **columns)

    def last(self, item: CompanyTask) -> CompanyOutcome | None:
        """Return how the company's last turn ended."""
        return item.last

    def _outcome(self, item: CompanyTask, failure: InvoiceXpressError | None) -> CompanyOutcome:
        intent = self._unresolved(item, failure)
        item.was_cut_off = isinstance(failure, RowCutOffError)
        if intent is not None and item.was_cut_off:
            text = "Sent once; the run was stopped before its outcome was known."
            failure = OutcomeUnknownError(text, intent=intent)
        if isinstance(failure, OutcomeUnknownError) and item.step is CompanyStep.ACCOUNT:
            failure = AccountUnknownError(str(failure.args[0]), intent=failure.intent)
        # A company whose create got a response is never created again, whatever happened later.
        is_created = item.step is CompanyStep.ACCOUNT and item.account is not None
        state = state_of(failure, intent)
        if state is CompanyState.REFUSED and _is_the_partners(item, failure):
            state = CompanyState.FAILED  # not of this company: the next run goes on with it
        return CompanyOutcome(
            company=item.company,
            step=CompanyStep.KEY if is_created else item.step,
            state=state,
            account_name=item.account_name,
            account_id=item.account_id,
            sequence=item.sequence,
            error=failure,
            intent=intent,
        )

    def _unresolved(self, item: CompanyTask, failure: InvoiceXpressError | None) -> Intent | None:
        """Return the intent whose outcome is unknown after a turn, or None."""
        if isinstance(failure, OutcomeUnknownError):
            return failure.intent
        if failure is None or item.step not in {CompanyStep.ACCOUNT, CompanyStep.SERIES}:
            return None
        for intent in self.steps.manager.unresolved():
            is_create = intent["operation"] == "create_account"
            if is_create is not (item.step is CompanyStep.ACCOUNT):
                continue  # the account of an unknown create may have been found by a person
            number, account = intent.get("fiscal_id"), intent["account"]
            if number == item.company.fiscal_id if is_create else account == item.account_name:
                return intent
        # A turn that ended before its read has learned nothing.
        return item.unresolved_intent if item.step is CompanyStep.SERIES else None


def _recorded_outcome(task: CompanyTask, *, retry_refused: bool) -> CompanyOutcome | None:
    """Return the outcome of a company that the journal has settled, or None when it has a turn."""
    record = task.record
    if task.has_begun:
        return None
    if record.step is CompanyStep.END:
        return _recorded(task, CompanyState.DONE, None)
    is_refused = record.state is JournalState.REFUSED and record.step is not CompanyStep.AT
    is_cured = record.error in _CURED_BY_INPUT or (
        record.lacks_credentials and task.company.at is not None
    )
    if is_refused and not retry_refused and not is_cured:
        return _recorded(
            task,
            CompanyState.REFUSED,
            recorded_error(record.error, status=record.status, code=record.code),
        )
    return None


def _is_the_partners(task: CompanyTask, error: InvoiceXpressError | None) -> bool:
    """Whether the partner's key or right was refused, and so every create would be."""
    is_create = task.step is CompanyStep.ACCOUNT and not task.company.has_existing_user
    return is_create and isinstance(error, _OF_THE_PARTNER)


def _says_nothing(task: CompanyTask, error: InvoiceXpressError | None) -> bool:
    if isinstance(error, OutcomeUnknownError) and task.row_task is not None:
        # A list without a sequence that was sent earlier shows neither a failure nor a success.
        return task.row_task.was_sent_before and task.row_task.read_failure is None
    return isinstance(error, CredentialsUnknownError)


# Errors of something missing in the input, which may have been added since.
_CURED_BY_INPUT: Final = frozenset({"KeyNeededError", "NameUnknownError", "ConfigurationError"})


def _recorded(
    task: CompanyTask, state: CompanyState, error: InvoiceXpressError | None
) -> CompanyOutcome:
    return CompanyOutcome(
        company=task.company,
        step=task.record.step,
        state=state,
        account_name=task.record.account_name,
        account_id=task.record.account_id,
        error=error,
        is_recorded=True,
    )
