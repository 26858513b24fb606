"""The kinds and styles of reports."""

import enum
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async.cli.words import Language
from invoicexpress_async.errors import ConfigurationError

_MARKDOWN: Final = frozenset({".md", ".markdown"})
_PAGES: Final = frozenset({".html", ".htm"})
_BOOKS: Final = frozenset({".xlsx"})
_CSV: Final = frozenset({".csv", ""})  # a device has no ending


@attrs.frozen(kw_only=True)
class ReportStyle:
    """The number format and language of a report."""

    is_excel_pt: bool = False
    language: Language = "en"


class ReportKind(enum.Enum):
    """The kind of a report, selected by the ending of its file."""

    CSV = enum.auto()
    MARKDOWN = enum.auto()
    PAGE = enum.auto()
    BOOK = enum.auto()


def kind_of(path: Path) -> ReportKind:
    """Return the kind of report that the ending of a file selects."""
    ending = path.suffix.lower()
    for kind, endings in (
        (ReportKind.CSV, _CSV),
        (ReportKind.MARKDOWN, _MARKDOWN),
        (ReportKind.PAGE, _PAGES),
        (ReportKind.BOOK, _BOOKS),
    ):
        if ending in endings:
            return kind
    raise ConfigurationError(f"The report {path} ends in none of .html, .xlsx, .csv, .md.")
