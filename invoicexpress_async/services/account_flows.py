"""The work of account operations beyond one request: intents, and refused credentials."""

import time
from collections.abc import Callable

import attrs

from invoicexpress_async.call.context import AttemptResult, Call
from invoicexpress_async.call.execute import Dispatcher
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    AuthenticationError,
    InvoiceXpressError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    StatusError,
    UnprocessableError,
)
from invoicexpress_async.models.account import CreatedAccount, NewAccount
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.decision import Evidence, is_refusal
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.services.account_errors import RepeatedCredentialsError


@attrs.frozen(kw_only=True)
class CredentialsSubmission:
    """AT credentials to be sent, and the account that they are for.

    Attributes:
        scope: The id of that account; "" when it is the account of the call.
        other_fields: The fields sent with the credentials, which a refusal may be about instead.
        may_repeat: Whether to send the credentials although they were refused before.
    """

    credentials: AtCredentials
    scope: str = ""
    other_fields: frozenset[str] = frozenset()
    may_repeat: bool = False


class AccountOperations:
    """The work behind `AccountService`, run under a deadline by the dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def create(
        self,
        call: Call,
        request: Request[CreatedAccount],
        intent: Intent,
        on_created: Callable[[CreatedAccount], None] | None,
    ) -> CreatedAccount:
        """Send a create, unless an earlier create of the same account is unresolved."""
        await call.context.keys.get()  # a slow vault must not block calls that have the key
        hold, account = self._dispatcher.realm.send_lock.hold, call.context.account
        number = intent.get("fiscal_id") or intent.get("email", "")
        async with hold((account, *_company(intent))), hold((account, "fiscal_id", number)):
            unresolved = self._dispatcher.realm.unresolved.all()
            earlier = next((one for one in unresolved if _may_be_same(one, intent)), None)
            if earlier is not None:
                await call.persist_intent(earlier)
            if other := earlier or await self._dispatcher.begin(call, intent):
                call.intent, call.is_unknown = other, True
                self._dispatcher.settle(call)
                raise call.unknown_error(
                    "an earlier create of this e-mail or fiscal number has no known outcome"
                )
            try:
                created = self._created(call, await self._dispatcher.send(call, request))
                if on_created is not None:
                    on_created(
                        created
                    )  # awaiting anything before it could lose the key to a cancellation
                return created
            finally:
                self._dispatcher.settle(call)

    def _created(self, call: Call, outcome: AttemptResult[CreatedAccount]) -> CreatedAccount:
        if outcome.evidence is Evidence.UNKNOWN:
            said = "" if outcome.error is None else str(outcome.error.args[0]).rstrip(".")
            raise call.unknown_error(f"no usable response came: {said}. A new key would be lost")
        self._dispatcher.resolve(call)
        return outcome.result()

    async def change(self, call: Call, request: Request[None]) -> None:
        """Send a change that the caller may repeat."""
        outcome = await self._dispatcher.send(call, request)
        if is_refusal(outcome.error):
            self._dispatcher.resolve(call)
        outcome.result()

    async def submit_credentials(
        self, call: Call, request: Request[None], submission: CredentialsSubmission
    ) -> None:
        """Send credentials, unless they were refused before; one request at a time per account."""
        key = await call.context.keys.get()
        async with self._dispatcher.realm.send_lock.hold(
            (call.context.account, "AT", submission.scope)
        ):
            of_account, of_key = self._digests(call, key, submission)
            memory = self._dispatcher.refused_credentials
            if memory.contains(of_account, of_key) and not submission.may_repeat:
                raise RepeatedCredentialsError(
                    f"The AT credentials of {submission.credentials.subuser} were refused for this "
                    "account already; repeated wrong ones may lock the sub-user."
                )
            try:
                await self.change(call, request)
            except StatusError as error:
                if _speaks_of_credentials(error, submission):
                    # With a wrong key, the credentials are not checked: another key may help.
                    is_of_key = isinstance(error, AuthenticationError | PermissionDeniedError)
                    memory.add(of_key if is_of_key else of_account)
                raise
            memory.discard(of_account, of_key)

    def _digests(
        self, call: Call, key: Secret, submission: CredentialsSubmission
    ) -> tuple[bytes, bytes]:
        """Return two digests of the credentials: for any key, and for this key only."""
        credentials = submission.credentials
        where = (call.context.account, submission.scope, credentials.subuser)
        digest = self._dispatcher.refused_credentials.digest
        return (
            digest(*where, credentials.password.reveal()),
            digest(*where, credentials.password.reveal(), key.reveal()),
        )


def _speaks_of_credentials(error: InvoiceXpressError, submission: CredentialsSubmission) -> bool:
    if isinstance(error, UnprocessableError) and submission.other_fields:
        fields = {text.partition(":")[0] for text in error.messages}
        return not fields or not fields <= submission.other_fields
    if submission.other_fields:
        return False
    return not isinstance(error, ServerError | RateLimitedError)


def create_intent(call: Call, account: NewAccount, *, is_for_existing_user: bool) -> Intent:
    """Return the intent of a create: what to look for if its outcome is never known."""
    intent = Intent(
        version=1,
        operation="create_account",
        account=call.context.account,
        serie=None,
        sequence_id=None,
        is_default=False,
        had_sequences=None,
        sent_at=time.time(),
        email=account.email,
    )
    if is_for_existing_user:
        intent["organization_name"] = account.organization_name
    if account.fiscal_id is not None:
        intent["fiscal_id"] = account.fiscal_id
    return intent


def _company(intent: Intent) -> tuple[str, ...]:
    """Return the key under which only one account is created at a time.

    It is the e-mail of a new user; for an existing user, who may have many accounts, also the
    company.
    """
    name = intent.get("organization_name", "")
    return intent.get("email", "").casefold(), name and intent.get("fiscal_id", name)


def _may_be_same(earlier: Intent, new: Intent) -> bool:
    if earlier["operation"] != "create_account" or earlier["account"] != new["account"]:
        return False
    numbers = earlier.get("fiscal_id"), new.get("fiscal_id")
    if None not in numbers and numbers[0] == numbers[1]:
        return True
    names = earlier.get("organization_name"), new.get("organization_name")
    is_of_many = names != (None, None)  # an existing user, who may have many companies
    if is_of_many and (None not in numbers or (None not in names and names[0] != names[1])):
        return False
    return earlier.get("email", "").casefold() == new.get("email", "").casefold()
