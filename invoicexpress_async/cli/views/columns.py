"""A column, said once for the table, all kinds of reports and the JSON lines.

Each kind of record has one list of columns. What is added to the list shows in all the places that
the column names, in the order of the list.
"""

import abc
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
from invoicexpress_async.cli.words import LANGUAGES, Language, label, word

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
        is_whole: Whether the table never breaks it: a part of a code would be wrong.
        is_word: Whether its values are words of this program, which people see in their language.
        is_text: Whether its values are such texts, which data has in that language too.
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
    is_whole: bool = attrs.field(default=False, kw_only=True)
    is_word: bool = attrs.field(default=False, kw_only=True)
    is_text: bool = attrs.field(default=False, kw_only=True)

    def heading(self, language: Language) -> str:
        """Return its name for people."""
        return word(self.name if self.title is None else self.title, language)

    def shown(
        self, record: T_contra, language: Language = "en", *, for_people: bool = True
    ) -> object:
        """Return what a table or a report shows of a record; data has its words in English."""
        value = self.of(record)
        value = value if self.text is None else self.text(value)
        if value is None:
            return None
        if self.is_word and for_people:
            return label(str(value), language)
        return word(str(value), language) if self.is_text else value

    def cell(self, record: T_contra, language: Language = "en") -> Text:
        """Return what the table shows of a record, in its colour."""
        value = self.shown(record, language)
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


def columns_at(place: Place, columns: Columns[T]) -> list[Column[T]]:
    """Return the columns that a place shows."""
    return [one for one in columns if place in one.places]


def object_of(kind: str, columns: Columns[T], record: T) -> dict[str, object]:
    """Return a record as plain data, for JSON."""
    return {"type": kind} | {one.name: one.of(record) for one in columns_at(Place.JSON, columns)}


def table_of(columns: Columns[T], records: Iterable[T], language: Language = "en") -> Table:
    """Return records as a table; only a terminal has what is too wide for it cut."""
    shown, table = columns_at(Place.TABLE, columns), new_table()
    may_cut = data_console().is_terminal
    for one in shown:
        table.add_column(
            one.heading(language),
            justify="right" if one.is_number else "center" if one.is_mark else "left",
            # A narrow terminal breaks an id or a code into lines: a part of it would be wrong.
            overflow="ellipsis" if one.is_cut and may_cut else "fold",
            no_wrap=one.is_whole or (one.is_cut and may_cut),
            max_width=one.width if may_cut else None,
        )
    for record in records:
        table.add_row(*(one.cell(record, language) for one in shown))
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
    Column("document_type", lambda one: one.name, is_word=True),
    NUMBER,
    Column("document_sequence_id", lambda one: one.state.sequence_id),
    Column("validation_code", lambda one: one.state.validation_code),
    Column("registration", lambda one: one.state.registration, is_word=True),
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
        facts: Returns what stands at the top of a page, in a language.
        end: Returns the text after the table of Markdown, in a language.
    """

    title: str
    columns: Columns[L]
    lines_of: Callable[[T], Iterable[L]]
    documents: Columns[Document] = ()
    order: Callable[[T], tuple[int | str, ...]]
    on_record: Callable[[T], None]
    facts: Callable[[Language], ReportFacts]
    end: Callable[[Language], str]


@attrs.frozen
class _Report(abc.ABC, Generic[T, L]):
    spec: ReportSpec[T, L]
    style: ReportStyle

    @property
    def start(self) -> str:
        """Return what stands before the first record."""
        return self.start_in(self.style.language)

    @property
    def starts(self) -> list[str]:
        """Return how an earlier one may begin."""
        return list(map(self.start_in, LANGUAGES))

    @abc.abstractmethod
    def start_in(self, language: Language) -> str:
        """Return what stands before the first record, in a language."""

    def order(self, one: T) -> tuple[int | str, ...]:
        """Return where a record stands."""
        return self.spec.order(one)


class _CsvReport(_Report[T, L]):
    """Records as CSV: a row for each line, or for each document type of its sequence."""

    def start_in(self, language: Language) -> str:  # noqa: ARG002  # the names are for programs
        """Return the names of the columns."""
        mark = "\ufeff" if self.style.is_excel_pt else ""
        return mark + csv_lines([[one.name for one in data_columns(self.spec)]], self.style)

    def entry(self, one: T) -> str:
        """Return the rows of a record."""
        rows = data_rows(self.spec, one, self.style.language, for_people=False)
        return csv_lines(rows, self.style)

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""


class _ReportForPeople(_Report[T, L]):
    """Records for people, with the columns of Markdown."""

    def headings(self, language: Language) -> list[str]:
        """Return the names of the columns."""
        return [one.heading(language) for one in columns_at(Place.MARKDOWN, self.spec.columns)]

    def rows(self, one: T) -> Iterator[list[tuple[object, bool]]]:
        """Count a record and yield its rows: the cells, and of each whether it is a number."""
        self.spec.on_record(one)
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        for line in self.spec.lines_of(one):
            yield [(column.shown(line, self.style.language), column.is_number) for column in shown]


class _MarkdownReport(_ReportForPeople[T, L]):
    """Records as a Markdown table, with a text after it."""

    def start_in(self, language: Language) -> str:
        """Return the title and the head of the table."""
        title = word(self.spec.title, language)
        return f"# InvoiceXpress: {title}\n\n{markdown_head(self.headings(language))}"

    def entry(self, one: T) -> str:
        """Return the lines of a record."""
        return "".join(markdown_row(value for value, _ in row) for row in self.rows(one))

    def end(self) -> str:
        """Return the text after the table."""
        return self.spec.end(self.style.language)


class _PageReport(_ReportForPeople[T, L]):
    """Records as a page."""

    def start_in(self, language: Language) -> str:
        """Return all up to the first row."""
        return page_start(self.spec.title, self.headings(language), language)

    def entry(self, one: T) -> str:
        """Return the rows of a record."""
        needs_person = not self.spec.order(one)[0]
        return "".join(page_row(row, needs_person=needs_person) for row in self.rows(one))

    def end(self) -> str:
        """Return what stands above the rows, and the rest."""
        language = self.style.language
        return page_end(self.spec.title, self.spec.facts(language), language)


def data_columns(spec: ReportSpec[T, L]) -> list[Column[L] | Column[Document]]:
    """Return the columns of a table of data."""
    return [*columns_at(Place.CSV, spec.columns), *spec.documents]


def data_rows(
    spec: ReportSpec[T, L], record: T, language: Language, *, for_people: bool
) -> Iterator[list[object]]:
    """Yield the rows of a record: one for each line, or for each document type of its sequence."""
    columns = columns_at(Place.CSV, spec.columns)
    for line in spec.lines_of(record):
        start = [one.shown(line, language, for_people=for_people) for one in columns]
        if line.sequence is None or not spec.documents:
            yield start
            continue
        for name, state in documents_of(line.sequence).items():
            document = Document(line.sequence, name, state)
            cells = (one.shown(document, language, for_people=for_people) for one in spec.documents)
            yield [*start, *cells]


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
        language = style.language
        return BookReport(
            [one.heading(language) for one in data_columns(spec)],
            lambda one: data_rows(spec, one, language, for_people=True),
            spec.order,
        )
    return _CsvReport(spec, style)
