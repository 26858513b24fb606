"""The problems of an input file, by line."""

from collections import Counter
from pathlib import Path
from typing import Final, Unpack

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.errors.context import ErrorContext

_MOST_PROBLEMS_SHOWN: Final = 20
_MOST_LINES_NAMED: Final = 10
_LINES_OF_ONE_EACH: Final = 3  # more of one problem are named together
# A million bad rows are one mistake: the first rows show what it is.
_MOST_PROBLEMS_KEPT: Final = 2_000


class BadRowsError(ConfigurationError):
    """Rows of a file are invalid. Nothing was sent.

    Attributes:
        problems: The line and the text of each problem, at most 2,000; no text shows a cell.
        is_whole: Whether the message names every line itself.
    """

    def __init__(
        self,
        message: str = "",
        *,
        problems: tuple[tuple[int, str], ...] = (),
        is_whole: bool = True,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.problems = problems
        self.is_whole = is_whole


BadRowsError.anchor = ConfigurationError.anchor


class Problems:
    """Collects all problems of a file, and shows some of them. A cell's content is never shown.

    A cell may be a key in the wrong column.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[tuple[int, str]] = []
        self._lines: dict[str, list[int]] = {}
        self._counts: Counter[str] = Counter()
        self._count = 0

    def add(self, line: int, text: str) -> None:
        """Note one problem."""
        self._count += 1
        if len(self._kept) < _MOST_PROBLEMS_KEPT:
            self._kept.append((line, text))
        if text not in self._lines and len(self._lines) == _MOST_PROBLEMS_SHOWN:
            return
        self._counts[text] += 1
        lines = self._lines.setdefault(text, [])
        if len(lines) < _MOST_LINES_NAMED:
            lines.append(line)

    def check(self) -> None:
        """Raise an error if there is any problem.

        Raises:
            BadRowsError: it names the problems by line.
        """
        if not self._count:
            return
        lines = [f"{self._path} has {self._count} problem{'s' if self._count > 1 else ''}:"]
        # Problems are not always found in the order of their lines.
        by_line = sorted(self._lines.items(), key=lambda one: one[1])
        lines += (_line_of(text, where, self._counts[text]) for text, where in by_line)
        if left := self._count - self._counts.total():
            lines.append(f"  … and {left} more")
        named = sum(map(len, self._lines.values()))
        raise BadRowsError(
            "\n".join(lines) + "\n",
            problems=tuple(sorted(self._kept)),
            is_whole=named == self._count,
        )


def _line_of(text: str, lines: list[int], count: int) -> str:
    if count <= _LINES_OF_ONE_EACH:
        return "\n".join(f"  line {line}: {text}" for line in lines)
    is_all = count <= _MOST_LINES_NAMED
    named = ", ".join(map(str, lines if is_all else lines[:_LINES_OF_ONE_EACH]))
    return f"  {count} rows, lines {named}{'' if is_all else ', …'}: {text}"
