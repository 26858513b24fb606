"""A column, said once for the table, the CSV report, the Markdown report and the JSON lines.

Each kind of record has one list of columns. What is added to the list shows in all the places that
the column names, in the order of the list.
"""

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentSequenceState
from invoicexpress_async import Sequence as DocumentSequence
from invoicexpress_async.cli.output import cell, data_console, documents_of, new_table, write_json
from invoicexpress_async.cli.report_file import (
    Layout,
    csv_lines,
    is_markdown,
    markdown_head,
    markdown_row,
)
from invoicexpress_async.cli.shell import printable

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_MAX_ROWS: Final = 20


class Place(enum.Flag):
    """Where a column is shown."""

    CSV = enum.auto()
    MARKDOWN = enum.auto()
    TABLE = enum.auto()
    JSON = enum.auto()
    PEOPLE = MARKDOWN | TABLE
    REPORTS = CSV | MARKDOWN
    ALL = REPORTS | TABLE | JSON


@attrs.frozen
class Column(Generic[T_contra]):
    """One column of a record.

    Attributes:
        name: In JSON and CSV.
        of: Its value, as JSON has it.
        places: Where it is shown.
        title: Its name in Markdown and in the table, where that is another.
        text: Turns the value into what all places but JSON show.
        style: Its colour in the table.
        is_number: Whether the table sets it to the right.
        is_mark: Whether the table sets it in the middle.
        width: The most that it takes in the table.
        is_cut: Whether the table cuts what is wider, with an ellipsis, instead of breaking it.
    """

    name: str
    of: Callable[[T_contra], object]
    places: Place = attrs.field(default=Place.ALL, kw_only=True)
    title: str | None = attrs.field(default=None, kw_only=True)
    text: Callable[[object], object] | None = attrs.field(default=None, kw_only=True)
    style: Callable[[T_contra], str] | None = attrs.field(default=None, kw_only=True)
    is_number: bool = attrs.field(default=False, kw_only=True)
    is_mark: bool = attrs.field(default=False, kw_only=True)
    width: int | None = attrs.field(default=None, kw_only=True)
    is_cut: bool = attrs.field(default=False, kw_only=True)

    @property
    def heading(self) -> str:
        """Its name for people."""
        return self.name if self.title is None else self.title

    def shown(self, record: T_contra) -> object:
        """Return what a report or a table shows of a record."""
        value = self.of(record)
        return value if self.text is None else self.text(value)

    def cell(self, record: T_contra) -> Text:
        """Return what the table shows of a record, in its colour."""
        value = self.shown(record)
        return (
            cell(value) if self.style is None else Text(printable(str(value)), self.style(record))
        )


Columns = Sequence[Column[T]]


def alone(record: T) -> tuple[T]:
    """Return a record that makes one line of a report."""
    return (record,)


def line_text(line: object) -> object:
    """Return a line of a file, or nothing for 0: a record that was read from no file."""
    return line or None


def yes_text(value: object) -> object:
    """Return "yes", or nothing."""
    return "yes" if value else None


def words_text(value: object) -> object:
    """Return a state in words."""
    return str(value).replace("_", " ")


def columns_at(place: Place, columns: Columns[T]) -> list[Column[T]]:
    """Return the columns that a place shows."""
    return [one for one in columns if place in one.places]


def object_of(kind: str, columns: Columns[T], record: T) -> dict[str, object]:
    """Return a record as plain data, for JSON."""
    return {"type": kind} | {one.name: one.of(record) for one in columns_at(Place.JSON, columns)}


def table_of(columns: Columns[T], records: Iterable[T]) -> Table:
    """Return records as a table."""
    shown, table = columns_at(Place.TABLE, columns), new_table()
    for one in shown:
        table.add_column(
            one.heading,
            justify="right" if one.is_number else "center" if one.is_mark else "left",
            # A narrow terminal breaks an id or a code into lines: a part of it would be wrong.
            overflow="ellipsis" if one.is_cut else "fold",
            no_wrap=one.is_cut,
            max_width=one.width,
        )
    for record in records:
        table.add_row(*(one.cell(record) for one in shown))
    return table


def show_plan(
    columns: Columns[T], records: Sequence[T], *, as_json: bool, most: int = _MAX_ROWS
) -> None:
    """Show what would be done: all of it as JSON lines, or the first records as a table."""
    if as_json:
        for record in records:
            write_json(object_of("plan", columns, record))
        return
    console = data_console()
    console.print(table_of(columns, records[:most]))
    if (left := len(records) - most) > 0:
        console.print(f"… {left} more: --json shows all", style="dim")


@attrs.frozen
class Document:
    """One document type of a sequence."""

    sequence: DocumentSequence
    name: str
    state: DocumentSequenceState


NUMBER: Final = Column[Document]("number", lambda one: one.state.number)
DOCUMENT_COLUMNS: Final[Columns[Document]] = (
    Column("id", lambda one: one.sequence.id),
    Column("document_type", lambda one: one.name),
    NUMBER,
    Column("document_sequence_id", lambda one: one.state.sequence_id),
    Column("validation_code", lambda one: one.state.validation_code),
    Column("registration", lambda one: one.state.registration),
)


class HasSequence(Protocol):
    """A line of a report that is about a sequence, or about none."""

    @property
    def sequence(self) -> DocumentSequence | None:
        """The sequence."""
        ...


L = TypeVar("L", bound=HasSequence)


class _CsvReport(Generic[T, L]):
    """Records as CSV: a row for each line, or for each document type of its sequence."""

    def __init__(
        self,
        columns: Columns[L],
        lines_of: Callable[[T], Iterable[L]],
        documents: Columns[Document] = (),
    ) -> None:
        self._columns, self._documents = columns_at(Place.CSV, columns), documents
        self._lines_of = lines_of
        names = [one.name for one in self._columns] + [one.name for one in documents]
        self.start: str = ",".join(names) + "\r\n"

    def entry(self, one: T) -> str:
        """Return the rows of a record."""
        return "".join(csv_lines(self._rows(line)) for line in self._lines_of(one))

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""

    def _rows(self, line: L) -> Iterator[list[object]]:
        start = [column.shown(line) for column in self._columns]
        if line.sequence is None or not self._documents:
            yield start
            return
        for name, state in documents_of(line.sequence).items():
            document = Document(line.sequence, name, state)
            yield [*start, *(one.shown(document) for one in self._documents)]


class _MarkdownReport(Generic[T, L]):
    """Records as a Markdown table, with a text after it."""

    def __init__(
        self,
        title: str,
        columns: Columns[L],
        lines_of: Callable[[T], Iterable[L]],
        *,
        on_record: Callable[[T], None],
        end: Callable[[], str],
    ) -> None:
        self._columns, self._lines_of = columns_at(Place.MARKDOWN, columns), lines_of
        self._on_record, self.end = on_record, end
        head = markdown_head([one.heading for one in self._columns])
        self.start: str = f"# InvoiceXpress: {title}\n\n{head}"

    def entry(self, one: T) -> str:
        """Return the lines of a record."""
        self._on_record(one)
        return "".join(
            markdown_row(column.shown(line) for column in self._columns)
            for line in self._lines_of(one)
        )


def report_of(  # noqa: PLR0913  # keyword-only options
    path: Path,
    columns: Columns[L],
    lines_of: Callable[[T], Iterable[L]],
    *,
    title: str,
    documents: Columns[Document] = (),
    on_record: Callable[[T], None],
    end: Callable[[], str],
) -> Layout[T]:
    """Return the report that the suffix of a file selects.

    Args:
        path: The file.
        columns: Of a line.
        lines_of: Returns the lines of a record.
        title: Of the Markdown.
        documents: What CSV shows of each document type of a line, in a row of its own.
        on_record: Called with each record of the Markdown, to count it.
        end: Returns the text after the table of the Markdown.
    """
    if is_markdown(path):
        return _MarkdownReport(title, columns, lines_of, on_record=on_record, end=end)
    return _CsvReport(columns, lines_of, documents)
