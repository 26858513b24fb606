"""Workers over one line of companies."""

import asyncio
from collections.abc import Callable
from typing import Final

import attrs

from invoicexpress_async import errors
from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import (
    AuthenticationError,
    InvoiceXpressError,
    OutcomeUnknownError,
    PermissionDeniedError,
    ServerError,
    StatusError,
    TransportError,
)
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.outage import Outage, OutageError
from invoicexpress_async.jobs.scheduler import Line
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.onboarding.errors import AccountUnknownError, CredentialsUnknownError
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.onboarding.spool import SpoolError
from invoicexpress_async.onboarding.steps import Steps
from invoicexpress_async.onboarding.task import Traveller, state_of
from invoicexpress_async.provisioning.reschedule import Waiting, is_transient

_TRY_AGAIN_AFTER_SECONDS: Final = (2.0, 8.0)
_LONGEST_RETRY_AFTER_SECONDS: Final = 120.0  # as inside a call
# Without the one, nothing may be sent; of the other, everyone would be told the same.
_ENDS_THE_RUN: Final = (JournalError, SpoolError)
_THE_PARTNERS: Final = (AuthenticationError, PermissionDeniedError)


@attrs.define(kw_only=True, eq=False)
class Workers:
    """Gives companies their turns.

    Attributes:
        problem: What ended the run early, if something did.
    """

    line: Line[Traveller]
    steps: Steps
    waiting: Waiting
    outage: Outage
    stop: RunStop
    settings: RunSettings
    clock: Clock
    deliver: Callable[[CompanyOutcome], None]
    problem: InvoiceXpressError | None = None
    _last: dict[str, CompanyOutcome] = attrs.field(factory=dict[str, CompanyOutcome], init=False)

    async def run(self, count: int) -> None:
        """Work until the line is empty or a stop is asked for."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._work())
        finally:
            left = await self.line.close()
        for traveller in left:
            if outcome := self._last.get(traveller.company.fiscal_id):
                self.deliver(outcome)

    async def _work(self) -> None:
        while (traveller := await self.line.take()) is not None:
            try:
                outcome = recorded(traveller, retry_refused=self.settings.retry_refused)
                outcome = outcome or await self._turn(traveller)
                if outcome is not None:
                    self.deliver(outcome)
            finally:
                self.line.leave()

    async def _turn(self, on: Traveller) -> CompanyOutcome | None:
        failure: InvoiceXpressError | None = None
        on.has_asked = False
        if on.ticket is not None:
            on.ticket.last = None
        try:
            async with self.stop.row():
                await self.steps.take(on)
        except InvoiceXpressError as error:
            failure = error.with_traceback(None)
        on.has_begun = True
        outcome = self._outcome(on, failure)
        self._judge(outcome, on)
        due = None if isinstance(failure, RowCutOffError) else self._due(on, outcome)
        await self._keep(outcome, on)
        if due is None or not self.line.has_time_until(due):
            return outcome
        self._last[on.company.fiscal_id] = outcome
        self.line.park(on, due)
        return None

    def _due(self, on: Traveller, outcome: CompanyOutcome) -> float | None:
        """Return when its next turn is, on the clock; None when this outcome is the last."""
        ticket = on.ticket
        if ticket is not None and ticket.last is not None and ticket.intent is not None:
            is_in_vain = ticket.read_failure is not None and not is_transient(ticket.read_failure)
            return None if is_in_vain else self.waiting.due(ticket, ticket.last)
        if outcome.state is not CompanyState.FAILED or on.tries >= len(_TRY_AGAIN_AFTER_SECONDS):
            return None
        wait = _TRY_AGAIN_AFTER_SECONDS[on.tries]
        asked = (
            outcome.error.retry_after_seconds if isinstance(outcome.error, StatusError) else None
        )
        if asked is not None and asked > _LONGEST_RETRY_AFTER_SECONDS:
            return None
        # The AT step counts its own sends, on the disk.
        is_counted = outcome.step is CompanyStep.AT and isinstance(outcome.error, ServerError)
        on.tries += not (self.outage.is_on or is_counted)
        return self.clock.now() + max(wait, asked or 0.0)

    def _outcome(self, on: Traveller, failure: InvoiceXpressError | None) -> CompanyOutcome:
        intent = self._doubt(on, failure)
        if intent is not None and isinstance(failure, RowCutOffError):
            text = "Sent once; the run was stopped before its outcome was known."
            failure = OutcomeUnknownError(text, intent=intent)
        if isinstance(failure, OutcomeUnknownError) and on.step is CompanyStep.ACCOUNT:
            failure = AccountUnknownError(str(failure.args[0]), intent=failure.intent)
        # One whose create was answered is never created again, whatever else became of it.
        is_created = on.step is CompanyStep.ACCOUNT and on.account is not None
        return CompanyOutcome(
            company=on.company,
            step=CompanyStep.KEY if is_created else on.step,
            state=state_of(failure, intent),
            account_name=on.account_name,
            account_id=on.account_id,
            sequence=on.sequence,
            error=failure,
            intent=intent,
        )

    def _doubt(self, on: Traveller, failure: InvoiceXpressError | None) -> Intent | None:
        if isinstance(failure, OutcomeUnknownError):
            return failure.intent
        if failure is None or on.step not in {CompanyStep.ACCOUNT, CompanyStep.SERIES}:
            return None
        for intent in self.steps.manager.unresolved():
            is_create = intent["operation"] == "create_account"
            if is_create is not (on.step is CompanyStep.ACCOUNT):
                continue  # a create may be in doubt still whose account a person has found
            is_of = (intent.get("fiscal_id"), intent["account"])
            if is_of[0] == on.company.fiscal_id if is_create else is_of[1] == on.account_name:
                return intent
        # A turn that did not come to read for it has found nothing out.
        return on.doubt if on.step is CompanyStep.SERIES else None

    def _judge(self, outcome: CompanyOutcome, on: Traveller) -> None:
        error = outcome.error
        if isinstance(error, _ENDS_THE_RUN) or self._is_the_partners(outcome):
            self._end(error or InvoiceXpressError())
        elif not on.has_asked or _says_nothing(on, error):
            return  # what an earlier turn or run left says nothing of the server of now
        elif isinstance(error, TransportError | ServerError | OutcomeUnknownError):
            self.outage.failed(outcome.company.fiscal_id)
            if self.outage.seconds > self.settings.outage_patience_seconds:
                self._end(OutageError(f"The server has failed for {self.outage.seconds:.0f} s."))
        else:
            self.outage.succeeded()

    def _is_the_partners(self, outcome: CompanyOutcome) -> bool:
        """Whether the partner itself was refused, and not this company's user."""
        is_create = outcome.step is CompanyStep.ACCOUNT and not outcome.company.has_existing_user
        return is_create and isinstance(outcome.error, _THE_PARTNERS)

    def _end(self, problem: InvoiceXpressError) -> None:
        self.problem = self.problem or problem
        self.stop.request()
        self.line.end()

    async def _keep(self, outcome: CompanyOutcome, on: Traveller) -> None:
        if isinstance(outcome.error, JournalError):
            return  # what stands there is older than what is known, and never newer
        try:
            await self.steps.log.end(outcome, **_account_of(on), **_absence_of(on))
        except JournalError as error:
            self._end(error.with_traceback(None))


def recorded(on: Traveller, *, retry_refused: bool) -> CompanyOutcome | None:
    """Return the outcome of a company that the journal has settled, or None when it has a turn."""
    record = on.record
    if on.has_begun:
        return None
    if record.step is CompanyStep.END:
        return _recorded(on, CompanyState.DONE, None)
    is_refused = record.state == CompanyState.REFUSED and record.step is not CompanyStep.AT
    is_cured = record.error in _CURED_BY_INPUT or (
        record.lacks_credentials and on.company.at is not None
    )
    if is_refused and not retry_refused and not is_cured:
        return _recorded(on, CompanyState.REFUSED, _refusal(on))
    return None


def _says_nothing(on: Traveller, error: InvoiceXpressError | None) -> bool:
    if isinstance(error, OutcomeUnknownError) and on.ticket is not None:
        # A list that does not show what was sent earlier is no failure, and no proof of health.
        return on.ticket.is_old_doubt and on.ticket.read_failure is None
    return isinstance(error, CredentialsUnknownError)


# These say that something was missing from the input, which may be there now.
_CURED_BY_INPUT: Final = frozenset({"KeyNeededError", "NameUnknownError", "ConfigurationError"})


def _recorded(
    on: Traveller, state: CompanyState, error: InvoiceXpressError | None
) -> CompanyOutcome:
    return CompanyOutcome(
        company=on.company,
        step=on.record.step,
        state=state,
        account_name=on.record.account_name,
        account_id=on.record.account_id,
        error=error,
        is_recorded=True,
    )


def _refusal(on: Traveller) -> InvoiceXpressError:
    text = "An earlier run was refused this, and it is not tried again unless you say so."
    kind = getattr(errors, on.record.error or "", InvoiceXpressError)
    if isinstance(kind, type) and issubclass(kind, StatusError):
        return kind(text, status=on.record.status or 0, code=on.record.code)
    if isinstance(kind, type) and issubclass(kind, InvoiceXpressError):
        return kind(text)
    return InvoiceXpressError(text)


def _account_of(on: Traveller) -> dict[str, str | None]:
    if on.account is None:
        return {}
    return {"account_id": on.account_id, "account_name": on.account_name}


def _absence_of(on: Traveller) -> dict[str, str | None]:
    if on.ticket is None:
        return {}
    since = on.ticket.absent_since
    return {"absent_since": None if since is None else since.dump()}
