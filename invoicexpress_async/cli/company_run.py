"""An onboarding that runs, with all that is shown of it."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from invoicexpress_async.cli.company_summary import CompanyTally
from invoicexpress_async.cli.connection import open_manager
from invoicexpress_async.cli.failures import print_failure, show_error
from invoicexpress_async.cli.options import OnboardOptions, PartnerOptions
from invoicexpress_async.cli.progress import ProgressView, Step, open_progress
from invoicexpress_async.cli.report_file import Outlets, ReportFile
from invoicexpress_async.cli.shell import FAILED, INTERRUPTED, silence_broken
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.views.companies import company_object, show_companies, summary_object
from invoicexpress_async.cli.views.company_report import company_layout
from invoicexpress_async.config import Secret
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CompanyStep,
    CsvSink,
    EnvFileSink,
    KeySpool,
    OnboardingReport,
    onboard,
)
from invoicexpress_async.provisioning import RunSettings, SqliteJournal

_ENV_NAMES = frozenset({".env"})
_GO_ON = (
    "Run the same command again: each company goes on where it is, and no account is created twice."
)


def _tally(job: "Onboarding") -> CompanyTally:
    return CompanyTally(total=len(job.companies.companies))


def _outlets(job: "Onboarding") -> Outlets[CompanyOutcome]:
    path = job.job.report
    return Outlets(
        as_json=job.options.as_json,
        report=ReportFile(path, company_layout(path)) if path else None,
        as_object=company_object,
        on_problem=job.interruption.stop.request,
    )


@attrs.define(eq=False, kw_only=True)
class Onboarding:
    """One run."""

    companies: CompanyList
    partner: str
    partner_key: Secret
    journal: Path
    keys_out: Path
    spool: Path
    job: OnboardOptions
    settings: RunSettings
    options: PartnerOptions
    interruption: Interruption = attrs.field(factory=Interruption)
    tally: CompanyTally = attrs.field(default=attrs.Factory(_tally, takes_self=True), init=False)
    outlets: Outlets[CompanyOutcome] = attrs.field(
        default=attrs.Factory(_outlets, takes_self=True), init=False
    )
    report: OnboardingReport | None = attrs.field(default=None, init=False)

    async def run(self) -> int:
        """Run it, show it, and return the exit code. No company goes unmentioned."""
        started = time.monotonic()
        try:
            with self.interruption.catching():
                await self._onboard()
        except asyncio.CancelledError:
            self._show(time.monotonic() - started)
            raise
        self._show(time.monotonic() - started)
        code = self._end()
        silence_broken(self.outlets.stdout_problem)
        return code

    async def _onboard(self) -> None:
        stop, job = self.interruption.stop, self.job
        async with AsyncExitStack() as stack:
            stack.callback(self.outlets.close)
            manager = await stack.enter_async_context(open_manager(self.options))
            journal = await stack.enter_async_context(SqliteJournal(self.journal))
            view = stack.enter_context(
                open_progress(self.tally.total, as_json=self.options.as_json)
            )
            self.interruption.tell = lambda: view.say(
                f"Stopping: {stop.in_flight} companies in flight have up to 8 s to end, and no "
                "other begins. Ctrl-C again cuts them off."
            )
            self.report = await onboard(
                manager,
                manager.account(self.partner, self.partner_key.reveal()),
                self.companies,
                journal=journal,
                key_spool=KeySpool(self.spool),
                secret_sink=_sink(self.keys_out),
                forget=job.forget,
                concurrency=job.concurrency,
                settings=self.settings,
                on_step=lambda company, step: self._reach(company, step, view),
                on_outcome=lambda outcome: self._note(outcome, view),
                stop=stop,
            )

    def _reach(self, company: Company, step: CompanyStep, view: ProgressView) -> None:
        self.tally.reach(company, step)
        self._tell(view)

    def _note(self, outcome: CompanyOutcome, view: ProgressView) -> None:
        self.tally.note(outcome)
        self.outlets.note(outcome)
        self._tell(view)

    def _tell(self, view: ProgressView) -> None:
        tally = self.tally
        view.note(
            Step(
                ended=tally.ended,
                text=tally.text(),
                brief=tally.brief(),
                skipped=tally.recorded,
            )
        )

    def _show(self, seconds: float) -> None:
        report = self.report
        if self.options.as_json:
            summary = summary_object(
                self.tally,
                seconds=seconds,
                undelivered=report.undelivered if report else 0,
                problem=report.problem if report else None,
            )
            self.outlets.say(summary)
        else:
            self.outlets.show(lambda: self._show_tables(seconds))

    def _show_tables(self, seconds: float) -> None:
        show_companies(self.tally, seconds=seconds)
        sys.stdout.flush()

    def _end(self) -> int:
        """Say how to go on, and return the exit code."""
        tally, report, as_json = self.tally, self.report, self.options.as_json
        if report is not None and report.undelivered:
            text = f"{report.undelivered} new keys are not delivered, and are in {self.spool} only."
            print_failure(f"{text} Keep that file, and let nobody read it.", as_json=as_json)
        code, outlet = tally.exit_code, self.outlets.report_problem or self.outlets.stdout_problem
        if report is not None and report.problem is not None:
            show_error(report.problem, as_json=as_json)
            self._say("Ended early")
            return max(code, FAILED)
        if self.interruption.has_come:
            self._say("Interrupted")
            return INTERRUPTED
        if isinstance(outlet, BrokenPipeError):
            self._say("The reader of the output went away")
        elif outlet is not None:
            what = "The report" if self.outlets.report_problem else "stdout"
            self._say(f"{what} cannot be written, {outlet.strerror}")
            return max(code, FAILED)
        elif tally.parked:
            self._say("Not all is done")
        return code

    def _say(self, why: str) -> None:
        tally = self.tally
        left = f", {tally.not_started} not started" if tally.not_started else ""
        text = f"{why}: {tally.ends()}{left}, of {tally.total} companies. {_GO_ON}"
        print_failure(text, as_json=self.options.as_json)


def _sink(path: Path) -> CsvSink | EnvFileSink:
    is_env = path.suffix.lower() in _ENV_NAMES or path.name in _ENV_NAMES
    return EnvFileSink(path) if is_env else CsvSink(path)
