"""What a run came to as tables."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentType
from invoicexpress_async.cli.document_marks import documents_of, initials, legend, mark
from invoicexpress_async.cli.output import cell, data_console, new_table
from invoicexpress_async.cli.summary import Kind, Tally
from invoicexpress_async.cli.views.row_view import GOOD, STATES, UNPLANNED, ShownRow
from invoicexpress_async.provisioning import RowState

ACCOUNT_WIDTH: Final = 22
_SERIE_WIDTH: Final = 16
_WIDEST: Final = 1_000  # what no table needs, so that it is measured as it would like to be
STATE_STYLES: Final[dict[str, str]] = {
    RowState.DONE: "green",
    RowState.REFUSED: "red",
    RowState.PREPARED: "cyan",
    RowState.PARTIAL: "yellow",
    RowState.UNKNOWN: "bold magenta",
    RowState.ABSENT: "bold magenta",
    RowState.FAILED: "red",
    UNPLANNED: "yellow",
}


def show_outcomes(tally: Tally, *, seconds: float) -> None:
    """Show a table by account and document type, then what to do, then the counts."""
    console = data_console()
    if shown := tally.first():
        types = list(dict.fromkeys(name for one in shown for name in documents_of(one.sequence)))
        table = _account_table(shown, types)
        wide = console.options.update(width=_WIDEST)
        if console.measure(table, options=wide).maximum > console.width:
            types = list[str]()  # the codes themselves come first; --report has them all
            table = _account_table(shown, types)
        console.print(table)
        if left := tally.ended - len(shown):
            console.print(f"… {left} more: a job with --json or --report tells of all", style="dim")
        if types:
            console.print(legend(types), style="dim")
    if tally.kinds:
        console.print(kind_table(tally.ordered_kinds()))
    console.print(_summary(tally, seconds=seconds))


def kind_table(kinds: Iterable[tuple[tuple[str, str, str], Kind]]) -> Table:
    """Return a table of failures by state and code, with what to do about each."""
    table = new_table("state", "code", "rows", "such as", "what to do", numbers=("rows",))
    for (state, code, cure), kind in kinds:
        style = STATE_STYLES.get(state, "")
        table.add_row(
            Text(state, style), *map(cell, (code, kind.rows, kind.account, kind.advice(cure)))
        )
    return table


def _account_table(rows: Sequence[ShownRow], types: Sequence[str]) -> Table:
    has_series = len({row.serie for row in rows}) > 1
    names = ["account", "serie"] if has_series else ["account"]
    table = new_table(*names, "state", "id", "FT code", numbers=("id",))
    table.padding = (0, 0)
    for column, width in zip(table.columns, (ACCOUNT_WIDTH, _SERIE_WIDTH), strict=False):
        column.max_width, column.overflow = width, "ellipsis"
    for column in table.columns:
        column.no_wrap = True
    for name in types:
        table.add_column(initials(name), justify="center", no_wrap=True)
    for row in rows:
        documents = documents_of(row.sequence)
        invoice = documents.get(DocumentType.INVOICE)
        table.add_row(
            cell(row.account),
            *([cell(row.serie)] if has_series else ()),
            Text(row.state, STATE_STYLES[row.state]),
            cell(row.sequence and row.sequence.id),
            cell(invoice and invoice.validation_code),
            *(mark(documents.get(name)) for name in types),
        )
    return table


def _summary(tally: Tally, *, seconds: float) -> Text:
    text = Text()
    for state in STATES:
        if count := tally.counts[state]:
            text.append(f"{count} {state}", STATE_STYLES[state])
            text.append(" " if state in GOOD else "  ")
        if state == GOOD[-1] and text:
            text.append(_recent_creates(tally))
    if tally.not_started:
        text.append(f"{tally.not_started} not started  ", "bold red")
    return text.append(f"of {tally.total} rows in {seconds:.1f} s")


def _recent_creates(tally: Tally) -> str:
    recorded = f", {tally.recorded_done} by an earlier run" if tally.recorded_done else ""
    return f"({tally.created} created{recorded})  "
