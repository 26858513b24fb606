"""`invoicexpress sandbox`: a local InvoiceXpress."""

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from invoicexpress_async.cli.rehearsal_options import RehearsalOptions

_NO_REHEARSAL: Final = RehearsalOptions()
_DEFAULT_PORT: Final = 8780  # fixed, so that what was pasted still works after a restart


def sandbox(  # noqa: PLR0913  # the options of a command, each with a default
    *,
    accounts: Annotated[int, Parameter(help="How many to make.")] = 3,
    accounts_csv: Annotated[
        Path | None, Parameter(help="Take names and keys from a CSV instead: account, api_key.")
    ] = None,
    partner: Annotated[
        str | None,
        Parameter(help="An account of this name too, which may create accounts: for `onboard`."),
    ] = None,
    port: Annotated[int, Parameter(help="Where to listen; 0 for a free one.")] = _DEFAULT_PORT,
    state: Annotated[
        Path | None, Parameter(help="Keep accounts and sequences in this file.")
    ] = None,
    language: Annotated[Literal["pt", "en"], Parameter(help="Of the server's messages.")] = "pt",
    write_accounts: Annotated[
        Path | None, Parameter(help="Write names and keys to this CSV, as `provision` takes it.")
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Address and accounts as one JSON line.")
    ] = False,
    rehearsal: RehearsalOptions = _NO_REHEARSAL,
) -> int:
    """Run a local InvoiceXpress until Ctrl-C, and print its address, accounts and keys.

    It listens on this machine only. The keys are the sandbox's own and open nothing else.
    """
    from invoicexpress_async.cli.commands.sandbox_run import Setup, run  # noqa: PLC0415  # not for the help

    setup = Setup(
        count=accounts,
        accounts_csv=accounts_csv,
        partner=partner,
        port=port,
        state=state,
        language=language,
        write_accounts=write_accounts,
        as_json=as_json,
        rehearsal=rehearsal,
    )
    return run(setup)
