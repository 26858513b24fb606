"""`invoicexpress rollover`: the new year's serie on all accounts of a file."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.job_options import JobOptions
from invoicexpress_async.cli.options import ConnectionOptions

_NO_OPTIONS: Final = ConnectionOptions()
_NO_JOB_OPTIONS: Final = JobOptions()


def rollover(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[
        Path, Parameter(help="A CSV with a header: account, api_key, and maybe serie.")
    ],
    /,
    *,
    year: Annotated[int, Parameter(help="The new year, such as 2027.")],
    pattern: Annotated[
        str | None,
        Parameter(help="A name with {year} or {yy} in it, for the rows that name no serie."),
    ] = None,
    not_before: Annotated[
        dt.date | None,
        Parameter(
            help="The day, as 2027-01-01 and in Lisbon, before which nothing becomes the default: "
            "until then all is prepared, and the same command ends it on that day."
        ),
    ] = None,
    job: JobOptions = _NO_JOB_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Create the new year's serie on all accounts, check it, and only then make it the default.

    The name follows that of each account's default: 2026 becomes 2027, FR2026 FR2027, A26 A27.
    What is not plain is never guessed: such accounts are named, and the others go on. --dry-run
    looks at the accounts, and changes nothing.
    """
    from invoicexpress_async.cli.commands.rollover_run import Wishes, carry_out  # noqa: PLC0415  # as above

    wishes = Wishes(year=year, pattern=pattern, not_before=not_before)
    return carry_out(accounts, wishes, job, options)
