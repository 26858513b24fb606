"""The outputs of a run while it goes on: a report in a file, and JSON lines on stdout."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs

from invoicexpress_async.cli.options import ReportOptions
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.views.layouts import Report
from invoicexpress_async.errors import ConfigurationError

T = TypeVar("T")
# A longer report stays in the order in which the rows ended, since sorting keeps all in memory.
_MAX_SORTED: Final = 50_000


LayoutOf: TypeAlias = Callable[[Path, ReportOptions], Report[T, Any]]
"""Returns the layout for a file."""


class ReportFile(Generic[T]):
    """A report file. It is opened before anything is sent, and written as records come.

    An earlier report is kept until the first record is written; a spreadsheet, until the end.
    """

    def __init__(self, path: Path, layout: Report[T, Any], *, accounts: Path | None = None) -> None:
        _check(path, layout, accounts)
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
            # A spreadsheet has no start, and a device cannot be truncated.
            if (start := self._layout.start) and self._file.seekable():
                self._file.truncate(0)
            self._file.write(start)
        entry = self._layout.entry(one)
        self._file.write(entry)
        if self._entries is not None:
            self._entries.append((self._layout.spec.order(one), entry))
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
        self._layout.save(self.path)


def check_report(
    options: ReportOptions, layout: LayoutOf[T], *, accounts: Path | None = None
) -> None:
    """Raise if the file of the report exists and is not an earlier report."""
    if options.report is not None:
        _check(options.report, layout(options.report, options), accounts)


def _check(path: Path, layout: Report[T, Any], accounts: Path | None) -> None:
    if not path.is_file():
        return  # new, or a device
    if accounts is not None and accounts.exists() and path.samefile(accounts):
        raise ConfigurationError(f"The report {path} is the file of the accounts: name another.")
    try:
        is_earlier = layout.is_earlier(path)
    except OSError:
        is_earlier = False
    if not is_earlier:
        raise ConfigurationError(
            f"{path} is there already and is not a report of this command: it is kept. "
            "Name another file."
        )


@attrs.define(kw_only=True, eq=False)
class OutputSinks(Generic[T]):
    """The outputs of a run. An OSError is kept, not raised, and `on_problem` is called.

    An error raised in a run would end it, and hide the outcomes of the rows in flight.
    """

    as_json: bool
    report: ReportFile[T] | None
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
            sys.stdout.flush()
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


def open_report(
    options: ReportOptions, layout: LayoutOf[T], *, accounts: Path | None = None
) -> ReportFile[T] | None:
    """Return the report that the options name, if they name one."""
    if (path := options.report) is None:
        return None
    return ReportFile(path, layout(path, options), accounts=accounts)


def write_report(
    options: ReportOptions,
    layout: LayoutOf[T],
    records: Iterable[T],
    *,
    accounts: Path | None = None,
) -> None:
    """Write the report that the options name, if any, of records that are all known already."""
    report, problem = open_report(options, layout, accounts=accounts), ""
    if report is None:
        return
    try:
        for one in records:
            report.add(one)
        report.close()
    except OSError as error:
        problem = f"The report {report.path} cannot be written: {error.strerror}."
    if problem:
        raise ConfigurationError(problem)
