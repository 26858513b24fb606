"""`invoicexpress provision`: ensures a serie on all accounts of a file."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async import SessionManager
from invoicexpress_async.cli.connection import (
    base_url_of,
    confirm,
    is_this_machine,
    open_job,
    open_manager,
    warn_of_file,
    warn_of_spaces,
)
from invoicexpress_async.cli.options import ConnectionOptions, JobOptions, check_job_options
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.plan_run import PlanRun
from invoicexpress_async.cli.preview import Preview
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.shell import DONE, FAILED, echo
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.views.columns import show_plan
from invoicexpress_async.cli.views.compared import Compared, compare, journal_reader, show_compared
from invoicexpress_async.cli.views.preview import PLAN_COLUMNS, PreviewLine, show_preview
from invoicexpress_async.cli.views.preview_texts import (
    preview_counts,
    preview_texts,
    question_texts,
)
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.words import Language, counted, first_few, word
from invoicexpress_async.config import BaseUrl, Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.provisioning import AccountList, AccountRow, Plan, RunSettings, iter_audit
from invoicexpress_async.provisioning.next_serie import coming_year, is_step_backwards

_EARLY: Final = (
    ". Invoices will use {serie} from now on, {today}, and not from {day}: leave --default out and "
    "use `rollover` to wait for that day"
)
_EARLY_PLANNED: Final = (
    ". Invoices will use {serie} as soon as a worker has made it, and not from {day}: leave "
    "--default out and use `rollover` to wait for that day"
)
_OVER: Final = ". The year of {serie} is over, and it would become the default"
_ABOUT_TO: Final = "About to ensure {what}."
_ABOUT_TO_PLAN: Final = "About to plan {what}."
_ENSURING: Final = "Ensuring {what}."
_PLANNING: Final = "Planning {what}."
_WOULD: Final = "Would ensure {what}."
_WOULD_UNSEEN: Final = "Would ensure {what}. What exists was not looked at; nothing was sent."
_UNCHANGED: Final = "Nothing was changed."


def provision(  # noqa: PLR0913  # the options of a command, each with a default
    accounts: Annotated[
        Path,
        Parameter(help="A CSV or .xlsx with a header: account, api_key, and maybe serie, default."),
    ],
    /,
    *,
    serie: Annotated[str | None, Parameter(help="For the rows that name none.")] = None,
    default: Annotated[
        bool, Parameter(help="Make it the default, for the rows that do not say.")
    ] = False,
    offline: Annotated[
        bool,
        Parameter(
            help="With --dry-run: check the file and the journal only, without a network. No "
            "account is looked at."
        ),
    ] = False,
    job: JobOptions = JobOptions(),
    options: ConnectionOptions = ConnectionOptions(),
) -> int:
    """Ensure a serie on all accounts of a file: create what is absent, keep what is there.

    The key of a row may be a reference, env:NAME or file:PATH. All bad rows are listed by their
    line before anything is sent. A series can never be deleted. A second run of the same file
    looks first; with --journal it also knows what an earlier run sent without seeing the outcome.
    --dry-run looks at the accounts, and changes nothing. A run that makes a default shows the
    present one first, unless --yes is given.
    """
    check_job_options(job)
    if offline and not job.dry_run:
        raise ConfigurationError("--offline is for a check of the file: add --dry-run.")
    settings = job.settings()
    base_url = base_url_of(options)
    check_report(job, ROWS.layout, accounts=accounts)
    plan = Plan.from_csv(accounts, serie=serie, default=default)
    all_accounts = plan.summary.accounts
    chosen = job.choose(row.account for row in plan.rows)
    if chosen is not None:
        plan = plan.only(chosen)
        if isinstance(job.journal, str):
            plan = _chosen_or_known(plan, job.journal)
    has_keys = isinstance(next(iter(plan.rows)).api_key, Secret)
    warn_of_file(accounts, plan.notes, has_keys=has_keys, ignored=plan.ignored_columns)
    warn_of_spaces(plan.summary.series)
    early = _default_year_warning(plan, job.language, is_planned_only=job.plan_only)
    of = job.said(" of {count}", count=all_accounts) if chosen is not None else ""
    what = f"{describe(plan, job.language)}{of}"
    what = f"{job.said('{what} at {where}', what=what, where=base_url.template)}{early}"
    work = _Provision(
        path=accounts, plan=plan, job=job, settings=settings, options=options, what=what
    )
    if job.dry_run:
        return work.check() if offline else run_to_its_end(work.preview())
    return run_to_its_end(work.run())


@attrs.frozen(kw_only=True)
class _Provision:
    path: Path
    plan: Plan
    job: JobOptions
    settings: RunSettings
    options: ConnectionOptions
    what: str

    def check(self) -> int:
        """Show the rows from the file and the journal only, and return the exit code."""
        compared = compare(self.plan, self.job)
        lines, job = compared.lines, self.job
        has_states = self.options.as_json or compared.has_journal
        columns = [one for one in PLAN_COLUMNS if has_states or one.name != "journal"]
        echo(job.said(_WOULD_UNSEEN, what=self.what))
        show_plan(columns, lines, as_json=self.options.as_json, language=job.language)
        return self._show_summary(compared, {})

    async def preview(self) -> int:
        """Read the accounts, show what a run would do, and return the exit code."""
        job, compared = self.job, compare(self.plan, self.job)
        preview = self._new_preview(compared.lines)
        async with open_manager(self.options) as manager:
            lines = await self._preview(preview, compared.lines, manager)
        if preview.interruption.has_come:
            return preview.print_interrupted()
        show_preview(lines, as_json=self.options.as_json, language=job.language)
        estimate = preview.estimate(lines, is_staged=False)
        echo(job.said(_WOULD, what=self.what), *preview_texts(lines, job.language))
        more = preview_counts(lines) | {"estimate": estimate.as_object()}
        code = self._show_summary(compared, more)
        echo(estimate.text(job.language), job.said(_UNCHANGED))
        return FAILED if any(line.error for line in lines) else code

    async def run(self) -> int:
        is_shown = self.plan.summary.defaults and not (self.job.yes or self.job.plan_only)
        if not (is_shown or self._may_begin()):
            return FAILED
        async with open_job(self.options, self.job) as (manager, journal):
            if is_shown:
                lines = [one for one in compare(self.plan, self.job).lines if one.is_default]
                preview = self._new_preview(lines)
                lines = await self._preview(preview, lines, manager)
                if preview.interruption.has_come:
                    return preview.print_interrupted()
                texts = question_texts(lines, self.job.language)
                if not self._may_begin("".join(f" {one}" for one in texts)):
                    return FAILED
            run = PlanRun(
                manager=manager,
                plan=self.plan,
                journal=journal,
                settings=self.settings,
                options=self.job,
                as_json=self.options.as_json,
                accounts=self.path,
            )
            return await run.run_or_plan_only(self.job)

    def _may_begin(self, more: str = "") -> bool:
        return may_begin(self.job, base_url_of(self.options), self.what, more)

    def _new_preview(self, lines: Iterable[PreviewLine]) -> Preview:
        return Preview(
            count=len({one.account for one in lines if not one.is_settled}),
            options=self.job,
            as_json=self.options.as_json,
        )

    async def _preview(
        self, preview: Preview, lines: Sequence[PreviewLine], manager: SessionManager
    ) -> list[PreviewLine]:
        """Return the lines with the state of their accounts; each account is read once."""
        places: dict[str, list[int]] = {}
        for place, line in enumerate(lines):
            if not line.is_settled:
                places.setdefault(line.account, []).append(place)
        keys = {row.account: row.api_key for row in self.plan.rows if row.account in places}
        rows = [AccountRow(account=name, api_key=keys[name]) for name in places]
        seen_lines, stop = list(lines), preview.interruption.stop
        with preview.shown(base_url_of(self.options)) as on_account:
            stream = iter_audit(
                manager, AccountList(rows=rows), concurrency=self.job.concurrency, stop=stop
            )
            async with contextlib.aclosing(stream):
                async for seen in stream:
                    for place in places[seen.row.account]:
                        seen_lines[place] = lines[place].looked_at(seen)
                    on_account(seen)
        return seen_lines

    def _show_summary(self, compared: Compared, more: Mapping[str, object]) -> int:
        """Show the comparison with the journal; return 1 if it would refuse the plan, else 0."""
        would_refuse = bool(compared.differences) and not self.job.accept_changes
        if self.options.as_json:
            write_json(
                {
                    "type": "summary",
                    "rows": len(compared.lines),
                    "journal": dict(compared.states),
                    "differences": compared.differences,
                    "would_refuse": would_refuse,
                    **more,
                }
            )
        elif self.job.journal is not None:
            show_compared(self.job, compared)
        return FAILED if would_refuse else DONE


def _chosen_or_known(plan: Plan, place: str) -> Plan:
    """Return the plan with only the rows that are chosen or known: workers do every other one."""
    with journal_reader(place) as reader:
        found = reader.compare(plan.rows) if reader else ((row, None) for row in plan.rows)
        rows = [row for row, known in found if known or plan.is_chosen(row)]
    return attrs.evolve(plan, rows=rows)


def may_begin(job: JobOptions, base_url: BaseUrl, what: str, more: str = "") -> bool:
    """Show what a job is about to do, and ask, unless for a sandbox or with --yes."""
    if job.yes or is_this_machine(base_url):
        echo(f"{job.said(_PLANNING if job.plan_only else _ENSURING, what=what)}{more}")
        return True
    about_to = job.said(_ABOUT_TO_PLAN if job.plan_only else _ABOUT_TO, what=what)
    return confirm(f"{about_to}{more}", job.language)


def describe(plan: Plan, language: Language = "en") -> str:
    accounts, series = plan.summary.accounts, plan.summary.series
    names = first_few(list(map(repr, series)), language)
    where = counted(accounts, "accounts", language, one="account")
    text = word("serie {names} on {where}", language, names=names, where=where)
    if defaults := plan.summary.defaults:
        text += word(", {count} as default", language, count=defaults)
    return text


def _default_year_warning(plan: Plan, language: Language, *, is_planned_only: bool) -> str:
    """Return a warning if a default is of a coming year or of a past one, else ""."""
    series = plan.summary.default_series
    today = today_in_lisbon() if series else None
    early = {one: year for one in series if today and (year := coming_year(one, today.year))}
    over = [one for one in series if today and is_step_backwards(str(today.year), one)]
    if not early:
        return word(_OVER, language, serie=repr(over[0])) if over else ""
    serie, year = next(iter(early.items()))
    day = f"{year}-01-01"
    values = {"serie": repr(serie), "today": today, "day": day}
    return word(_EARLY_PLANNED if is_planned_only else _EARLY, language, **values)
