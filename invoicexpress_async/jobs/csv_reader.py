"""A table in a text file, as spreadsheets write it: BOM, delimiter, quotes, blank lines."""

import codecs
import csv
import difflib
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async.errors import ConfigurationError

_DELIMITERS: Final = (";", ",", "\t")
# What spreadsheets write first; without one it is UTF-8. The long ones stand before their starts.
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOST_PROBLEMS_SHOWN: Final = 20
_MOST_LINES_NAMED: Final = 3
# A letter or two are wrong; what is less like a column is a column of the user's own.
_LIKENESS: Final = 0.75


@attrs.frozen(kw_only=True)
class CsvRecord:
    """One row: the line on which it begins, and its cells by column, without outer spaces."""

    line: int
    cells: Mapping[str, str] = attrs.field(repr=False)


class Problems:
    """What is wrong with a file, all of it, shown up to a bound. Never a cell's content.

    A cell may be a key that stands in the wrong column. What is not shown is counted only: a
    million bad rows take no memory either.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, list[int]] = {}
        self._counts: Counter[str] = Counter()
        self._count = 0

    def add(self, line: int, text: str) -> None:
        """Note one problem."""
        self._count += 1
        if text not in self._lines and len(self._lines) == _MOST_PROBLEMS_SHOWN:
            return
        self._counts[text] += 1
        lines = self._lines.setdefault(text, [])
        if len(lines) < _MOST_LINES_NAMED:
            lines.append(line)

    def check(self) -> None:
        """Raise when there are any.

        Raises:
            ConfigurationError: naming the problems by line.
        """
        if not self._count:
            return
        lines = [f"{self._path} has {self._count} problem{'s' if self._count > 1 else ''}:"]
        lines += (_told(text, where, self._counts[text]) for text, where in self._lines.items())
        if left := self._count - self._counts.total():
            lines.append(f"  … and {left} more")
        raise ConfigurationError("\n".join(lines) + "\n")


def _told(text: str, lines: list[int], count: int) -> str:
    if count <= _MOST_LINES_NAMED:
        return "\n".join(f"  line {line}: {text}" for line in lines)
    named = ", ".join(map(str, lines))
    return f"  {count} rows, lines {named}, …: {text}"


@attrs.define(kw_only=True)
class CsvReader:
    """A file that is read row by row.

    Attributes:
        path: The file.
        required: The columns that must be there.
        optional: The columns that may be; others are ignored.
        problems: Where bad rows are noted.
        ignored: After reading began, the columns that are not known.
    """

    path: Path
    required: Collection[str]
    optional: Collection[str]
    problems: Problems
    ignored: tuple[str, ...] = ()

    def read(self) -> Iterator[CsvRecord]:
        """Yield the rows that are rows; the others are noted in `problems`.

        Raises:
            ConfigurationError: the file cannot be read, is not text, or has no such header.
        """
        failure = ""
        try:
            with self.path.open("rb") as file:
                text = io.TextIOWrapper(file, encoding=_encoding(file.peek(4)), newline="")
                yield from self._records(text)
        except OSError as error:
            failure = f"cannot be read: {error.strerror}"
        except UnicodeError:
            # Its own exception holds the bytes, and so the keys: it is not chained.
            failure = "is not UTF-8 text; in a spreadsheet, save it as CSV UTF-8"
        if failure:
            raise ConfigurationError(f"{self.path} {failure}.")

    def _records(self, text: Iterator[str]) -> Iterator[CsvRecord]:
        skipped, header = _first_line(text)
        delimiter = self._delimiter(header)
        reader = csv.reader(chain([header], text), delimiter=delimiter, strict=True)
        columns: list[str] | None = None
        while True:
            line = skipped + reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                # What follows a quote that was never closed cannot be told apart any more.
                self.problems.add(line, f"the rest cannot be read: {error}")
                return
            if cells is None:
                return
            if columns is None:
                columns = self._header(cells)
            elif record := self._record(line, columns, cells):
                yield record

    def _delimiter(self, header: str) -> str:
        for delimiter in _DELIMITERS:
            if set(self.required) <= {_normal(name) for name in _split(header, delimiter)}:
                return delimiter
        raise ConfigurationError(
            f"{self.path} has no header with the columns {' and '.join(self.required)}, "
            "separated by ; , or tabs."
        )

    def _header(self, cells: list[str]) -> list[str]:
        columns = [_normal(cell) for cell in cells]
        known = [name for name in columns if name in {*self.required, *self.optional}]
        twice = {name for name in known if known.count(name) > 1}
        if twice:
            raise ConfigurationError(f"{self.path} has two columns {' and '.join(sorted(twice))}.")
        self._refuse_misspelt(columns)
        self.ignored = tuple(name for name in columns if name and name not in known)
        return columns

    def _refuse_misspelt(self, columns: list[str]) -> None:
        names = [*self.required, *self.optional]
        for column in columns:
            absent = [name for name in names if name not in columns]
            like = difflib.get_close_matches(column, absent, n=1, cutoff=_LIKENESS)
            if column and column not in names and like:
                raise ConfigurationError(
                    f"{self.path} has a column that is like {like[0]!r} and is not spelt so: "
                    "correct it, or rename it if it is something else."
                )

    def _record(self, line: int, columns: list[str], cells: list[str]) -> CsvRecord | None:
        values = [cell.strip() for cell in cells]
        if not any(values):
            return None
        # Spreadsheets end some rows with empty cells that the header does not have.
        while len(values) > len(columns) and not values[-1]:
            values.pop()
        if len(values) != len(columns):
            self.problems.add(line, f"{len(values)} fields where the header has {len(columns)}")
            return None
        return CsvRecord(line=line, cells=dict(zip(columns, values, strict=True)))


def _encoding(start: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    return "utf-8"


def _first_line(text: Iterator[str]) -> tuple[int, str]:
    """Return how many lines stand before the header, and the header."""
    for skipped, line in enumerate(text):
        # "sep=;" is how Excel is told the delimiter; the header tells it here.
        if line.strip() and not line.lower().startswith("sep="):
            return skipped, line
    return 0, ""


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter, strict=True), list[str]())
    except csv.Error:
        return []


def _normal(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
