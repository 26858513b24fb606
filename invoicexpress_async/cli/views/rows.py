"""How rows ended: on the screen, in JSON and in a report."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentType, Intent
from invoicexpress_async import Sequence as DocumentSequence
from invoicexpress_async.cli.cures import cure_of_recorded_row, cure_of_row, cure_of_step
from invoicexpress_async.cli.failures import cause_text, difference_objects, error_object, hint_of
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
from invoicexpress_async.errors import InvoiceXpressError, StatusError
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.provisioning import (
    Difference,
    RolloverStep,
    RowOutcome,
    RowState,
)
from invoicexpress_async.provisioning.journal_status import KeptRow

_NOT_BEGUN: Final = "planned"
UNPLANNED: Final = "unplanned"  # of an account whose next serie is not known
GOOD: Final = (RowState.DONE, RowState.PREPARED)
STATES: Final[tuple[str, ...]] = (*GOOD, *(one for one in RowState if one not in GOOD), UNPLANNED)
UNKNOWN_STATES: Final = frozenset({RowState.UNKNOWN, RowState.ABSENT})
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
_SERIE_WIDTH: Final = 16
_MAX_TABLE_WIDTH: Final = 1_000  # more than any table needs, to measure what it would take


@attrs.frozen(kw_only=True)
class RowView:
    """A row that has ended, or an account that got no row, as it is shown."""

    line: int
    account: str
    serie: str | None
    state: str
    created: bool | None = False
    seconds: float = 0.0
    sequence: DocumentSequence | None = None
    error: InvoiceXpressError | None = None
    cure: str | None = None
    intent: Intent | None = None
    is_recorded: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nothing needs a person."""
        return self.state in GOOD

    @property
    def is_unknown(self) -> bool:
        """Whether it was sent and is not known to have worked."""
        return self.state in UNKNOWN_STATES

    @property
    def is_shown(self) -> bool:
        """Whether this run has seen it: of a row that an earlier run did, little is known."""
        return not (self.is_good and self.is_recorded)

    @property
    def rank(self) -> int:
        """How soon it is shown: what needs a person comes first."""
        return int(self.is_good or self.state == _NOT_BEGUN)

    @property
    def example(self) -> str:
        """What names it as an example of its group."""
        return self.account

    @property
    def group(self) -> Group | None:
        """How it failed: its state, its code and its cure."""
        if self.error is None:
            return None
        status = self.error.status if isinstance(self.error, StatusError) else None
        code = code_text(self.state, self.error_name, status, self.code)
        return self.state, code, self.cure or ""

    @property
    def hint(self) -> str:
        """What the server said, where only that says what to do."""
        return hint_of(self.error)

    @property
    def error_name(self) -> str | None:
        """The name of the error's class."""
        return None if self.error is None else type(self.error).__name__

    @property
    def code(self) -> str | None:
        """The API's code of a refusal, such as "004"."""
        return self.error.code if isinstance(self.error, StatusError) else None

    @property
    def failure(self) -> dict[str, object] | None:
        """Its error as plain data."""
        return None if self.error is None else error_object(self.error) | {"cure": self.cure}

    @property
    def invoice_code(self) -> str | None:
        """The validation code of its invoices."""
        invoice = documents_of(self.sequence).get(DocumentType.INVOICE)
        return None if invoice is None else invoice.validation_code


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


def row_view(outcome: RowOutcome, *, has_journal: bool) -> RowView:
    """Return an outcome as it is shown; its cure depends on what the next run will know."""
    error = outcome.error
    cure = None if error is None else cure_of_row(error, outcome.state, has_journal=has_journal)
    return RowView(
        line=outcome.row.line,
        account=outcome.row.account,
        serie=outcome.row.serie,
        state=outcome.state,
        created=outcome.created,
        seconds=outcome.seconds,
        sequence=outcome.sequence,
        error=error,
        cure=cure,
        intent=outcome.intent,
        is_recorded=outcome.is_recorded,
    )


def kept_view(kept: KeptRow) -> RowView:
    """Return a row as a journal has it."""
    error = None
    if kept.error is not None:
        error = recorded_error(kept.error, status=kept.status, code=kept.code)
    return RowView(
        line=0,
        account=kept.account,
        serie=kept.serie,
        state=kept.state,
        created=kept.is_created,
        sequence=kept.sequence,
        error=error,
        cure=kept.error and cure_of_recorded_row(kept.error, kept.state),
        intent=kept.intent,
        is_recorded=True,
    )


def unplanned_view(step: RolloverStep) -> RowView:
    """Return an account whose next serie is not known."""
    error = step.problem
    return RowView(
        line=step.row.line,
        account=step.row.account,
        serie=None,
        state=UNPLANNED,
        error=error,
        cure=None if error is None else cure_of_step(error),
    )


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


def code_text(state: str, error: str | None, status: int | None, code: str | None) -> str:
    """Return the status and code of the response, or else what went wrong, in a word."""
    # Without a response the name of the error says it, unless the state does.
    is_clear = status is None and state in {RowState.PARTIAL, UNPLANNED, "intent", *UNKNOWN_STATES}
    return "-" if is_clear else cause_text(error, status, code)


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
