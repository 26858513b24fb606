"""`invoicexpress rollover`: the new year's serie on all accounts of a file."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.commands.provision import describe, settings_of
from invoicexpress_async.cli.connection import (
    base_url_of,
    confirm,
    is_this_machine,
    open_job,
    open_manager,
    warn_of_spaces,
)
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.job_run import JobSpec, run_plan
from invoicexpress_async.cli.options import ConnectionOptions, JobOptions, check_job_options
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import OutputOptions, check_report
from invoicexpress_async.cli.shell import DONE, FAILED, INTERRUPTED, echo
from invoicexpress_async.cli.signals import Interruption, plain_interrupts, run_to_its_end
from invoicexpress_async.cli.views.rollover import show_rollover
from invoicexpress_async.cli.views.rows import row_layout, unplanned_view
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

_NO_OPTIONS: Final = ConnectionOptions()
_NO_JOB_OPTIONS: Final = JobOptions()


def rollover(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[
        Path, Parameter(help="A CSV with a header: account, api_key, and maybe serie.")
    ],
    /,
    *,
    year: Annotated[int, Parameter(help="The new year, such as 2027.")],
    pattern: Annotated[
        str | None,
        Parameter(help="A name with {year} or {yy} in it, for the rows that name no serie."),
    ] = None,
    not_before: Annotated[
        dt.date | None,
        Parameter(
            help="The day, as 2027-01-01 and in Lisbon, before which nothing becomes the default: "
            "until then all is prepared, and the same command ends it on that day."
        ),
    ] = None,
    job: JobOptions = _NO_JOB_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Create the new year's serie on all accounts, check it, and only then make it the default.

    The name follows that of each account's default: 2026 becomes 2027, FR2026 FR2027, A26 A27.
    What is not plain is never guessed: such accounts are named, and the others go on. --dry-run
    looks at the accounts, and changes nothing.
    """
    check_job_options(job)
    settings = RolloverPlan.settings(settings_of(job), not_before=not_before)
    if job.report is not None:
        check_report(job.report, row_layout(job.report), accounts=accounts)
    run = _Rollover(
        path=accounts,
        accounts=AccountList.from_csv(accounts),
        year=year,
        pattern=pattern,
        job=job,
        settings=settings,
        options=options,
    )
    return run_to_its_end(run.look() if job.dry_run else run.run())


@attrs.frozen(kw_only=True)
class _Rollover:
    path: Path
    accounts: AccountList
    year: int
    pattern: str | None
    job: JobOptions
    settings: RunSettings
    options: ConnectionOptions
    interruption: Interruption = attrs.field(factory=Interruption)

    async def look(self) -> int:
        """Show what would be done."""
        known = _known(self.job.journal, self.year)
        accounts = _with_series(self.accounts, known)
        async with open_manager(self.options) as manager:
            plan = await self._plan(manager, accounts, journal=None)
        if self.interruption.has_come:
            return self._print_interrupted(plan)
        states = {account: state for account, (_, state) in known.items()}
        show_rollover(plan, states, as_json=self.options.as_json)
        what = f"Would ensure {describe(plan.plan())}" if plan.plan().rows else "Nothing to ensure"
        echo(f"{what}{self._when()}{_left_out(plan)}. Nothing was changed.")
        return FAILED if plan.problems else DONE

    async def run(self) -> int:
        """Look at the accounts, ask, and run."""
        async with open_job(self.options, self.job) as (manager, journal):
            plan = await self._plan(manager, self.accounts, journal=journal)
            if self.interruption.has_come:
                return self._print_interrupted(plan)
            if not self._may(plan):
                return FAILED
            work = JobSpec(
                plan=plan.plan(),
                concurrency=self.job.concurrency,
                journal=journal,
                settings=self.settings,
                unplanned=tuple(map(unplanned_view, plan.problems)),
            )
            output = OutputOptions(
                as_json=self.options.as_json, report=self.job.report, accounts=self.path
            )
            return await run_plan(manager, work, output)

    async def _plan(
        self, manager: SessionManager, accounts: AccountList, *, journal: SqliteJournal | None
    ) -> RolloverPlan:
        count = len(accounts.rows)
        echo(f"Looking at {count} account{'s' if count > 1 else ''}.")
        seen: list[str] = []
        with (
            self.interruption.catching(),
            open_progress(count, as_json=self.options.as_json) as progress,
        ):

            def on_account(one: AccountAudit) -> None:
                seen.append(one.row.account)
                progress.update(Step(ended=len(seen), text="looked at"))

            plan = await plan_rollover(
                manager,
                accounts,
                year=self.year,
                pattern=self.pattern,
                journal=journal,
                concurrency=self.job.concurrency,
                on_account=on_account,
                stop=self.interruption.stop,
            )
            progress.update(Step(ended=len(plan.steps), text="looked at", skipped=_not_read(plan)))
        return plan

    def _may(self, plan: RolloverPlan) -> bool:
        rows = plan.plan()
        base_url = base_url_of(self.options)
        warn_of_spaces(rows.summary.series)
        what = f"{describe(rows)} at {base_url.template}{self._when()}{_left_out(plan)}"
        if rows.rows and not (self.job.yes or is_this_machine(base_url)):
            with plain_interrupts():
                return confirm(f"About to ensure {what}.")
        echo(f"Ensuring {what}." if rows.rows else f"Nothing to ensure{_left_out(plan)}.")
        return True

    def _when(self) -> str:
        day = self.settings.default_not_before
        return "" if day is None else f", not before {day} in Lisbon"

    def _print_interrupted(self, plan: RolloverPlan) -> int:
        counts = f"Interrupted: {len(plan.steps)} of {len(self.accounts.rows)} accounts looked at."
        text = f"{counts} Nothing was changed: run the same command again."
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


def _not_read(plan: RolloverPlan) -> int:
    return sum(step.current is None and step.problem is None for step in plan.steps)


def _left_out(plan: RolloverPlan) -> str:
    count = len(plan.problems)
    if not count:
        return ""
    return f"; {count} account{'s' if count > 1 else ''} left out, without a next serie"
