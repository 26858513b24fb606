"""The steps of one company, each once, each on the disk before the next."""

import functools
from collections.abc import Callable, Collection

import attrs

from invoicexpress_async.account_errors import RepeatedCredentialsError
from invoicexpress_async.account_models import CreatedAccount
from invoicexpress_async.account_session import AccountSession
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    StatusError,
    UnprocessableError,
)
from invoicexpress_async.models import Intent, Registration, Sequence
from invoicexpress_async.onboarding._company_log import CompanyLog, CompanyRecord, mark
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import (
    CredentialsUnknownError,
    KeyLostError,
    KeyNeededError,
    NotVerifiedError,
    SinkError,
)
from invoicexpress_async.onboarding.report import CompanyState, CompanyStep
from invoicexpress_async.onboarding.sinks import SecretSink
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.provisioning.key import AccountKeys, KeyUnavailableError
from invoicexpress_async.session import SessionManager

# The tax authority locks a sub-user after repeated wrong passwords; how many is not known.
_MOST_BLIND_SENDS = 2
_REGISTERED = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})


@attrs.define(kw_only=True, eq=False)
class Traveller:
    """A company on its way.

    Attributes:
        company: The company.
        record: What the journal said of it.
        step: Where it is.
        account: Its account with its key, once this run has it.
        at_sends: How many times its AT credentials were sent and the outcome is not known.
        sequence: As last read.
        is_delivered: Whether its key has come to the sink.
        tries: How many turns of it came to nothing.
        spool_problem: Why the spool does not have its key.
    """

    company: Company
    record: CompanyRecord
    step: CompanyStep = CompanyStep.ACCOUNT
    account: CreatedAccount | None = None
    at_sends: int = 0
    sequence: Sequence | None = None
    is_delivered: bool = False
    tries: int = 0
    spool_problem: SpoolError | None = None


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
        while on.step is not CompanyStep.END:
            await walk[on.step](on)

    async def _reach(self, on: Traveller, step: CompanyStep, **columns: str | int | None) -> None:
        await self.log.reach(on.company, step, **columns)
        on.step = step
        self.on_step(on.company, step)

    async def _create(self, on: Traveller) -> None:
        company = on.company
        on.account = on.account or _known(company) or self.spooled.get(company.fiscal_id)
        if on.account is None:
            self._check_may_send(on)
            accounts = self.partner.accounts
            create = (
                accounts.create_for_existing_user if company.has_existing_user else accounts.create
            )
            await create(
                company.account,
                on_intent=functools.partial(self.log.intend, company),
                on_created=functools.partial(self._keep, on),
            )
        if on.account is None:
            raise KeyLostError(f"Account of {company.fiscal_id}: its key could not be kept.")
        name = _name(on.account)
        await self._reach(on, CompanyStep.KEY, account_id=on.account.id, account_name=name)

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
        if failure is not None:
            # Its text and its frames may hold the key.
            raise SinkError(f"The key of account {account.id} was not delivered: {failure}.")
        await self._reach(on, CompanyStep.AT)
        on.is_delivered = True
        if on.spool_problem is not None:
            problem, on.spool_problem = on.spool_problem, None
            raise problem

    def _account(self, on: Traveller) -> CreatedAccount:
        account = on.account or _known(on.company) or self.spooled.get(on.company.fiscal_id)
        if account is None:
            raise KeyLostError(
                f"Account {on.record.account_name} of {on.company.fiscal_id} was created, and its "
                "key is neither delivered nor in the spool."
            )
        on.account = account
        return account

    async def _own(self, on: Traveller) -> AccountSession:
        """Return the handle of the new account itself."""
        account = on.account or _known(on.company) or self.spooled.get(on.company.fiscal_id)
        if account is None:
            account = CreatedAccount(
                id=on.record.account_id or "",
                url=_url(on.record.account_name or ""),
                api_key=Secret(await self._asked(on.record.account_name or "")),
            )
        on.account = account
        return self.manager.account(account.name, account.api_key.reveal())

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
            if on.record.has_refused(credentials):
                raise RepeatedCredentialsError(
                    f"The AT credentials of {credentials.subuser} were refused already."
                )
            if on.at_sends >= _MOST_BLIND_SENDS:
                raise CredentialsUnknownError(
                    f"The AT credentials of {credentials.subuser} were sent {on.at_sends} times, "
                    "and no answer came."
                )
        on.at_sends += 1
        await self.log.intend_credentials(on.company, on.at_sends)
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
                at_mark = mark(on.company.at)
            await self.log.reach(on.company, CompanyStep.AT, at_sends=0, at_mark=at_mark)

    async def _is_configured(self, on: Traveller) -> bool:
        """Look, after a send whose outcome is not known, whether it took effect."""
        account_id = on.account.id if on.account is not None else on.record.account_id
        if not on.at_sends or not account_id:
            return False
        return bool((await self.partner.accounts.get(account_id)).at_configured)

    async def _ensure(self, on: Traveller) -> None:
        sequences = (await self._own(on)).sequences
        intent = on.record.intent
        if on.record.step is CompanyStep.SERIES and intent is not None and on.tries == 0:
            await sequences.resume(intent)
        keep = functools.partial(self.log.intend, on.company)
        ensured = await sequences.ensure(on.company.serie, default=True, on_intent=keep)
        on.sequence = ensured.sequence
        await self._reach(on, CompanyStep.VERIFY)

    async def _verify(self, on: Traveller) -> None:
        found = await (await self._own(on)).sequences.find(on.company.serie)
        on.sequence = found or on.sequence
        if found is None or not found.is_default or found.registration not in _REGISTERED:
            raise NotVerifiedError(
                f"Sequence {on.company.serie!r} is not shown as registered and default yet."
            )
        await self._reach(on, CompanyStep.END)


def _known(company: Company) -> CreatedAccount | None:
    known = company.known
    if known is None:
        return None
    return CreatedAccount(id=known.id or "", url=_url(known.name), api_key=known.api_key)


def _url(name: str) -> str:
    return f"https://{name}.app.invoicexpress.com"


def _name(account: CreatedAccount) -> str | None:
    try:
        return account.name
    except InvoiceXpressError:
        return None  # its key is delivered all the same; the next step says what is wrong


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
    is_final = isinstance(error, ValueError | PartialRegistrationError | KeyNeededError)
    return CompanyState.REFUSED if is_final else CompanyState.FAILED
