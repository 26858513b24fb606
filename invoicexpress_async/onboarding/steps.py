"""The steps of one company, each once, each on the disk before the next."""

import asyncio
import functools
import os
from collections.abc import Callable, Collection

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    ConfigurationError,
    InvoiceXpressError,
    OutcomeUnknownError,
    TaxAuthorityCredentialsError,
)
from invoicexpress_async.jobs.keys import AccountKeys, KeyUnavailableError
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Registration
from invoicexpress_async.onboarding.at_step import AtStep
from invoicexpress_async.onboarding.companies_table import CompanyLog
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import (
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
    NotVerifiedError,
    SinkError,
)
from invoicexpress_async.onboarding.report import CompanyState, CompanyStep
from invoicexpress_async.onboarding.series_step import SeriesStep
from invoicexpress_async.onboarding.sinks import SecretSink
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.onboarding.task import Traveller, known_account, url_of
from invoicexpress_async.services.account_errors import RepeatedCredentialsError
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.session import SessionManager

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
        at: The AT step.
        series: The series step.
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
    at: AtStep
    series: SeriesStep
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
        _check_known(on)
        await self._look_back(on)
        while on.step is not CompanyStep.END:
            await walk[on.step](on)

    async def _look_back(self, on: Traveller) -> None:
        """Go back to the AT step when the series was refused for what is corrected since."""
        credentials = on.company.at
        if on.has_begun or credentials is None or not on.record.lacks_credentials:
            return
        marks = await asyncio.to_thread(on.book.marks, credentials)
        if not on.book.has_refused(marks):
            on.step = CompanyStep.AT
        elif not self.retry_refused:
            raise RepeatedCredentialsError(
                f"The AT credentials of {credentials.subuser} were refused already."
            )

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
        if intent is None or on.has_begun:
            return
        # Of a send that nobody was told of, nobody can have seen that it made no account.
        if company.fiscal_id in self.forget and on.record.state == CompanyState.UNKNOWN:
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
            is_missing = account is not None and not account.url
            what = "was missing" if is_missing else "led elsewhere than to the provider"
            raise NameUnknownError(
                f"The name of the new account of {on.company.fiscal_id} is not known: the url in "
                f"the answer that had its key {what}."
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
        if credentials is not None:
            await self.at.configure(on, own, credentials, self._account(on).api_key)
        told = {"at_sends": on.at_sends, "at_mark": on.book.dump()}
        await self._reach(on, CompanyStep.SERIES, **told)

    async def _ensure(self, on: Traveller) -> None:
        own = await self._own(on)
        on.has_asked = True
        outcome = await self.series.ensure(on, own.name, self._account(on).api_key)
        on.sequence = outcome.sequence or on.sequence
        if isinstance(outcome.error, TaxAuthorityCredentialsError):
            await self._note_lack(on)
        if outcome.error is not None:
            raise outcome.error
        await self._reach(on, CompanyStep.VERIFY)

    async def _note_lack(self, on: Traveller) -> None:
        """Keep with which credentials the tax authority would not register a sequence."""
        if on.company.at is not None:
            marks = await asyncio.to_thread(on.book.marks, on.company.at)
            on.book = on.book.lack(marks.own)
        await self.log.reach(on.company, CompanyStep.SERIES, at_mark=on.book.dump())

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


def _check_known(on: Traveller) -> None:
    known, name = on.company.known, on.record.account_name
    if known is not None and name is not None and known.name != name:
        raise ConfigurationError(
            f"The input says that the account of {on.company.fiscal_id} is {known.name}, and the "
            f"journal has {name}: its tax-authority credentials would go to another's account."
        )
