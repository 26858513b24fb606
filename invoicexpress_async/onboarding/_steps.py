"""The steps of one company, each once, each on the disk before the next."""

import asyncio
import functools
import os
from collections.abc import Callable, Collection

import attrs

from invoicexpress_async.account_credentials import AtCredentials
from invoicexpress_async.account_errors import RepeatedCredentialsError
from invoicexpress_async.account_models import CreatedAccount
from invoicexpress_async.account_session import AccountSession
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    TaxAuthorityCredentialsError,
    UnprocessableError,
)
from invoicexpress_async.models import Intent, Registration
from invoicexpress_async.onboarding._company_log import CompanyLog, mark
from invoicexpress_async.onboarding._traveller import Traveller, known_account, url_of
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import (
    CredentialsUnknownError,
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
    NotVerifiedError,
    SinkError,
)
from invoicexpress_async.onboarding.report import CompanyStep
from invoicexpress_async.onboarding.sinks import SecretSink
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.provisioning.key import AccountKeys, KeyUnavailableError
from invoicexpress_async.session import SessionManager

# The tax authority locks a sub-user after repeated wrong passwords; how many is not known.
_MOST_BLIND_SENDS = 2
_REGISTERED = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})


@attrs.frozen(kw_only=True)
class Steps:
    """Takes companies through their steps.

    Attributes:
        manager: For the new accounts, under their own keys and limits.
        partner: Who creates the accounts, under its own.
        log: The journal's part of it.
        spool: Where new keys are until they are delivered.
        spooled: What an earlier run left there, by fiscal number.
        sink: Where they go.
        keys: Where they can be had again.
        forget: The fiscal numbers of which a person has seen that no account exists.
        retry_refused: Whether to try again what was refused.
        on_step: Told of each step reached.
    """

    manager: SessionManager
    partner: AccountSession
    log: CompanyLog
    spool: KeySpool
    spooled: dict[str, CreatedAccount]
    sink: SecretSink
    keys: AccountKeys | None
    forget: Collection[str]
    retry_refused: bool
    on_step: Callable[[Company, CompanyStep], None]

    async def take(self, on: Traveller) -> None:
        """Go as far as it goes.

        Raises:
            InvoiceXpressError: what stopped it, at the step it is at then.
        """
        walk = {
            CompanyStep.ACCOUNT: self._create,
            CompanyStep.KEY: self._deliver,
            CompanyStep.AT: self._configure,
            CompanyStep.SERIES: self._ensure,
            CompanyStep.VERIFY: self._verify,
        }
        await self._look_back(on)
        while on.step is not CompanyStep.END:
            await walk[on.step](on)

    async def _look_back(self, on: Traveller) -> None:
        """Go back to the AT step when the series was refused for what is corrected since."""
        record, credentials = on.record, on.company.at
        if on.tries or credentials is None or not record.lacks_credentials:
            return
        if not await asyncio.to_thread(record.has_refused, credentials):
            on.step = CompanyStep.AT
        elif not self.retry_refused:
            raise _repeated(credentials)

    async def _reach(self, on: Traveller, step: CompanyStep, **columns: str | int | None) -> None:
        await self.log.reach(on.company, step, **columns)
        on.step = step
        self.on_step(on.company, step)

    async def _create(self, on: Traveller) -> None:
        company = on.company
        on.account = on.account or known_account(company) or self.spooled.get(company.fiscal_id)
        if on.account is None:
            self._check_may_send(on)
            accounts = self.partner.accounts
            create = (
                accounts.create_for_existing_user if company.has_existing_user else accounts.create
            )
            on.has_asked = True
            await create(
                company.account,
                on_intent=functools.partial(self._intend_create, company),
                on_created=functools.partial(self._keep, on),
            )
        if on.account is None:
            raise KeyLostError(f"Account of {company.fiscal_id}: its key could not be kept.")
        told = {"account_id": on.account_id, "account_name": on.account_name}
        await self._reach(on, CompanyStep.KEY, **told)

    async def _intend_create(self, company: Company, intent: Intent) -> None:
        self.spool.check()  # it may have failed since, and without it a new key is not safe
        await self.log.intend(company, intent)

    def _check_may_send(self, on: Traveller) -> None:
        intent, company = on.record.intent, on.company
        if intent is None or on.tries:
            return
        if company.fiscal_id in self.forget:
            self.partner.accounts.forget(intent)
        else:
            raise OutcomeUnknownError(
                f"The create of the account for {company.fiscal_id} was sent by an earlier run, "
                "and its answer, with the key, was lost.",
                intent=intent,
            )

    def _keep(self, on: Traveller, account: CreatedAccount) -> None:
        """Put the key on the disk the moment it is read; without one it is still delivered."""
        on.account = account
        try:
            self.spool.write(on.company.fiscal_id, account)
        except SpoolError as error:
            on.spool_problem = error

    async def _deliver(self, on: Traveller) -> None:
        account = self._account(on)
        failure = None
        try:
            await self.sink(on.company, account)
        except InvoiceXpressError:
            raise
        except Exception as error:  # noqa: BLE001  # the user's own, of any class
            failure = type(error).__name__
            if isinstance(error, OSError) and error.errno:
                failure = f"{failure}, {os.strerror(error.errno)}"
        if failure is not None:
            # Its text and its frames may hold the key.
            raise SinkError(f"The key of account {account.id} was not delivered: {failure}.")
        await self._reach(on, CompanyStep.AT)
        on.is_delivered = True
        if on.spool_problem is not None:
            problem, on.spool_problem = on.spool_problem, None
            raise problem

    def _account(self, on: Traveller) -> CreatedAccount:
        account = on.account or known_account(on.company) or self.spooled.get(on.company.fiscal_id)
        if account is None:
            raise KeyLostError(
                f"Account {on.record.account_name} of {on.company.fiscal_id} was created, and its "
                "key is neither delivered nor in the spool."
            )
        on.account = account
        return account

    async def _own(self, on: Traveller) -> AccountSession:
        """Return the handle of the new account itself."""
        account = on.account or known_account(on.company) or self.spooled.get(on.company.fiscal_id)
        on.account = account
        name = on.account_name
        if name is None:
            raise NameUnknownError(
                f"The url of the new account of {on.company.fiscal_id} led elsewhere than to the "
                "provider."
            )
        if account is None:
            key = Secret(await self._asked(name))
            account = CreatedAccount(id=on.record.account_id or "", url=url_of(name), api_key=key)
        on.account = account
        return self.manager.account(name, account.api_key.reveal())

    async def _asked(self, name: str) -> str:
        if self.keys is None:
            raise KeyNeededError(f"The key of account {name} was delivered by an earlier run.")
        try:
            return await self.keys(name)
        except InvoiceXpressError:
            raise
        except Exception as error:  # noqa: BLE001  # a vault's own, of any class
            failure = type(error).__name__
        raise KeyUnavailableError(f"The key of account {name} could not be had: {failure}.")

    async def _configure(self, on: Traveller) -> None:
        own, credentials = await self._own(on), on.company.at
        if credentials is None or await self._is_configured(on):
            await self._reach(on, CompanyStep.SERIES, at_sends=0, at_mark=None)
            return
        if not self.retry_refused:
            if await asyncio.to_thread(on.record.has_refused, credentials):
                raise _repeated(credentials)
            if on.at_sends >= _MOST_BLIND_SENDS:
                raise CredentialsUnknownError(
                    f"The AT credentials of {credentials.subuser} were sent {on.at_sends} times, "
                    "and no answer came."
                )
        on.at_sends += 1
        await self.log.intend_credentials(on.company, on.at_sends)
        on.has_asked = True
        try:
            await own.accounts.configure_at_communication(
                credentials, resend_refused=self.retry_refused
            )
        except InvoiceXpressError as error:
            failure = error
        else:
            await self._reach(on, CompanyStep.SERIES, at_sends=0, at_mark=None)
            return
        await self._note_refusal(on, failure)
        raise failure

    async def _note_refusal(self, on: Traveller, failure: InvoiceXpressError) -> None:
        if not failure.may_have_been_processed:
            on.at_sends = 0
            at_mark = on.record.at_mark
            if isinstance(failure, UnprocessableError) and on.company.at is not None:
                at_mark = await asyncio.to_thread(mark, on.company.at)
            await self.log.reach(on.company, CompanyStep.AT, at_sends=0, at_mark=at_mark)

    async def _is_configured(self, on: Traveller) -> bool:
        """Look, after a send whose outcome is not known, whether it took effect."""
        if not on.at_sends or not on.account_id:
            return False
        on.has_asked = True
        return bool((await self.partner.accounts.get(on.account_id)).at_configured)

    async def _ensure(self, on: Traveller) -> None:
        sequences = (await self._own(on)).sequences
        on.has_asked = True
        if on.intent is not None:
            await sequences.resume(on.intent)
            on.intent = None
        keep = functools.partial(self.log.intend, on.company)
        try:
            ensured = await sequences.ensure(on.company.serie, default=True, on_intent=keep)
        except TaxAuthorityCredentialsError:
            await self._note_lack(on)
            raise
        on.sequence = ensured.sequence
        await self._reach(on, CompanyStep.VERIFY)

    async def _note_lack(self, on: Traveller) -> None:
        """Keep with which credentials the tax authority would not register a sequence."""
        credentials = on.company.at
        at_mark = None if credentials is None else await asyncio.to_thread(mark, credentials)
        await self.log.reach(on.company, CompanyStep.SERIES, at_mark=at_mark)

    async def _verify(self, on: Traveller) -> None:
        sequences = (await self._own(on)).sequences
        on.has_asked = True
        found = await sequences.find(on.company.serie)
        on.sequence = found or on.sequence
        if found is None or not found.is_default or found.registration not in _REGISTERED:
            raise NotVerifiedError(
                f"Sequence {on.company.serie!r} is not shown as registered and default yet."
            )
        await self._reach(on, CompanyStep.END)


def _repeated(credentials: AtCredentials) -> RepeatedCredentialsError:
    return RepeatedCredentialsError(
        f"The AT credentials of {credentials.subuser} were refused already."
    )
