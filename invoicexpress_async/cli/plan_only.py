"""Entering a plan into a journal that workers share."""

from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.shell import DONE, echo
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.provisioning import Plan, RunSettings, enter_plan


async def plan_only(
    plan: Plan, journal: Journal | None, settings: RunSettings, *, as_json: bool
) -> int:
    """Enter the rows of a plan into a journal that workers share, and return the exit code."""
    if journal is None:
        raise ConfigurationError("--plan-only needs a journal.")
    await enter_plan(journal, plan, settings=settings)
    rows = plan.summary.rows
    if as_json:
        write_json({"type": "planned", "rows": rows, "journal": journal.label})
    else:
        echo(f"{rows} rows are planned in {journal.label}. Nothing was sent: workers do them.")
    return DONE
