"""The values of accounts: what a partner creates, and what it gets back."""

from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import attrs

from invoicexpress_async.config import Secret, check_account_name
from invoicexpress_async.errors import ConfigurationError, MalformedResponseError

_DOMAIN: Final = ".app.invoicexpress.com"
_MOST_NAME_CHARACTERS: Final = 100  # the provider's limit for organization_name
_NIF_DIGITS: Final = 9
_NIF_MODULUS: Final = 11


class TaxCountry(StrEnum):
    """The countries that an account can be taxed in, in the API's numbering."""

    PORTUGAL = "1"
    IRELAND = "2"
    UNITED_KINGDOM = "3"


class Language(StrEnum):
    """The languages of an account."""

    PORTUGUESE = "pt"
    ENGLISH = "en"
    SPANISH = "es"


def is_nif(text: str) -> bool:
    """Return whether `text` is a Portuguese fiscal number: nine digits, the last one a check."""
    if len(text) != _NIF_DIGITS or not (text.isascii() and text.isdecimal()):
        return False
    weights = zip(text, range(_NIF_DIGITS, 1, -1), strict=False)
    rest = sum(int(digit) * weight for digit, weight in weights) % _NIF_MODULUS
    return int(text[-1]) == (0 if rest < 2 else _NIF_MODULUS - rest)  # noqa: PLR2004  # the rule of the check digit


def _name(_: object, __: object, value: str) -> None:
    if not value.strip() or len(value) > _MOST_NAME_CHARACTERS:
        raise ConfigurationError(
            f"organization_name must have 1 to {_MOST_NAME_CHARACTERS} characters."
        )


def _email(_: object, __: object, value: str) -> None:
    # Only what is certainly wrong: the server knows its own rule.
    if "@" not in value.strip("@") or value.split() != [value]:
        raise ConfigurationError(f"email {value!r:.80} is not an e-mail address.")


def _terms(_: object, __: object, value: bool) -> None:  # noqa: FBT001  # attrs calls it so
    if value is not True:
        raise ConfigurationError("accepts_terms must be True: the API asks for it.")


def _as_secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _password(_: object, __: object, value: Secret) -> None:
    if not value.reveal():
        raise ConfigurationError("password is empty.")


@attrs.frozen(kw_only=True)
class NewAccount:
    """An account to be created by a partner, for a company that it invoices for.

    Attributes:
        organization_name: The company, at most 100 characters.
        email: Of its user.
        password: Of its user; a str becomes a `Secret`.
        accepts_terms: That the provider's terms are accepted; nothing else than True is sent.
        fiscal_id: Unique in the whole system; a Portuguese one has its check digit checked.
        accepts_marketing: None leaves it to the server.
    """

    organization_name: str = attrs.field(validator=_name)
    email: str = attrs.field(validator=_email)
    password: Secret = attrs.field(converter=_as_secret, validator=_password)
    accepts_terms: bool = attrs.field(validator=_terms)
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    fiscal_id: str | None = None
    tax_country: TaxCountry | None = None
    language: Language | None = None
    accepts_marketing: bool | None = None

    def __attrs_post_init__(self) -> None:
        is_portuguese = self.tax_country in {None, TaxCountry.PORTUGAL}
        if self.fiscal_id is not None and is_portuguese and not is_nif(self.fiscal_id):
            raise ConfigurationError(
                f"fiscal_id {self.fiscal_id!r:.40} is not a Portuguese fiscal number (NIF)."
            )


@attrs.frozen(kw_only=True)
class CreatedAccount:
    """An account that was created. Its key is given this once: keep it before anything else.

    Attributes:
        id: As it came; it may be text.
        url: As it came.
        api_key: The new account's own key.
        state: As it came, such as "active".
    """

    id: str
    url: str
    api_key: Secret
    state: str | None = None

    @property
    def name(self) -> str:
        """The account's name: the first label of its url.

        Raises:
            MalformedResponseError: the url leads elsewhere, so that nothing, and above all not
                the new key, may be sent there. The key is in `api_key` all the same.
        """
        try:
            parts = urlsplit(self.url)
            label = (parts.hostname or "").removesuffix(_DOMAIN)
            is_ours = parts.netloc.lower() == f"{label}{_DOMAIN}" and parts.scheme == "https"
            name = check_account_name(label) if is_ours else None
        except ValueError:  # not a URL, or not a name
            name = None
        if name is None:
            raise MalformedResponseError(
                "The url of the new account leads elsewhere than https://NAME" + _DOMAIN + ".",
                problems=("account.url: not a sub-domain of the provider's",),
            )
        return name
