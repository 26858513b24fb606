"""The AT step: set the AT credentials, sent at most three times without a known outcome."""

import asyncio
import functools
from typing import Final

import attrs

from invoicexpress_async.call.claims import MAX_SECONDS_BEFORE_SEND
from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    AuthenticationError,
    DeadlineExceededError,
    InvoiceXpressError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    StatusError,
    UnprocessableError,
)
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.models.account import AccountDetails
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.onboarding.companies_table import CompanyJournal
from invoicexpress_async.onboarding.credential_history import CredentialDigests
from invoicexpress_async.onboarding.errors import CredentialsUnknownError
from invoicexpress_async.onboarding.report import CompanyStep
from invoicexpress_async.onboarding.task import CompanyTask
from invoicexpress_async.protocol.decision import is_refusal
from invoicexpress_async.services.account_errors import RepeatedCredentialsError, set_cure
from invoicexpress_async.services.account_session import AccountSession

# The tax authority locks a sub-user after repeated wrong passwords; after how many is not known.
_MAX_SENDS: Final = 3
# Responses that come before the credentials are checked: a wrong key, a missing right, a trial.
_BEFORE_THE_CREDENTIALS: Final = (AuthenticationError, PermissionDeniedError)


@attrs.frozen(kw_only=True)
class AtStep:
    """Sets the AT credentials of one company.

    Attributes:
        partner: The partner's account, which can read whether credentials are set.
        retry_refused: Whether to send credentials again that were refused, or that were sent too
            often without a known outcome.
    """

    clock: Clock
    partner: AccountSession
    journal: CompanyJournal
    retry_refused: bool
    task: CompanyTask
    own: AccountSession
    key: Secret
    credentials: AtCredentials

    async def configure(self) -> None:
        """Set the credentials unless they are set. Sends them at most once.

        Sends nothing if they were refused before, or sent too often without a known outcome.
        """
        task = self.task
        digests = None if task.history.is_empty else await self._digests()
        sends = _sends(task, digests)
        seen = await self._look() if sends or _was_stopped_before(task) else None
        # These credentials are set, and not others that the account had before.
        is_set = seen is not None and seen.at_configured is True and not task.history.was_set
        if not (sends and is_set):
            if self._is_resend_requested():
                task.has_renewed, task.at_sends = True, 0
                task.history = task.history if digests is None else task.history.clear(digests)
            else:
                self._check_may_send(digests, seen)
            await self._send()
        task.at_sends = 0
        task.history = task.history if digests is None else task.history.clear(digests)

    async def _digests(self) -> CredentialDigests:
        return await asyncio.to_thread(self.task.history.digests, self.credentials, self.key)

    async def _look(self) -> AccountDetails | None:
        if not self.task.account_id:
            return None
        self.task.has_sent_request = True
        try:
            return await self.partner.accounts.get(self.task.account_id)
        except NotFoundError:
            return None  # as for an account that was not created with this partner's key

    def _is_resend_requested(self) -> bool:
        """Whether an earlier run ended with them and `retry_refused` requests another send."""
        has_ended = self.task.record.state in {JournalState.REFUSED, JournalState.UNKNOWN}
        return self.retry_refused and has_ended and not self.task.has_renewed

    def _check_may_send(
        self, digests: CredentialDigests | None, seen: AccountDetails | None
    ) -> None:
        task, subuser = self.task, self.credentials.subuser
        if digests is not None and task.history.has_refused(digests):
            raise RepeatedCredentialsError(f"The AT credentials of {subuser} were refused already.")
        if seen is not None and seen.trial and _was_stopped_before(task):
            raise _still_a_trial(task)
        sends = _sends(task, digests)
        is_known_unset = seen is not None and seen.at_configured is False
        # After a lost response, send again only if a read shows none are set; after a 5xx, anyway.
        if sends >= _MAX_SENDS or (sends and not is_known_unset and not task.is_after_5xx):
            raise _unknown(subuser, sends)

    async def _send(self) -> None:
        task, since = self.task, self.clock.uptime()
        claim = await self.journal.claim_credentials(
            task.company, self.own.name, known=task.known_credentials
        )
        try:
            task.at_sends += 1
            await self._record()
            task.has_sent_request = True
            # Every attempt must be counted on the disk before it is made, so a call makes only one.
            retry = attrs.evolve(self.own.retry, attempts=1)
            check = functools.partial(self._check_not_late, since)
            once = self.own.claiming(self.journal.claims(task.company, check), retry=retry)
            try:
                await once.accounts.configure_at_communication(
                    self.credentials, resend_refused=self.retry_refused
                )
            except InvoiceXpressError as error:
                failure = error
            else:
                return
            await self._note(failure)
            raise failure
        finally:
            self.journal.release_credentials(claim)

    def _check_not_late(self, since: float) -> None:
        if self.clock.uptime() - since > MAX_SECONDS_BEFORE_SEND:
            raise DeadlineExceededError(
                "The AT credentials were not sent: a minute had passed since they were claimed, "
                "and another run may be about to send them."
            )

    async def _record(self) -> None:
        task = self.task
        await self.journal.record_credentials(task.company, task.at_sends, task.history)
        task.known_credentials = task.at_sends, task.history.dump()

    async def _note(self, failure: InvoiceXpressError) -> None:
        """Record the outcome of this send. Only its own count is withdrawn, not earlier ones."""
        task = self.task
        task.at_sends -= 1
        task.is_after_5xx = isinstance(failure, ServerError)
        is_refused = await self._is_refusal(failure)
        sends = 0
        if is_refused or failure.may_have_been_processed:
            digests = await self._digests()
            if failure.may_have_been_processed:
                task.history = task.history.record_unanswered(digests.own)
            if is_refused:
                is_of_key = isinstance(failure, _BEFORE_THE_CREDENTIALS)
                task.history = task.history.record_refused(
                    digests.with_key if is_of_key else digests.own
                )
            sends = _sends(task, digests)
        await self._record()
        if task.is_after_5xx and sends >= _MAX_SENDS:
            raise _unknown(self.credentials.subuser, sends)

    async def _is_refusal(self, failure: InvoiceXpressError) -> bool:
        if isinstance(failure, UnprocessableError):
            return True
        if not is_refusal(failure):
            return False
        if not isinstance(failure, _BEFORE_THE_CREDENTIALS):
            return True
        # A trial is refused; once the trial has ended, the same account may set credentials.
        try:
            seen = await self._look()
        except InvoiceXpressError:
            return True
        return seen is None or not seen.trial


def _sends(task: CompanyTask, digests: CredentialDigests | None) -> int:
    """Return how many sends of the credentials have no known outcome, including those cut off."""
    return task.at_sends + (0 if digests is None else task.history.sends_of(digests))


def _was_stopped_before(task: CompanyTask) -> bool:
    """Whether an earlier run was refused before the server checked the credentials."""
    record = task.record
    is_refused = record.step is CompanyStep.AT and record.state is JournalState.REFUSED
    return is_refused and record.status in {401, 403}


def _still_a_trial(task: CompanyTask) -> StatusError:
    status = task.record.status or 0
    kind = AuthenticationError if status == 401 else PermissionDeniedError  # noqa: PLR2004  # the status of that run
    error = kind("The account is a trial still: nothing was sent again.", status=status)
    error.operation = "configure_at_communication"
    set_cure(error)
    return error


def _unknown(subuser: str, sends: int) -> CredentialsUnknownError:
    times = "once" if sends == 1 else f"{sends} times"
    return CredentialsUnknownError(
        f"The AT credentials of {subuser} were sent {times}, and no response came that settles it."
    )
