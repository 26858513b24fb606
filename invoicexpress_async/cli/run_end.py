"""The last line of a run, which says how to go on, and its exit code."""

import datetime as dt

import attrs

from invoicexpress_async.cli.failures import print_failure, show_error
from invoicexpress_async.cli.shell import FAILED, INTERRUPTED, say
from invoicexpress_async.cli.summary import Tally, count_text
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.provisioning import RowState

_AGAIN = "Run the same command again: it looks first, and creates nothing twice."
_GO_ON = "Run the same command again: it goes on where this ended, and creates nothing twice."
_LATE = "Wait some minutes: what was sent can show late. "


@attrs.frozen(kw_only=True)
class RunEnd:
    """How a run ended.

    Attributes:
        tally: What became of its rows.
        as_json: Whether errors are told as JSON.
        has_journal: Whether the next run knows what this one did.
        was_interrupted: Whether a signal ended it.
        problem: What else ended it early, of the run's own.
        report_problem: Why its report could not be written.
        stdout_problem: Why stdout could not.
        default_not_before: The day from which rows become the default.
    """

    tally: Tally
    as_json: bool
    has_journal: bool
    was_interrupted: bool
    problem: InvoiceXpressError | None
    report_problem: OSError | None
    stdout_problem: OSError | None
    default_not_before: dt.date | None

    def tell(self) -> int:
        """Write what is to be said of it on stderr, and return the exit code."""
        code, outlet = self.tally.exit_code, self.report_problem or self.stdout_problem
        if self.problem is not None:
            show_error(self.problem, as_json=self.as_json)
            self._tell("Ended early")
            return max(code, FAILED)
        if self.was_interrupted:
            self._tell("Interrupted")
            return INTERRUPTED
        if isinstance(outlet, BrokenPipeError):
            # As `head` does: it has what it wanted, so this alone is no failure.
            self._tell("The reader of the output went away")
        elif outlet is not None:
            what = "The report" if self.report_problem else "stdout"
            self._tell(f"{what} cannot be written, {outlet.strerror}")
            return max(code, FAILED)
        else:
            self._tell_prepared()
        return code

    def _tell(self, why: str) -> None:
        tally = self.tally
        counts = count_text(tally.counts) or "none done"
        told = f"{why}: {counts}, {tally.not_started} not started, of {tally.total} rows."
        late = _LATE if tally.in_doubt else ""
        again = _GO_ON if self.has_journal else _AGAIN
        print_failure(f"{told} {late}{again}", as_json=self.as_json)

    def _tell_prepared(self) -> None:
        if prepared := self.tally.counts[RowState.PREPARED]:
            day = self.default_not_before
            say(
                f"{prepared} prepared: created and registered, and not the default yet. Run the "
                f"same command again on {day} in Lisbon, or later, to make them the default."
            )
