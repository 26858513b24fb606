"""`invoicexpress rollover`: creates the new year's serie on all accounts of a file."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.commands.provision import describe, may_begin
from invoicexpress_async.cli.connection import (
    base_url_of,
    open_job,
    open_manager,
    warn_of_file,
    warn_of_spaces,
)
from invoicexpress_async.cli.options import ConnectionOptions, JobOptions, check_job_options
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.plan_run import PlanRun
from invoicexpress_async.cli.preview import Estimate, Preview
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.shell import DONE, FAILED, echo
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.views.compared import journal_reader, settled_states, settled_texts
from invoicexpress_async.cli.views.preview import PreviewLine, show_preview
from invoicexpress_async.cli.views.preview_texts import (
    preview_counts,
    preview_texts,
    question_texts,
)
from invoicexpress_async.cli.views.row_view import unplanned_view
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.words import counted
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Journal
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.provisioning import (
    AccountList,
    JournalDifferenceError,
    Plan,
    RolloverPlan,
    plan_rollover,
)
from invoicexpress_async.provisioning.next_serie import default_day

_WOULD: Final = "Would ensure {what}."
_NOTHING: Final = "Nothing to ensure{left_out}."
_AT_ONCE: Final = ", which it becomes at once"
_NOT_BEFORE: Final = ", not before {day} in Lisbon"
_LEFT_OUT: Final = "; {accounts} left out, without a next serie"
_ODD_YEAR: Final = "{year} is neither this year nor the next."
_UNCHANGED: Final = "Nothing was changed."
_NEW: Final = ("", "")


def rollover(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[
        Path, Parameter(help="A CSV or .xlsx with a header: account, api_key, and maybe serie.")
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
        bool, Parameter(help="Make the series the default at once, even before their year begins.")
    ] = False,
    job: JobOptions = JobOptions(),
    options: ConnectionOptions = ConnectionOptions(),
) -> int:
    """Create the new year's serie on all accounts, check it, and only then make it the default.

    The name follows that of each account's default: 2026 becomes 2027, FR2026 becomes FR2027, A26
    becomes A27. A name that is not clear is never guessed: such accounts are listed, and the
    others go on. Nothing becomes the default before 1 January of the year in Lisbon. --dry-run
    looks at the accounts, and changes nothing.
    """
    check_job_options(job)
    if default_now and not_before is not None:
        raise ConfigurationError("--not-before and --default-now contradict each other: give one.")
    day = default_day(year, not_before=not_before, default_now=default_now)
    check_report(job, ROWS.layout, accounts=accounts)
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
    return run_to_its_end(run.preview() if job.dry_run else run.run())


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

    async def preview(self) -> int:
        known = _known(self.job, self.year, self.day)
        named = (
            attrs.evolve(row, serie=known[row.account][0]) if row.account in known else row
            for row in self.accounts.rows
        )
        accounts = AccountList(rows=named)
        preview = self._new_preview(accounts)
        async with open_manager(self.options) as manager:
            plan = await self._plan(manager, accounts, preview, journal=None)
        if preview.interruption.has_come:
            return preview.print_interrupted()
        states = {account: state for account, (_, state) in known.items()}
        plan = _as_run(plan, states, self.job)
        lines = self._lines(plan, states)
        show_preview(lines, as_json=self.options.as_json, language=self.job.language)
        estimate = self._estimate(preview, lines)
        said, rows, left_out = self.job.said, plan.plan(), self._left_out(plan)
        if self.options.as_json:
            counts = {"accounts": len(plan.steps), "series": dict(rows.summary.series)}
            more = preview_counts(lines) | {"estimate": estimate.as_object()}
            write_json({"type": "summary", "year": plan.year, **counts, **more})
        texts = [said(_NOTHING, left_out=left_out)]
        if rows.summary.rows:
            what = f"{self._what(rows)}{self._when()}{left_out}"
            texts = [
                said(_WOULD, what=what),
                *settled_texts(lines, self.job.language),
                *preview_texts(lines, self.job.language),
            ]
        texts += self._odd_year()
        if rows.summary.rows:
            texts.append(estimate.text(self.job.language))
        echo(*texts, said(_UNCHANGED))
        return FAILED if any(line.error for line in lines) else DONE

    async def run(self) -> int:
        async with open_job(self.options, self.job) as (manager, journal):
            preview = self._new_preview(self._open_accounts())
            plan = await self._plan(manager, self.accounts, preview, journal=journal)
            if preview.interruption.has_come:
                return preview.print_interrupted()
            if not self._may(plan):
                return FAILED
            settings = plan.settings(
                self.job.settings(), not_before=self.day, default_now=self.day is None
            )
            run = PlanRun(
                manager=manager,
                plan=plan.plan(),
                journal=journal,
                settings=settings,
                unplanned=tuple(map(unplanned_view, plan.problems)),
                options=self.job,
                as_json=self.options.as_json,
                accounts=self.path,
            )
            return await run.run_or_plan_only(self.job)

    def _open_accounts(self) -> AccountList:
        """Return the accounts to read: those whose row is not settled in the journal."""
        with journal_reader(self.job.journal) as reader:
            series = reader.series() if reader else {}
        settled = settled_states(self.job)
        rows = self.accounts.rows
        return AccountList(
            rows=(one for one in rows if series.get(one.account, _NEW)[1] not in settled)
        )

    def _new_preview(self, accounts: AccountList) -> Preview:
        names = [one.account for one in accounts.rows]
        return Preview(
            count=sum(self.only is None or name in self.only for name in names),
            options=self.job,
            as_json=self.options.as_json,
        )

    async def _plan(
        self,
        manager: SessionManager,
        accounts: AccountList,
        preview: Preview,
        *,
        journal: Journal | None,
    ) -> RolloverPlan:
        with preview.shown(base_url_of(self.options)) as on_account:
            return await plan_rollover(
                manager,
                accounts,
                year=self.year,
                pattern=self.pattern,
                journal=journal,
                concurrency=self.job.concurrency,
                on_account=on_account,
                stop=preview.interruption.stop,
                only=self.only,
                retry_refused=self.job.retry_refused,
            )

    def _lines(self, plan: RolloverPlan, states: Mapping[str, str]) -> list[PreviewLine]:
        settled = settled_states(self.job)
        lines = [PreviewLine.of_step(step, states.get(step.row.account)) for step in plan.steps]
        return [line.settled() if line.journal in settled else line for line in lines]

    def _estimate(self, preview: Preview, lines: list[PreviewLine]) -> Estimate:
        if self.day is not None and today_in_lisbon() < self.day:
            lines = [attrs.evolve(line, is_default=False) for line in lines]
        reads = sum(not line.is_settled for line in lines)
        return preview.estimate(lines, is_staged=True, reads=reads)

    def _may(self, plan: RolloverPlan) -> bool:
        rows, left_out, base_url = plan.plan(), self._left_out(plan), base_url_of(self.options)
        warn_of_spaces(rows.summary.series)
        if not rows.summary.rows:
            echo(self.job.said(_NOTHING, left_out=left_out))
            return True
        notes = question_texts(self._lines(plan, {}), self.job.language)
        more = "".join(f" {one}" for one in (*notes, *self._odd_year()))
        return may_begin(self.job, base_url, f"{self._what(rows)}{self._when()}{left_out}", more)

    def _what(self, rows: Plan) -> str:
        what, where = describe(rows, self.job.language), base_url_of(self.options).template
        return self.job.said("{what} at {where}", what=what, where=where)

    def _when(self) -> str:
        return self.job.said(_AT_ONCE if self.day is None else _NOT_BEFORE, day=self.day)

    def _left_out(self, plan: RolloverPlan) -> str:
        count = len(plan.problems)
        accounts = counted(count, "accounts", self.job.language, one="account")
        return self.job.said(_LEFT_OUT, accounts=accounts) if count else ""

    def _odd_year(self) -> Iterator[str]:
        this_year = today_in_lisbon().year
        if self.year not in {this_year, this_year + 1}:
            yield self.job.said(_ODD_YEAR, year=self.year)


def _known(job: JobOptions, year: int, day: dt.date | None) -> dict[str, tuple[str, str]]:
    path = job.journal
    with journal_reader(path) as reader:
        if reader is None:
            return {}
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


def _as_run(plan: RolloverPlan, states: Mapping[str, str], job: JobOptions) -> RolloverPlan:
    """Return a plan as a run sees it: an account settled in the journal is not left out."""
    settled = settled_states(job)
    steps = [
        attrs.evolve(one, problem=None) if states.get(one.row.account) in settled else one
        for one in plan.steps
    ]
    return attrs.evolve(plan, steps=steps)
