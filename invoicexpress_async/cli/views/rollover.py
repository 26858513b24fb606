"""What a roll-over would do, account by account; those that need a person first."""

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from invoicexpress_async.cli.failures import cure_of, error_object, message_of
from invoicexpress_async.cli.output import cell, data_console, new_table, write_json
from invoicexpress_async.cli.views.row_view import cure_of_step
from invoicexpress_async.cli.views.rows import ACCOUNT_WIDTH
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.provisioning import RolloverPlan, RolloverStep

_MOST_ROWS: Final = 20
_MOST_PROBLEMS: Final = 100
_SERIE_WIDTH: Final = 18


def show_rollover(plan: RolloverPlan, states: Mapping[str, str], *, as_json: bool) -> None:
    """Show the accounts with their present and their next serie.

    Args:
        plan: What was found.
        states: How far the accounts are that a journal has.
        as_json: A line of JSON for each instead.
    """
    if as_json:
        for step in plan.steps:
            write_json(_object(step) | {"journal": states.get(step.row.account)})
        write_json(_summary(plan))
        return
    ranked = sorted(plan.steps, key=lambda step: step.problem is None)
    count = max(_MOST_ROWS, min(len(plan.problems), _MOST_PROBLEMS))
    table = new_table("line", "account", "default now", "next", "what to do", numbers=("line",))
    table.columns[1].max_width = ACCOUNT_WIDTH
    for column in table.columns[2:4]:
        column.max_width = _SERIE_WIDTH
    for step in ranked[:count]:
        table.add_row(
            cell(step.row.line or None),
            cell(step.row.account),
            cell(step.current and step.current.serie),
            Text("?", "yellow") if step.serie is None else cell(step.serie),
            cell(_note(step, states.get(step.row.account))),
        )
    console = data_console()
    console.print(table)
    if len(ranked) > count:
        console.print(f"… {len(ranked) - count} more: --json shows all", style="dim")


def _note(step: RolloverStep, state: str | None) -> str:
    if step.problem is not None:
        return _told(step.problem, step.row.account)
    if state is not None:
        return f"the journal has it: {state}"
    if step.current is None:
        return "ensure the serie that is named, make it the default"
    if canonical(step.current.serie) == canonical(step.serie or ""):
        return "nothing: it is the default"
    return "ensure, then make it the default"


def _told(error: InvoiceXpressError, account: str) -> str:
    text = message_of(error).removeprefix(f"Account {account}: ")
    # Its text has its cure in it.
    return text if isinstance(error, ConfigurationError) else f"{text} {cure_of(error)}"


def _object(step: RolloverStep) -> dict[str, object]:
    error = step.problem
    return {
        "type": "plan",
        "line": step.row.line,
        "account": step.row.account,
        "current": step.current and step.current.serie,
        "serie": step.serie,
        "failure": error and error_object(error) | {"cure": cure_of_step(error)},
    }


def _summary(plan: RolloverPlan) -> dict[str, object]:
    return {
        "type": "summary",
        "year": plan.year,
        "accounts": len(plan.steps),
        "series": dict(plan.plan().summary.series),
        "problems": len(plan.problems),
    }
