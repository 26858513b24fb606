"""A run of a plan with all that is shown of it. Shared by `provision`, `rollover` and `demo`."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.progress import ProgressView, Step, open_progress
from invoicexpress_async.cli.report_file import Outlets, ReportFile
from invoicexpress_async.cli.run_end import RunEnd
from invoicexpress_async.cli.shell import silence_broken
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.summary import Tally, count_text
from invoicexpress_async.cli.unknown import show_in_journal, show_left_over, show_unknown
from invoicexpress_async.cli.views.row_objects import outcome_object, pause_object, summary_object
from invoicexpress_async.cli.views.row_report import outcome_layout
from invoicexpress_async.cli.views.row_view import (
    GOOD,
    IN_DOUBT,
    UNPLANNED,
    ShownRow,
    shown_outcome,
)
from invoicexpress_async.cli.views.rows import show_outcomes
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.provisioning import (
    Plan,
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    RunSettings,
    SqliteJournal,
    provision,
)


@attrs.frozen(kw_only=True)
class Job:
    """What is to be run.

    Attributes:
        plan: The rows.
        concurrency: How many rows are in flight at a time.
        journal: Open; None for a run that nobody can go on with.
        settings: What the run may do.
        unplanned: Accounts that got no row, told of with the others.
    """

    plan: Plan
    concurrency: int
    journal: SqliteJournal | None = None
    settings: RunSettings = attrs.field(factory=RunSettings)
    unplanned: tuple[ShownRow, ...] = ()


@attrs.frozen(kw_only=True)
class Views:
    """How a run is shown.

    Attributes:
        as_json: A line of JSON for each outcome and the summary, instead of tables.
        report: A file for all of it, CSV or Markdown.
        accounts: The file that the plan was read from; no report is written over it.
    """

    as_json: bool = False
    report: Path | None = None
    accounts: Path | None = None


async def run_plan(
    manager: SessionManager,
    job: Job,
    views: Views | None = None,
    *,
    interruption: Interruption | None = None,
) -> int:
    """Run it, show it, and return the exit code. An interruption leaves no row unmentioned."""
    wishes = views or Views()
    run = _Run(manager=manager, job=job, views=wishes, interruption=interruption or Interruption())
    return await run.carry_out()


def _tally(run: "_Run") -> Tally:
    return Tally(total=len(run.job.plan.rows) + len(run.job.unplanned))


def _outlets(run: "_Run") -> Outlets[ShownRow]:
    path = run.views.report
    report = ReportFile(path, outcome_layout(path), accounts=run.views.accounts) if path else None
    return Outlets(
        as_json=run.views.as_json,
        report=report,
        as_object=outcome_object,
        on_problem=run.interruption.stop.request,
    )


@attrs.define(eq=False, kw_only=True)
class _Run:
    manager: SessionManager
    job: Job
    views: Views
    interruption: Interruption
    tally: Tally = attrs.field(default=attrs.Factory(_tally, takes_self=True), init=False)
    outlets: Outlets[ShownRow] = attrs.field(
        default=attrs.Factory(_outlets, takes_self=True), init=False
    )
    report: ProvisioningReport | None = None
    waiting: int = 0
    was_paused: bool = False
    started: float = attrs.field(factory=time.monotonic)

    @property
    def problem(self) -> InvoiceXpressError | None:
        return None if self.report is None else self.report.problem

    async def carry_out(self) -> int:
        try:
            with self.interruption.catching():
                await self._provision()
        except asyncio.CancelledError:
            self._show()
            raise
        self._show()
        code = self._end()
        silence_broken(self.outlets.stdout_problem)
        return code

    async def _provision(self) -> None:
        job, stop = self.job, self.interruption.stop
        with ExitStack() as stack:
            stack.callback(self.outlets.close)
            progress = stack.enter_context(
                open_progress(self.tally.total, as_json=self.views.as_json)
            )
            self.interruption.tell = lambda: progress.say(
                f"Stopping: {stop.in_flight} rows in flight have up to 8 s to end, and no other "
                "begins. Ctrl-C again cuts them off."
            )
            for row in job.unplanned:
                self._note(row)
            if not job.plan.rows:
                return  # a journal would take it for the end of all its rows
            self.report = await provision(
                self.manager,
                job.plan,
                journal=job.journal,
                concurrency=job.concurrency,
                settings=job.settings,
                on_progress=lambda one: self._follow(one, progress),
                on_outcome=self._note_outcome,
                keep_done=False,
                stop=stop,
            )

    def _note_outcome(self, outcome: RowOutcome) -> None:
        self._note(shown_outcome(outcome, has_journal=self.job.journal is not None))

    def _note(self, row: ShownRow) -> None:
        self.tally.note(row)
        self.outlets.note(row)

    def _follow(self, one: Progress, view: ProgressView) -> None:
        self.waiting = one.waiting
        # Rows that a stop cuts off look like a server that fails.
        is_stopping = self.interruption.stop.is_requested
        if one.is_paused is not self.was_paused and not is_stopping:
            self.was_paused = one.is_paused
            self.outlets.say(pause_object(one))
        # Its own counts: the outcome that is told of comes a moment after this.
        counts = Counter[str](one.counts) + Counter({UNPLANNED: len(self.job.unplanned)})
        view.note(
            Step(
                ended=one.ended + len(self.job.unplanned),
                text=_with_waiting(count_text(counts), one.waiting),
                brief=_with_waiting(_brief(one.counts), one.waiting),
                skipped=self.tally.recorded + len(self.job.unplanned),
                is_paused=self.was_paused,
            )
        )

    def _show(self) -> None:
        seconds = time.monotonic() - self.started
        if self.views.as_json:
            summary = summary_object(
                self.tally,
                seconds=seconds,
                waiting=self.waiting,
                problem=self.problem,
                differences=self.report.differences if self.report else (),
            )
            self.outlets.say(summary)
        else:
            self.outlets.show(lambda: self._show_tables(seconds))
        self._show_doubt()

    def _show_tables(self, seconds: float) -> None:
        show_outcomes(self.tally, seconds=seconds)
        sys.stdout.flush()

    def _show_doubt(self) -> None:
        if self.job.journal is not None:
            show_in_journal(self.tally.in_doubt, self.job.journal.path)
            return
        kept = "on stdout" if self.outlets.is_stdout_whole else None
        if self.outlets.is_report_whole:
            kept = f"in {self.views.report}"
        show_unknown(self.tally.in_doubt, self.tally.intents, kept=kept)
        show_left_over(self.manager.unresolved(), self.tally.intents)

    def _end(self) -> int:
        end = RunEnd(
            tally=self.tally,
            as_json=self.views.as_json,
            has_journal=self.job.journal is not None,
            was_interrupted=self.interruption.has_come,
            problem=self.problem,
            report_problem=self.outlets.report_problem,
            stdout_problem=self.outlets.stdout_problem,
            default_not_before=self.job.settings.default_not_before,
        )
        return end.tell()


def _brief(counts: Mapping[RowState, int]) -> str:
    good = sum(counts[state] for state in GOOD)
    unknown = sum(counts[state] for state in IN_DOUBT)
    failed = sum(counts.values()) - good - unknown
    told = ((good, "done"), (failed, "failed"), (unknown, "unknown"))
    return ", ".join(f"{count} {name}" for count, name in told if count)


def _with_waiting(text: str, waiting: int) -> str:
    if not waiting:
        return text
    return f"{text}, {waiting} waiting" if text else f"{waiting} waiting"
