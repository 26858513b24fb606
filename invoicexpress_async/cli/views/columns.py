"""Columns, each defined once for the table, all kinds of reports and the JSON lines.

Each kind of record has one list of columns. A column is shown in all of its places, in the order
of the list.
"""

import enum
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentSequenceState
from invoicexpress_async import Sequence as DocumentSequence
from invoicexpress_async.cli.output import cell, data_console, new_table, print_more, write_json
from invoicexpress_async.cli.shell import printable
from invoicexpress_async.cli.words import Language, label, word

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_MAX_ROWS: Final = 20
_MORE: Final = "… {count} more: --json shows all"
_DIGITS: Final = re.compile("[0-9]+")
_MAX_DIGITS: Final = 20


class Place(enum.Flag):
    """The places where a column is shown."""

    CSV = enum.auto()
    MARKDOWN = enum.auto()
    """Markdown, and a page that has a row for each line."""
    HANDOUT = enum.auto()
    """A page that has a row for each document type of a line."""
    TABLE = enum.auto()
    JSON = enum.auto()
    PEOPLE = MARKDOWN | TABLE
    REPORTS = CSV | MARKDOWN | HANDOUT
    ALL = REPORTS | TABLE | JSON


@attrs.frozen
class Column(Generic[T_contra]):
    """One column of a record.

    Attributes:
        name: The name in JSON and CSV.
        of: Returns the value of a record, as in JSON.
        places: Where the column is shown.
        title: The heading in other places, when it differs from the name.
        text: Turns the value into the one that all places except JSON show.
        style: Returns the colour of a record's cell in the table.
        is_number: Whether the table aligns the column to the right.
        is_mark: Whether the table centres the column.
        width: The maximum width in the table.
        is_cut: Whether the table cuts a wider value, with an ellipsis, instead of wrapping it.
        is_whole: Whether the table never wraps a value: a part of a code would be wrong.
        is_word: Whether the values are words of this program, translated for people only.
        is_text: Whether the values are texts of this program, translated in CSV too.
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
        return label(self.name if self.title is None else self.title, language)

    def shown(
        self, record: T_contra, language: Language = "en", *, for_people: bool = True
    ) -> object:
        """Return the cell of a record in a table or a report. CSV has words in English."""
        value = self.of(record)
        value = value if self.text is None else self.text(value)
        if value is None:
            return None
        if self.is_word and for_people:
            text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
            return label(text, language)
        return word(str(value), language) if self.is_text else value

    def cell(self, record: T_contra, language: Language = "en") -> Text:
        value = self.shown(record, language)
        return (
            cell(value) if self.style is None else Text(printable(str(value)), self.style(record))
        )


Columns = Sequence[Column[T]]


def name_key(name: str) -> str:
    """Return the sort key of a name, which puts "sandbox-2" before "sandbox-10"."""
    return _DIGITS.sub(lambda found: found[0].zfill(_MAX_DIGITS), name)


def line_text(line: object) -> object:
    """Return a line number of a file; None for 0, a record that is from no file."""
    return line or None


def yes_text(value: object) -> object:
    return "yes" if value else None


def columns_at(place: Place, columns: Columns[T]) -> list[Column[T]]:
    return [one for one in columns if place in one.places]


def object_of(kind: str, columns: Columns[T], record: T) -> dict[str, object]:
    return {"type": kind} | {one.name: one.of(record) for one in columns_at(Place.JSON, columns)}


def table_of(columns: Columns[T], records: Iterable[T], language: Language = "en") -> Table:
    """Return records as a table. Values that are too wide are cut on a terminal only."""
    shown, table = columns_at(Place.TABLE, columns), new_table()
    may_cut = data_console().is_terminal
    for one in shown:
        table.add_column(
            one.heading(language),
            justify="right" if one.is_number else "center" if one.is_mark else "left",
            # Folded, not cut, on a narrow terminal: a part of an id or a code would be wrong.
            overflow="ellipsis" if one.is_cut and may_cut else "fold",
            no_wrap=one.is_whole or (one.is_cut and may_cut),
            max_width=one.width if may_cut else None,
        )
    for record in records:
        table.add_row(*(one.cell(record, language) for one in shown))
    return table


def show_plan(
    columns: Columns[T],
    records: Sequence[T],
    *,
    as_json: bool,
    language: Language,
    most: int = _MAX_ROWS,
) -> None:
    """Show a plan: all of it as JSON lines, or the first records as a table."""
    if as_json:
        for record in records:
            write_json(object_of("plan", columns, record))
        return
    data_console().print(table_of(columns, records[:most], language))
    print_more(_MORE, len(records) - most, language)


@attrs.frozen
class Document:
    """One document type of a sequence."""

    sequence: DocumentSequence
    name: str
    state: DocumentSequenceState


NUMBER: Final = Column[Document]("number", lambda one: one.state.number, is_number=True)
DOCUMENT_COLUMNS: Final[Columns[Document]] = (
    Column("id", lambda one: one.sequence.id, places=Place.CSV),
    Column("document_type", lambda one: one.name, is_word=True),
    NUMBER,
    Column("document_sequence_id", lambda one: one.state.sequence_id, is_number=True),
    Column("validation_code", lambda one: one.state.validation_code),
    Column("registration", lambda one: one.state.registration, is_word=True),
)
