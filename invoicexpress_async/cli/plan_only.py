"""Entering a plan into a journal that workers share."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from invoicexpress_async.cli.failures import message_of
from invoicexpress_async.cli.options import JobOptions
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.shell import DONE, FAILED, echo, printable, typed_command
from invoicexpress_async.cli.views.row_view import RowView
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.words import word
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.jobs.last_command import LastCommand
from invoicexpress_async.provisioning import Plan, RunSettings, enter_plan, read_status


async def plan_only(  # noqa: PLR0913  # keyword-only options
    plan: Plan,
    journal: Journal | None,
    settings: RunSettings,
    *,
    job: JobOptions,
    as_json: bool,
    unplanned: Sequence[RowView] = (),
) -> int:
    """Enter the rows of a plan into a journal that workers share, and return the exit code.

    Args:
        plan: The rows.
        journal: Open.
        settings: What the run may do.
        job: Whose journal it is.
        as_json: Whether stdout takes JSON.
        unplanned: Accounts that got no row.
    """
    if journal is None or job.journal is None:
        raise ConfigurationError("--plan-only needs a journal.")
    if plan.rows:  # without, a journal would take it for the end of all its rows
        await enter_plan(journal, plan, settings=settings)
        await _keep_command(journal, settings)
    status = await asyncio.to_thread(read_status, job.journal)
    for one in unplanned:
        if as_json:
            write_json(ROWS.data(one))
        else:
            echo(printable(_left_out(one, job)))
    if as_json:
        counts = dict(status.counts)
        planned = {"rows": plan.summary.rows, "journal": journal.label, "counts": counts}
        write_json({"type": "planned", **planned, "left_out": len(unplanned)})
    else:
        of_all = ", ".join(f"{count} {state}" for state, count in status.counts.items())
        echo(
            f"{plan.summary.rows} rows are planned in {journal.label}, which now has "
            f"{of_all or 'none'}. Nothing was sent: workers do them."
        )
    return FAILED if unplanned else DONE


async def _keep_command(journal: Journal, settings: RunSettings) -> None:
    line = typed_command()
    if line is None:
        return
    after = settings.resend_absent_after
    command = LastCommand(line=line, folder=str(Path.cwd()), resend_absent_after=after)
    await command.keep_if_first(journal)
    await command.keep(journal)


def _left_out(one: RowView, job: JobOptions) -> str:
    why = message_of(one.error) if one.error else ""
    cure = word(one.cure, job.language) if one.cure else ""
    return f"Left out: line {one.line}, account {one.account}. {why} {cure}".rstrip()
