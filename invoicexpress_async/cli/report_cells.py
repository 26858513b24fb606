"""Cells of a report, in CSV and in Markdown."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from invoicexpress_async.cli.text import plain

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def markdown_row(cells: Iterable[object]) -> str:
    """Return a row of a table; nothing in it can be taken for Markdown."""
    told = (_SPECIAL.sub(r"\\\1", plain("" if one is None else str(one))) for one in cells)
    return f"| {' | '.join(told)} |\n"


def markdown_head(columns: Sequence[str]) -> str:
    """Return the two first lines of a table."""
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
