"""A run with all that is shown of it: of the rows of a plan, or of companies."""

import abc
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar, Final, Generic

import attrs

from invoicexpress_async import Intent, SessionManager
from invoicexpress_async.cli.cures import cure_of_unknown
from invoicexpress_async.cli.failures import print_failure, show_error, show_intent
from invoicexpress_async.cli.progress import ProgressView, Step, open_progress
from invoicexpress_async.cli.report_file import OutputOptions, OutputSinks, open_sinks
from invoicexpress_async.cli.shell import FAILED, INTERRUPTED, echo, silence_broken
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.summary import E, RunSummary
from invoicexpress_async.cli.views.row_view import (
    GOOD,
    UNKNOWN_STATES,
    UNPLANNED,
    RowView,
    row_view,
)
from invoicexpress_async.cli.views.rows import (
    count_text,
    row_layout,
    row_object,
    rows_object,
    show_rows,
)
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.provisioning import (
    Plan,
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    RunSettings,
    provision,
)

_AGAIN: Final = "Run the same command again: it looks first, and creates nothing twice."
_GO_ON: Final = (
    "Run the same command again: it goes on where this ended, and creates nothing twice."
)
_LATE: Final = "Wait some minutes: what was sent can show late. "
_MAX_INTENTS_SHOWN: Final = 5


@attrs.define(eq=False, kw_only=True)
class JobRun(abc.ABC, Generic[E]):
    """A run of any kind: its progress, its outcomes, how it ended and how to go on.

    Attributes:
        records: What it is a run of, in a word.
        summary: What has ended.
        sinks: Where outcomes are written to.
        interruption: Ends it at a signal.
        problem: What else ended it early.
    """

    records: ClassVar[str]
    summary: RunSummary[E]
    sinks: OutputSinks[E]
    interruption: Interruption
    problem: InvoiceXpressError | None = None

    async def run(self) -> int:
        """Run it, show it, and return the exit code. An interruption hides nothing."""
        started = time.monotonic()
        try:
            await self._run()
        except asyncio.CancelledError:
            self._show(time.monotonic() - started)
            raise
        self._show(time.monotonic() - started)
        code = self._end()
        silence_broken(self.sinks.stdout_problem)
        return code

    def add(self, one: E) -> None:
        """Count and write one that has ended."""
        self.summary.add(one)
        self.sinks.add(one)

    @abc.abstractmethod
    async def execute(self, view: ProgressView) -> None:
        """Do the work."""

    @abc.abstractmethod
    def summary_object(self, seconds: float) -> dict[str, object]:
        """Return the counts as plain data."""

    @abc.abstractmethod
    def show_tables(self, seconds: float) -> None:
        """Show how it ended as tables."""

    @abc.abstractmethod
    def end_text(self) -> str:
        """Return the counts in words, and how to go on."""

    def show_rest(self) -> None:
        """Show what the summary does not say."""

    def end_by_itself(self) -> None:
        """Say how to go on after a run that nothing cut short."""

    def exit_code(self) -> int:
        """Return the exit code of a run that nothing cut short."""
        return self.summary.exit_code

    async def _run(self) -> None:
        stop = self.interruption.stop
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.interruption.catching())
            stack.callback(self.sinks.close)
            view = stack.enter_context(
                open_progress(self.summary.total, as_json=self.sinks.as_json)
            )
            self.interruption.on_request = lambda: view.print(
                f"Stopping: {stop.in_flight} {self.records} in flight have up to 8 s to end, and "
                "no other begins. Ctrl-C again cuts them off."
            )
            await self.execute(view)

    def _show(self, seconds: float) -> None:
        if self.sinks.as_json:
            self.sinks.write(self.summary_object(seconds))
        else:
            self.sinks.render(lambda: self._show_tables(seconds))
        self.show_rest()

    def _show_tables(self, seconds: float) -> None:
        self.show_tables(seconds)
        sys.stdout.flush()

    def _end(self) -> int:
        code, failed = self.exit_code(), self.sinks.problem
        if self.problem is not None:
            show_error(self.problem, as_json=self.sinks.as_json)
            self.print_end("Ended early")
            return max(code, FAILED)
        if self.interruption.has_come:
            self.print_end("Interrupted")
            return INTERRUPTED
        if isinstance(failed, BrokenPipeError):
            # As `head` does when it has read enough: this alone is no failure.
            self.print_end("The reader of the output went away")
        elif failed is not None:
            self.print_end(f"{self.sinks.problem_name} cannot be written, {failed.strerror}")
            return max(code, FAILED)
        else:
            self.end_by_itself()
        return code

    def print_end(self, why: str) -> None:
        """Print why it ended, the counts, and how to go on."""
        print_failure(f"{why}: {self.end_text()}", as_json=self.sinks.as_json)


@attrs.frozen(kw_only=True)
class JobSpec:
    """The rows to run.

    Attributes:
        plan: The rows.
        concurrency: How many rows are in flight at a time.
        journal: Open; None for a run that no later run continues.
        settings: What the run may do.
        unplanned: Accounts that got no row, shown with the others.
    """

    plan: Plan
    concurrency: int
    journal: Journal | None = None
    settings: RunSettings = attrs.field(factory=RunSettings)
    unplanned: tuple[RowView, ...] = ()


async def run_plan(
    manager: SessionManager,
    job: JobSpec,
    output: OutputOptions | None = None,
    *,
    interruption: Interruption | None = None,
) -> int:
    """Run the rows of a plan, show them, and return the exit code."""
    interruption = interruption or Interruption()
    run = _PlanRun(
        manager=manager,
        job=job,
        summary=RunSummary(total=job.plan.summary.rows + len(job.unplanned)),
        sinks=open_sinks(
            output or OutputOptions(), row_layout, row_object, interruption.stop.request
        ),
        interruption=interruption,
    )
    return await run.run()


@attrs.define(eq=False, kw_only=True)
class _PlanRun(JobRun[RowView]):
    records: ClassVar[str] = "rows"
    manager: SessionManager
    job: JobSpec
    report: ProvisioningReport | None = None
    waiting: int = 0
    is_paused: bool = False

    async def execute(self, view: ProgressView) -> None:
        job = self.job
        for row in job.unplanned:
            self.add(row)
        if not job.plan.rows:
            return  # a journal would take it for the end of all its rows
        self.report = await provision(
            self.manager,
            job.plan,
            journal=job.journal,
            concurrency=job.concurrency,
            settings=job.settings,
            on_progress=lambda one: self._on_progress(one, view),
            on_outcome=self._on_outcome,
            keep_done=False,
            stop=self.interruption.stop,
        )
        self.problem = self.report.problem

    def _on_outcome(self, outcome: RowOutcome) -> None:
        self.add(row_view(outcome, has_journal=self.job.journal is not None))

    def _on_progress(self, one: Progress, view: ProgressView) -> None:
        self.waiting = one.waiting
        # Rows that a stop cuts off look like a server that fails.
        is_stopping = self.interruption.stop.is_requested
        if one.is_paused is not self.is_paused and not is_stopping:
            self.is_paused = one.is_paused
            self.sinks.write(_pause_object(one))
        # The counts of the event: its outcome comes a moment later.
        unplanned = len(self.job.unplanned)
        counts = Counter[str](one.counts) + Counter({UNPLANNED: unplanned})
        view.update(
            Step(
                ended=one.ended + unplanned,
                text=_with_waiting(count_text(counts), one.waiting),
                brief=_with_waiting(_brief(one.counts), one.waiting),
                skipped=self.summary.recorded + unplanned,
                is_paused=self.is_paused,
            )
        )

    def summary_object(self, seconds: float) -> dict[str, object]:
        return rows_object(
            self.summary,
            seconds=seconds,
            waiting=self.waiting,
            problem=self.problem,
            differences=self.report.differences if self.report else (),
        )

    def show_tables(self, seconds: float) -> None:
        show_rows(self.summary, seconds=seconds)

    def show_rest(self) -> None:
        """Show what is unknown, in one line where it is kept elsewhere."""
        summary, journal = self.summary, self.job.journal
        if journal is not None:
            if summary.unknown:
                cure = cure_of_unknown(RowState.UNKNOWN, has_journal=True)
                echo(f"{_unknown(summary.unknown)}, kept in {journal.label}. {cure}")
            return
        _show_unknown(summary.unknown, summary.intents, kept=self.sinks.kept_where)
        for intent in self.manager.unresolved():
            if intent not in summary.intents:
                show_intent(intent)

    def end_text(self) -> str:
        summary = self.summary
        counts = count_text(summary.counts) or "none done"
        left = f"{summary.not_started} not started, of {summary.total} rows."
        late = _LATE if summary.unknown else ""
        return f"{counts}, {left} {late}{_GO_ON if self.job.journal else _AGAIN}"

    def end_by_itself(self) -> None:
        if prepared := self.summary.counts[RowState.PREPARED]:
            day = self.job.settings.default_not_before
            echo(
                f"{prepared} prepared: created and registered, and not the default yet. Run the "
                f"same command again on {day} in Lisbon, or later, to make them the default."
            )


def _show_unknown(count: int, intents: list[Intent], *, kept: str | None) -> None:
    """Say how many outcomes are unknown and where their intents are kept; else show a few."""
    if not count:
        return
    if not intents:
        sys.stderr.write(f"{_unknown(count)}: cut off, and no intent is known to be unresolved.\n")
        return
    if kept is not None:
        which = "" if len(intents) == count else f" of {len(intents)}"
        what = f"the intents{which} are" if count > 1 else "the intent is"
        sys.stderr.write(f"{_unknown(count)}: {what} {kept}.\n")
        return
    sys.stderr.write(f"{_unknown(count)}; --journal, --report or --json keeps all intents:\n")
    for intent in intents[:_MAX_INTENTS_SHOWN]:
        show_intent(intent)
    if len(intents) > _MAX_INTENTS_SHOWN:
        sys.stderr.write(f"  and {len(intents) - _MAX_INTENTS_SHOWN} more\n")


def _unknown(count: int) -> str:
    return f"{count} outcome{'s' if count > 1 else ''} unknown"


def _pause_object(progress: Progress) -> dict[str, object]:
    """Return, as plain data, that a run pauses since the server fails, or that it goes on."""
    return {
        "type": "pause",
        "is_paused": progress.is_paused,
        "waiting": progress.waiting,
        "seconds": round(progress.seconds, 3),
    }


def _brief(counts: Mapping[RowState, int]) -> str:
    good = sum(counts[state] for state in GOOD)
    unknown = sum(counts[state] for state in UNKNOWN_STATES)
    failed = sum(counts.values()) - good - unknown
    named = ((good, "done"), (failed, "failed"), (unknown, "unknown"))
    return ", ".join(f"{count} {name}" for count, name in named if count)


def _with_waiting(text: str, waiting: int) -> str:
    if not waiting:
        return text
    return f"{text}, {waiting} waiting" if text else f"{waiting} waiting"
