"""What `invoicexpress provision` does."""

import sys
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

from invoicexpress_async.cli.commands.dry_run import show_plan
from invoicexpress_async.cli.confirmation import confirm, warn_of_spaces
from invoicexpress_async.cli.connection import base_url_of, is_this_machine, open_manager
from invoicexpress_async.cli.exit_codes import FAILED
from invoicexpress_async.cli.job_options import JobOptions, check_job_options
from invoicexpress_async.cli.job_run import Job, Views, run_plan
from invoicexpress_async.cli.options import ConnectionOptions
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.text import plain, say
from invoicexpress_async.cli.views.row_report import outcome_layout
from invoicexpress_async.provisioning import Plan, RunSettings, SqliteJournal

_MOST_SERIES_NAMED = 3


def carry_out(
    accounts: Path,
    job: JobOptions,
    options: ConnectionOptions,
    *,
    serie: str | None,
    default: bool,
) -> int:
    """Read the plan, say what it is, ask, run."""
    check_job_options(job)
    settings = settings_of(job)
    base_url = base_url_of(options)
    if job.report is not None:
        check_report(job.report, outcome_layout(job.report), accounts=accounts)
    plan = Plan.from_csv(accounts, serie=serie, default=default)
    if plan.ignored_columns:
        names = plain(", ".join(plan.ignored_columns))
        sys.stderr.write(f"warning: columns that mean nothing here: {names}\n")
    warn_of_spaces(plan.summary.series)
    what = f"{describe(plan)} at {base_url.template}"
    if job.dry_run:
        say(f"Would ensure {what}. What exists was not looked at; nothing was sent.")
        return show_plan(plan, job, as_json=options.as_json)
    if not (job.yes or is_this_machine(base_url) or confirm(f"About to ensure {what}.")):
        return FAILED
    say(f"Ensuring {what}.")
    views = Views(as_json=options.as_json, report=job.report, accounts=accounts)
    return run_to_its_end(_run(plan, job, settings, options, views))


async def _run(
    plan: Plan, job: JobOptions, settings: RunSettings, options: ConnectionOptions, views: Views
) -> int:
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(open_manager(options))
        journal = None
        if job.journal is not None:
            journal = await stack.enter_async_context(SqliteJournal(job.journal))
        work = Job(plan=plan, concurrency=job.concurrency, journal=journal, settings=settings)
        return await run_plan(manager, work, views)


def settings_of(job: JobOptions) -> RunSettings:
    """Return what the run may do.

    Raises:
        ConfigurationError: what cannot be right.
    """
    return RunSettings(
        resend_absent_after=job.resend_absent_after,
        retry_refused=job.retry_refused,
        accept_changes=job.accept_changes,
    )


def describe(plan: Plan) -> str:
    """Return what a plan asks for, in a few words."""
    accounts, series = plan.summary.accounts, plan.summary.series
    names = ", ".join(repr(name) for name in islice(series, _MOST_SERIES_NAMED))
    more = (
        f" and {len(series) - _MOST_SERIES_NAMED} more" if len(series) > _MOST_SERIES_NAMED else ""
    )
    defaults = plan.summary.defaults
    default = f", {defaults} as default" if defaults else ""
    return f"serie {names}{more} on {accounts} account{'s' if accounts != 1 else ''}{default}"
