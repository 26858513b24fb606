"""`invoicexpress provision`: one serie on all accounts of a file."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.job_options import JobOptions
from invoicexpress_async.cli.options import ConnectionOptions

_NO_OPTIONS: Final = ConnectionOptions()
_NO_JOB_OPTIONS: Final = JobOptions()


def provision(
    accounts: Annotated[
        Path, Parameter(help="A CSV with a header: account, api_key, and maybe serie, default.")
    ],
    /,
    *,
    serie: Annotated[str | None, Parameter(help="For the rows that name none.")] = None,
    default: Annotated[
        bool, Parameter(negative=(), help="Make it the default, for the rows that do not say.")
    ] = False,
    job: JobOptions = _NO_JOB_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Ensure a serie on all accounts of a CSV: create what is absent, keep what is there.

    The key of a row may be a reference, env:NAME or file:PATH. All bad rows are named by their
    line before anything is sent. A series can never be deleted. Running the same file again looks
    first; give a --journal, so that it also knows what an earlier run sent and lost sight of.
    """
    from invoicexpress_async.cli.commands.provision_run import carry_out  # noqa: PLC0415  # not for help

    return carry_out(accounts, job, options, serie=serie, default=default)
