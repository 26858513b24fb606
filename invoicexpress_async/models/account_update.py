"""`AccountUpdate`: the changes to an account."""

import attrs

from invoicexpress_async.config import Secret, check_type
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.models.account import Language, TaxCountry
from invoicexpress_async.models.account_fields import (
    as_secret,
    check_email,
    check_flag,
    check_line,
    check_lines,
    check_organization_name,
    check_password,
    check_postal_code,
    check_terms,
    hide_secrets_in_tracebacks,
    member_of,
)
from invoicexpress_async.models.at_credentials import AtCredentials


def _credentials(_: object, __: object, value: AtCredentials | None) -> None:
    if value is not None:
        check_type("credentials", value, AtCredentials)


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class AccountUpdate:
    """Changes to an account: only fields that are set are sent, and None leaves a field unchanged.

    A fiscal number can never be changed, so there is no field for one.

    Attributes:
        organization_name: The company's name, at most 100 characters.
        password: The password of the account's user; a str becomes a `Secret`. The provider's
            description says that an update needs the name, the e-mail, the password and the terms,
            but it was seen to work without the last two: the server reports what is missing.
        accepts_terms: Whether the provider's terms are accepted; must be True or None.
        postal_code: A code in the form DDDD-DDD.
        credentials: The AT credentials; an update sends only their sub-user and password.
    """

    organization_name: str | None = attrs.field(default=None, validator=check_organization_name)
    email: str | None = attrs.field(default=None, validator=check_email)
    password: Secret | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(as_secret),
        validator=attrs.validators.optional(check_password),
    )
    accepts_terms: bool | None = attrs.field(default=None, validator=check_terms)
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
