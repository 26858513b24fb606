"""`invoicexpress rollover`: the new year's serie on all accounts of a file."""

import datetime as dt
import time
from collections import Counter
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
    warn_of_file,
    warn_of_spaces,
)
from invoicexpress_async.cli.failures import print_failure
from invoicexpress_async.cli.options import ConnectionOptions, JobOptions, check_job_options
from invoicexpress_async.cli.plan_only import plan_only
from invoicexpress_async.cli.plan_run import JobSpec, run_plan
from invoicexpress_async.cli.progress import Step, open_progress
from invoicexpress_async.cli.report_file import OutputOptions, check_report
from invoicexpress_async.cli.shell import DONE, FAILED, INTERRUPTED, echo
from invoicexpress_async.cli.signals import Interruption, plain_interrupts, run_to_its_end
from invoicexpress_async.cli.views.rollover import show_rollover
from invoicexpress_async.cli.views.row_view import unplanned_view
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.jobs.stored import is_stored
from invoicexpress_async.provisioning import (
    AccountAudit,
    AccountList,
    JournalDifferenceError,
    RolloverPlan,
    plan_rollover,
)
from invoicexpress_async.provisioning.journal_status import JournalReader
from invoicexpress_async.provisioning.next_serie import default_day

_NO_OPTIONS: Final = ConnectionOptions()
_MAX_DEFAULTS_NAMED: Final = 3
# A list, a create and a default for each account that was read once here.
_REQUESTS_PER_READ: Final = 3
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
            help="The day, as 2027-01-15 and in Lisbon, before which nothing becomes the default; "
            "1 January of the year without it. Until then all is prepared, and the same command "
            "ends it on that day."
        ),
    ] = None,
    default_now: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Make the series the default at once, even before their year begins.",
        ),
    ] = False,
    job: JobOptions = _NO_JOB_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Create the new year's serie on all accounts, check it, and only then make it the default.

    The name follows that of each account's default: 2026 becomes 2027, FR2026 FR2027, A26 A27.
    What is not plain is never guessed: such accounts are named, and the others go on. Nothing
    becomes the default before 1 January of the year in Lisbon. --dry-run looks at the accounts,
    and changes nothing.
    """
    check_job_options(job)
    if default_now and not_before is not None:
        raise ConfigurationError("--not-before and --default-now contradict each other: give one.")
    day = default_day(year, not_before=not_before, default_now=default_now)
    if job.report is not None:
        check_report(job.report, ROWS.layout(job.report, style=job.style), accounts=accounts)
    listed = AccountList.from_csv(accounts)
    has_keys = any(isinstance(row.api_key, Secret) for row in listed.rows)
    warn_of_file(accounts, listed.notes, has_keys=has_keys)
    run = _Rollover(
        path=accounts,
        accounts=listed,
        only=job.choose(row.account for row in listed.rows),
        year=year,
        pattern=pattern,
        job=job,
        day=day,
        options=options,
    )
    return run_to_its_end(run.look() if job.dry_run else run.run())


@attrs.frozen(kw_only=True)
class _Rollover:
    path: Path
    accounts: AccountList
    only: frozenset[str] | None
    year: int
    pattern: str | None
    job: JobOptions
    day: dt.date | None
    options: ConnectionOptions
    interruption: Interruption = attrs.field(factory=Interruption)

    async def look(self) -> int:
        """Show what would be done."""
        known = _known(self.job, self.year, self.day)
        accounts = _with_series(self.accounts, known)
        started = time.monotonic()
        async with open_manager(self.options) as manager:
            plan = await self._plan(manager, accounts, journal=None)
        seconds = time.monotonic() - started
        if self.interruption.has_come:
            return self._print_interrupted(plan)
        states = {account: state for account, (_, state) in known.items()}
        show_rollover(plan, states, as_json=self.options.as_json)
        what = f"Would ensure {describe(plan.plan())}" if plan.plan().rows else "Nothing to ensure"
        defaults = f" The default now is {_defaults(plan)}.{_unlike(plan)}" if plan.steps else ""
        pace = _estimate(seconds) if plan.plan().rows else ""
        end = f"{defaults}{self._odd_year()}{pace} Nothing was changed."
        echo(f"{what}{self._when() if plan.plan().rows else ''}{_left_out(plan)}.{end}")
        return FAILED if plan.problems else DONE

    async def run(self) -> int:
        """Look at the accounts, ask, and run."""
        async with open_job(self.options, self.job) as (manager, journal):
            plan = await self._plan(manager, self.accounts, journal=journal)
            if self.interruption.has_come:
                return self._print_interrupted(plan)
            if not self._may(plan):
                return FAILED
            settings = plan.settings(
                settings_of(self.job), not_before=self.day, default_now=self.day is None
            )
            unplanned = tuple(map(unplanned_view, plan.problems))
            if self.job.plan_only:
                return await plan_only(
                    plan.plan(),
                    journal,
                    settings,
                    job=self.job,
                    as_json=self.options.as_json,
                    unplanned=unplanned,
                )
            work = JobSpec(
                plan=plan.plan(),
                concurrency=self.job.concurrency,
                journal=journal,
                settings=settings,
                unplanned=unplanned,
            )
            output = OutputOptions(
                as_json=self.options.as_json,
                report=self.job.report,
                accounts=self.path,
                style=self.job.style,
            )
            return await run_plan(manager, work, output)

    async def _plan(
        self, manager: SessionManager, accounts: AccountList, *, journal: Journal | None
    ) -> RolloverPlan:
        count = len(accounts.rows if self.only is None else self.only)
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
                only=self.only,
            )
            progress.update(Step(ended=len(plan.steps), text="looked at", skipped=_not_read(plan)))
        return plan

    def _may(self, plan: RolloverPlan) -> bool:
        rows = plan.plan()
        base_url = base_url_of(self.options)
        warn_of_spaces(rows.summary.series)
        if not rows.rows:
            echo(f"Nothing to ensure{_left_out(plan)}.")
            return True
        what = f"{describe(rows)} at {base_url.template}{self._when()}{_left_out(plan)}"
        defaults = f"The default now is {_defaults(plan)}.{_unlike(plan)}"
        if not (self.job.yes or is_this_machine(base_url)):
            with plain_interrupts():
                return confirm(f"About to {self.job.verb} {what}. {defaults}{self._odd_year()}")
        echo(f"{self.job.doing} {what}. {defaults}{self._odd_year()}")
        return True

    def _when(self) -> str:
        if self.day is None:
            return ", which it becomes at once"
        return f", not before {self.day} in Lisbon"

    def _odd_year(self) -> str:
        this_year = today_in_lisbon().year
        if self.year in {this_year, this_year + 1}:
            return ""
        return f" {self.year} is neither this year nor the next."

    def _print_interrupted(self, plan: RolloverPlan) -> int:
        count = len(self.accounts.rows if self.only is None else self.only)
        counts = f"Interrupted: {len(plan.steps)} of {count} accounts looked at."
        text = f"{counts} Nothing was changed: run the same command again."
        print_failure(text, as_json=self.options.as_json)
        return INTERRUPTED


def _known(job: JobOptions, year: int, day: dt.date | None) -> dict[str, tuple[str, str]]:
    path = job.journal
    if path is None or not is_stored(path):
        return {}
    with JournalReader(path) as reader:
        claimed = reader.rollover_year()
        if claimed not in {None, year}:
            raise JournalDifferenceError(
                f"The journal {path} is of the roll-over to {claimed}, not {year}."
            )
        series, known_day = reader.series(), reader.default_not_before()
    if series and known_day != day and not job.accept_changes:
        raise JournalDifferenceError(
            f"In the journal {path} the series become the default {_on(known_day)}, and now "
            f"{_on(day)}."
        )
    return series


def _on(day: dt.date | None) -> str:
    return "at once" if day is None else f"on {day}"


def _defaults(plan: RolloverPlan) -> str:
    """Return the present defaults, the most frequent first."""
    names = Counter(step.current.serie for step in plan.steps if step.current is not None)
    if not names:
        return "not looked at again"
    shown = [f"{name!r} on {count}" for name, count in names.most_common(_MAX_DEFAULTS_NAMED)]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _estimate(seconds: float) -> str:
    """Return how long the run will take, at the pace of its reads."""
    minutes = seconds * _REQUESTS_PER_READ / 60
    about = "less than a minute" if minutes < 1 else f"{minutes:.0f} minutes or more"
    return f" The run would take {about}, at the pace of these reads."


def _unlike(plan: RolloverPlan) -> str:
    """Return which names are unlike all others of their account: a slip stays for ever."""
    found = [step for step in plan.steps if step.is_unlike]
    if not found:
        return ""
    shown = ", ".join(
        f"{step.serie!r} on {step.row.account}" for step in found[:_MAX_DEFAULTS_NAMED]
    )
    more = f" and {left} more" if (left := len(found) - _MAX_DEFAULTS_NAMED) > 0 else ""
    return f" Unlike all other names of the account: {shown}{more}."


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
