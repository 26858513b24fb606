"""The accounts resource: its requests, and the conversion between wire fields and values."""

import base64
import re
from collections.abc import Mapping
from typing import Final

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account import AccountDetails, CreatedAccount, NewAccount
from invoicexpress_async.models.account_update import AccountUpdate
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.exchange import (
    Request,
    ResponseProblems,
    dumps,
    structure_flag,
)
from invoicexpress_async.protocol.refusal import structure_nothing
from invoicexpress_async.protocol.strict import ProblemError, malformed_response

# No response to a read is known to contain these; they are dropped so that nothing can show them.
_NEVER_KEPT: Final = frozenset({"api_key", "password"})
# The fields whose names are the same in the models and on the wire.
_SAME_FIELDS: Final = (
    "organization_name", "email", "first_name", "last_name", "phone", "fax", "website",
    "address", "city", "postal_code", "fiscal_id", "tax_country", "language",
)  # fmt: skip
FIELDS_BESIDE_CREDENTIALS: Final = frozenset({*_SAME_FIELDS, "terms", "marketing"})
"""The fields that a refused update can name and that do not belong to its AT credentials.

`password` may belong to either, so it is absent.
"""
_KNOWN: Final = frozenset(
    {"organization_name", "fiscal_id", "email", "state", "at_configured", "trial"}
)
# One segment of a path: the form of an id is not documented, except for a sample of digits.
_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_account_id(account_id: object) -> str:
    """Return the id of an account as text for a path; refuse a value that cannot be an id."""
    if type(account_id) is int and account_id > 0:
        return str(account_id)
    if isinstance(account_id, str) and _ACCOUNT_ID.fullmatch(account_id):
        return account_id
    raise ConfigurationError(f"The id {account_id!r:.80} is not that of an account.")


def create_account(account: NewAccount, *, is_for_existing_user: bool) -> Request[CreatedAccount]:
    """Build the POST of a new account, for a new or an existing user."""
    name = "create_already_user" if is_for_existing_user else "create"
    return Request(
        operation=Operation.ACCOUNT_CREATE,
        method="POST",
        path=f"/api/accounts/{name}.json",
        body=dumps(_account_body(account)),
        structure=_structure_created_account,
        is_sensitive=True,
        accepts_errors=True,
        secrets=(account.password,),
    )


def get_account(account_id: str) -> Request[AccountDetails]:
    """Build the GET of one of the partner's accounts."""
    return Request(
        operation=Operation.GET,
        method="GET",
        path=f"/api/accounts/{account_id}/get.json",
        structure=_structure_account_details,
    )


def update_account(account_id: str, changes: AccountUpdate) -> Request[None]:
    """Build the PUT of changes to one of the partner's accounts."""
    secrets = _secrets(changes.credentials)
    if changes.password is not None:
        secrets += (changes.password,)
    return Request(
        operation=Operation.ACCOUNT_UPDATE,
        method="PUT",
        path=f"/api/accounts/{account_id}/update.json",
        body=dumps(_update_body(changes)),
        structure=structure_nothing,
        is_sensitive=bool(secrets),
        secrets=secrets,
    )


def set_at_communication(credentials: AtCredentials) -> Request[None]:
    """Build the POST of the account's own AT credentials."""
    return Request(
        operation=Operation.AT_COMMUNICATION,
        method="POST",
        path="/api/v3/accounts/at_communication.json",
        body=dumps(_at_communication_body(credentials)),
        structure=structure_nothing,
        is_sensitive=True,
        secrets=_secrets(credentials),
    )


def _secrets(credentials: AtCredentials | None) -> tuple[Secret, ...]:
    return () if credentials is None else (credentials.password, _wire_password(credentials))


def _account_body(account: NewAccount) -> dict[str, JsonValue]:
    """Return the body of an account create: the password is sent twice."""
    return {
        "account": _fields(account) | {"password_confirmation": account.password.reveal()},
    }


def _update_body(changes: AccountUpdate) -> dict[str, JsonValue]:
    """Return the body of an update."""
    fields = _fields(changes)
    if changes.credentials is not None:
        fields["credentials"] = {
            "username": changes.credentials.subuser,
            "type": "AT",
            "context": "Sequences",
            "password": _wire_password(changes.credentials).reveal(),
        }
    return {"account": fields}


def _fields(values: NewAccount | AccountUpdate) -> dict[str, JsonValue]:
    """Return the fields that are set, without AT credentials. Flags are strings."""
    fields: dict[str, str | None] = {name: getattr(values, name, None) for name in _SAME_FIELDS}
    fields["password"] = None if values.password is None else values.password.reveal()
    fields["terms"] = _wire_flag(values.accepts_terms)
    fields["marketing"] = _wire_flag(values.accepts_marketing)
    return {name: str(value) for name, value in fields.items() if value is not None}


def _at_communication_body(credentials: AtCredentials) -> dict[str, JsonValue]:
    """Return the body that sets AT communication up."""
    return {
        "at_communication": {
            "at_subuser": credentials.subuser,
            "at_password": _wire_password(credentials).reveal(),
            "communication_type": str(credentials.communication_type),
        }
    }


def _wire_password(credentials: AtCredentials) -> Secret:
    """Return the password as it is sent: in base64, which does not hide it."""
    return Secret(base64.b64encode(credentials.password.reveal().encode()).decode())


def _wire_flag(value: bool | None) -> str | None:  # noqa: FBT001  # a value of the wire, not a switch
    return None if value is None else str(+value)


def _structure_created_account(payload: JsonValue) -> CreatedAccount:
    """Take a created account out of its envelope, or a similar one; the id may be a number.

    The key is sent only once, so a response that has it is accepted whatever else it lacks.
    """
    account = _find_created(payload)
    api_key = _text(account, "api_key")
    if not api_key.strip():
        raise malformed_response("account.api_key: expected text")
    state = account.get("state")
    return CreatedAccount(
        id=_text(account, "id"),
        url=_text(account, "url"),
        api_key=Secret(api_key),
        state=state if isinstance(state, str) else None,
    )


def _find_created(payload: JsonValue) -> Mapping[str, JsonValue]:
    body = payload if isinstance(payload, dict) else {}
    for found in (body.get("account"), body.get("accounts"), payload):
        one = found[0] if isinstance(found, list) and len(found) == 1 else found
        if isinstance(one, dict) and one.get("api_key"):
            return one
    return {}


def _text(account: Mapping[str, JsonValue], name: str) -> str:
    value = account.get(name)
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else ""


def _structure_account_details(payload: JsonValue) -> AccountDetails:
    """Take an account's details out of their envelope; one error reports all problems."""
    account = payload.get("account") if isinstance(payload, dict) else None
    if not isinstance(account, dict):
        raise malformed_response("account: expected an object")
    problems = ResponseProblems()

    def text(name: str) -> str | None:
        return problems.collect(_structure_text, account.get(name), f"account.{name}")

    def flag(name: str) -> bool | None:
        value = account.get(name)
        is_said = value is not None
        return problems.collect(structure_flag, value, f"account.{name}") if is_said else None

    name = text("organization_name")
    if name is None:
        problems.append("account.organization_name: expected text")
    used = _KNOWN | _NEVER_KEPT
    details = AccountDetails(
        organization_name=name or "",
        fiscal_id=text("fiscal_id"),
        email=text("email"),
        state=text("state"),
        at_configured=flag("at_configured"),
        trial=flag("trial"),
        extra={name: value for name, value in account.items() if name not in used},
    )
    if problems:
        raise malformed_response(*problems)
    return details


def _structure_text(value: object, path: str) -> str | None:
    if type(value) is int:  # digit strings come as numbers elsewhere in this API
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise ProblemError(path, "text", value)
