"""A company to be onboarded."""

import unicodedata

import attrs

from invoicexpress_async.config import (
    Secret,
    boolean,
    check_account_name,
    check_api_key,
    check_new_serie,
)
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account import NewAccount
from invoicexpress_async.models.at_credentials import AtCredentials
from invoicexpress_async.protocol.accounts import check_account_id


def fold_fiscal_id(fiscal_id: str) -> str:
    """Return the letters and digits of a fiscal number, equal for all of its spellings."""
    folded = unicodedata.normalize("NFKC", fiscal_id).casefold()
    return "".join(filter(str.isalnum, folded))


def _check_new(_: object, __: object, account: NewAccount) -> None:
    if not fold_fiscal_id(account.fiscal_id or ""):
        raise ConfigurationError(
            f"Company {account.organization_name!r:.60} has no fiscal_id: a company is known by "
            "it, and two accounts of one fiscal number split its numbering for good."
        )


def _check_serie(_: object, __: object, serie: str) -> None:
    check_new_serie(serie)


def _check_id(_: object, __: object, account_id: str) -> None:
    check_account_id(account_id)


def _as_key(key: str | Secret) -> Secret:
    return check_api_key(key if isinstance(key, Secret) else Secret(key))


@attrs.frozen(kw_only=True)
class KnownAccount:
    """An account that a person has found for a company whose key was lost after the create.

    Attributes:
        name: The account's name, as in its url.
        api_key: The account's key; a str becomes a `Secret`.
        id: The account's id for the partner, if known.
    """

    name: str = attrs.field(converter=check_account_name)
    api_key: Secret = attrs.field(converter=_as_key)
    id: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_id))


@attrs.frozen(kw_only=True)
class Company:
    """A company to be onboarded.

    Attributes:
        account: The account to create; its fiscal number identifies the company.
        serie: The serie of the first sequence, which becomes the default.
        at: The AT credentials for registering sequences; None if none are needed.
        has_existing_user: Whether the e-mail and password belong to an existing user.
        known: The account, if a person has found that it exists: then none is created.
        line: The company's line in its file; 0 without a file.
    """

    account: NewAccount = attrs.field(validator=_check_new)
    serie: str = attrs.field(validator=_check_serie)
    at: AtCredentials | None = None
    has_existing_user: bool = attrs.field(default=False, validator=boolean)
    known: KnownAccount | None = None
    line: int = 0

    @property
    def fiscal_id(self) -> str:
        """The fiscal number."""
        return self.account.fiscal_id or ""
