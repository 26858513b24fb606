"""Reads a table from a spreadsheet's file: BOM, delimiter, quotes, blank lines, sheets."""

import csv
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.jobs.table_source import (
    FORMULA,
    SHEETS,
    STDIN,
    WINDOWS,
    open_text,
    sheet_name,
    sheet_rows,
)

_DELIMITERS: Final = (";", ",", "\t")
# A name with one or two wrong letters is a misspelt column; a less similar name is another column.
_LIKENESS: Final = 0.75
_MAX_NAME: Final = 30
# The number of rows processed together: they fit into a processor cache; more rows take longer.
_CHUNK: Final = 256
_Row: TypeAlias = tuple[int, list[str]]


@attrs.frozen(kw_only=True)
class CsvRecord:
    """One row: the line on which it begins, and its cells by column.

    Only cells of the reader's `exact` columns keep their outer spaces.
    """

    line: int
    cells: Mapping[str, str] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class CsvColumns:
    """Consecutive rows: the lines on which they begin, and their cells by column.

    The cells are the same as those of `CsvRecord`. Columns that the file does not have are absent.
    """

    lines: Sequence[int]
    cells: Mapping[str, Sequence[str]] = attrs.field(repr=False)


@attrs.define(kw_only=True)
class CsvReader:
    """Reads a file row by row, or several rows at a time.

    Attributes:
        path: The file.
        required: The columns that the file must have.
        optional: The columns that the file may have; others are ignored.
        problems: Collects the bad rows.
        exact: The columns whose cells are taken as they are, such as passwords.
        prose: The columns that may contain any letter, even in a file that is not UTF-8.
        ignored: The columns that are not known; set when reading begins.
        is_windows: Whether the encoding is Windows-1252 (Western Europe); set when reading begins.
    """

    path: Path
    required: Collection[str]
    optional: Collection[str]
    problems: Problems
    exact: Collection[str] = ()
    prose: Collection[str] = ()
    ignored: tuple[str, ...] = ()
    is_windows: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for people about how the file was read."""
        if not self.is_windows:
            return ()
        return (f"{self.label} is not UTF-8: it was read as Windows-1252 (Western Europe)",)

    def read(self) -> Iterator[CsvRecord]:
        """Yield the valid rows; the others are noted in `problems`.

        Raises:
            ConfigurationError: the file cannot be read, is not text, or lacks required columns.
        """
        for names, rows in self._chunks():
            yield from self._records(names, rows)

    def read_columns(self) -> Iterator[CsvColumns]:
        """Yield the same rows as `read`, several at a time.

        Raises:
            ConfigurationError: as `read`.
        """
        for names, rows in self._chunks():
            yield self._plain_columns(names, rows) or self._columns(names, rows)

    @property
    def label(self) -> str:
        """The name of the file, for people."""
        return "stdin" if self.path == STDIN else str(self.path)

    @property
    def _is_sheet(self) -> bool:
        return self.path.suffix.lower() in SHEETS

    def _chunks(self) -> Iterator[tuple[list[str], list[_Row]]]:
        """Yield the names of the columns with several rows, until the file ends."""
        failure = ""
        try:
            yield from self._sheet() if self._is_sheet else self._text()
        except OSError as error:
            failure = f"cannot be read: {error.strerror}"
        except UnicodeError:
            # The UnicodeError contains the bytes, and so the keys: it is not chained.
            failure = "is not UTF-8 text; in a spreadsheet, save it as CSV UTF-8"
        if failure:
            raise ConfigurationError(f"{self.label} {failure}.")

    def _sheet(self) -> Iterator[tuple[list[str], list[_Row]]]:
        return self._table(row for row in sheet_rows(self.path) if any(row[1]))

    def _text(self) -> Iterator[tuple[list[str], list[_Row]]]:
        source = open_text(self.path)
        self.is_windows = source.encoding == WINDOWS
        with source.text as text:
            yield from self._table(self._csv_rows(text))

    def _table(self, rows: Iterator[_Row]) -> Iterator[tuple[list[str], list[_Row]]]:
        _, header = next(rows, (0, list[str]()))
        self._check_header(header)
        names = self._header(header)
        while chunk := [*islice(rows, _CHUNK)]:
            yield names, chunk

    def _records(self, names: list[str], rows: list[_Row]) -> Iterator[CsvRecord]:
        for line, cells in rows:
            if record := self._record(line, names, cells):
                yield record

    def _columns(self, names: list[str], rows: list[_Row]) -> CsvColumns:
        records = [*self._records(names, rows)]
        known = filter(self._is_known, names)
        return CsvColumns(
            lines=[one.line for one in records],
            cells={name: [one.cells[name] for one in records] for name in known},
        )

    def _plain_columns(self, names: list[str], rows: list[_Row]) -> CsvColumns | None:
        """Return rows that are all valid as they stand, as most are; None when one may not be."""
        lines, cells = zip(*rows, strict=True)
        if self.is_windows or {*map(len, cells)} != {len(names)}:
            return None
        marker, *_ = self.required
        found: dict[str, Sequence[str]] = {}
        for name, column in zip(names, zip(*cells, strict=True), strict=True):
            if not self._is_known(name):
                continue
            values = [*map(str.strip, column)]
            # The cells of any one column are enough to detect a blank row or a repeated header.
            if FORMULA in values or (name == marker and _may_lack_record(name, values)):
                return None
            is_exact = name in self.exact and values != [*column]
            found[name] = [*map(_unless_blank, column)] if is_exact else values
        return CsvColumns(lines=lines, cells=found)

    def _is_known(self, name: str) -> bool:
        return name in self.required or name in self.optional

    def _csv_rows(self, text: Iterator[str]) -> Iterator[_Row]:
        skipped, header = _first_line(text)
        reader = csv.reader(chain([header], text), delimiter=self._delimiter(header), strict=True)
        line = skipped + 1
        try:
            for cells in reader:
                yield line, cells
                line = skipped + reader.line_num + 1
        except csv.Error as error:
            # After a quote that is never closed, the following rows cannot be separated any more.
            self.problems.add(line, f"the rest cannot be read: {error}")

    def _delimiter(self, header: str) -> str:
        """Return the delimiter that yields the most known columns."""
        known = {*self.required, *self.optional}

        def found(delimiter: str) -> tuple[int, int]:
            names = _split(header, delimiter)
            return len(known.intersection(map(_normal, names))), len(names)

        return max(_DELIMITERS, key=found)

    def _check_header(self, cells: list[str]) -> None:
        columns = [_normal(cell) for cell in cells]
        if set(self.required) <= {*columns}:
            return
        self._refuse_misspelt(columns)
        absent = [name for name in self.required if name not in columns]
        is_or_are = "is" if len(absent) == 1 else "are"
        sheet = sheet_name(self.path) if self._is_sheet else None
        where = "" if sheet is None else f" (sheet {sheet!r})"
        raise ConfigurationError(
            f"{self.label}{where} has no header with the columns {' and '.join(self.required)}"
            f"{'' if self._is_sheet else ', separated by ; , or tabs'}: "
            f"{self._found(cells, columns)}; {' and '.join(absent)} {is_or_are} not there."
        )

    def _found(self, cells: list[str], columns: list[str]) -> str:
        if not cells or not any(columns):
            return f"its first {'row' if self._is_sheet else 'line'} is empty"
        if {*self.required, *self.optional}.isdisjoint(columns):
            # The line may be a row of data, and one of its cells an API key.
            first = "row" if self._is_sheet else "line"
            return f"its first {first} has {_fields(len(cells))}, and none is a known column"
        return "found are " + ", ".join(repr(cell.strip()[:_MAX_NAME]) for cell in cells)

    def _header(self, cells: list[str]) -> list[str]:
        columns = [_normal(cell) for cell in cells]
        known = [*filter(self._is_known, columns)]
        twice = {name for name in known if known.count(name) > 1}
        if twice:
            raise ConfigurationError(f"{self.label} has two columns {' and '.join(sorted(twice))}.")
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
                    f"{self.label} has a column that is like {like[0]!r} and is not spelt so: "
                    "correct it, or rename it if it is something else."
                )

    def _record(self, line: int, columns: list[str], cells: list[str]) -> CsvRecord | None:
        # A million rows pass here: a check that few rows need is done for these rows only.
        values = list(map(str.strip, cells))
        if not any(values):
            return None
        wrong = "" if len(values) == len(columns) else self._fit(columns, values)
        if _normal(values[0]) == columns[0] and [*map(_normal, values)] == columns:
            wrong = "the header again: leave it out"
        if not wrong and (self.is_windows or FORMULA in values):
            wrong = self._unreadable(columns, values)
        if wrong:
            self.problems.add(line, wrong)
            return None
        found = dict(zip(columns, values, strict=True))
        for name in self.exact:
            if found.get(name):
                found[name] = cells[columns.index(name)]
        return CsvRecord(line=line, cells=found)

    def _fit(self, columns: list[str], values: list[str]) -> str:
        """Give a row as many cells as the header has; return what is wrong with it, or ""."""
        # Spreadsheets add empty cells beyond the header to some rows, and leave out the last cells
        # of others when these are empty.
        count = len(values)
        while count > len(columns) and not values[count - 1]:
            count -= 1
        absent = columns[count:]
        is_header = [*map(_normal, values[:count])] == columns[:count]
        if count > len(columns) or not set(absent).isdisjoint(self.required):
            return f"{_fields(count)} where the header has {len(columns)}"
        values[count:] = [""] * len(absent)
        return "the header again: leave it out" if is_header else ""

    def _unreadable(self, columns: list[str], values: list[str]) -> str:
        named = zip(columns, values, strict=True)
        cells = [(name, one) for name, one in named if self._is_known(name)]
        wrong = [f"{name} is a formula: paste its value" for name, one in cells if one == FORMULA]
        if self.is_windows:
            wrong += (
                f"{name} is not plain ASCII, and the file is not UTF-8: save it as CSV UTF-8"
                for name, one in cells
                if not one.isascii() and name not in self.prose
            )
        return "; ".join(wrong)


def _first_line(text: Iterator[str]) -> tuple[int, str]:
    """Return how many lines stand before the header, and the header."""
    for skipped, line in enumerate(text):
        # "sep=;" names the delimiter to Excel; here the header decides.
        if line.strip() and not line.lower().startswith("sep="):
            return skipped, line
    return 0, ""


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter, strict=True), list[str]())
    except csv.Error:
        return []


def _may_lack_record(name: str, cells: list[str]) -> bool:
    # A million cells pass here: they are normalised as one text.
    return "" in cells or f"\0{name}\0" in _normal("\0".join(["", *cells, ""]))


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _unless_blank(cell: str) -> str:
    return cell if cell.strip() else ""


def _normal(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
