"""`AtCredentials`: the tax authority (AT) login with which an account registers its sequences."""

from enum import StrEnum
from typing import Any, Final

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account_fields import (
    as_secret,
    check_password,
    hide_secrets_in_tracebacks,
    is_nif,
    member_of,
    required,
)

_MAX_SUBUSER_DIGITS: Final = 9


class CommunicationType(StrEnum):
    """How an account's documents are communicated to the tax authority."""

    AUTO = "auto"
    MANUAL = "manual"
    GUIDES = "guides"
    PORTAL_AT = "portal_at"


def _subuser(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    nif, _slash, number = value.partition("/") if isinstance(value, str) else ("", "", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_SUBUSER_DIGITS
    if not is_nif(nif) or not is_number:
        raise ConfigurationError(
            f"{field.name} {value!r:.40} is not a sub-user: a fiscal number (NIF), a slash and a "
            "number, such as 123456789/3. The tax authority's own login without a slash is none."
        )


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class AtCredentials:
    """A sub-user at the tax authority, with the right to communicate series.

    Attributes:
        subuser: The sub-user, in the form "NIF/n".
        password: The password as typed at the tax authority, not in base64: it is encoded when it
            is sent. A str becomes a `Secret`.
        communication_type: How documents are communicated.
    """

    subuser: str = attrs.field(validator=_subuser)
    password: Secret = attrs.field(converter=as_secret, validator=check_password)
    communication_type: CommunicationType = attrs.field(
        default=CommunicationType.AUTO, validator=required(member_of(CommunicationType))
    )
