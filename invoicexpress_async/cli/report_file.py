"""The outputs of a run while it goes on: a report in a file, and JSON lines on stdout."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import attrs

from invoicexpress_async.cli.book import BookReport, is_book_report
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.report_style import ReportKind, ReportStyle, kind_of
from invoicexpress_async.cli.shell import printable
from invoicexpress_async.errors import ConfigurationError

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
# A longer report stays in the order in which the rows ended, since sorting keeps all in memory.
_MAX_SORTED: Final = 50_000
# A spreadsheet would compute a cell that begins with one of these, some also in full width.
_COMPUTED: Final = (
    "=",
    "+",
    "-",
    "@",
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)


def csv_lines(rows: Iterable[Sequence[object]], style: ReportStyle) -> str:
    """Return rows as CSV in which a spreadsheet computes no cell, and without control codes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";" if style.is_excel_pt else ",")
    writer.writerows([_csv_cell(value, style) for value in row] for row in rows)
    return text.getvalue()


def _csv_cell(value: object, style: ReportStyle) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value if value.isprintable() else "".join(map(_harmless, value))
        return f"'{shown}" if shown.startswith(_COMPUTED) else shown
    if isinstance(value, float) and style.is_excel_pt:
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


def markdown_head(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"


class Layout(Protocol[T_contra]):
    """The layout of a report: the text at its start, for each record, and at its end."""

    @property
    def start(self) -> str: ...

    @property
    def starts(self) -> Sequence[str]:
        """The starts of such reports in every language, to recognise an earlier report."""
        ...

    def entry(self, one: T_contra, /) -> str: ...

    def end(self) -> str: ...

    def order(self, one: T_contra, /) -> tuple[int | str, ...]:
        """Return the sort key: records that need a person first, then by account."""
        ...


class LayoutOf(Protocol[T_contra]):
    """Returns the layout for a file."""

    def __call__(self, path: Path, /, *, style: ReportStyle = ...) -> Layout[T_contra]: ...


class ReportFile(Generic[T]):
    """A report file. It is opened before anything is sent, and written as records come.

    An earlier report is kept until the first record is written.
    """

    def __init__(self, path: Path, layout: Layout[T], *, accounts: Path | None = None) -> None:
        check_report(path, layout, accounts=accounts)
        problem = ""
        try:
            # The report holds no key, but the names of customers are private.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise ConfigurationError(f"The report {path} cannot be written: {problem}.")
        self.path = path
        self._layout = layout
        self._has_begun = False
        self._entries: list[tuple[tuple[int | str, ...], str]] | None = []

    def add(self, one: T) -> None:
        if not self._has_begun:
            self._has_begun = True
            if self._file.seekable():  # a device cannot be truncated
                self._file.truncate(0)
            self._file.write(self._layout.start)
        entry = self._layout.entry(one)
        self._file.write(entry)
        if self._entries is not None:
            self._entries.append((self._layout.order(one), entry))
            if len(self._entries) > _MAX_SORTED:
                self._entries = None

    def close(self) -> None:
        with self._file as file:
            if not self._has_begun:
                return
            if self._entries is not None and file.seekable():
                file.seek(0)
                file.truncate()
                file.write(self._layout.start)
                file.writelines(entry for _, entry in sorted(self._entries))
            file.write(self._layout.end())


class BookFile(Generic[T]):
    """A report as a spreadsheet. Like `ReportFile`, but written only when it is closed."""

    def __init__(self, path: Path, layout: BookReport[T], *, accounts: Path | None = None) -> None:
        # Raises before anything is sent if the file cannot be written.
        ReportFile(path, layout, accounts=accounts).close()
        self.path = path
        self._layout = layout
        self._records: list[T] = []

    def add(self, one: T) -> None:
        self._records.append(one)

    def close(self) -> None:
        if self._records:
            self._layout.save(self.path, sorted(self._records, key=self._layout.order))


def check_report(path: Path, layout: Layout[T], *, accounts: Path | None = None) -> None:
    """Raise if the file exists and is not an earlier report."""
    if not path.is_file():
        return  # new, or a device
    if accounts is not None and accounts.exists() and path.samefile(accounts):
        raise ConfigurationError(f"The report {path} is the file of the accounts: name another.")
    is_book = kind_of(path) is ReportKind.BOOK
    if not (is_book_report(path) if is_book else _is_report(path, layout.starts)):
        raise ConfigurationError(
            f"{path} is there already and is not a report of this command: it is kept. "
            "Name another file."
        )


def _is_report(path: Path, starts: Sequence[str]) -> bool:
    beginnings = [start.encode() for start in starts]
    try:
        with path.open("rb") as file:
            found = file.read(max(map(len, beginnings)))
    except OSError:
        return False
    return not found or found.startswith(tuple(beginnings))


@attrs.define(kw_only=True, eq=False)
class OutputSinks(Generic[T]):
    """The outputs of a run. An OSError is kept, not raised, and `on_problem` is called.

    An error raised in a run would end it, and hide the outcomes of the rows in flight.
    """

    as_json: bool
    report: ReportFile[T] | BookFile[T] | None
    as_object: Callable[[T], object]
    on_problem: Callable[[], None]
    stdout_problem: OSError | None = None
    report_problem: OSError | None = None

    def add(self, one: T) -> None:
        try:
            if self.report is not None and self.report_problem is None:
                self.report.add(one)
        except OSError as error:
            self.report_problem = error
            self.on_problem()
        if self.as_json:
            self.write(self.as_object(one))

    def write(self, value: object) -> None:
        if self.as_json:
            self.render(lambda: write_json(value))

    def render(self, work: Callable[[], None]) -> None:
        """Call `work`, which writes to stdout, unless stdout has failed before."""
        if self.stdout_problem is not None:
            return
        try:
            work()
        except OSError as error:
            self.stdout_problem = error
            self.on_problem()

    @property
    def problem(self) -> OSError | None:
        return self.report_problem or self.stdout_problem

    @property
    def problem_name(self) -> str:
        return "The report" if self.report_problem else "stdout"

    @property
    def kept_where(self) -> tuple[str, Path | None] | None:
        """Where all records were written, as a text and a path; None if nowhere."""
        if self.report is not None and self.report_problem is None:
            return "in {path}", self.report.path
        return ("on stdout", None) if self.as_json and self.stdout_problem is None else None

    def close(self) -> None:
        try:
            if self.report is not None:
                self.report.close()
        except OSError as error:
            self.report_problem = error


@attrs.frozen(kw_only=True)
class OutputOptions:
    """The options for the output of a run."""

    as_json: bool = False
    report: Path | None = None
    accounts: Path | None = None
    style: ReportStyle = attrs.field(factory=ReportStyle)


def open_report(
    output: OutputOptions, path: Path, layout: LayoutOf[T]
) -> ReportFile[T] | BookFile[T]:
    form = layout(path, style=output.style)
    if isinstance(form, BookReport):
        return BookFile(path, form, accounts=output.accounts)
    return ReportFile(path, form, accounts=output.accounts)


def write_report(
    output: OutputOptions, path: Path, layout: LayoutOf[T], records: Iterable[T]
) -> None:
    """Write a report of records that are all known already."""
    report, problem = open_report(output, path, layout), ""
    try:
        for one in records:
            report.add(one)
        report.close()
    except OSError as error:
        problem = f"The report {path} cannot be written: {error.strerror}."
    if problem:
        raise ConfigurationError(problem)


def open_sinks(
    output: OutputOptions,
    layout: LayoutOf[T],
    as_object: Callable[[T], object],
    on_problem: Callable[[], None],
) -> OutputSinks[T]:
    """Return the outputs of a run; `on_problem` is called when one of them fails."""
    report = None if output.report is None else open_report(output, output.report, layout)
    return OutputSinks(
        as_json=output.as_json, report=report, as_object=as_object, on_problem=on_problem
    )
