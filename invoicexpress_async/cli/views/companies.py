"""What an onboarding came to: for people as tables, for machines as plain data."""

from typing import Final

from rich.table import Table
from rich.text import Text

from invoicexpress_async.cli.company_summary import (
    STEPS,
    CompanyTally,
    code_of,
    message_of_server,
)
from invoicexpress_async.cli.cures import cure_of_company
from invoicexpress_async.cli.failures import error_object
from invoicexpress_async.cli.output import cell, data_console, new_table, sequence_object
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.onboarding import CompanyOutcome, CompanyState

_MOST_ROWS: Final = 20
_WIDTHS: Final = {"company": 20, "account": 18}
# What all columns but the last take at most.
_BEFORE_LAST: Final = 72
_STYLES: Final = {
    CompanyState.DONE: "green",
    CompanyState.UNKNOWN: "bold magenta",
    CompanyState.KEY_LOST: "bold magenta",
    CompanyState.REFUSED: "red",
    CompanyState.FAILED: "red",
}


def show_companies(tally: CompanyTally, *, seconds: float) -> None:
    """Show those that are not done, what to do about them, and the counts."""
    console = data_console()
    parked = tally.ordered()
    if parked:
        table = _company_table(parked[:_MOST_ROWS])
        table.columns[-1].max_width = max(1, console.width - _BEFORE_LAST)
        console.print(table)
        if len(parked) > _MOST_ROWS:
            left = len(parked) - _MOST_ROWS
            console.print(f"… {left} more: --json and --report tell of all", style="dim")
        console.print(_kind_table(tally))
    console.print(_summary(tally, seconds=seconds))


def _company_table(outcomes: list[CompanyOutcome]) -> Table:
    names = ("line", "fiscal_id", "company", "account", "step", "state", "why")
    table = new_table(*names, numbers=("line",))
    table.padding = (0, 0)
    for name, column in zip(names, table.columns, strict=True):
        column.no_wrap, column.overflow = True, "ellipsis"
        column.max_width = _WIDTHS.get(name)
    for one in outcomes:
        company = one.company
        why = f"{code_of(one)} {message_of_server(one)}".strip()
        table.add_row(
            *map(cell, (company.line or None, company.fiscal_id)),
            *map(cell, (company.account.organization_name, one.account_name, one.step)),
            Text(_words(one.state), _STYLES[one.state]),
            cell(why),
        )
    return table


def _kind_table(tally: CompanyTally) -> Table:
    table = new_table("state", "step", "why", "such as", "count", "what to do", numbers=("count",))
    table.columns[2].overflow = "fold"
    for (state, step, code, cure), kind in tally.kinds().items():
        cells = map(cell, (step, code, kind.account, kind.rows, cure))
        table.add_row(Text(_words(state), _STYLES[state]), *cells)
    return table


def _summary(tally: CompanyTally, *, seconds: float) -> Text:
    text = Text()
    for state in CompanyState:
        if count := tally.counts[state]:
            earlier = f" ({tally.done_before} by an earlier run)" if tally.done_before else ""
            text.append(f"{count} {_words(state)}", _STYLES[state])
            text.append(f"{earlier if state is CompanyState.DONE else ''}  ")
    if tally.not_started:
        text.append(f"{tally.not_started} not started  ", "bold red")
    return text.append(f"of {tally.total} companies in {seconds:.1f} s")


def _words(state: CompanyState) -> str:
    return state.replace("_", " ")


def company_object(outcome: CompanyOutcome) -> dict[str, object]:
    """Return how a company ended as plain data."""
    company, error = outcome.company, outcome.error
    return {
        "type": "outcome",
        "line": company.line,
        "fiscal_id": company.fiscal_id,
        "organization_name": company.account.organization_name,
        "account": outcome.account_name,
        "account_id": outcome.account_id,
        "step": outcome.step,
        "state": outcome.state,
        "serie": company.serie,
        "is_recorded": outcome.is_recorded,
        "sequence": outcome.sequence and sequence_object(outcome.sequence),
        "intent": outcome.intent,
        "failure": error and error_object(error) | {"cure": cure_of_company(outcome)},
    }


def summary_object(
    tally: CompanyTally,
    *,
    seconds: float,
    undelivered: int,
    problem: InvoiceXpressError | None,
) -> dict[str, object]:
    """Return the counts as plain data; `not_run` is not 0 when the run ended early."""
    is_whole = problem is None and not tally.not_started
    return {
        "type": "summary",
        "companies": tally.total,
        "counts": {str(state): tally.counts[state] for state in CompanyState},
        "steps": {str(step): tally.steps[step] for step in STEPS},
        "recorded": tally.recorded,
        "not_run": tally.not_started,
        "undelivered": undelivered,
        "seconds": round(seconds, 3),
        "is_complete": is_whole and not tally.parked,
        "problem": problem and error_object(problem),
    }
