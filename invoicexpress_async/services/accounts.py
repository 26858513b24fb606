"""`AccountService`: the accounts that a partner creates for the companies it invoices for."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Final, NoReturn, TypeAlias, TypeVar

from invoicexpress_async.call.context import AccountContext, Call, IntentHook
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.config import check_callable, check_type
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.models.account import AccountDetails, CreatedAccount, NewAccount
from invoicexpress_async.models.account_update import AccountUpdate
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.accounts import (
    FIELDS_BESIDE_CREDENTIALS,
    check_account_id,
    create_account,
    get_account,
    set_at_communication,
    update_account,
)
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.services.account_errors import set_cure
from invoicexpress_async.services.account_flows import (
    AccountOperations,
    CredentialsSubmission,
    create_intent,
)

T = TypeVar("T")

_CREATE: Final = "create_account"
_CreatedHook: TypeAlias = Callable[[CreatedAccount], None]


class AccountService:
    """The accounts of a partner, and AT communication. Available as `AccountSession.accounts`.

    All methods but `configure_at_communication` are for the partner's handle. Every coroutine
    takes `timeout_seconds` and raises the errors that `SequenceService` lists; `error.cure` is
    specific to the operation that failed.
    """

    def __init__(self, dispatcher: Dispatcher, context: AccountContext) -> None:
        self._dispatcher = dispatcher
        self._operations = AccountOperations(dispatcher)
        self._context = context

    def __reduce__(self) -> NoReturn:
        raise TypeError("An AccountService is not pickled: it goes with its SessionManager.")

    async def create(
        self,
        account: NewAccount,
        *,
        on_intent: IntentHook | None = None,
        on_created: _CreatedHook | None = None,
        timeout_seconds: float | None = None,
    ) -> CreatedAccount:
        """Create an account under the partner's sub-domain and key. Sent at most once.

        An account can never be deleted, two accounts for one fiscal number split its numbering for
        good, and only this response contains the new key. After a lost response this process does
        not send the request again, and the outcome cannot be looked up.

        Args:
            account: The company and its new user.
            on_intent: Awaited with the intent before the send, so that it survives a crash.
            on_created: Called with the account as soon as its response is read, before anything
                can be cancelled, so that its key is kept.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            ConfigurationError: `timeout_seconds` is not a finite number above 0.
            OutcomeUnknownError: the request was sent, and no usable response came; the `intent`
                shows what to look for among the partner's accounts.
            AuthenticationError: or `PermissionDeniedError`: the partner's rights are missing.
            UnprocessableError: the e-mail or the fiscal number is used already, or invalid.
            InvoiceXpressError: as for the coroutines of `sequences`.
        """
        return await self._create(_CREATE, account, on_intent, on_created, timeout_seconds)

    async def create_for_existing_user(
        self,
        account: NewAccount,
        *,
        on_intent: IntentHook | None = None,
        on_created: _CreatedHook | None = None,
        timeout_seconds: float | None = None,
    ) -> CreatedAccount:
        """Create a further account for an existing user. Sent at most once, like `create`.

        Args:
            account: The company, with the user's own e-mail and password.
            on_intent: Awaited with the intent before the send, so that it survives a crash.
            on_created: Called with the account as soon as its response is read, before anything
                can be cancelled, so that its key is kept.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            StatusError: with `status` 400: the user's own e-mail or password is wrong.
            AuthenticationError: the partner's name or key is wrong, or its rights are missing.
            UnprocessableError: the fiscal number is used already, or another field is invalid.
            OutcomeUnknownError: as for `create`.
            InvoiceXpressError: as for the coroutines of `sequences`.
        """
        operation = "create_account_for_existing_user"
        return await self._create(operation, account, on_intent, on_created, timeout_seconds)

    async def get(
        self, account_id: str | int, *, timeout_seconds: float | None = None
    ) -> AccountDetails:
        """Return one of the partner's accounts, by the id from its create.

        Raises:
            NotFoundError: there is no such account, or it was not created with this key.
            ConfigurationError: `account_id` cannot be an id.
            InvoiceXpressError: as for the coroutines of `sequences`.
        """
        request = get_account(check_account_id(account_id))
        call = self._call("get_account", timeout_seconds, account_id)
        return await self._run(call, self._dispatcher.fetch(call, request))

    async def update(
        self,
        account_id: str | int,
        changes: AccountUpdate,
        *,
        resend_refused: bool = False,
        timeout_seconds: float | None = None,
    ) -> None:
        """Change the fields that `changes` sets, for one of the partner's accounts.

        The request is not sent again once it may have reached the server; the error's
        `may_have_been_processed` is then True.

        Args:
            account_id: The id from the account's create.
            changes: The fields to change.
            resend_refused: Send AT credentials although an update with them was refused before.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            NotFoundError: there is no such account, or it was not created with this key.
            UnprocessableError: a field is invalid, or the AT credentials are refused.
            RepeatedCredentialsError: an update with these AT credentials was refused before (422),
                and the credentials may have been the cause.
            ConfigurationError: `account_id` cannot be an id.
            InvoiceXpressError: as for the coroutines of `sequences`.
        """
        checked = check_account_id(account_id)
        check_type("changes", changes, AccountUpdate)
        request = update_account(checked, changes)
        call = self._call("update_account", timeout_seconds, account_id)
        if changes.credentials is None:
            await self._run(call, self._operations.change(call, request))
            return
        submission = CredentialsSubmission(
            credentials=changes.credentials,
            scope=checked,
            other_fields=FIELDS_BESIDE_CREDENTIALS,
            may_repeat=resend_refused is True,
        )
        await self._run(call, self._operations.submit_credentials(call, request, submission))

    async def configure_at_communication(
        self,
        credentials: AtCredentials,
        *,
        resend_refused: bool = False,
        timeout_seconds: float | None = None,
    ) -> None:
        """Set the AT credentials of this account. Call it on the account's own handle.

        The server checks the credentials with the tax authority, where repeated wrong ones may
        lock the sub-user: this manager does not send credentials again that were refused for this
        account. After a 5xx the request is repeated at most twice, after a lost response never.

        Args:
            credentials: The credentials of a sub-user with the right to communicate series.
            resend_refused: Send them although they were refused, because the cause of the refusal
                is gone: a trial has ended, or the sub-user was unlocked.
            timeout_seconds: The deadline of the call; the manager's by default.

        Raises:
            UnprocessableError: the credentials are wrong.
            AuthenticationError: or `PermissionDeniedError`: the account's name or key is wrong,
                or the account is a trial, which cannot communicate.
            RepeatedCredentialsError: the credentials were refused before. Nothing was sent.
            InvoiceXpressError: as for the coroutines of `sequences`. If
                `may_have_been_processed` is True, the credentials may be set.
        """
        check_type("credentials", credentials, AtCredentials)
        request = set_at_communication(credentials)
        call = self._call("configure_at_communication", timeout_seconds)
        submission = CredentialsSubmission(
            credentials=credentials, may_repeat=resend_refused is True
        )
        await self._run(call, self._operations.submit_credentials(call, request, submission))

    def forget(self, intent: Intent) -> None:
        """Treat a create as lost, so that this process may send it again.

        Only call this after you have checked, well after the send, that the partner has no account
        with that e-mail or fiscal number: an account can never be deleted.

        Raises:
            ConfigurationError: the intent is not of an account create of this partner.
        """
        checked = structure_intent(intent)
        if checked["operation"] != "create_account" or checked["account"] != self._context.account:
            raise ConfigurationError(
                f"The intent is not of an account create by {self._context.account}."
            )
        self._dispatcher.forget(self._context, checked)

    async def _create(
        self,
        operation: str,
        account: NewAccount,
        on_intent: IntentHook | None,
        on_created: _CreatedHook | None,
        timeout_seconds: float | None,
    ) -> CreatedAccount:
        check_type("account", account, NewAccount)
        check_callable("on_created", on_created)
        if inspect.iscoroutinefunction(on_created):
            raise ConfigurationError("on_created is async: give a function that keeps it at once.")
        is_for_existing_user = operation != _CREATE
        call = self._call(operation, timeout_seconds, account.organization_name, on_intent)
        request = create_account(account, is_for_existing_user=is_for_existing_user)
        intent = create_intent(call, account, is_for_existing_user=is_for_existing_user)
        return await self._run(call, self._operations.create(call, request, intent, on_created))

    def _call(
        self,
        operation: str,
        timeout_seconds: float | None,
        about: str | int | None = None,
        on_intent: IntentHook | None = None,
    ) -> Call:
        subject = None if about is None else f"account {about!r}"
        return self._context.call(operation, subject, timeout_seconds, on_intent)

    async def _run(self, call: Call, work: Coroutine[object, object, T]) -> T:
        try:
            return await self._dispatcher.run(call, work)
        except InvoiceXpressError as error:
            set_cure(error)
            raise
