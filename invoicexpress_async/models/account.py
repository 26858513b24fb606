"""The values of accounts: a new account, a created account, and an account as it is read."""

import functools
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import attrs

from invoicexpress_async.config import Secret, check_account_name
from invoicexpress_async.errors import ConfigurationError, MalformedResponseError
from invoicexpress_async.models.account_fields import (
    as_secret,
    check_email,
    check_flag,
    check_line,
    check_organization_name,
    check_password,
    check_terms,
    check_visible_line,
    hide_secrets_in_tracebacks,
    is_nif,
    member_of,
    required,
)
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.models.sequence import read_only

_DOMAIN: Final = ".app.invoicexpress.com"


class TaxCountry(StrEnum):
    """The countries in which an account can be taxed, in the API's numbering."""

    PORTUGAL = "1"
    IRELAND = "2"
    UNITED_KINGDOM = "3"


class Language(StrEnum):
    """The languages of an account."""

    PORTUGUESE = "pt"
    ENGLISH = "en"
    SPANISH = "es"


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class NewAccount:
    """An account to be created by a partner, for a company that it invoices for.

    Attributes:
        organization_name: The company's name, at most 100 characters.
        email: The e-mail of the account's user: a new user for `create`, an existing one for
            `create_for_existing_user`.
        password: The password of that user; a str becomes a `Secret`.
        accepts_terms: Whether the provider's terms are accepted; must be True.
        fiscal_id: Unique in the whole system; the check digit of a Portuguese number is checked.
        tax_country: None leaves it to the server, and counts as Portugal for that check.
        accepts_marketing: None leaves it to the server.
    """

    organization_name: str = attrs.field(validator=required(check_organization_name))
    email: str = attrs.field(validator=required(check_email))
    password: Secret = attrs.field(converter=as_secret, validator=check_password)
    accepts_terms: bool = attrs.field(validator=required(check_terms))
    first_name: str | None = attrs.field(default=None, validator=check_line)
    last_name: str | None = attrs.field(default=None, validator=check_line)
    phone: str | None = attrs.field(default=None, validator=check_line)
    fiscal_id: str | None = attrs.field(default=None, validator=check_visible_line)
    tax_country: TaxCountry | None = attrs.field(default=None, validator=member_of(TaxCountry))
    language: Language | None = attrs.field(default=None, validator=member_of(Language))
    accepts_marketing: bool | None = attrs.field(default=None, validator=check_flag)

    def __attrs_post_init__(self) -> None:
        is_portuguese = self.tax_country in {None, TaxCountry.PORTUGAL}
        if self.fiscal_id is not None and is_portuguese and not is_nif(self.fiscal_id):
            raise ConfigurationError(
                f"fiscal_id {self.fiscal_id!r:.40} is not a Portuguese fiscal number (NIF): nine "
                "digits, the last one a check. For another country give tax_country."
            )


@attrs.frozen(kw_only=True)
class CreatedAccount:
    """An account that was created. Its key is only sent once: store it before anything else.

    A response that has the key and lacks another field is accepted.

    Attributes:
        id: The id as the server sent it; it may be text. "" when the response had none.
        url: The URL as the server sent it; "" when the response had none.
        api_key: The new account's own key.
        state: The state as the server sent it, such as "active".
    """

    id: str
    url: str
    api_key: Secret
    state: str | None = None

    @property
    def name(self) -> str:
        """The account's name: the first label of its URL.

        Raises:
            MalformedResponseError: there is no URL, or it leads to another host, which must
                not get the new key. The key is still in `api_key`.
        """
        try:
            parts = urlsplit(self.url)
            label = (parts.hostname or "").removesuffix(_DOMAIN)
            is_ours = parts.netloc.lower() == f"{label}{_DOMAIN}" and parts.scheme == "https"
            name = check_account_name(label) if is_ours else None
        except ValueError:  # not a URL, or not a name
            name = None
        if name is None:
            where = f"leads elsewhere than https://NAME{_DOMAIN}" if self.url else "is missing"
            raise MalformedResponseError(
                f"The url of the new account {where}.",
                problems=("account.url: not a sub-domain of the provider's",),
            )
        return name


@attrs.frozen(kw_only=True)
class AccountDetails:
    """An account as its partner reads it. The response has no id and no key.

    Attributes:
        organization_name: The company's name.
        fiscal_id: The fiscal number; None when the response has none.
        email: The e-mail; None when the response has none.
        state: The state as the server sent it, such as "active".
        at_configured: Whether AT communication is set up; None when the response does not say.
        trial: Whether the account is a trial, which cannot communicate with the tax authority;
            None when the response does not say.
        extra: Fields of the response that this version does not know, as the server sent them.
    """

    organization_name: str
    fiscal_id: str | None = None
    email: str | None = None
    state: str | None = None
    at_configured: bool | None = None
    trial: bool | None = None
    extra: Mapping[str, JsonValue] = attrs.field(
        factory=dict[str, JsonValue], converter=read_only, hash=False
    )

    def __reduce__(self) -> tuple[object, ...]:
        # A read-only mapping does not pickle; its contents do.
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(AccountDetails)}
        return functools.partial(AccountDetails, **fields | {"extra": dict(self.extra)}), ()
