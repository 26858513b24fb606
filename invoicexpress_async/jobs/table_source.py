"""Reads the text or the rows of a file or of stdin, in any form that spreadsheets save."""

import codecs
import importlib
import io
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import attrs

from invoicexpress_async.errors import ConfigurationError

STDIN: Final = Path("-")
SHEETS: Final = frozenset({".xlsx", ".xlsm"})
FORMULA: Final = "\0="
"""The text that replaces a cell with a formula."""

# The marks that spreadsheets write first; a text without a mark is UTF-8 or Windows-1252.
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The encoding in which Excel in Western Europe saves "CSV", unlike "CSV UTF-8".
WINDOWS: Final = "cp1252"
_PIECE: Final = 1 << 20
# A spreadsheet keeps 15 digits of a number, and shows the rest as zeros or not at all.
_FIRST_ROUNDED: Final = 10**15
# The tags of a sheet's rows, without their "<".
_HIDDEN: Final = re.compile(rb"\A(?:\w+:)?row\s[^>]*\bhidden\s*=\s*[\"'](?:1|true)[\"']")
_NUMBER: Final = re.compile(rb"\sr\s*=\s*[\"'](\d+)[\"']")


@attrs.frozen
class TextSource:
    """An open text and its encoding."""

    text: io.TextIOWrapper
    encoding: str


def open_text(path: Path) -> TextSource:
    """Open a text to read it line by line.

    Raises:
        ConfigurationError: it is neither a file nor a pipe.
        OSError: it cannot be read.
        UnicodeError: it is not text.
    """
    file = _open(path)
    try:
        encoding = _encoding(file)
    except BaseException:
        file.close()
        raise
    return TextSource(io.TextIOWrapper(file, encoding=encoding, newline=""), encoding)


def _open(path: Path) -> BinaryIO:
    if path == STDIN:
        if sys.stdin.isatty():
            raise ConfigurationError("The file is -, and nothing is piped into this command.")
        return io.BytesIO(sys.stdin.buffer.read())
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode):
        return io.BytesIO(path.read_bytes())  # the data is read twice, to detect its encoding
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a socket"
        raise ConfigurationError(f"{path} is {kind}, and not a file.")
    return path.open("rb")


def is_read_once(path: Path) -> bool:
    """Whether a path can be read only once, such as a pipe."""
    return path == STDIN or not (os.access(path, os.R_OK) and path.is_file())


def _encoding(file: BinaryIO) -> str:
    start = file.read(4)
    file.seek(0)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    encoding = "utf-8" if _is_text(file, "utf-8") else WINDOWS
    if encoding == WINDOWS and (b"\0" in start or not _is_text(file, WINDOWS)):
        raise UnicodeError
    return encoding


def _is_text(file: BinaryIO, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while piece := file.read(_PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    finally:
        file.seek(0)
    return True


class _Cell(Protocol):
    value: object
    data_type: str


class _Sheet(Protocol):
    title: str

    def iter_rows(self) -> Iterator[tuple[_Cell, ...]]: ...


class _Book(Protocol):
    active: _Sheet | None

    def close(self) -> None: ...


@attrs.frozen
class _SavedBook:
    """A spreadsheet, and the numbers of the rows that its open sheet hides."""

    book: _Book
    hidden: frozenset[int]


def sheet_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the sheet that was open when it was saved, as texts, with their numbers.

    Raises:
        ConfigurationError: it cannot be read, a row with values is hidden, or openpyxl is not
            installed.
    """
    saved = _load(path)
    try:
        if saved.book.active is not None:
            for number, row in enumerate(_parsed(path, saved.book.active), 1):
                texts = [_cell_text(cell) for cell in row]
                if number in saved.hidden and any(texts):
                    raise ConfigurationError(
                        f"{path} hides row {number}, perhaps with a filter. Show all rows, or copy "
                        "those that you want to a new file."
                    )
                yield number, texts
    finally:
        saved.book.close()


def sheet_name(path: Path) -> str | None:
    """Return the name of the sheet that is read; None when the file has none.

    Raises:
        ConfigurationError: it cannot be read, or openpyxl is not installed.
    """
    saved = _load(path)
    try:
        return None if saved.book.active is None else saved.book.active.title
    finally:
        saved.book.close()


def _parsed(path: Path, sheet: _Sheet) -> Iterator[tuple[_Cell, ...]]:
    try:
        yield from sheet.iter_rows()
    except Exception:  # noqa: BLE001, S110  # as `_load`: a sheet is parsed row by row
        pass
    else:
        return
    raise ConfigurationError(f"{path} is damaged: its rows cannot all be read.")


def _load(path: Path) -> _SavedBook:
    problem = ""
    try:
        excel = importlib.import_module("openpyxl.reader.excel")
    except ImportError:
        raise ConfigurationError(
            f"{path} is a spreadsheet, which needs openpyxl: "
            "pip install '.[excel]' in a checkout of this package, or save it as CSV UTF-8."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and forms that are not kept
            reader = excel.ExcelReader(path, read_only=True)
            reader.read()
            hidden = frozenset(_hidden_rows(reader))
    except OSError as error:
        problem = f"cannot be read: {error.strerror or 'it is damaged'}"
    except Exception:  # noqa: BLE001  # a damaged file makes openpyxl's parsers raise any class
        problem = "is no spreadsheet that can be read"
    else:
        return _SavedBook(reader.wb, hidden)
    raise ConfigurationError(f"{path} {problem}.")


def _hidden_rows(reader: Any) -> Iterator[int]:  # noqa: ANN401  # openpyxl is optional
    """Yield the numbers of the hidden rows; openpyxl shows them only where it loads all cells."""
    active = reader.wb.active
    for sheet, relation in reader.parser.find_sheets():
        if active is None or sheet.name != active.title:
            continue
        with reader.archive.open(relation.target) as file:
            rest = b""
            while piece := file.read(_PIECE):
                *tags, rest = (rest + piece).split(b"<")
                for tag in tags:
                    if _HIDDEN.search(tag) and (number := _NUMBER.search(tag)):
                        yield int(number[1])


def _cell_text(cell: _Cell) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return FORMULA
    if isinstance(value, bool):
        return str(value).upper()  # as it is shown: no name is made of it
    if isinstance(value, int | float) and abs(value) >= _FIRST_ROUNDED:
        return f"{value:E}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a spreadsheet stores integers as floats too
    return str(value)
