"""A run of a plan or of an onboarding, with its progress, its summary and its exit code."""

import abc
import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final, Generic

import attrs

from invoicexpress_async.cli.failures import print_failure, show_error
from invoicexpress_async.cli.options import RunOptions
from invoicexpress_async.cli.progress import ProgressView, open_progress
from invoicexpress_async.cli.report_file import OutputSinks, open_report
from invoicexpress_async.cli.shell import FAILED, INTERRUPTED, silence_broken, typed_command
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.summary import E, RunSummary
from invoicexpress_async.cli.views.run_view import RecordKind
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.journal import Commit, Journal
from invoicexpress_async.jobs.last_command import LastCommand
from invoicexpress_async.provisioning import RunSettings

_STOPPING: Final = (
    "Stopping: {count} {noun} in flight have up to 8 s to end, and no other begins. Ctrl-C again "
    "cuts them off."
)


@attrs.define(eq=False, kw_only=True)
class JobRun(abc.ABC, Generic[E]):
    """A run of any kind: shows its progress, its outcomes, how it ended and how to continue."""

    kind: RecordKind[E]
    options: RunOptions
    as_json: bool = False
    accounts: Path | None = None
    journal: Journal | None = None
    settings: RunSettings = attrs.field(factory=RunSettings)
    problem: InvoiceXpressError | None = None
    summary: RunSummary[E] = attrs.field(init=False)
    interruption: Interruption = attrs.field(factory=Interruption, init=False)
    sinks: OutputSinks[E] = attrs.field(init=False)
    _command: LastCommand | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.summary = RunSummary(total=self.total)
        self.sinks = OutputSinks(
            as_json=self.as_json,
            report=open_report(self.options, self.kind.layout, accounts=self.accounts),
            as_object=self.kind.data,
            on_problem=self.interruption.stop.request,
        )

    async def run(self) -> int:
        """Run the job, show it, and return the exit code. An interrupted run is shown too."""
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
        self.summary.add(one)
        self.sinks.add(one)

    def end(self, one: E) -> None:
        """Add a record that ended in this run."""
        if self._command is not None and self.journal is not None:
            # The journal has accepted the plan, so this is the command to repeat from now on.
            self._command.keep(self.journal).add_done_callback(_forget_failure)
            self._command = None
        self.add(one)

    @property
    @abc.abstractmethod
    def total(self) -> int:
        """How many rows or companies the job has."""

    @abc.abstractmethod
    async def execute(self, view: ProgressView) -> None:
        """Run the job itself."""

    @abc.abstractmethod
    def extra(self) -> dict[str, object]:
        """Return the fields that the JSON summary has besides the counts."""

    @abc.abstractmethod
    def end_text(self) -> str:
        """Return the counts in words, and how to continue."""

    def show_rest(self) -> None:
        """Show what is not in the summary."""

    def end_by_itself(self) -> None:
        """Print how to continue after a run that nothing cut short."""

    def exit_code(self) -> int:
        """Return the exit code of a run that nothing cut short."""
        return self.summary.exit_code

    async def _run(self) -> None:
        if self.journal is not None:
            self._command = await keep_if_first(self.journal, self.settings)
        stop = self.interruption.stop
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.interruption.catching())
            stack.callback(self.sinks.close)
            view = stack.enter_context(
                open_progress(self.total, self.options.language, as_json=self.as_json)
            )
            noun = self.options.said(self.kind.noun)
            self.interruption.on_request = lambda: view.print(
                self.options.said(_STOPPING, count=stop.in_flight, noun=noun)
            )
            await self.execute(view)

    def _show(self, seconds: float) -> None:
        if self.as_json:
            counts = self.kind.summary_object(self.summary, self.problem, seconds=seconds)
            self.sinks.write(counts | self.extra())
        else:
            show, language = self.kind.show, self.options.language
            self.sinks.render(lambda: show(self.summary, language, seconds=seconds))
        self.show_rest()

    def _end(self) -> int:
        code, failed = self.exit_code(), self.sinks.problem
        if self.problem is not None:
            show_error(self.problem, as_json=self.as_json)
            self.print_end(self.options.said("Ended early"))
            return max(code, FAILED)
        if self.interruption.has_come:
            self.print_end(self.options.said("Interrupted"))
            return INTERRUPTED
        if isinstance(failed, BrokenPipeError):
            # A reader such as `head` has read enough: this alone is not a failure.
            self.print_end(self.options.said("The reader of the output went away"))
        elif failed is not None:
            said, why = self.options.said, failed.strerror
            name = said(self.sinks.problem_name)
            self.print_end(said("{name} cannot be written, {why}", name=name, why=why))
            return max(code, FAILED)
        else:
            self.end_by_itself()
        return code

    def print_end(self, why: str) -> None:
        print_failure(f"{why}: {self.end_text()}", as_json=self.as_json)


async def keep_if_first(journal: Journal, settings: RunSettings) -> LastCommand:
    """Write the typed command into a journal that has none yet. Return it."""
    line, after = typed_command(), settings.resend_absent_after
    command = LastCommand(line=line, folder=str(Path.cwd()), resend_absent_after=after)
    await command.keep_if_first(journal)
    return command


def _forget_failure(commit: Commit) -> None:
    """Retrieve the exception of a commit: the run itself reports that its journal fails."""
    if not commit.cancelled():
        commit.exception()
