"""The options of `invoicexpress accounts update`: what can be changed."""

from typing import Annotated, Literal

import attrs
from cyclopts import Parameter


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class AccountChanges:
    """Each is left as it is unless it is given."""

    organization_name: Annotated[
        str | None, Parameter(help="The company, at most 100 characters.")
    ] = None
    email: str | None = None
    password_from: Annotated[
        str | None,
        Parameter(help="Where the user's password is, env:NAME or file:PATH; never itself."),
    ] = None
    accept_terms: Annotated[
        bool, Parameter(negative=(), help="The provider's terms are accepted.")
    ] = False
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    fax: str | None = None
    website: str | None = None
    address: str | None = None
    city: str | None = None
    postal_code: Annotated[str | None, Parameter(help="Like 1000-001.")] = None
    language: Literal["pt", "en", "es"] | None = None
    at_subuser: Annotated[
        str | None, Parameter(help="At the tax authority, like 123456789/3; with its password.")
    ] = None
    at_password_from: Annotated[
        str | None,
        Parameter(help="Where the sub-user's password is, env:NAME or file:PATH; never itself."),
    ] = None
