"""An account of the sandbox, and how the tax authority treats it."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import attrs

from invoicexpress_async.sandbox.domain.rows import DOCUMENT_TYPES

AccountOperation = Literal[
    "account_create",
    "account_create_already_user",
    "account_get",
    "account_update",
    "at_communication",
]
Operation = Literal["create", "list", "get", "set_current", "register", AccountOperation]
AccountLanguage = Literal["pt", "en", "es"]

ACCOUNT_OPERATIONS: frozenset[str] = frozenset(get_args(AccountOperation))
READ_OPERATIONS: frozenset[Operation] = frozenset({"list", "get", "account_get"})

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _as_tuple(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _as_refusals(
    refusals: Mapping[Operation, Iterable[int | str]],
) -> Mapping[Operation, tuple[int, str]]:
    pairs: dict[Operation, tuple[int, str]] = {}
    for operation, (status, code) in refusals.items():
        pairs[operation] = int(status), str(code)
    return MappingProxyType(pairs)


def _read_only(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


def _lower(name: str) -> str:
    return name.lower()


def _check_name(_account: object, _field: object, name: str) -> None:
    if _LABEL.fullmatch(name) is None:
        raise ValueError(f"an account name is one label of a host name, not {name!r}")


def _check_key(_account: object, _field: object, api_key: object) -> None:
    if not isinstance(api_key, str) or not api_key:
        raise ValueError("an account's API key is a text that is not empty")


@attrs.frozen(kw_only=True)
class SandboxAccount:
    """An account: its key, its company, and the settings for registering its series.

    Args:
        name: The sub-domain, in lower case.
        api_key: The key; generated if it is not given.
        is_partner: Whether the account may create accounts; if not, a create returns 422.
        id: The id under which its owner reads it; without an id it cannot be read.
        owner: The name of the partner's account whose key may get and update it.
        organization_name: The name of the company.
        email: The e-mail of the user.
        user_password: The user's password, with which the user can get further accounts. An
            empty one matches no user.
        fiscal_id: The fiscal id of the company, to which its AT sub-users belong.
        state: The state, as `get` returns it.
        language: The language of the account's messages, instead of the sandbox's.
        details: The other fields of create and update, by their wire names.
        has_at_credentials: Whether the tax authority (AT) sub-user is configured; if not, a
            Portuguese account gets 422: 004 on create, 002 on register.
        has_valid_at_credentials: Whether AT accepts that sub-user; if not, the same.
        at_failures: Wrong passwords in a row, by sub-user; enough of them lock the sub-user.
        has_open_activity: Whether the fiscal id is active at AT; if not, 422: 005 on create,
            003 on register.
        is_trial: Whether requests that need AT get 401, since a trial may not communicate with AT.
        country: Accounts outside Portugal register nothing: a register gets 422/004. What their
            create returns is unknown; here every code is `N/A`.
        document_types: The types of each row; they vary with the account's age and plan.
        has_validation_codes: False gives the lean rows recorded in 2019, without any code.
        refused_document_types: Types that AT refuses: their code stays `N/D` (partial).
        registration_seconds: Overrides the sandbox's setting for this account.
        refusals: Operation to (status, code), always returned instead of any effect: for
            422/000, 403 on register, 5xx and codes that are not known yet.
    """

    name: str = attrs.field(converter=_lower, validator=_check_name)
    api_key: str = attrs.field(
        factory=lambda: secrets.token_hex(20), validator=_check_key, repr=False
    )
    is_partner: bool = False
    id: str = ""
    owner: str = ""
    organization_name: str = ""
    email: str | None = None
    user_password: str = attrs.field(default="", repr=False)
    fiscal_id: str = ""
    state: str = "active"
    language: AccountLanguage | None = None
    details: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_read_only)
    has_at_credentials: bool = True
    has_valid_at_credentials: bool = True
    at_failures: Mapping[str, int] = attrs.field(factory=dict[str, int], converter=_read_only)
    has_open_activity: bool = True
    is_trial: bool = False
    country: str = "PT"
    document_types: tuple[str, ...] = attrs.field(default=DOCUMENT_TYPES, converter=_as_tuple)
    has_validation_codes: bool = True
    refused_document_types: tuple[str, ...] = attrs.field(default=(), converter=_as_tuple)
    registration_seconds: float | None = None
    refusals: Mapping[Operation, tuple[int, str]] = attrs.field(
        factory=dict[Operation, tuple[int, str]], converter=_as_refusals
    )

    @property
    def is_portuguese(self) -> bool:
        """Whether its series are registered with the Portuguese tax authority."""
        return self.country.upper() == "PT"


def make_account(settings: Mapping[str, object]) -> SandboxAccount:
    """Return an account from its settings in JSON.

    Raises:
        ValueError: A setting is unknown or invalid.
    """
    construct = cast("Callable[..., SandboxAccount]", SandboxAccount)
    try:
        return construct(**settings)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not the settings of an account: {error}") from None
