"""A run of a plan with all that is shown of it. Shared by `provision` and `demo`."""

import asyncio
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.cli._exit_codes import DONE, FAILED, INTERRUPTED, UNKNOWN
from invoicexpress_async.cli._failures import print_failure
from invoicexpress_async.cli._outcome_objects import outcome_object, summary_object
from invoicexpress_async.cli._outcomes import show_outcomes
from invoicexpress_async.cli._output import write_json
from invoicexpress_async.cli._progress import count_text, open_progress
from invoicexpress_async.cli._report_file import ReportFile
from invoicexpress_async.cli._signals import Interruption
from invoicexpress_async.cli._stdout import silence_broken
from invoicexpress_async.cli._unknown import show_left_over, show_unknown
from invoicexpress_async.provisioning import Plan, RowOutcome, RowState, provision

_AGAIN = "Run the same command again: it looks first, and creates nothing twice."
_LATE = "Wait some minutes: what was sent can show late. "


@attrs.frozen(kw_only=True)
class Views:
    """How a run is shown.

    Attributes:
        as_json: A line of JSON for each outcome and the summary, instead of tables.
        report: A CSV for all of it.
        accounts: The file that the plan was read from; no report is written over it.
    """

    as_json: bool = False
    report: Path | None = None
    accounts: Path | None = None


async def run_plan(
    manager: SessionManager, plan: Plan, *, concurrency: int, views: Views | None = None
) -> int:
    """Run it, show it, and return the exit code. An interruption leaves no row unmentioned."""
    return await _Run(manager, plan, views or Views()).carry_out(concurrency)


@attrs.define(eq=False)
class _Run:
    manager: SessionManager
    plan: Plan
    views: Views
    outcomes: list[RowOutcome] = attrs.field(factory=list[RowOutcome])
    interruption: Interruption = attrs.field(factory=Interruption)
    report_problem: OSError | None = None
    stdout_problem: OSError | None = None
    started: float = attrs.field(factory=time.monotonic)

    async def carry_out(self, concurrency: int) -> int:
        try:
            with self.interruption.catching():
                await self._provision(concurrency)
        except asyncio.CancelledError:
            self._show()
            raise
        self._show()
        code = self._end()
        silence_broken(self.stdout_problem)
        return code

    async def _provision(self, concurrency: int) -> None:
        views, stop = self.views, self.interruption.stop
        # A bar and JSON lines on one screen would overwrite each other.
        is_bar = sys.stderr.isatty() and not (views.as_json and sys.stdout.isatty())
        with ExitStack() as stack:
            file = ReportFile(views.report, accounts=views.accounts) if views.report else None
            stack.callback(self._close, file)
            progress = stack.enter_context(open_progress(len(self.plan.rows), is_bar=is_bar))
            self.interruption.tell = lambda: progress.say(
                f"Stopping: {stop.in_flight} rows in flight have up to 8 s to end, and no other "
                "begins. Ctrl-C again cuts them off."
            )

            def note(outcome: RowOutcome) -> None:
                self.outcomes.append(outcome)
                progress.note(outcome)
                self._write(outcome, file)

            await provision(
                self.manager, self.plan, concurrency=concurrency, on_outcome=note, stop=stop
            )

    def _write(self, outcome: RowOutcome, file: ReportFile | None) -> None:
        # Raised here it would end the run, and with it what is told of the rows in flight.
        try:
            if file is not None and self.report_problem is None:
                file.note(outcome)
        except OSError as error:
            self.report_problem = error
        try:
            if self.views.as_json and self.stdout_problem is None:
                write_json(outcome_object(outcome))
        except OSError as error:
            self.stdout_problem = error
        if self.report_problem or self.stdout_problem:
            self.interruption.stop.request()

    def _close(self, file: ReportFile | None) -> None:
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self.report_problem = error

    def _show(self) -> None:
        total, seconds = len(self.plan.rows), time.monotonic() - self.started
        try:
            if self.stdout_problem is not None:
                pass  # what could not be written then is not written now
            elif self.views.as_json:
                write_json(summary_object(self.outcomes, total=total, seconds=seconds))
            else:
                show_outcomes(self.outcomes, total=total, seconds=seconds)
                sys.stdout.flush()
        except OSError as error:
            self.stdout_problem = error
        show_unknown(
            self.outcomes,
            report=None if self.report_problem else self.views.report,
            is_on_stdout=self.views.as_json and self.stdout_problem is None,
        )
        show_left_over(self.manager.unresolved(), self.outcomes)

    def _end(self) -> int:
        counts = Counter(outcome.state for outcome in self.outcomes)
        code = UNKNOWN if counts[RowState.UNKNOWN] else FAILED
        if set(counts) <= {RowState.DONE}:
            code = DONE
        problem = self.report_problem or self.stdout_problem
        if self.interruption.has_come:
            self._tell_end("Interrupted", counts)
            return INTERRUPTED
        if isinstance(problem, BrokenPipeError):
            # As `head` does: it has what it wanted, so this alone is no failure.
            self._tell_end("The reader of the output went away", counts)
        elif problem is not None:
            what = "The report" if self.report_problem else "stdout"
            self._tell_end(f"{what} cannot be written, {problem.strerror}", counts)
            return max(code, FAILED)
        return code

    def _tell_end(self, why: str, counts: Counter[RowState]) -> None:
        total = len(self.plan.rows)
        left = total - counts.total()
        told = f"{why}: {count_text(counts) or 'none done'}, {left} not started, of {total} rows."
        late = _LATE if counts[RowState.UNKNOWN] else ""
        print_failure(f"{told} {late}{_AGAIN}", as_json=self.views.as_json)
