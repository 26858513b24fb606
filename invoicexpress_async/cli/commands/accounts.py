"""`invoicexpress accounts`: the accounts of a partner; each command sends one request."""

import sys
from typing import Annotated, Literal

import attrs
from cyclopts import App, Parameter

from invoicexpress_async import AccountDetails, AccountUpdate, AtCredentials, Language
from invoicexpress_async.cli.commands import examples_of
from invoicexpress_async.cli.connection import run_call
from invoicexpress_async.cli.options import PartnerOptions
from invoicexpress_async.cli.output import data_console, new_table, write_json
from invoicexpress_async.cli.shell import DONE
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import as_key
from invoicexpress_async.provisioning import KeyReference, KeyUnavailableError

app: App = App(
    name="accounts",
    help="The accounts that you have created as a partner.",
    help_epilogue=examples_of("accounts"),
)

AccountId = Annotated[str, Parameter(help="The account's id, as its create gave it.")]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class AccountChanges:
    """The fields of an account to change. A field that is not given stays as it is.

    Most have the name of the field of `AccountUpdate` that they fill.
    """

    organization_name: Annotated[
        str | None, Parameter(help="The company, at most 100 characters.")
    ] = None
    email: str | None = None
    password_from: Annotated[
        str | None,
        Parameter(help="Where the user's password is, env:NAME or file:PATH; never itself."),
    ] = None
    accept_terms: Annotated[bool, Parameter(help="The provider's terms are accepted.")] = False
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


@app.command
def get(account_id: AccountId, /, *, options: PartnerOptions = PartnerOptions()) -> int:
    """Show one account: its company, its state, whether it can communicate with AT."""
    details = run_call(options, lambda partner: partner.accounts.get(account_id))
    if options.as_json:
        write_json(_object(account_id, details))
    else:
        _show(account_id, details)
    return DONE


@app.command
def update(
    account_id: AccountId,
    /,
    *,
    changes: AccountChanges = AccountChanges(),
    options: PartnerOptions = PartnerOptions(),
) -> int:
    """Change what is given of one account, and nothing else.

    A fiscal number can never be changed. AT credentials are checked with the tax authority, where
    repeated wrong ones may lock the sub-user.
    """
    wanted = _update_of(changes)
    run_call(options, lambda partner: partner.accounts.update(account_id, wanted))
    given = [
        field.name
        for field in attrs.fields(AccountUpdate)
        if getattr(wanted, field.name) is not None
    ]
    if options.as_json:
        write_json({"id": account_id, "updated": given})
    else:
        names = ", ".join(given).replace("credentials", "AT credentials")
        sys.stdout.write(f"Account {account_id} updated: {names}.\n")
    return DONE


def _update_of(changes: AccountChanges) -> AccountUpdate:
    names = (field.name for field in attrs.fields(AccountUpdate))
    fields = {name: getattr(changes, name) for name in names if hasattr(changes, name)}
    if fields["language"] is not None:
        fields["language"] = Language(fields["language"])
    password = changes.password_from
    return AccountUpdate(
        **fields,
        password=None if password is None else _password("--password-from", password),
        accepts_terms=changes.accept_terms or None,
        credentials=_credentials(changes),
    )


def _credentials(changes: AccountChanges) -> AtCredentials | None:
    subuser, reference = changes.at_subuser, changes.at_password_from
    if subuser is None and reference is None:
        return None
    if subuser is None or reference is None:
        raise ConfigurationError("--at-subuser and --at-password-from go together.")
    return AtCredentials(subuser=subuser, password=_password("--at-password-from", reference))


def _password(option: str, reference: str) -> Secret:
    found = as_key(reference)
    if not isinstance(found, KeyReference):
        # The reference is not shown, since it may be the password itself.
        raise ConfigurationError(
            f"{option} is env:NAME or file:PATH. A password is never an argument: the process list "
            "would show it."
        )
    if problem := found.problem():
        raise ConfigurationError(problem.replace("api_key", option) + ".")
    try:
        return Secret(found.read_now())
    except KeyUnavailableError:
        problem = f"{option} names what is empty."
    raise ConfigurationError(problem)


def _object(account_id: str, details: AccountDetails) -> dict[str, object]:
    fields = attrs.asdict(details, recurse=False)
    return {"id": account_id, **fields, "extra": dict(details.extra)}


def _show(account_id: str, details: AccountDetails) -> None:
    rows = (
        (name, ("yes" if value else "no") if isinstance(value, bool) else value)
        for name, value in _object(account_id, details).items()
        if name != "extra"
    )
    data_console().print(new_table("field", "value", rows=rows))
