"""A report as a spreadsheet (extra `excel`): a fixed header, a filter, and a row per line."""

import importlib
import zipfile
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from invoicexpress_async.cli.shell import printable
from invoicexpress_async.errors import ConfigurationError

_CREATOR: Final = "invoicexpress report"
_COLUMN_WIDTH: Final = 18
# The limit of Excel for the lines of a sheet, including the header.
MAX_LINES: Final = 1_048_576


def check_book() -> None:
    """Raise if spreadsheets cannot be written here."""
    _openpyxl("")


def save_book(path: Path, headings: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a spreadsheet. Lines that do not fit on a sheet go to the next one."""
    book, left = _openpyxl("").Workbook(write_only=True), iter(lines)
    book.properties.creator = _CREATOR
    _add_sheet(book, headings, islice(left, MAX_LINES - 1))
    for line in left:
        _add_sheet(book, headings, chain([line], islice(left, MAX_LINES - 2)))
    book.save(path)


def _add_sheet(book: Any, headings: Sequence[str], lines: Iterable[Sequence[object]]) -> None:  # noqa: ANN401  # as below
    sheet = book.create_sheet("InvoiceXpress")  # openpyxl adds a number to a second one
    sheet.freeze_panes = "A2"
    letter_of = _openpyxl(".utils").get_column_letter
    letters = [letter_of(at) for at in range(1, len(headings) + 1)]
    for letter in letters:
        sheet.column_dimensions[letter].width = _COLUMN_WIDTH
    sheet.append(headings)
    count = 1
    for count, line in enumerate(lines, 2):  # noqa: B007  # the last one counts
        sheet.append([_cell(sheet, value) for value in line])
    sheet.auto_filter.ref = f"A1:{letters[-1]}{count}"


def is_book(path: Path) -> bool:
    if not path.stat().st_size:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return _CREATOR.encode() in archive.read("docProps/core.xml")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _cell(sheet: object, value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    # As text, so that Excel computes nothing in it.
    cell = _openpyxl(".cell").WriteOnlyCell(sheet, value=None)
    cell.value = printable(str(value))
    cell.data_type = "s"
    return cell


def _openpyxl(module: str) -> Any:  # noqa: ANN401  # an extra, whose types are not ours
    try:
        return importlib.import_module(f"openpyxl{module}")
    except ImportError:
        pass
    raise ConfigurationError(
        "A report in .xlsx needs openpyxl: pip install '.[excel]' in a checkout of this package."
    )
