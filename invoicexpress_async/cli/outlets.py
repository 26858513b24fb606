"""Where a run is written to while it goes on: JSON lines on stdout, and a report."""

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.report_file import ReportFile

T = TypeVar("T")


@attrs.define(kw_only=True, eq=False)
class Outlets(Generic[T]):
    """Raises nothing: what cannot be written to is remembered, and `on_problem` called.

    Raised out of a run, an error would end it, and with it what is told of rows in flight.

    Attributes:
        as_json: Whether stdout takes JSON lines.
        report: The report, if one is asked for.
        as_object: Makes an entry into JSON.
        on_problem: Called when an outlet fails.
        stdout_problem: Why stdout cannot be written.
        report_problem: Why the report cannot.
    """

    as_json: bool
    report: ReportFile[T] | None
    as_object: Callable[[T], object]
    on_problem: Callable[[], None]
    stdout_problem: OSError | None = None
    report_problem: OSError | None = None

    def note(self, one: T) -> None:
        """Write one entry."""
        try:
            if self.report is not None and self.report_problem is None:
                self.report.note(one)
        except OSError as error:
            self.report_problem = error
            self.on_problem()
        if self.as_json:
            self.say(self.as_object(one))

    def say(self, value: object) -> None:
        """Write a line of JSON, if that is wanted."""
        if self.as_json:
            self.show(lambda: write_json(value))

    def show(self, work: Callable[[], None]) -> None:
        """Write to stdout; what could not be written then is not written now."""
        if self.stdout_problem is not None:
            return
        try:
            work()
        except OSError as error:
            self.stdout_problem = error
            self.on_problem()

    def close(self) -> None:
        """Write the rest of the report."""
        try:
            if self.report is not None:
                self.report.close()
        except OSError as error:
            self.report_problem = error

    @property
    def is_report_whole(self) -> bool:
        """Whether there is a report with everything in it."""
        return self.report is not None and self.report_problem is None

    @property
    def is_stdout_whole(self) -> bool:
        """Whether stdout has all JSON lines."""
        return self.as_json and self.stdout_problem is None
