"""The layouts of reports of any kind, made from the columns of the records."""

import abc
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs

from invoicexpress_async import DocumentSequenceState, Registration
from invoicexpress_async import Sequence as DocumentSequence
from invoicexpress_async.cli.book import check_book, is_book, save_book
from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import documents_of
from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.views.columns import Column, Columns, Document, Place, columns_at
from invoicexpress_async.cli.views.page import (
    Cell,
    ReportFacts,
    page_end,
    page_mark,
    page_row,
    page_start,
)
from invoicexpress_async.cli.words import LANGUAGES, Language, word
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")
C = TypeVar("C")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")
# A spreadsheet would compute a cell that begins with one of these, some also in full width.
_COMPUTED: Final = tuple(
    "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
    "\N{FULLWIDTH COMMERCIAL AT}"
)
_LONG_WORD: Final = 22  # characters; a page wraps longer names and states


class HasSequence(Protocol):
    """A line of a report, which may be about a sequence."""

    @property
    def sequence(self) -> DocumentSequence | None: ...


L = TypeVar("L", bound=HasSequence)


@attrs.frozen(kw_only=True)
class ReportSpec(Generic[T, L]):
    """The content of a report, whatever its kind.

    Attributes:
        title: The title of a page and of Markdown.
        columns: The columns of a line.
        lines_of: Returns the lines of a record.
        documents: The columns of a document type. With them, CSV and a spreadsheet have a row
            for each document type of a line.
        is_handout: Whether a page has a row for each document type too, as for an accountant.
        is_on_page: Whether a page has the line: a browser is slow with too many rows.
        order: Returns the sort key of a record; its first item is 0 if it needs a person.
        on_record: Called with each record of a report for people, to count it.
        facts: Returns the facts at the top of a page, in a language.
        end: Returns the text after the table of Markdown, in a language.
    """

    title: str
    columns: Columns[L]
    lines_of: Callable[[T], Iterable[L]]
    documents: Columns[Document] = ()
    is_handout: bool = False
    is_on_page: Callable[[L], bool] = lambda _: True
    order: Callable[[T], tuple[int | str, ...]]
    on_record: Callable[[T], None]
    facts: Callable[[Language], ReportFacts]
    end: Callable[[Language], str]


@attrs.frozen
class Report(abc.ABC, Generic[T, L]):
    """The layout of a report: the text at its start, for each record, and at its end."""

    spec: ReportSpec[T, L]
    options: ReportOptions

    @property
    def start(self) -> str:
        return self.start_in(self.options.language)

    def is_earlier(self, path: Path) -> bool:
        """Whether a file is empty, or an earlier report of any language."""
        marks = tuple(self.mark_in(language).encode() for language in LANGUAGES)
        with path.open("rb") as file:
            found = file.read(max(map(len, marks)))
        return not found or found.startswith(marks)

    def mark_in(self, language: Language) -> str:
        """Return the part of the start that every version writes, in a language."""
        return self.start_in(language)

    @abc.abstractmethod
    def start_in(self, language: Language) -> str:
        """Return the text before the first record, in a language."""

    @abc.abstractmethod
    def entry(self, one: T) -> str:
        """Return the text of a record."""

    def end(self) -> str:
        return ""

    def save(self, path: Path) -> None:
        """Write what is not written record by record."""


class _CsvReport(Report[T, L]):
    """Records as CSV: a row for each line, or for each document type of its sequence."""

    def start_in(self, language: Language) -> str:  # noqa: ARG002  # the names are for programs
        mark = "\ufeff" if self.options.is_excel_pt else ""
        return mark + csv_lines([[one.name for one in data_columns(self.spec)]], self.options)

    def entry(self, one: T) -> str:
        rows = data_rows(self.spec, one, self.options.language, for_people=False)
        return csv_lines(rows, self.options)


class _MarkdownReport(Report[T, L]):
    """Records as a Markdown table, with a text after it."""

    def mark_in(self, language: Language) -> str:
        return f"# InvoiceXpress: {word(self.spec.title, language)}\n\n"

    def start_in(self, language: Language) -> str:
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        headings = " | ".join(one.heading(language) for one in shown)
        return f"{self.mark_in(language)}| {headings} |\n|{' --- |' * len(shown)}\n"

    def entry(self, one: T) -> str:
        self.spec.on_record(one)
        shown = columns_at(Place.MARKDOWN, self.spec.columns)
        return "".join(
            markdown_row(column.shown(line, self.options.language) for column in shown)
            for line in self.spec.lines_of(one)
        )

    def end(self) -> str:
        return self.spec.end(self.options.language)


class _PageReport(Report[T, L]):
    """Records as a page: a row for each line, or for each document type that needs a code."""

    def mark_in(self, language: Language) -> str:
        return page_mark(self.spec.title, language)

    def start_in(self, language: Language) -> str:
        before, documents, after = self._columns()
        columns: list[Column[Any]] = [*before, *documents, *after]
        headings = [_cell(one, one.heading(language)) for one in columns]
        return page_start(self.spec.title, headings, language)

    def entry(self, one: T) -> str:
        self.spec.on_record(one)
        needs_person = not self.spec.order(one)[0]
        lines = filter(self.spec.is_on_page, self.spec.lines_of(one))
        rows = (row for line in lines for row in self._rows(line))
        return "".join(page_row(row, needs_person=needs_person) for row in rows)

    def end(self) -> str:
        language = self.options.language
        return page_end(self.spec.title, self.spec.facts(language), language)

    def _rows(self, line: L) -> Iterator[list[Cell]]:
        language = self.options.language
        before, documents, after = self._columns()
        start = [_cell(one, one.shown(line, language)) for one in before]
        end = [_cell(one, one.shown(line, language)) for one in after]
        for document in _documents(line) if documents else [None]:
            middle = [
                _cell(one, one.shown(document, language)) if document else Cell("", "")
                for one in documents
            ]
            yield [*start, *middle, *end]

    def _columns(self) -> tuple[Columns[L], Columns[Document], Columns[L]]:
        """Return the columns of a line, of its document types, and the last ones of a line."""
        if not self.spec.is_handout:
            return columns_at(Place.MARKDOWN, self.spec.columns), (), ()
        shown = columns_at(Place.HANDOUT, self.spec.columns)
        texts = [one for one in shown if one.is_text]
        documents = columns_at(Place.HANDOUT, self.spec.documents)
        return [one for one in shown if not one.is_text], documents, texts


def _cell(column: Column[C], value: object) -> Cell:
    text = "" if value is None else str(value)
    is_long = len(text) > _LONG_WORD and (column.width is not None or column.is_word)
    kinds = {"n": column.is_number, "t": column.is_text, "w": is_long}
    return Cell(text, next((kind for kind, is_it in kinds.items() if is_it), ""))


def _documents(line: HasSequence) -> list[Document | None]:
    """Return the document types with a row; [None] for a line without a sequence."""
    if line.sequence is None:
        return [None]
    found = [
        Document(line.sequence, name, state)
        for name, state in documents_of(line.sequence).items()
        if state.registration is not Registration.NOT_APPLICABLE
    ]
    return [*found] or [_as_one(line.sequence)]


def _as_one(sequence: DocumentSequence) -> Document:
    """Return one row for all document types of a sequence that needs no code or has no types."""
    codes = {state.validation_code for state in sequence.documents.values()}
    code = codes.pop() if len(codes) == 1 else None
    return Document(sequence, "", DocumentSequenceState(validation_code=code))


def data_columns(spec: ReportSpec[T, L]) -> list[Column[L] | Column[Document]]:
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


@attrs.frozen
class _BookReport(Report[T, L]):
    """Records as a spreadsheet, which is written as a whole at the end."""

    _records: list[T] = attrs.field(factory=list[T], init=False)

    def is_earlier(self, path: Path) -> bool:
        return is_book(path)

    def start_in(self, language: Language) -> str:  # noqa: ARG002  # nothing before the end
        return ""

    def entry(self, one: T) -> str:
        self._records.append(one)
        return ""

    def save(self, path: Path) -> None:
        spec, language = self.spec, self.options.language
        headings = [one.heading(language) for one in data_columns(spec)]
        records = sorted(self._records, key=spec.order)
        rows = (row for one in records for row in data_rows(spec, one, language, for_people=True))
        save_book(path, headings, rows)


def report_of(path: Path, spec: ReportSpec[T, L], options: ReportOptions) -> Report[T, L]:
    """Return the layout that the ending of a file selects."""
    match path.suffix.lower():
        case ".csv" | "":  # a device has no ending
            return _CsvReport(spec, options)
        case ".md" | ".markdown":
            return _MarkdownReport(spec, options)
        case ".html" | ".htm":
            return _PageReport(spec, options)
        case ".xlsx":
            check_book()
            return _BookReport(spec, options)
        case _:
            raise ConfigurationError(f"The report {path} ends in none of .html, .xlsx, .csv, .md.")


def csv_lines(rows: Iterable[Sequence[object]], options: ReportOptions) -> str:
    """Return rows as CSV in which a spreadsheet computes no cell, and without control codes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";" if options.is_excel_pt else ",")
    writer.writerows([_csv_cell(value, options) for value in row] for row in rows)
    return text.getvalue()


def _csv_cell(value: object, options: ReportOptions) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value if value.isprintable() else "".join(map(_harmless, value))
        return f"'{shown}" if shown.startswith(_COMPUTED) else shown
    if isinstance(value, float) and options.is_excel_pt:
        return str(value).replace(".", ",")
    return value


def _harmless(character: str) -> str:
    # A space of another width is kept: it may be part of a name that is looked for.
    return character if unicodedata.category(character) == "Zs" else printable(character)


def markdown_row(cells: Iterable[object]) -> str:
    """Return a row of a Markdown table, with its cells escaped."""
    cells_text = (
        _SPECIAL.sub(r"\\\1", printable("" if one is None else str(one))) for one in cells
    )
    return f"| {' | '.join(cells_text)} |\n"
