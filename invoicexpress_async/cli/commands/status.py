"""`invoicexpress status`: how far a job is, from its journal."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def status(
    journal: Annotated[Path, Parameter(help="The file that --journal named.")],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="JSON on stdout, errors as JSON.")
    ] = False,
) -> int:
    """Show how far a job is and what to do next, while it runs or not. Nothing is sent."""
    from invoicexpress_async.cli.commands.status_run import show  # noqa: PLC0415  # not for the help

    return show(journal, as_json=as_json)
