"""`invoicexpress onboard`: an account for each company of a file, ready to invoice."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.onboard_options import OnboardOptions
from invoicexpress_async.cli.partner_options import PartnerOptions

_NO_OPTIONS: Final = PartnerOptions()
_NO_JOB_OPTIONS: Final = OnboardOptions()


def onboard(  # noqa: PLR0913  # the options of a command
    companies: Annotated[
        Path,
        Parameter(
            help="A CSV with a header: organization_name, email, password, fiscal_id, and maybe "
            "at_subuser, at_password, serie."
        ),
    ],
    /,
    *,
    keys_out: Annotated[
        Path,
        Parameter(
            help="Where the new keys go, private (0600): variables in .env, else a CSV that "
            "`provision`, `rollover` and `audit` take."
        ),
    ],
    journal: Annotated[
        Path,
        Parameter(
            help="Keep in this file what is meant and what became of it, before anything is sent; "
            "no secret is in it. The same command goes on where it ended."
        ),
    ],
    serie: Annotated[str | None, Parameter(help="For the rows that name none.")] = None,
    job: OnboardOptions = _NO_JOB_OPTIONS,
    options: PartnerOptions = _NO_OPTIONS,
) -> int:
    """Create an account for each company of a CSV, and bring it to its first invoice.

    For each company: create its account, deliver its key, set its tax-authority (AT) credentials,
    ensure its first serie as the default, and look whether all is so. Each step is done once: run
    the same command again after whatever ended it. An account is never created twice, and what
    cannot be known is told, with what to do. A secret of a row may be a reference, env:NAME or
    file:PATH.
    """
    from invoicexpress_async.cli.commands.onboard_run import Order, carry_out  # noqa: PLC0415  # not for help

    order = Order(companies=companies, keys_out=keys_out, journal=journal, serie=serie)
    return carry_out(order, job, options)
