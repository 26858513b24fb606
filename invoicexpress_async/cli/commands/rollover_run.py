"""What `invoicexpress rollover` does: look at the accounts, say what is to be done, ask, run."""

import datetime as dt
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.commands.provision_run import describe, settings_of
from invoicexpress_async.cli.confirmation import confirm, warn_of_spaces
from invoicexpress_async.cli.connection import base_url_of, is_this_machine, open_manager
from invoicexpress_async.cli.exit_codes import DONE, FAILED, INTERRUPTED
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.job_options import JobOptions, check_job_options
from invoicexpress_async.cli.job_run import Job, Views, run_plan
from invoicexpress_async.cli.options import ConnectionOptions
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.signals import Interruption, plain_interrupts, run_to_its_end
from invoicexpress_async.cli.text import say
from invoicexpress_async.cli.views.rollover import show_rollover
from invoicexpress_async.cli.views.row_report import outcome_layout
from invoicexpress_async.cli.views.row_view import shown_step
from invoicexpress_async.provisioning import (
    AccountAudit,
    AccountList,
    JournalDifferenceError,
    RolloverPlan,
    RunSettings,
    SqliteJournal,
    plan_rollover,
)
from invoicexpress_async.provisioning.journal_status import JournalReader


@attrs.frozen(kw_only=True)
class Wishes:
    """What is to be rolled over to."""

    year: int
    pattern: str | None
    not_before: dt.date | None


def carry_out(path: Path, wishes: Wishes, job: JobOptions, options: ConnectionOptions) -> int:
    """Read the accounts, then look at them and, unless it is a dry run, go on."""
    check_job_options(job)
    settings = RolloverPlan.settings(settings_of(job), not_before=wishes.not_before)
    if job.report is not None:
        check_report(job.report, outcome_layout(job.report), accounts=path)
    run = _Rollover(
        path=path,
        accounts=AccountList.from_csv(path),
        wishes=wishes,
        job=job,
        settings=settings,
        options=options,
    )
    return run_to_its_end(run.look() if job.dry_run else run.run())


@attrs.frozen(kw_only=True)
class _Rollover:
    path: Path
    accounts: AccountList
    wishes: Wishes
    job: JobOptions
    settings: RunSettings
    options: ConnectionOptions
    interruption: Interruption = attrs.field(factory=Interruption)

    async def look(self) -> int:
        """Show what would be done."""
        known = _known(self.job.journal, self.wishes.year)
        accounts = _with_series(self.accounts, known)
        async with open_manager(self.options) as manager:
            plan = await self._plan(manager, accounts, journal=None)
        if self.interruption.has_come:
            return self._tell_interrupted(plan)
        states = {account: state for account, (_, state) in known.items()}
        show_rollover(plan, states, as_json=self.options.as_json)
        what = f"Would ensure {describe(plan.plan())}" if plan.plan().rows else "Nothing to ensure"
        say(f"{what}{self._when()}{_left_out(plan)}. Nothing was changed.")
        return FAILED if plan.problems else DONE

    async def run(self) -> int:
        """Look, ask, run."""
        async with AsyncExitStack() as stack:
            manager = await stack.enter_async_context(open_manager(self.options))
            journal = None
            if self.job.journal is not None:
                journal = await stack.enter_async_context(SqliteJournal(self.job.journal))
            plan = await self._plan(manager, self.accounts, journal=journal)
            if self.interruption.has_come:
                return self._tell_interrupted(plan)
            if not self._may(plan):
                return FAILED
            work = Job(
                plan=plan.plan(),
                concurrency=self.job.concurrency,
                journal=journal,
                settings=self.settings,
                unplanned=tuple(map(shown_step, plan.problems)),
            )
            views = Views(as_json=self.options.as_json, report=self.job.report, accounts=self.path)
            return await run_plan(manager, work, views)

    async def _plan(
        self, manager: SessionManager, accounts: AccountList, *, journal: SqliteJournal | None
    ) -> RolloverPlan:
        count = len(accounts.rows)
        say(f"Looking at {count} account{'s' if count > 1 else ''}.")
        seen: list[str] = []
        with (
            self.interruption.catching(),
            open_progress(count, as_json=self.options.as_json) as progress,
        ):

            def note(one: AccountAudit) -> None:
                seen.append(one.row.account)
                progress.note(Step(ended=len(seen), text="looked at"))

            plan = await plan_rollover(
                manager,
                accounts,
                year=self.wishes.year,
                pattern=self.wishes.pattern,
                journal=journal,
                concurrency=self.job.concurrency,
                on_account=note,
                stop=self.interruption.stop,
            )
            progress.note(Step(ended=len(plan.steps), text="looked at", skipped=_unasked(plan)))
        return plan

    def _may(self, plan: RolloverPlan) -> bool:
        rows = plan.plan()
        base_url = base_url_of(self.options)
        warn_of_spaces(rows.summary.series)
        what = f"{describe(rows)} at {base_url.template}{self._when()}{_left_out(plan)}"
        if rows.rows and not (self.job.yes or is_this_machine(base_url)):
            with plain_interrupts():
                return confirm(f"About to ensure {what}.")
        say(f"Ensuring {what}." if rows.rows else f"Nothing to ensure{_left_out(plan)}.")
        return True

    def _when(self) -> str:
        day = self.wishes.not_before
        return "" if day is None else f", not before {day} in Lisbon"

    def _tell_interrupted(self, plan: RolloverPlan) -> int:
        told = f"Interrupted: {len(plan.steps)} of {len(self.accounts.rows)} accounts looked at."
        text = f"{told} Nothing was changed: run the same command again."
        print_failure(text, as_json=self.options.as_json)
        return INTERRUPTED


def _known(path: Path | None, year: int) -> dict[str, tuple[str, str]]:
    if path is None or not path.exists():
        return {}
    with JournalReader(path) as reader:
        claimed = reader.rollover_year()
        if claimed not in {None, year}:
            raise JournalDifferenceError(
                f"The journal {path} is of the roll-over to {claimed}, not {year}."
            )
        return reader.series()


def _with_series(accounts: AccountList, known: dict[str, tuple[str, str]]) -> AccountList:
    return AccountList(
        rows=[
            attrs.evolve(row, serie=known[row.account][0]) if row.account in known else row
            for row in accounts.rows
        ]
    )


def _unasked(plan: RolloverPlan) -> int:
    return sum(step.current is None and step.problem is None for step in plan.steps)


def _left_out(plan: RolloverPlan) -> str:
    count = len(plan.problems)
    if not count:
        return ""
    return f"; {count} account{'s' if count > 1 else ''} left out, without a next serie"
