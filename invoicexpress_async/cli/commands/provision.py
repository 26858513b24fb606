"""`invoicexpress provision`: one serie on all accounts of a file."""

import contextlib
import sys
from collections import Counter
from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.connection import (
    base_url_of,
    confirm,
    is_this_machine,
    open_job,
    warn_of_file,
    warn_of_spaces,
)
from invoicexpress_async.cli.options import (
    ConnectionOptions,
    JobOptions,
    JournalPlace,
    check_job_options,
)
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.plan_run import JobSpec, plan_only, run_plan
from invoicexpress_async.cli.report_file import OutputOptions, check_report
from invoicexpress_async.cli.shell import DONE, FAILED, echo, printable
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.views.columns import Column, Columns, show_plan, yes_text
from invoicexpress_async.cli.views.rows import ROWS
from invoicexpress_async.cli.words import Language, counted, word
from invoicexpress_async.config import BaseUrl, Secret
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.jobs.stored import is_stored
from invoicexpress_async.provisioning import Plan, PlanRow, RowState, RunSettings
from invoicexpress_async.provisioning.journal_status import JournalReader
from invoicexpress_async.provisioning.next_serie import coming_year, is_step_backwards

_NO_OPTIONS: Final = ConnectionOptions()
_NO_JOB_OPTIONS: Final = JobOptions()

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
_WOULD: Final = "Would ensure {what}. What exists was not looked at; nothing was sent."
_JOURNAL_EMPTY: Final = "The journal {journal} has nothing yet: all {count} rows are new."
_JOURNAL_HAS: Final = (
    "The journal {journal} has settled {settled}; {unknown} unknown would be read first; {left} "
    "would be ensured."
)
_JOURNAL_DIFFERS: Final = (
    "It has another plan: {count} rows differ. Without --accept-changes the run would be refused."
)
_MAX_SERIES_NAMED = 3
_SETTLED: Final = (RowState.DONE, RowState.REFUSED)
_UNKNOWN_STATES: Final = ("intent", RowState.UNKNOWN, RowState.ABSENT)
COLUMNS: Final[Columns[tuple[PlanRow, str | None]]] = (
    Column("line", lambda one: one[0].line, is_number=True),
    Column("account", lambda one: one[0].account),
    Column("serie", lambda one: one[0].serie),
    Column(
        "is_default", lambda one: one[0].is_default, title="default", text=yes_text, is_word=True
    ),
    Column("journal", lambda one: one[1]),
)


def provision(
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
    job: JobOptions = _NO_JOB_OPTIONS,
    options: ConnectionOptions = _NO_OPTIONS,
) -> int:
    """Ensure a serie on all accounts of a file: create what is absent, keep what is there.

    The key of a row may be a reference, env:NAME or file:PATH. All bad rows are listed by their
    line before anything is sent. A series can never be deleted. A second run of the same file
    looks first; with --journal it also knows what an earlier run sent without seeing the outcome.
    """
    check_job_options(job)
    settings = job.settings()
    base_url = base_url_of(options)
    if job.report is not None:
        check_report(job.report, ROWS.layout(job.report, style=job.style), accounts=accounts)
    plan = Plan.from_csv(accounts, serie=serie, default=default)
    all_accounts = plan.summary.accounts
    chosen = job.choose(row.account for row in plan.rows)
    if chosen is not None:
        plan = plan.only(chosen)
        if isinstance(job.journal, str):
            plan = _chosen_or_known(plan, job.journal)
    if plan.ignored_columns:
        names = printable(", ".join(plan.ignored_columns))
        sys.stderr.write(f"warning: columns that mean nothing here: {names}\n")
    first = next(iter(plan.rows))
    warn_of_file(accounts, plan.notes, has_keys=isinstance(first.api_key, Secret))
    warn_of_spaces(plan.summary.series)
    early = _becoming_default_early(plan, job.language, is_planned_only=job.plan_only)
    of = job.said(" of {count}", count=all_accounts) if chosen is not None else ""
    what = f"{describe(plan, job.language)}{of}"
    what = f"{job.said('{what} at {where}', what=what, where=base_url.template)}{early}"
    if job.dry_run:
        echo(job.said(_WOULD, what=what))
        return _show_plan(plan, job, as_json=options.as_json)
    if not may_begin(job, base_url, what):
        return FAILED
    output = OutputOptions(
        as_json=options.as_json, report=job.report, accounts=accounts, style=job.style
    )
    return run_to_its_end(_run(plan, job, settings, options, output))


async def _run(
    plan: Plan,
    job: JobOptions,
    settings: RunSettings,
    options: ConnectionOptions,
    output: OutputOptions,
) -> int:
    async with open_job(options, job) as (manager, journal):
        work = JobSpec(plan=plan, concurrency=job.concurrency, journal=journal, settings=settings)
        if job.plan_only:
            return await plan_only(work, job, as_json=options.as_json)
        return await run_plan(manager, work, output)


def _chosen_or_known(plan: Plan, place: str) -> Plan:
    """Return the plan without the rows that workers would do although they are not chosen."""
    with _reader(place) as reader:
        rows = [
            row
            for row in plan.rows
            if plan.is_chosen(row) or (reader and reader.row(row.account, row.serie))
        ]
    return attrs.evolve(plan, rows=rows)


def may_begin(job: JobOptions, base_url: BaseUrl, what: str, more: str = "") -> bool:
    """Show what a job is about to do; unless it is a sandbox's or --yes is given, ask."""
    if job.yes or is_this_machine(base_url):
        echo(f"{job.said(_PLANNING if job.plan_only else _ENSURING, what=what)}{more}")
        return True
    about_to = job.said(_ABOUT_TO_PLAN if job.plan_only else _ABOUT_TO, what=what)
    return confirm(f"{about_to}{more}", job.language)


def describe(plan: Plan, language: Language = "en") -> str:
    accounts, series = plan.summary.accounts, plan.summary.series
    names = ", ".join(repr(name) for name in islice(series, _MAX_SERIES_NAMED))
    if len(series) > _MAX_SERIES_NAMED:
        more = word("and {count} more", language, count=len(series) - _MAX_SERIES_NAMED)
        names = f"{names} {more}"
    where = counted(accounts, "accounts", language, one="account")
    text = word("serie {names} on {where}", language, names=names, where=where)
    if defaults := plan.summary.defaults:
        text += word(", {count} as default", language, count=defaults)
    return text


def _becoming_default_early(plan: Plan, language: Language, *, is_planned_only: bool) -> str:
    """Return from when invoices will use a default of a coming year, or that its year is over."""
    series = plan.summary.default_series
    today = today_in_lisbon() if series else None
    early = {one: year for one in series if today and (year := coming_year(one, today.year))}
    over = [one for one in series if today and is_step_backwards(str(today.year), one)]
    if not early:
        return word(_OVER, language, serie=repr(over[0])) if over else ""
    serie, year = next(iter(early.items()))
    day = f"{year}-01-01"
    if is_planned_only:
        return word(_EARLY_PLANNED, language, serie=repr(serie), day=day)
    return word(_EARLY, language, serie=repr(serie), today=today, day=day)


@attrs.define(eq=False)
class _Compared:
    """What the journal says of the rows of a plan."""

    rows_in_journal: int = 0
    states: Counter[str] = attrs.field(factory=Counter[str])
    changed: int = 0

    def add(self, row: PlanRow, found: tuple[str, bool] | None) -> str | None:
        if found is None:
            return None
        state, is_default = found
        self.states[state] += 1
        self.changed += is_default is not row.is_default
        return state

    def differences(self, rows: int) -> int:
        if not self.rows_in_journal:
            return 0  # this plan is its first
        known = self.states.total()
        return (rows - known) + (self.rows_in_journal - known) + self.changed


def _show_plan(plan: Plan, job: JobOptions, *, as_json: bool) -> int:
    """Show the rows, and return the exit code: 1 if the journal would refuse the plan."""
    compared = _Compared()
    with _reader(job.journal) as reader:
        if reader is not None:
            compared.rows_in_journal = reader.row_count()
        has_states = as_json or reader is not None
        compared_rows = [(row, _state(row, reader, compared)) for row in plan.rows]
    columns = [one for one in COLUMNS if has_states or one.name != "journal"]
    rows = [one for one in compared_rows if plan.is_chosen(one[0])]
    show_plan(columns, rows, as_json=as_json, language=job.language)
    differences = compared.differences(len(compared_rows))
    would_refuse = bool(differences) and not job.accept_changes
    if as_json:
        write_json(
            {
                "type": "summary",
                "rows": len(rows),
                "journal": dict(compared.states),
                "differences": differences,
                "would_refuse": would_refuse,
            }
        )
    elif job.journal is not None:
        _print_summary(job, compared, rows=len(compared_rows), differences=differences)
    return FAILED if would_refuse else DONE


@contextlib.contextmanager
def _reader(path: JournalPlace | None) -> Generator[JournalReader | None]:
    if path is None or not is_stored(path):
        yield None
        return
    with JournalReader(path) as reader:
        yield reader


def _state(row: PlanRow, reader: JournalReader | None, compared: _Compared) -> str | None:
    return None if reader is None else compared.add(row, reader.row(row.account, row.serie))


def _print_summary(job: JobOptions, compared: _Compared, *, rows: int, differences: int) -> None:
    if not compared.rows_in_journal:
        echo(job.said(_JOURNAL_EMPTY, journal=job.journal, count=rows))
        return
    settled = [*_SETTLED] if not job.retry_refused else [RowState.DONE]
    counts = [counted(compared.states[state], state, job.language) for state in settled]
    unknown = sum(compared.states[state] for state in _UNKNOWN_STATES)
    left = rows - sum(compared.states[state] for state in settled) - unknown
    values = {"settled": ", ".join(counts), "unknown": unknown, "left": left}
    echo(job.said(_JOURNAL_HAS, journal=job.journal, **values))
    if differences and not job.accept_changes:
        echo(job.said(_JOURNAL_DIFFERS, count=differences))
