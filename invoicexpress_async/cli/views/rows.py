"""The views of rows: their columns, and their table with a mark for each document type."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table

from invoicexpress_async.cli.output import (
    ACCOUNT_WIDTH,
    MORE,
    data_console,
    documents_of,
    initials,
    legend,
    mark,
    print_more,
    sequence_object,
)
from invoicexpress_async.cli.summary import RunSummary
from invoicexpress_async.cli.views.columns import (
    DOCUMENT_COLUMNS,
    NUMBER,
    Column,
    Columns,
    Place,
    line_text,
    name_key,
    table_of,
)
from invoicexpress_async.cli.views.row_view import GOOD, STATE_STYLES, RowView
from invoicexpress_async.cli.views.run_view import LAST_COLUMNS, RecordKind
from invoicexpress_async.cli.words import Language, word

_SERIE_WIDTH: Final = 16
_MAX_TABLE_WIDTH: Final = 1_000  # more than any table needs, to measure its width
_NARROW: Final = "A wider terminal shows each document type too; --report has them all."
_LINE_PLACES: Final = Place.CSV | Place.MARKDOWN | Place.JSON
ROW_COLUMNS: Final[Columns[RowView]] = (
    Column("line", lambda row: row.line, places=_LINE_PLACES, text=line_text),
    Column("account", lambda row: row.account, width=ACCOUNT_WIDTH, is_cut=True),
    Column("serie", lambda row: row.serie, width=_SERIE_WIDTH, is_cut=True),
    Column("state", lambda row: row.state, style=lambda row: STATE_STYLES[row.state], is_word=True),
    Column("created", lambda row: row.created, places=Place.CSV | Place.JSON, is_word=True),
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
    Column("code", lambda row: row.code, places=Place.CSV),
    Column("code", lambda row: row.cause.strip("-"), places=Place.MARKDOWN | Place.HANDOUT),
    *LAST_COLUMNS,
)
_DOCUMENTS: Final = tuple(one for one in DOCUMENT_COLUMNS if one is not NUMBER)


def row_table(rows: Sequence[RowView], types: Iterable[str], language: Language = "en") -> Table:
    """Return rows as a table, with a mark for each document type."""
    has_series = len({row.serie for row in rows}) > 1
    shown = [one for one in ROW_COLUMNS if has_series or one.name != "serie"]
    table = table_of((*shown, *map(_mark_column, types)), rows, language)
    table.padding = (0, 0)
    if data_console().is_terminal:
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


def _show_first(summary: RunSummary[RowView], language: Language) -> None:
    console, rows = data_console(), summary.first()
    if not rows:
        return
    names = list(dict.fromkeys(name for one in rows for name in documents_of(one.sequence)))
    types = names
    table = row_table(rows, types, language)
    wide = console.options.update(width=_MAX_TABLE_WIDTH)
    if console.measure(table, options=wide).maximum > console.width:
        types = list[str]()  # the FT code is more useful; --report has all marks
        table = row_table(rows, types, language)
    console.print(table)
    print_more(MORE, summary.ended - len(rows), language)
    if names and not types:
        console.print(word(_NARROW, language), style="dim")
    if types:
        console.print(legend(types, language), style="dim")


ROWS: Final = RecordKind[RowView](
    noun="rows",
    title="report of a run",
    columns=ROW_COLUMNS,
    documents=_DOCUMENTS,
    order=lambda row: (row.rank, name_key(row.account), row.serie or "", row.line),
    good=GOOD,
    styles=STATE_STYLES,
    has_created=True,
    show_first=_show_first,
)
