"""`AccountUpdate`: what of an account is to be changed."""

from typing import Any

import attrs

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account import Language, TaxCountry
from invoicexpress_async.models.account_fields import (
    check_email,
    check_flag,
    check_line,
    check_lines,
    check_organization_name,
    check_postal_code,
    member_of,
)
from invoicexpress_async.models.at_credentials import AtCredentials


def _credentials(_: object, __: object, value: Any) -> None:  # noqa: ANN401  # whatever is given
    if value is not None and not isinstance(value, AtCredentials):
        raise ConfigurationError("credentials must be AtCredentials.")


@attrs.frozen(kw_only=True)
class AccountUpdate:
    """Changes of an account: only what is set is sent, so None leaves a field as it is.

    A fiscal number can never be changed, so there is no field for one.

    Attributes:
        organization_name: At most 100 characters.
        postal_code: DDDD-DDD.
        credentials: At the tax authority; of them an update sends sub-user and password only.
    """

    organization_name: str | None = attrs.field(default=None, validator=check_organization_name)
    email: str | None = attrs.field(default=None, validator=check_email)
    first_name: str | None = attrs.field(default=None, validator=check_line)
    last_name: str | None = attrs.field(default=None, validator=check_line)
    phone: str | None = attrs.field(default=None, validator=check_line)
    fax: str | None = attrs.field(default=None, validator=check_line)
    website: str | None = attrs.field(default=None, validator=check_line)
    address: str | None = attrs.field(default=None, validator=check_lines)
    city: str | None = attrs.field(default=None, validator=check_line)
    postal_code: str | None = attrs.field(default=None, validator=check_postal_code)
    tax_country: TaxCountry | None = attrs.field(default=None, validator=member_of(TaxCountry))
    language: Language | None = attrs.field(default=None, validator=member_of(Language))
    accepts_marketing: bool | None = attrs.field(default=None, validator=check_flag)
    credentials: AtCredentials | None = attrs.field(default=None, validator=_credentials)

    def __attrs_post_init__(self) -> None:
        if all(getattr(self, field.name) is None for field in attrs.fields(AccountUpdate)):
            raise ConfigurationError(
                "An AccountUpdate without any field changes nothing: give one, such as the phone."
            )
