"""`invoicexpress live-check`: whether a real account responds as this program assumes."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.options import AccountOptions

_NO_OPTIONS: Final = AccountOptions()


def live_check(
    *,
    write: Annotated[
        bool, Parameter(negative=(), help="Also offer the steps that write, one question each.")
    ] = False,
    serie: Annotated[
        str | None, Parameter(help="With --write: the name of a series to create, for ever.")
    ] = None,
    record: Annotated[
        Path | None,
        Parameter(help="Write what came back to this new file, with every value replaced."),
    ] = None,
    options: AccountOptions = _NO_OPTIONS,
) -> int:
    """Compare a real account with what this program assumes of the API: what differs, what is new.

    Only reads, in eight requests, unless --write is given. Each step that writes is sent once at
    most, and only after a yes on the terminal; for a server on this machine there is no question.

    The exit code is 0 when nothing differs, 1 when something does, and 3 when the outcome of a step
    that writes is not known.
    """
    from invoicexpress_async.cli.commands.live_check_run import check_live  # noqa: PLC0415  # not for the help

    return check_live(options, is_writing=write, serie=serie, record=record)
