"""`invoicexpress audit`: what the accounts of a file have, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.options import ConnectionOptions

_NO_OPTIONS: Final = ConnectionOptions()


def audit(
    accounts: Annotated[Path, Parameter(help="A CSV with a header: account, api_key.")],
    /,
    *,
    concurrency: Annotated[int, Parameter(help="Accounts read at a time.")] = 50,
    report: Annotated[
        Path | None,
        Parameter(help="Write every serie and document type here: Markdown in .md, else CSV."),
    ] = None,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Look at all sequences of all accounts of a CSV, and show what is wrong first. Only reads.

    An account is fine when it has one default serie and every document type of it has its code.
    The exit code is 0 when all accounts are fine, else 1.
    """
    from invoicexpress_async.cli.commands.audit_run import carry_out  # noqa: PLC0415  # not for the help

    return carry_out(accounts, options, concurrency=concurrency, report=report)
