"""`AccountService`: the accounts that a partner creates for the companies it invoices for."""

import time

from invoicexpress_async._dispatch import Call, Dispatcher, Link
from invoicexpress_async._json import JsonValue, dumps
from invoicexpress_async._wire import Request
from invoicexpress_async.account_converters import account_body, structure_created_account
from invoicexpress_async.account_models import CreatedAccount, NewAccount
from invoicexpress_async.config import check_seconds
from invoicexpress_async.errors import InvoiceXpressError, StatusError, UnknownSequenceError
from invoicexpress_async.models import Intent
from invoicexpress_async.retry import Evidence, Operation

_FIRST_SERVER_ERROR = 500


class AccountService:
    """The accounts of a partner. Got from `AccountSession.accounts` of the partner's own account.

    Creating is the only operation so far.
    """

    def __init__(self, dispatcher: Dispatcher, link: Link) -> None:
        self._dispatcher = dispatcher
        self._link = link

    async def create(
        self, account: NewAccount, *, timeout_seconds: float | None = None
    ) -> CreatedAccount:
        """Create an account under the partner's sub-domain and key. Sent at most once.

        An account can never be deleted, two for one fiscal number split its numbering for good,
        and the new key is in this one answer only: after a lost answer nothing is sent again by
        this process, and there is nothing to read for.

        Raises:
            ConfigurationError: a timeout that is not a finite number above 0.
            OutcomeUnknownError: it was sent and no usable answer came; `intent["email"]` says
                what to look for among the partner's accounts.
            StatusError: the server refused: the e-mail or the fiscal number is used already, the
                partner's rights are missing.
            InvoiceXpressError: as for the coroutines of `sequences`.
        """
        if timeout_seconds is not None:
            check_seconds("timeout_seconds", timeout_seconds)
        call = Call(
            link=self._link,
            operation="create_account",
            subject=f"account {account.organization_name!r}",
            timeout_seconds=timeout_seconds,
        )
        return await self._dispatcher.run(call, self._create(call, account))

    async def _create(self, call: Call, account: NewAccount) -> CreatedAccount:
        async with self._dispatcher.sending.hold((call.link.account, account.email)):
            return await self._create_alone(call, account)

    async def _create_alone(self, call: Call, account: NewAccount) -> CreatedAccount:
        intent = _intent(call, account)
        if self._dispatcher.pending(intent):
            call.intent, call.is_in_doubt = intent, True
            raise call.outcome_unknown("an earlier create of this e-mail has no known outcome")
        call.intent = intent
        outcome = await self._dispatcher.send(call, _request(account))
        if outcome.evidence is Evidence.UNKNOWN and not _is_refusal(outcome.error):
            said = "" if outcome.error is None else str(outcome.error.args[0]).rstrip(".")
            raise call.outcome_unknown(f"no usable answer came: {said}. A new key would be lost")
        self._dispatcher.resolve(call)
        return outcome.result()


def _is_refusal(error: InvoiceXpressError | None) -> bool:
    """Whether a complete answer says why nothing was created. 422/000 says nothing."""
    return (
        isinstance(error, StatusError)
        and error.status < _FIRST_SERVER_ERROR
        and not isinstance(error, UnknownSequenceError)
    )


def _request(account: NewAccount) -> Request[CreatedAccount]:
    body: JsonValue = account_body(account)
    return Request(
        operation=Operation.ACCOUNT_CREATE,
        method="POST",
        path="/api/accounts/create.json",
        body=dumps(body),
        structure=structure_created_account,
        hides_answer=True,
    )


def _intent(call: Call, account: NewAccount) -> Intent:
    return Intent(
        version=1,
        operation="create_account",
        account=call.link.account,
        serie=None,
        sequence_id=None,
        is_default=False,
        had_sequences=None,
        sent_at=time.time(),
        email=account.email,
    )
