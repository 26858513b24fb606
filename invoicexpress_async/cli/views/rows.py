"""How rows ended: on the screen, in JSON and in a report."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from invoicexpress_async.cli.failures import difference_objects, error_object
from invoicexpress_async.cli.output import (
    ACCOUNT_WIDTH,
    cell,
    data_console,
    documents_of,
    initials,
    legend,
    mark,
    new_table,
    sequence_object,
)
from invoicexpress_async.cli.report_file import Layout
from invoicexpress_async.cli.report_style import ReportStyle
from invoicexpress_async.cli.summary import FailureGroup, Group, RunSummary
from invoicexpress_async.cli.views.columns import (
    DOCUMENT_COLUMNS,
    NUMBER,
    Column,
    Columns,
    Place,
    ReportSpec,
    alone,
    line_text,
    object_of,
    report_of,
    table_of,
)
from invoicexpress_async.cli.views.page import ReportFacts
from invoicexpress_async.cli.views.row_view import (
    GOOD,
    STATE_STYLES,
    STATES,
    RowView,
)
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.provisioning import (
    Difference,
)

_SERIE_WIDTH: Final = 16
_MAX_TABLE_WIDTH: Final = 1_000  # more than any table needs, to measure what it would take


ROW_COLUMNS: Final[Columns[RowView]] = (
    Column("line", lambda row: row.line, places=Place.REPORTS | Place.JSON, text=line_text),
    Column("account", lambda row: row.account, width=ACCOUNT_WIDTH, is_cut=True),
    Column("serie", lambda row: row.serie, width=_SERIE_WIDTH, is_cut=True),
    Column("state", lambda row: row.state, style=lambda row: STATE_STYLES[row.state]),
    Column("created", lambda row: row.created, places=Place.CSV | Place.JSON),
    Column("is_recorded", lambda row: row.is_recorded, places=Place.JSON),
    Column("seconds", lambda row: round(row.seconds, 3), places=Place.JSON),
    Column(
        "sequence", lambda row: row.sequence and sequence_object(row.sequence), places=Place.JSON
    ),
    Column("id", lambda row: row.sequence and row.sequence.id, places=Place.PEOPLE, is_number=True),
    Column("FT code", lambda row: row.invoice_code, places=Place.PEOPLE),
    Column(
        "no code for",
        lambda row: row.sequence and ", ".join(map(str, row.sequence.unregistered)),
        places=Place.MARKDOWN,
    ),
    Column("error", lambda row: row.error_name, places=Place.CSV),
    Column("code", lambda row: row.code, places=Place.REPORTS),
    Column("cure", lambda row: row.cure, places=Place.REPORTS, title="what to do"),
    Column(
        "intent",
        lambda row: row.intent,
        places=Place.CSV | Place.JSON,
        text=lambda intent: json.dumps(intent) if intent else None,
    ),
    Column("failure", lambda row: row.failure, places=Place.JSON),
)
_DOCUMENTS: Final = tuple(one for one in DOCUMENT_COLUMNS if one is not NUMBER)


def row_object(row: RowView, columns: Columns[RowView] = ROW_COLUMNS) -> dict[str, object]:
    """Return how a row ended as plain data."""
    return object_of("outcome", columns, row)


def row_layout(
    path: Path,
    columns: Columns[RowView] = ROW_COLUMNS,
    *,
    style: ReportStyle = ReportStyle(),  # noqa: B008  # frozen
) -> Layout[RowView]:
    """Return the report that the ending of the file selects.

    In CSV, a row has a line for each document type; in Markdown, the counts, the cures and what
    `sequences resume` takes come after the rows.
    """
    summary = RunSummary[RowView](total=0)
    spec = ReportSpec[RowView, RowView](
        title="report of a run",
        columns=columns,
        lines_of=alone,
        documents=_DOCUMENTS,
        order=lambda row: (row.rank, row.account, row.serie or "", row.line),
        on_record=summary.add,
        facts=lambda: ReportFacts(counts=summary.counts, advice=_advice(summary)),
        end=lambda: _report_end(summary),
    )
    return report_of(path, spec, style)


def _advice(summary: RunSummary[RowView]) -> list[str]:
    return [
        f"{group.count} {state}, {code}: {group.advice(cure)}"
        for (state, code, cure), group in summary.ordered_groups()
    ]


def _report_end(summary: RunSummary[RowView]) -> str:
    lines = [f"\n{count_text(summary.counts)}, {summary.created} created.\n"]
    lines += (f"- {one}\n" for one in _advice(summary))
    if summary.intents:
        lines.append("\nSent, outcome not known; `sequences resume` takes this file:\n\n")
        lines += (f"    {json.dumps(intent)}\n" for intent in summary.intents)
    return "".join(lines)


def row_table(
    rows: Sequence[RowView], types: Iterable[str], columns: Columns[RowView] = ROW_COLUMNS
) -> Table:
    """Return rows as a table, with a mark for each document type."""
    has_series = len({row.serie for row in rows}) > 1
    shown = [one for one in columns if has_series or one.name != "serie"]
    table = table_of((*shown, *map(_mark_column, types)), rows)
    table.padding = (0, 0)
    for column in table.columns:
        column.no_wrap = True
    return table


def _mark_column(name: str) -> Column[RowView]:
    return Column(
        initials(name),
        lambda row: mark(documents_of(row.sequence).get(name)),
        places=Place.TABLE,
        is_mark=True,
    )


def show_rows(summary: RunSummary[RowView], *, seconds: float) -> None:
    """Show a table by account and document type, then what to do, then the counts."""
    console = data_console()
    if rows := summary.first():
        types = list(dict.fromkeys(name for one in rows for name in documents_of(one.sequence)))
        table = row_table(rows, types)
        wide = console.options.update(width=_MAX_TABLE_WIDTH)
        if console.measure(table, options=wide).maximum > console.width:
            types = list[str]()  # the codes themselves come first; --report has them all
            table = row_table(rows, types)
        console.print(table)
        if left := summary.ended - len(rows):
            console.print(f"… {left} more: a job with --json or --report shows all", style="dim")
        if types:
            console.print(legend(types), style="dim")
    if summary.groups:
        console.print(failure_table(summary.ordered_groups()))
    console.print(_counts(summary, seconds=seconds))


def failure_table(groups: Iterable[tuple[Group, FailureGroup]]) -> Table:
    """Return a table of failures by state and code, with what to do about each."""
    table = new_table("state", "code", "rows", "such as", "what to do", numbers=("rows",))
    for (state, code, cure), group in groups:
        cells = map(cell, (code, group.count, group.example, group.advice(cure)))
        table.add_row(Text(state, STATE_STYLES.get(state, "")), *cells)
    return table


def _counts(summary: RunSummary[RowView], *, seconds: float) -> Text:
    text = Text()
    for state in STATES:
        if count := summary.counts[state]:
            text.append(f"{count} {state}", STATE_STYLES[state])
            text.append(" " if state in GOOD else "  ")
        if state == GOOD[-1] and text:
            recorded = summary.recorded_done
            earlier = f", {recorded} by an earlier run" if recorded else ""
            text.append(f"({summary.created} created{earlier})  ")
    if summary.not_started:
        text.append(f"{summary.not_started} not started  ", "bold red")
    return text.append(f"of {summary.total} rows in {seconds:.1f} s")


def count_text(counts: Counter[str]) -> str:
    """Return the counts of the states that occurred, such as "12 done, 1 refused"."""
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def rows_object(
    summary: RunSummary[RowView],
    *,
    seconds: float,
    waiting: int,
    problem: InvoiceXpressError | None,
    differences: Sequence[Difference],
) -> dict[str, object]:
    """Return the counts as plain data; `not_run` is not 0 when the run ended early."""
    return {
        "type": "summary",
        "rows": summary.total,
        "counts": {str(state): summary.counts[state] for state in STATES},
        "created": summary.created,
        "recorded": summary.recorded,
        "not_run": summary.not_started,
        "waiting": waiting,
        "seconds": round(seconds, 3),
        "is_complete": summary.is_complete and problem is None,
        "problem": problem and error_object(problem),
        "differences": difference_objects(differences),
    }
