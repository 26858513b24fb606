"""`invoicexpress provision`: one serie on all accounts of a file."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli._options import ConnectionOptions

_NO_OPTIONS: Final = ConnectionOptions()


def provision(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[
        Path, Parameter(help="A CSV with a header: account, api_key, and maybe serie, default.")
    ],
    /,
    *,
    serie: Annotated[str | None, Parameter(help="For the rows that name none.")] = None,
    default: Annotated[
        bool, Parameter(negative=(), help="Make it the default, for the rows that do not say.")
    ] = False,
    concurrency: Annotated[int, Parameter(help="Accounts in flight at a time.")] = 50,
    report: Annotated[
        Path | None, Parameter(help="Write every account and document type to this CSV.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Show what would be ensured, and send nothing.")
    ] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask first.")] = False,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Ensure a serie on all accounts of a CSV: create what is absent, keep what is there.

    The key of a row may be a reference, env:NAME or file:PATH. All bad rows are named by their
    line before anything is sent. A series can never be deleted; running the same file again
    creates nothing twice.
    """
    from invoicexpress_async.cli._provision_run import (  # noqa: PLC0415  # not for the help
        Wishes,
        carry_out,
    )

    wishes = Wishes(concurrency=concurrency, report=report, is_dry_run=dry_run, may_skip_asking=yes)
    return carry_out(accounts, options, wishes, serie=serie, default=default)
