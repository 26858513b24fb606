"""A run of an onboarding on the command line."""

from collections import Counter
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.connection import open_manager
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.job_run import JobRun
from invoicexpress_async.cli.options import JournalPlace, OnboardOptions, PartnerOptions, journal_at
from invoicexpress_async.cli.progress import ProgressView, Step
from invoicexpress_async.cli.report_file import OutputOptions, open_sinks
from invoicexpress_async.cli.shell import DONE, FAILED
from invoicexpress_async.cli.signals import Interruption
from invoicexpress_async.cli.summary import RunSummary
from invoicexpress_async.cli.views.companies import (
    COMPANIES,
    DONE_AT,
    CompanyView,
    brief_text,
    company_view,
    progress_text,
    steps_object,
)
from invoicexpress_async.cli.words import counted
from invoicexpress_async.config import Secret
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    KeySpool,
    onboard,
)
from invoicexpress_async.onboarding.sinks import file_sink
from invoicexpress_async.provisioning import RunSettings

_UNDELIVERED: Final = (
    "{count} new keys are not delivered, and are in {spool} only. Keep that file, and let no one "
    "else read it."
)
_GO_ON: Final = (
    "Run the same command again: each company goes on where it is, and no account is created twice."
)


@attrs.frozen(kw_only=True)
class Onboarding:
    """The input of an onboarding."""

    companies: CompanyList
    partner: str
    partner_key: Secret
    journal: JournalPlace
    keys_out: Path
    spool: Path
    job: OnboardOptions
    settings: RunSettings
    options: PartnerOptions


async def run_onboarding(onboarding: Onboarding) -> int:
    given, interruption = onboarding, Interruption()
    output = OutputOptions(
        as_json=given.options.as_json, report=given.job.report, style=given.job.style
    )
    async with open_manager(given.options) as manager, journal_at(given.journal) as journal:
        run = _OnboardingRun(
            kind=COMPANIES,
            opened=journal,
            manager=manager,
            journal=journal,
            settings=given.settings,
            onboarding=given,
            summary=RunSummary(total=len(given.companies.companies)),
            sinks=open_sinks(output, COMPANIES.layout, COMPANIES.data, interruption.stop.request),
            interruption=interruption,
            language=output.style.language,
        )
        return await run.run()


@attrs.define(eq=False, kw_only=True)
class _OnboardingRun(JobRun[CompanyView]):
    manager: SessionManager
    opened: Journal
    onboarding: Onboarding
    steps: Counter[CompanyStep] = attrs.field(factory=Counter[CompanyStep])
    undelivered: int = 0

    async def execute(self, view: ProgressView) -> None:
        given = self.onboarding
        report = await onboard(
            self.manager,
            self.manager.account(given.partner, given.partner_key.reveal()),
            given.companies,
            journal=self.opened,
            key_spool=KeySpool(given.spool),
            secret_sink=file_sink(given.keys_out),
            forget=given.job.forget,
            concurrency=given.job.concurrency,
            settings=self.settings,
            on_step=lambda company, step: self._on_step(company, step, view),
            on_outcome=lambda outcome: self._on_outcome(outcome, view),
            stop=self.interruption.stop,
            series_by_workers=given.job.series_by_workers,
        )
        self.undelivered, self.problem = report.undelivered, report.problem

    def _on_step(self, _company: Company, step: CompanyStep, view: ProgressView) -> None:
        self.steps[DONE_AT[step]] += 1
        self._show_progress(view)

    def _on_outcome(self, outcome: CompanyOutcome, view: ProgressView) -> None:
        self.end(company_view(outcome))
        self._show_progress(view)

    def _show_progress(self, view: ProgressView) -> None:
        summary = self.summary
        view.update(
            Step(
                ended=summary.ended,
                text=progress_text(summary, self.steps, self.language),
                brief=brief_text(summary, self.steps, self.language),
                skipped=summary.recorded,
            )
        )

    def extra(self) -> dict[str, object]:
        return {"steps": steps_object(self.steps), "undelivered": self.undelivered}

    def show_rest(self) -> None:
        if count := self.undelivered:
            text = self.said(_UNDELIVERED, count=count, spool=self.onboarding.spool)
            print_failure(text, as_json=self.sinks.as_json)

    def end_text(self) -> str:
        summary, language = self.summary, self.language
        counts = [counted(summary.counts[CompanyState.DONE], "done", language)]
        if summary.failed:
            counts.append(counted(summary.failed, "parked", language))
        if summary.not_started:
            counts.append(counted(summary.not_started, "not started", language))
        total = self.said("of {total} companies", total=summary.total)
        return f"{', '.join(counts)}, {total}. {self.said(_GO_ON)}"

    def end_by_itself(self) -> None:
        if self.summary.failed:
            self.print_end(self.said("Not all is done"))

    def exit_code(self) -> int:
        # If the reader of stdout goes away, the run stops with companies left: a failure.
        return max(self.summary.exit_code, FAILED if self.summary.not_started else DONE)
