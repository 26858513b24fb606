"""What the commands of `invoicexpress accounts` do."""

import sys
from typing import Final

import attrs

from invoicexpress_async import AccountDetails, AccountUpdate, AtCredentials, Language
from invoicexpress_async.cli.commands.account_changes import AccountChanges
from invoicexpress_async.cli.connection import run_call
from invoicexpress_async.cli.options import PartnerOptions
from invoicexpress_async.cli.output import cell, data_console, new_table, write_json
from invoicexpress_async.cli.shell import DONE
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import as_key
from invoicexpress_async.provisioning import KeyReference

_OF_THE_COMMAND_LINE: Final = frozenset(
    {"password_from", "accept_terms", "at_subuser", "at_password_from"}
)


def get(options: PartnerOptions, account_id: str) -> int:
    """Show one."""
    details = run_call(options, lambda partner: partner.accounts.get(account_id))
    if options.as_json:
        write_json(_object(account_id, details))
    else:
        _show(account_id, details)
    return DONE


def update(options: PartnerOptions, account_id: str, changes: AccountChanges) -> int:
    """Change one."""
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
        told = ", ".join(given).replace("credentials", "AT credentials")
        sys.stdout.write(f"Account {account_id} updated: {told}.\n")
    return DONE


def _update_of(changes: AccountChanges) -> AccountUpdate:
    fields = {
        field.name: getattr(changes, field.name)
        for field in attrs.fields(AccountChanges)
        if field.name not in _OF_THE_COMMAND_LINE
    }
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
        # Not shown: it may be the password itself.
        raise ConfigurationError(
            f"{option} is env:NAME or file:PATH. A password is never an argument: the process list "
            "would show it."
        )
    if problem := found.problem():
        raise ConfigurationError(problem.replace("api_key", option) + ".")
    return Secret(found.read_now())


def _object(account_id: str, details: AccountDetails) -> dict[str, object]:
    return {
        "id": account_id,
        "organization_name": details.organization_name,
        "fiscal_id": details.fiscal_id,
        "email": details.email,
        "state": details.state,
        "at_configured": details.at_configured,
        "trial": details.trial,
        "extra": dict(details.extra),
    }


def _show(account_id: str, details: AccountDetails) -> None:
    table = new_table("field", "value")
    for name, value in _object(account_id, details).items():
        if name == "extra":
            continue
        text = ("yes" if value else "no") if isinstance(value, bool) else value
        table.add_row(cell(name), cell(text))
    data_console().print(table)
