"""A run of an onboarding on the command line."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from invoicexpress_async import AccountSession, SessionManager
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.job_run import JobRun
from invoicexpress_async.cli.options import OnboardOptions
from invoicexpress_async.cli.progress import ProgressView, Step
from invoicexpress_async.cli.shell import DONE, FAILED
from invoicexpress_async.cli.views.companies import (
    COMPANIES,
    DONE_AT,
    CompanyView,
    brief_text,
    company_view,
    progress_text,
)
from invoicexpress_async.cli.views.run_view import RecordKind
from invoicexpress_async.cli.words import counted
from invoicexpress_async.jobs.journal import check_journal
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

if TYPE_CHECKING:
    from invoicexpress_async.errors import InvoiceXpressError

_UNDELIVERED: Final = (
    "{count} new keys are not delivered, and are in {spool} only. Keep that file, and let no one "
    "else read it."
)
_GO_ON: Final = (
    "Run the same command again: each company goes on where it is, and no account is created twice."
)


@attrs.define(eq=False, kw_only=True)
class OnboardingRun(JobRun[CompanyView]):
    """A run of the companies of a file."""

    kind: RecordKind[CompanyView] = COMPANIES
    manager: SessionManager
    partner: AccountSession
    companies: CompanyList
    spool: Path
    keys_out: Path
    job: OnboardOptions
    steps: Counter[CompanyStep] = attrs.field(factory=Counter[CompanyStep])
    undelivered: int = 0

    @property
    def total(self) -> int:
        return len(self.companies.companies)

    async def execute(self, view: ProgressView) -> None:
        report = await onboard(
            self.manager,
            self.partner,
            self.companies,
            journal=check_journal(self.journal),
            key_spool=KeySpool(self.spool),
            secret_sink=file_sink(self.keys_out),
            forget=self.job.forget,
            concurrency=self.options.concurrency,
            settings=self.settings,
            on_step=lambda company, step: self._on_step(company, step, view),
            on_outcome=lambda outcome: self._on_outcome(outcome, view),
            stop=self.interruption.stop,
            series_by_workers=self.job.series_by_workers,
        )
        self.undelivered = report.undelivered
        self.problem: InvoiceXpressError | None = report.problem

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
                text=progress_text(summary, self.steps, self.options.language),
                brief=brief_text(summary, self.steps, self.options.language),
                skipped=summary.recorded,
            )
        )

    def extra(self) -> dict[str, object]:
        steps = {str(step): self.steps[step] for step in DONE_AT.values()}
        return {"steps": steps, "undelivered": self.undelivered}

    def show_rest(self) -> None:
        if count := self.undelivered:
            text = self.options.said(_UNDELIVERED, count=count, spool=self.spool)
            print_failure(text, as_json=self.as_json)

    def end_text(self) -> str:
        summary, language = self.summary, self.options.language
        counts = [counted(summary.counts[CompanyState.DONE], "done", language)]
        if summary.failed:
            counts.append(counted(summary.failed, "parked", language))
        if summary.not_started:
            counts.append(counted(summary.not_started, "not started", language))
        total = self.options.said("of {total} companies", total=summary.total)
        return f"{', '.join(counts)}, {total}. {self.options.said(_GO_ON)}"

    def end_by_itself(self) -> None:
        if self.summary.failed:
            self.print_end(self.options.said("Not all is done"))

    def exit_code(self) -> int:
        # If the reader of stdout goes away, the run stops with companies left: a failure.
        return max(self.summary.exit_code, FAILED if self.summary.not_started else DONE)
