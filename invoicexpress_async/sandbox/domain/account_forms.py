"""Reads the bodies of the account operations, and refuses invalid ones."""

import base64
import re
from collections.abc import Collection, Mapping
from typing import Literal

import attrs

from invoicexpress_async.sandbox.domain.responses import RefusedError
from invoicexpress_async.sandbox.requests import Request, as_object, read_document, read_envelope

Fields = Mapping[str, object]

_MAX_NAME_CHARACTERS = 100
# A page of 2026-09 requires the confirmation too; the description does not.
_REQUIRED = ("organization_name", "email", "password", "terms")
_NOT_KEPT = ("password", "password_confirmation", "terms")
_DETAILS = (
    "first_name", "last_name", "phone", "marketing",
    "address", "city", "postal_code", "website", "fax",
)  # fmt: skip
_CHANGEABLE = ("organization_name", "email", "fiscal_id", "tax_country", "language", *_DETAILS)

# The values that are certain. Flags are strings, like everything else.
_PATTERNS = {
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "tax_country": re.compile("[123]"),
    "language": re.compile("pt|en|es"),
    "marketing": re.compile("[01]"),
    "postal_code": re.compile("[0-9]{4}-[0-9]{3}"),
    "communication_type": re.compile("auto|manual|guides|portal_at"),
    "at_subuser": re.compile("[0-9]{9}/[0-9]+"),
    "username": re.compile("[0-9]{9}/[0-9]+"),
    "type": re.compile("AT"),
    "context": re.compile("Sequences"),
}


@attrs.frozen(kw_only=True)
class NewAccount:
    """An account to be created, for a new user or for an existing one."""

    is_user_known: bool
    password: str = attrs.field(repr=False)
    texts: Mapping[str, str]

    @property
    def email(self) -> str:
        return self.texts["email"]

    @property
    def fiscal_id(self) -> str:
        return self.texts.get("fiscal_id", "")


@attrs.frozen(kw_only=True)
class AtCredentials:
    """A sub-user of the tax authority, and its password in clear."""

    subuser: str
    password: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class AccountChange:
    password: str = attrs.field(repr=False)
    texts: Mapping[str, str]
    credentials: AtCredentials | None


AccountForm = NewAccount | AccountChange | AtCredentials


def read_new_account(request: Request, *, is_user_known: bool) -> NewAccount:
    _, texts = _read_account(request, _REQUIRED)
    return NewAccount(is_user_known=is_user_known, password=texts["password"], texts=_kept(texts))


def read_change(request: Request, *, required: Collection[str]) -> AccountChange:
    fields, texts = _read_account(request, required)
    credentials = None
    if fields.get("credentials") is not None:
        inner = as_object(fields["credentials"])
        if inner is None:
            raise _refused("invalid", "credentials")
        _texts(inner, ("type", "context"))
        credentials = _credentials(inner, "username", "password")
    return AccountChange(
        password=texts.get("password", ""), texts=_kept(texts), credentials=credentials
    )


def read_at_communication(request: Request) -> AtCredentials:
    if read_document(request) in ({}, {"at_communication": {}}):
        # The real server was seen to respond to this request with a 500.
        raise RefusedError(500)
    fields = _fields(request, "at_communication")
    _required(fields, "communication_type")
    return _credentials(fields, "at_subuser", "at_password")


def details_of(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a form that an account only stores."""
    return {name: texts[name] for name in _DETAILS if name in texts}


def _read_account(request: Request, required: Collection[str]) -> tuple[Fields, dict[str, str]]:
    fields = _fields(request, "account")
    for name in required:
        _required(fields, name)
    texts = _texts(fields, (*_CHANGEABLE, *_NOT_KEPT))
    if texts.get("terms", "1") != "1":
        raise _refused("terms", "terms")
    password = texts.get("password", "")
    if texts.get("password_confirmation", password) != password:
        raise _refused("confirmation", "password_confirmation")
    return fields, texts


def _fields(request: Request, envelope: Literal["account", "at_communication"]) -> Fields:
    fields = read_envelope(request, envelope)
    if fields is None:
        raise _refused("required", envelope)
    return fields


def _texts(fields: Fields, names: tuple[str, ...]) -> dict[str, str]:
    texts = {name: _text(fields, name) for name in names}
    return {name: text for name, text in texts.items() if text}


def _required(fields: Fields, name: str) -> str:
    text = _text(fields, name)
    if not text.strip():
        raise _refused("required", name)
    return text


def _text(fields: Fields, name: str) -> str:
    """Return a field as text; "" if it is null or missing."""
    value = fields.get(name)
    if value is None or value == "":
        return ""
    pattern = _PATTERNS.get(name)
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise _refused("invalid", name)
    if name == "organization_name" and len(value) > _MAX_NAME_CHARACTERS:
        raise _refused("too_long", name)
    return value


def _kept(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if name not in _NOT_KEPT}


def _credentials(fields: Fields, subuser: str, password: str) -> AtCredentials:
    name, encoded = _required(fields, subuser), _required(fields, password)
    try:
        # A password that does not decode to text was most likely never encoded.
        decoded = base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        raise _refused("invalid", password) from None
    return AtCredentials(subuser=name, password=decoded)


def _refused(reason: str, field: str) -> RefusedError:
    return RefusedError(422, reason=reason, field=field)
