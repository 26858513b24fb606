"""`invoicexpress accounts`: the accounts that a partner has created, one request each."""

from typing import Annotated, Final

from cyclopts import App, Parameter

from invoicexpress_async.cli.commands.account_changes import AccountChanges
from invoicexpress_async.cli.options import PartnerOptions

app: App = App(name="accounts", help="The accounts that you have created as a partner.")

_NO_OPTIONS: Final = PartnerOptions()
_NO_CHANGES: Final = AccountChanges()
AccountId = Annotated[str, Parameter(help="The account's id, as its create gave it.")]


@app.command
def get(account_id: AccountId, /, *, options: PartnerOptions = _NO_OPTIONS) -> int:
    """Show one account: its company, its state, whether it can communicate with AT."""
    from invoicexpress_async.cli.commands import account_calls  # noqa: PLC0415  # not for the help

    return account_calls.get(options, account_id)


@app.command
def update(
    account_id: AccountId,
    /,
    *,
    changes: AccountChanges = _NO_CHANGES,
    options: PartnerOptions = _NO_OPTIONS,
) -> int:
    """Change what is given of one account, and nothing else.

    A fiscal number can never be changed. AT credentials are checked with the tax authority, where
    repeated wrong ones may lock the sub-user.
    """
    from invoicexpress_async.cli.commands import account_calls  # noqa: PLC0415  # not for the help

    return account_calls.update(options, account_id, changes)
