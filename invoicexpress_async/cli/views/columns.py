"""A column, said once for the table, all kinds of reports and the JSON lines.

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
from invoicexpress_async.cli.book import BookReport
from invoicexpress_async.cli.output import cell, data_console, documents_of, new_table, write_json
from invoicexpress_async.cli.report_file import (
    Layout,
    csv_lines,
    markdown_head,
    markdown_row,
)
from invoicexpress_async.cli.report_style import ReportKind, ReportStyle, kind_of
from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.views.page import ReportFacts, page_end, page_row, page_start

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


@attrs.frozen(kw_only=True)
class ReportSpec(Generic[T, L]):
    """What a report is of, whatever its kind.

    Attributes:
        title: Of a page and of Markdown.
        columns: Of a line.
        lines_of: Returns the lines of a record.
        documents: What a table of data shows of each document type of a line, in a row of its own.
        order: Where a record stands: what needs a person comes first, as 0.
        on_record: Called with each record of a report for people, to count it.
        facts: Returns what stands at the top of a page.
        end: Returns the text after the table of Markdown.
    """

    title: str
    columns: Columns[L]
    lines_of: Callable[[T], Iterable[L]]
    documents: Columns[Document] = ()
    order: Callable[[T], tuple[int | str, ...]]
    on_record: Callable[[T], None]
    facts: Callable[[], ReportFacts]
    end: Callable[[], str]


@attrs.frozen
class _Report(Generic[T, L]):
    spec: ReportSpec[T, L]
    style: ReportStyle

    def order(self, one: T) -> tuple[int | str, ...]:
        """Return where a record stands."""
        return self.spec.order(one)


class _CsvReport(_Report[T, L]):
    """Records as CSV: a row for each line, or for each document type of its sequence."""

    @property
    def start(self) -> str:
        """Return the names of the columns."""
        mark = "\ufeff" if self.style.is_excel_pt else ""
        return mark + csv_lines([data_headings(self.spec)], self.style)

    def entry(self, one: T) -> str:
        """Return the rows of a record."""
        return csv_lines(data_rows(self.spec, one), self.style)

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""


class _MarkdownReport(_Report[T, L]):
    """Records as a Markdown table, with a text after it."""

    @property
    def start(self) -> str:
        """Return the title and the head of the table."""
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        head = markdown_head([one.heading for one in shown])
        return f"# InvoiceXpress: {self.spec.title}\n\n{head}"

    def entry(self, one: T) -> str:
        """Return the lines of a record."""
        self.spec.on_record(one)
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        return "".join(
            markdown_row(column.shown(line) for column in shown) for line in self.spec.lines_of(one)
        )

    def end(self) -> str:
        """Return the text after the table."""
        return self.spec.end()


class _PageReport(_Report[T, L]):
    """Records as a page, with the columns of Markdown."""

    @property
    def start(self) -> str:
        """Return all up to the first row."""
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        headings = [one.heading for one in shown]
        return page_start(self.spec.title, headings, self.style.language)

    def entry(self, one: T) -> str:
        """Return the rows of a record."""
        self.spec.on_record(one)
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        needs_person = not self.spec.order(one)[0]
        return "".join(
            page_row(
                [(column.shown(line), column.is_number) for column in shown],
                needs_person=needs_person,
                language=self.style.language,
            )
            for line in self.spec.lines_of(one)
        )

    def end(self) -> str:
        """Return what stands above the rows, and the rest."""
        return page_end(self.spec.title, self.spec.facts(), self.style.language)


def data_headings(spec: ReportSpec[T, L]) -> list[str]:
    """Return the names of the columns of a table of data."""
    columns = columns_at(Place.CSV, spec.columns)
    return [*(one.name for one in columns), *(one.name for one in spec.documents)]


def data_rows(spec: ReportSpec[T, L], record: T) -> Iterator[list[object]]:
    """Yield the rows of a record: one for each line, or for each document type of its sequence."""
    columns = columns_at(Place.CSV, spec.columns)
    for line in spec.lines_of(record):
        start = [column.shown(line) for column in columns]
        if line.sequence is None or not spec.documents:
            yield start
            continue
        for name, state in documents_of(line.sequence).items():
            document = Document(line.sequence, name, state)
            yield [*start, *(one.shown(document) for one in spec.documents)]


def report_of(path: Path, spec: ReportSpec[T, L], style: ReportStyle) -> Layout[T]:
    """Return the report that the ending of a file selects.

    Raises:
        ConfigurationError: it selects none, or the extra that it needs is not installed.
    """
    kind = kind_of(path)
    if kind is ReportKind.MARKDOWN:
        return _MarkdownReport(spec, style)
    if kind is ReportKind.PAGE:
        return _PageReport(spec, style)
    if kind is ReportKind.BOOK:
        return BookReport(data_headings(spec), lambda one: data_rows(spec, one), spec.order, style)
    return _CsvReport(spec, style)
