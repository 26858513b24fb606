"""The requests of the accounts resource, each with the expected response."""

import re
from typing import Final

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account import AccountDetails, CreatedAccount, NewAccount
from invoicexpress_async.models.account_update import AccountUpdate
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.protocol.accounts import (
    account_body,
    at_communication_body,
    structure_account_details,
    structure_created_account,
    update_body,
    wire_password,
)
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.exchange import Request, dumps, structure_nothing

# One segment of a path: its form is not documented, except for a sample of digits.
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_account_id(account_id: object) -> str:
    """Return the id of an account as it goes into a path.

    Raises:
        ConfigurationError: it cannot be one.
    """
    if type(account_id) is int and account_id > 0:
        return str(account_id)
    if isinstance(account_id, str) and _ACCOUNT_ID.fullmatch(account_id):
        return account_id
    raise ConfigurationError(f"The id {account_id!r:.80} is not that of an account.")


def create_account(account: NewAccount, *, is_for_existing_user: bool) -> Request[CreatedAccount]:
    """POST a new account, of a new user or of one who exists."""
    name = "create_already_user" if is_for_existing_user else "create"
    return Request(
        operation=Operation.ACCOUNT_CREATE,
        method="POST",
        path=f"/api/accounts/{name}.json",
        body=dumps(account_body(account)),
        structure=structure_created_account,
        is_sensitive=True,
        accepts_errors=True,
        secrets=(account.password,),
    )


def get_account(account_id: str) -> Request[AccountDetails]:
    """GET one account of the partner's."""
    return Request(
        operation=Operation.GET,
        method="GET",
        path=f"/api/accounts/{account_id}/get.json",
        structure=structure_account_details,
    )


def update_account(account_id: str, changes: AccountUpdate) -> Request[None]:
    """PUT changes of one account of the partner's."""
    secrets = _secrets(changes.credentials)
    if changes.password is not None:
        secrets += (changes.password,)
    return Request(
        operation=Operation.ACCOUNT_UPDATE,
        method="PUT",
        path=f"/api/accounts/{account_id}/update.json",
        body=dumps(update_body(changes)),
        structure=structure_nothing,
        is_sensitive=bool(secrets),
        secrets=secrets,
    )


def set_at_communication(credentials: AtCredentials) -> Request[None]:
    """POST the account's own AT credentials."""
    return Request(
        operation=Operation.AT_COMMUNICATION,
        method="POST",
        path="/api/v3/accounts/at_communication.json",
        body=dumps(at_communication_body(credentials)),
        structure=structure_nothing,
        is_sensitive=True,
        secrets=_secrets(credentials),
    )


def _secrets(credentials: AtCredentials | None) -> tuple[Secret, ...]:
    return () if credentials is None else (credentials.password, wire_password(credentials))
