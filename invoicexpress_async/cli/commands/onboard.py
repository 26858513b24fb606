"""`invoicexpress onboard`: creates an account for each company of a file, ready to invoice."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from invoicexpress_async.cli.connection import (
    base_url_of,
    confirm,
    is_this_machine,
    name_of,
    open_manager,
    read_key,
    warn_of_file,
    warn_of_spaces,
)
from invoicexpress_async.cli.onboarding_run import OnboardingRun
from invoicexpress_async.cli.options import (
    DATABASE_URL,
    JournalPlace,
    OnboardOptions,
    PartnerOptions,
    check_concurrency,
    journal_at,
    parse_place,
)
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.report_file import check_report
from invoicexpress_async.cli.shell import DONE, FAILED, echo, printable
from invoicexpress_async.cli.signals import run_to_its_end
from invoicexpress_async.cli.views.columns import (
    Column,
    Columns,
    Place,
    line_text,
    show_plan,
    yes_text,
)
from invoicexpress_async.cli.views.companies import COMPANIES
from invoicexpress_async.cli.words import Language, counted, label, lines_of, word
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyStanding,
    CompanyState,
    CompanyStep,
    read_standings,
)

_WHAT: Final = "{companies}, by {partner} at {where}"
_WOULD: Final = "Would onboard: {what}. Nothing was looked at or sent."
_ABOUT_TO: Final = "About to onboard: {what}."
_ONBOARDING: Final = "Onboarding: {what}."
_WOULD_REFUSE: Final = "The journal has such fiscal numbers as others: it would be refused."
_NAME_WIDTH: Final = 26
_MAY_CHANGE: Final = ("open", CompanyState.REFUSED, CompanyState.FAILED)


def onboard(  # noqa: PLR0913  # the options of a command
    companies: Annotated[
        Path,
        Parameter(
            help="A CSV or .xlsx with a header: organization_name, email, password, fiscal_id, and "
            "maybe at_subuser, at_password, serie."
        ),
    ],
    /,
    *,
    keys_out: Annotated[
        Path,
        Parameter(
            help="Where the new keys go, private (0600): variables in .env, else a CSV that "
            "`provision`, `rollover` and `audit` take."
        ),
    ],
    journal: Annotated[
        JournalPlace,
        Parameter(
            converter=parse_place,
            help="Keep the plan and its outcome in this file, or in the database of a "
            f"{DATABASE_URL}, from before anything is sent; no secret is in it. The same "
            "command goes on where the last run ended.",
        ),
    ],
    serie: Annotated[str | None, Parameter(help="For the rows that name none.")] = None,
    job: OnboardOptions = OnboardOptions(),
    options: PartnerOptions = PartnerOptions(),
) -> int:
    """Create an account for each company of a file, and bring it to its first invoice.

    For each company: create its account, deliver its key, set its tax-authority (AT) credentials,
    ensure its first serie as the default, and look whether all is so. Each step is done once: run
    the same command again after whatever ended it. An account is never created twice, and what
    is unknown is reported, with what to do. A secret of a row may be a reference, env:NAME or
    file:PATH.
    """
    check_concurrency(job.concurrency)
    settings = job.settings()
    base_url, partner = base_url_of(options), name_of(options)
    spool = job.spool or keys_out.with_name(f"{keys_out.name}.spool")
    _check_paths(companies, keys_out, journal, spool, job)
    listed = _read(companies, serie, job)
    standings = read_standings(journal)
    found = ((one, standings.get(one.fiscal_id)) for one in listed.companies)
    plan = tuple(
        _PlannedCompany(company=one, standing=standing, would=_would(one, standing, job))
        for one, standing in found
    )
    what = job.said(
        _WHAT,
        companies=_describe(plan, job.language),
        partner=partner,
        where=base_url.for_account(partner),
    )
    if job.dry_run:
        echo(job.said(_WOULD, what=what))
        return _show_plan(plan, job.language, as_json=options.as_json)
    key = read_key(options.api_key_file)
    may_begin = job.yes or is_this_machine(base_url)
    if not (may_begin or confirm(job.said(_ABOUT_TO, what=what), job.language)):
        return FAILED
    echo(job.said(_ONBOARDING, what=what))

    async def run() -> int:
        async with open_manager(options) as manager, journal_at(journal) as opened:
            return await OnboardingRun(
                manager=manager,
                partner=manager.account(partner, key.reveal()),
                companies=listed,
                journal=opened,
                keys_out=keys_out,
                spool=spool,
                job=job,
                settings=settings,
                options=job,
                as_json=options.as_json,
            ).run()

    return run_to_its_end(run())


def _read(path: Path, serie: str | None, job: OnboardOptions) -> CompanyList:
    companies = CompanyList.from_csv(
        path,
        serie=serie,
        # A dry run accepts nothing: nothing is sent.
        accepts_terms=job.accept_terms or job.dry_run,
    )
    absent = sorted(set(job.forget) - {one.fiscal_id for one in companies.companies})
    if absent:
        raise ConfigurationError(
            f"--forget names {printable(absent[0])!r}, which the file has not."
        )
    chosen = job.choose(one.fiscal_id for one in companies.companies)
    if chosen is not None:
        kept = (one for one in companies.companies if one.fiscal_id in chosen)
        companies = attrs.evolve(companies, companies=kept)
    warn_of_file(path, companies.notes, has_keys=True, ignored=companies.ignored_columns)
    warn_of_spaces(dict.fromkeys(one.serie for one in companies.companies))
    return companies


def _check_paths(
    companies: Path, keys_out: Path, journal: JournalPlace, spool: Path, job: OnboardOptions
) -> None:
    """Refuse one file for two purposes, since keys could be written into another file."""
    paths = {
        "the companies": companies,
        "--keys-out": keys_out,
        "--journal": journal if isinstance(journal, Path) else None,
        "--spool": spool,
        "--report": job.report,
    }
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise ConfigurationError(f"{name} and {other} are one file, {path}: name another.")
    check_report(job, COMPANIES.layout)


class PlannedAction(StrEnum):
    """What a run would do with a company."""

    CREATE = "create"
    GO_ON = "go on"
    NOTHING = "nothing"
    REFUSE = "refuse"
    """The journal has its fiscal number as another company: the run would not begin."""


COUNTS: Final = {
    PlannedAction.CREATE: "{count} to create an account for",
    PlannedAction.GO_ON: "{count} to go on with",
    PlannedAction.NOTHING: "{count} with nothing to do",
    PlannedAction.REFUSE: "{count} known as another",
}


@attrs.frozen(kw_only=True)
class _PlannedCompany:
    """A company, its standing in the journal, and what a run would do with it."""

    company: Company
    standing: CompanyStanding | None
    would: PlannedAction


COLUMNS: Final[Columns[_PlannedCompany]] = (
    Column("line", lambda one: one.company.line, text=line_text, is_number=True),
    Column("fiscal_id", lambda one: one.company.fiscal_id),
    Column(
        "organization_name",
        lambda one: one.company.account.organization_name,
        title="company",
        width=_NAME_WIDTH,
        is_cut=True,
    ),
    Column("serie", lambda one: one.company.serie, width=_NAME_WIDTH, is_cut=True),
    Column(
        "has_at_credentials",
        lambda one: one.company.at is not None,
        title="AT",
        text=yes_text,
        is_word=True,
    ),
    Column("account", lambda one: one.standing and one.standing.account_name, places=Place.JSON),
    Column("step", lambda one: one.standing and one.standing.step, places=Place.JSON),
    Column("state", lambda one: one.standing and one.standing.state, places=Place.JSON),
    Column(
        "journal",
        lambda one: one.standing and lines_of(one.standing.step, label(one.standing.state, "en")),
        places=Place.TABLE,
        is_text=True,
    ),
    Column("would", lambda one: one.would, is_word=True),
)


def _would(
    company: Company, standing: CompanyStanding | None, job: OnboardOptions
) -> PlannedAction:
    if standing is None:
        return PlannedAction.CREATE if company.known is None else PlannedAction.GO_ON
    state, is_at_account = standing.state, standing.step is CompanyStep.ACCOUNT
    may_change = is_at_account and state in _MAY_CHANGE
    if not may_change and standing.email.casefold() != company.account.email.casefold():
        return PlannedAction.REFUSE
    if standing.step is CompanyStep.END:
        return PlannedAction.NOTHING
    is_refused = state == CompanyState.REFUSED and standing.step is not CompanyStep.AT
    if is_refused and not job.retry_refused:
        # The input may have been corrected, which only the run can check.
        lacks_credentials = standing.error == "TaxAuthorityCredentialsError"
        may_be_cured = company.known is not None or (lacks_credentials and company.at is not None)
        return PlannedAction.GO_ON if may_be_cured else PlannedAction.NOTHING
    if not is_at_account or company.known is not None:
        return PlannedAction.GO_ON
    # --forget counts only after a run reported the unknown: else no person can have checked.
    is_forgotten = company.fiscal_id in job.forget and state == CompanyState.UNKNOWN
    return PlannedAction.CREATE if may_change or is_forgotten else PlannedAction.NOTHING


def _describe(plan: Iterable[_PlannedCompany], language: Language) -> str:
    """Return the counts in words."""
    counts = Counter(one.would for one in plan)
    parts = [
        word(text, language, count=counts[would]) for would, text in COUNTS.items() if counts[would]
    ]
    companies = counted(counts.total(), "companies", language, one="company")
    return f"{companies} ({', '.join(parts)})"


def _show_plan(plan: tuple[_PlannedCompany, ...], language: Language, *, as_json: bool) -> int:
    """Show the plan, and return the exit code: 1 if the journal would refuse the run."""
    would_refuse = any(one.would is PlannedAction.REFUSE for one in plan)
    show_plan(COLUMNS, plan, as_json=as_json, language=language)
    if as_json:
        counts = Counter(one.would for one in plan)
        summary = {str(would): counts[would] for would in PlannedAction}
        write_json({"type": "summary", "companies": len(plan), "would": summary})
    if would_refuse:
        echo(word(_WOULD_REFUSE, language))
    return FAILED if would_refuse else DONE
