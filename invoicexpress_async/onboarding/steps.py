"""The steps of a company: each is done once, and is on the disk before the next begins."""

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
from invoicexpress_async.jobs.claims import joined
from invoicexpress_async.jobs.journal import JournalState, Value
from invoicexpress_async.jobs.keys import AccountKeys, KeyUnavailableError
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Registration
from invoicexpress_async.onboarding.at_step import AtStep
from invoicexpress_async.onboarding.companies_table import CompanyJournal
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import (
    KeyLostError,
    KeyNeededError,
    NameUnknownError,
    NotVerifiedError,
    SinkError,
)
from invoicexpress_async.onboarding.report import CompanyStep
from invoicexpress_async.onboarding.series_step import SharedSeries, ensure_series
from invoicexpress_async.onboarding.sinks import SecretSink
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.onboarding.task import CompanyTask, known_account, url_of
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.services.account_errors import RepeatedCredentialsError
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.services.accounts import AccountService
from invoicexpress_async.session import SessionManager

_REGISTERED = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})


@attrs.frozen(kw_only=True)
class OnboardingSteps:
    """Takes companies through their steps.

    Attributes:
        manager: The session manager for the new accounts, each with its own key and limit.
        spooled: The keys that an earlier run left in the spool, by fiscal number.
        keys: Reads delivered keys back.
        shared: Leaves the series to the workers of a shared journal; None to create them here.
        forget: The fiscal numbers for which a person has checked that no account exists.
    """

    manager: SessionManager
    partner: AccountSession
    journal: CompanyJournal
    spool: KeySpool
    spooled: dict[str, CreatedAccount]
    sink: SecretSink
    keys: AccountKeys | None
    shared: SharedSeries | None
    forget: Collection[str]
    retry_refused: bool
    on_step: Callable[[Company, CompanyStep], None]

    async def advance(self, task: CompanyTask) -> None:
        """Run the company's steps until the end; raise the error of the step that fails."""
        walk = {
            CompanyStep.ACCOUNT: self._create,
            CompanyStep.KEY: self._deliver,
            CompanyStep.AT: self._configure,
            CompanyStep.SERIES: self._ensure,
            CompanyStep.VERIFY: self._verify,
        }
        _check_known(task)
        await self._retry_at_step(task)
        while task.step is not CompanyStep.END:
            await walk[task.step](task)

    async def _retry_at_step(self, task: CompanyTask) -> None:
        """Return to the AT step if the series was refused for credentials changed since."""
        credentials = task.company.at
        if task.has_begun or credentials is None or not task.record.lacks_credentials:
            return
        digests = await asyncio.to_thread(task.history.digests, credentials)
        if not task.history.has_refused(digests):
            # A claim to send credentials is granted only if the company is at this step.
            await self.journal.record_step(task.company, CompanyStep.AT, task.step)
            task.step = CompanyStep.AT
        elif not self.retry_refused:
            raise RepeatedCredentialsError(
                f"The AT credentials of {credentials.subuser} were refused already."
            )

    async def _reach(self, task: CompanyTask, step: CompanyStep, **columns: Value) -> None:
        await self.journal.record_step(task.company, step, task.step, **columns)
        task.step = step
        self.on_step(task.company, step)

    async def _create(self, task: CompanyTask) -> None:
        company = task.company
        if self._find_account(task) is None:
            claims = joined(self.journal.claims(company), self.partner.claims)
            accounts = self.partner.claiming(claims).accounts
            self._check_may_send(task, accounts)
            create = (
                accounts.create_for_existing_user if company.has_existing_user else accounts.create
            )
            task.has_sent_request = True
            try:
                await create(
                    company.account,
                    on_intent=self._check_spool,
                    on_created=functools.partial(self._spool_key, task),
                )
            except OutcomeUnknownError:
                task.is_of_another = claims.token is None
                raise
        if task.account is None:
            raise KeyLostError(f"Account of {company.fiscal_id}: its key could not be kept.")
        changes = {"account_id": task.account_id, "account_name": task.account_name}
        await self._reach(task, CompanyStep.KEY, **changes)

    async def _check_spool(self, _: Intent) -> None:
        self.spool.check()  # it may have failed meanwhile: a new key would not be safe

    def _check_may_send(self, task: CompanyTask, accounts: AccountService) -> None:
        intent, company = task.record.intent, task.company
        if intent is None or task.has_begun:
            return
        # Only a reported outcome may be forgotten: before, no person can have checked.
        if company.fiscal_id in self.forget and task.record.state is JournalState.UNKNOWN:
            accounts.forget(intent)
        else:
            raise OutcomeUnknownError(
                f"The create of the account for {company.fiscal_id} was sent by an earlier run, "
                "and its response, with the key, was lost.",
                intent=intent,
            )

    def _spool_key(self, task: CompanyTask, account: CreatedAccount) -> None:
        """Write the key to the spool as soon as it is read; if that fails, still deliver it."""
        task.account = account
        try:
            self.spool.write(task.company.fiscal_id, account)
        except SpoolError as error:
            task.spool_problem = error

    async def _deliver(self, task: CompanyTask) -> None:
        account = self._account(task)
        failure = None
        try:
            await self.sink(task.company, account)
        except InvoiceXpressError:
            raise
        except Exception as error:  # noqa: BLE001  # the user's own, of any class
            failure = type(error).__name__
            if isinstance(error, OSError) and error.errno:
                failure = f"{failure}, {os.strerror(error.errno)}"
        if failure is not None:
            # The text and the frames of the sink's error may hold the key.
            raise SinkError(f"The key of account {account.id} was not delivered: {failure}.")
        await self._reach(task, CompanyStep.AT)
        task.is_delivered = True
        if task.spool_problem is not None:
            problem, task.spool_problem = task.spool_problem, None
            raise problem

    def _find_account(self, task: CompanyTask) -> CreatedAccount | None:
        """Return the account if this run has its key, and keep it in the task."""
        company = task.company
        task.account = task.account or known_account(company) or self.spooled.get(company.fiscal_id)
        return task.account

    def _account(self, task: CompanyTask) -> CreatedAccount:
        account = self._find_account(task)
        if account is None:
            raise KeyLostError(
                f"Account {task.record.account_name} of {task.company.fiscal_id} was created, and "
                "its key is neither delivered nor in the spool."
            )
        return account

    async def _new_account_session(self, task: CompanyTask) -> AccountSession:
        """Return the session of the new account."""
        account = self._find_account(task)
        name = task.account_name
        if name is None:
            is_missing = account is not None and not account.url
            what = "was missing" if is_missing else "led elsewhere than to the provider"
            raise NameUnknownError(
                f"The name of the new account of {task.company.fiscal_id} is not known: the url in "
                f"the response that had its key {what}."
            )
        if account is None:
            key = Secret(await self._resolve_key(name))
            account = CreatedAccount(id=task.record.account_id or "", url=url_of(name), api_key=key)
        task.account = account
        return self.manager.account(name, account.api_key.reveal())

    async def _resolve_key(self, name: str) -> str:
        if self.keys is None:
            raise KeyNeededError(f"The key of account {name} was delivered by an earlier run.")
        try:
            return await self.keys(name)
        except InvoiceXpressError:
            raise
        except Exception as error:  # noqa: BLE001  # a vault's own, of any class
            failure = type(error).__name__
        raise KeyUnavailableError(f"The key of account {name} could not be had: {failure}.")

    async def _configure(self, task: CompanyTask) -> None:
        own, credentials = await self._new_account_session(task), task.company.at
        if credentials is not None:
            await AtStep(
                clock=self.manager.clock,
                partner=self.partner,
                journal=self.journal,
                retry_refused=self.retry_refused,
                task=task,
                own=own,
                key=self._account(task).api_key,
                credentials=credentials,
            ).configure()
        changes = {"at_sends": task.at_sends, "at_mark": task.history.dump()}
        await self._reach(task, CompanyStep.SERIES, **changes)

    async def _ensure(self, task: CompanyTask) -> None:
        own, key = await self._new_account_session(task), self._account(task).api_key
        row = PlanRow(account=own.name, api_key=key, serie=task.company.serie, is_default=True)
        if self.shared is not None:
            await self.shared.ensure(task, row)
            await self._reach(task, CompanyStep.VERIFY)
            return
        task.has_sent_request = True
        outcome = await ensure_series(self.manager, self.journal, task, row)
        task.sequence = outcome.sequence or task.sequence
        if isinstance(outcome.error, TaxAuthorityCredentialsError):
            await self._record_rejected_credentials(task)
        if outcome.error is not None:
            raise outcome.error
        await self._reach(task, CompanyStep.VERIFY)

    async def _record_rejected_credentials(self, task: CompanyTask) -> None:
        """Record the credentials with which the tax authority refused to register a sequence."""
        if task.company.at is not None:
            digests = await asyncio.to_thread(task.history.digests, task.company.at)
            task.history = task.history.record_rejected(digests.own)
        await self.journal.record_step(
            task.company, task.step, task.step, at_mark=task.history.dump()
        )

    async def _verify(self, task: CompanyTask) -> None:
        sequences = (await self._new_account_session(task)).sequences
        task.has_sent_request = True
        found = await sequences.find(task.company.serie)
        task.sequence = found or task.sequence
        if found is None or not found.is_default or found.registration not in _REGISTERED:
            raise NotVerifiedError(
                f"Sequence {task.company.serie!r} is not shown as registered and default yet."
            )
        await self._reach(task, CompanyStep.END)


def _check_known(task: CompanyTask) -> None:
    known, name = task.company.known, task.record.account_name
    if known is not None and name is not None and known.name != name:
        raise ConfigurationError(
            f"The input says that the account of {task.company.fiscal_id} is {known.name}, and the "
            f"journal has {name}: its tax-authority credentials would go to another's account."
        )
