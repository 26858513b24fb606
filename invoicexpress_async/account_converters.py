"""Wire and values of accounts; their wire names live here."""

from invoicexpress_async._json import JsonValue
from invoicexpress_async.account_models import CreatedAccount, NewAccount
from invoicexpress_async.config import Secret
from invoicexpress_async.converters import malformed


def account_body(account: NewAccount) -> dict[str, JsonValue]:
    """Return the body of an account create. Flags are strings, and the password stands twice."""
    password = account.password.reveal()
    fields: dict[str, JsonValue] = {
        "organization_name": account.organization_name,
        "email": account.email,
        "password": password,
        "password_confirmation": password,
        "terms": "1",
    }
    optional = {
        "first_name": account.first_name,
        "last_name": account.last_name,
        "phone": account.phone,
        "fiscal_id": account.fiscal_id,
        "tax_country": account.tax_country,
        "language": account.language,
        "marketing": None if account.accepts_marketing is None else str(+account.accepts_marketing),
    }
    fields |= {name: str(value) for name, value in optional.items() if value is not None}
    return {"account": fields}


def structure_created_account(payload: JsonValue) -> CreatedAccount:
    """Take a created account out of its envelope; the id may be text or a number.

    Raises:
        MalformedResponseError: no id, no url or no key.
    """
    account = payload.get("account") if isinstance(payload, dict) else None
    if not isinstance(account, dict):
        raise malformed("account: expected an object")
    texts = {name: account.get(name) for name in ("id", "url", "api_key", "state")}
    identifier, url, api_key, state = texts.values()
    if type(identifier) is int:
        identifier = str(identifier)
    missing = [
        f"account.{name}: expected text"
        for name, value in (("id", identifier), ("url", url), ("api_key", api_key))
        if not isinstance(value, str) or not value
    ]
    if missing:
        raise malformed(*missing)
    return CreatedAccount(
        id=str(identifier),
        url=str(url),
        api_key=Secret(str(api_key)),
        state=state if isinstance(state, str) else None,
    )
