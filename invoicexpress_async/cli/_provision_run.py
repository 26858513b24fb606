"""What `invoicexpress provision` does."""

import sys
from itertools import islice
from pathlib import Path

import attrs

from invoicexpress_async.cli._bulk import Views, run_plan
from invoicexpress_async.cli._confirmation import confirm, warn_of_spaces
from invoicexpress_async.cli._connection import base_url_of, is_this_machine, open_manager
from invoicexpress_async.cli._exit_codes import DONE, FAILED
from invoicexpress_async.cli._options import ConnectionOptions
from invoicexpress_async.cli._output import cell, data_console, new_table, write_json
from invoicexpress_async.cli._report_file import check_report
from invoicexpress_async.cli._signals import run_to_its_end
from invoicexpress_async.cli._text import plain
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning import Plan

_MOST_SERIES_NAMED = 3
_MOST_ROWS_SHOWN = 20


@attrs.frozen(kw_only=True)
class Wishes:
    """How to carry a plan out."""

    concurrency: int
    report: Path | None
    is_dry_run: bool
    may_skip_asking: bool


def carry_out(
    accounts: Path,
    options: ConnectionOptions,
    wishes: Wishes,
    *,
    serie: str | None,
    default: bool,
) -> int:
    """Read the plan, say what it is, ask, run."""
    if wishes.concurrency < 1:
        raise ConfigurationError("Give a --concurrency of 1 or more.")
    base_url = base_url_of(options)
    if wishes.report is not None:
        check_report(wishes.report, accounts=accounts)
    plan = Plan.from_csv(accounts, serie=serie, default=default)
    if plan.ignored_columns:
        names = plain(", ".join(plan.ignored_columns))
        sys.stderr.write(f"warning: columns that mean nothing here: {names}\n")
    warn_of_spaces(dict.fromkeys(row.serie for row in plan.rows))
    what = f"{_describe(plan)} at {base_url.template}"
    if wishes.is_dry_run:
        _show_plan(plan, as_json=options.as_json)
        sys.stderr.write(f"Would ensure {what}. What exists was not looked at; nothing was sent.\n")
        return DONE
    may_run = wishes.may_skip_asking or is_this_machine(base_url)
    if not may_run and not confirm(f"About to ensure {what}."):
        return FAILED
    sys.stderr.write(f"Ensuring {what}.\n")
    views = Views(as_json=options.as_json, report=wishes.report, accounts=accounts)
    return run_to_its_end(_run(plan, options, wishes.concurrency, views))


async def _run(plan: Plan, options: ConnectionOptions, concurrency: int, views: Views) -> int:
    async with open_manager(options) as manager:
        return await run_plan(manager, plan, concurrency=concurrency, views=views)


def _describe(plan: Plan) -> str:
    accounts, series = plan.summary.accounts, plan.summary.series
    names = ", ".join(repr(name) for name in islice(series, _MOST_SERIES_NAMED))
    more = (
        f" and {len(series) - _MOST_SERIES_NAMED} more" if len(series) > _MOST_SERIES_NAMED else ""
    )
    defaults = plan.summary.defaults
    default = f", {defaults} as default" if defaults else ""
    return f"serie {names}{more} on {accounts} account{'s' if accounts > 1 else ''}{default}"


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        for row in plan.rows:
            write_json(
                {
                    "type": "plan",
                    "line": row.line,
                    "account": row.account,
                    "serie": row.serie,
                    "is_default": row.is_default,
                }
            )
        return
    table = new_table("line", "account", "serie", "default", numbers=("line",))
    for row in islice(plan.rows, _MOST_ROWS_SHOWN):
        default = "yes" if row.is_default else None
        table.add_row(cell(row.line), cell(row.account), cell(row.serie), cell(default))
    console = data_console()
    console.print(table)
    if len(plan.rows) > _MOST_ROWS_SHOWN:
        console.print(f"… {len(plan.rows) - _MOST_ROWS_SHOWN} more: --json shows all", style="dim")
