"""What an onboarding would do, from its file and its journal alone."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final

import attrs

from invoicexpress_async.cli.exit_codes import DONE, FAILED
from invoicexpress_async.cli.output import cell, data_console, new_table, write_json
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyStanding,
    CompanyState,
    CompanyStep,
)

_MOST_ROWS: Final = 20
_MAY_CHANGE: Final = ("open", CompanyState.REFUSED, CompanyState.FAILED)


class Would(StrEnum):
    """What would become of a company."""

    CREATE = "create"
    GO_ON = "go on"
    NOTHING = "nothing"
    REFUSE = "refuse"
    """The journal has its fiscal number as another company: the run would not begin."""


@attrs.frozen(kw_only=True)
class PlannedCompany:
    """A company, what the journal says of it, and what would be done."""

    company: Company
    standing: CompanyStanding | None
    would: Would


def plan_companies(
    companies: CompanyList,
    standings: Mapping[str, CompanyStanding],
    *,
    forget: Collection[str],
    retry_refused: bool,
) -> tuple[PlannedCompany, ...]:
    """Return what would be done, in the order of the file."""

    def planned(company: Company) -> PlannedCompany:
        standing = standings.get(company.fiscal_id)
        would = Would.CREATE if company.known is None else Would.GO_ON
        if standing is not None:
            # Only what a run has told of as unknown: of the rest, nobody can have looked for it.
            was_told = standing.state == CompanyState.UNKNOWN
            is_forgotten = company.fiscal_id in forget and was_told
            would = _would(
                company, standing, is_forgotten=is_forgotten, retry_refused=retry_refused
            )
        return PlannedCompany(company=company, standing=standing, would=would)

    return tuple(map(planned, companies.companies))


def _would(
    company: Company, standing: CompanyStanding, *, is_forgotten: bool, retry_refused: bool
) -> Would:
    state, is_at_account = standing.state, standing.step is CompanyStep.ACCOUNT
    may_change = is_at_account and state in _MAY_CHANGE
    if not may_change and standing.email.casefold() != company.account.email.casefold():
        return Would.REFUSE
    if standing.step is CompanyStep.END:
        return Would.NOTHING
    if state == CompanyState.REFUSED and standing.step is not CompanyStep.AT and not retry_refused:
        # Some of it may be cured by the input, which the run itself looks at.
        return Would.GO_ON if _may_be_cured(company, standing) else Would.NOTHING
    if not is_at_account or company.known is not None:
        return Would.GO_ON
    return Would.CREATE if may_change or is_forgotten else Would.NOTHING


def _may_be_cured(company: Company, standing: CompanyStanding) -> bool:
    lacks_credentials = standing.error == "TaxAuthorityCredentialsError"
    return company.known is not None or (lacks_credentials and company.at is not None)


def describe(plan: Iterable[PlannedCompany]) -> str:
    """Return the counts in words."""
    counts = Counter(one.would for one in plan)
    told = {
        Would.CREATE: "to create an account for",
        Would.GO_ON: "to go on with",
        Would.NOTHING: "with nothing to do",
        Would.REFUSE: "known as another",
    }
    parts = [f"{counts[would]} {words}" for would, words in told.items() if counts[would]]
    total = counts.total()
    return f"{total} {'companies' if total != 1 else 'company'} ({', '.join(parts)})"


def show_plan(plan: tuple[PlannedCompany, ...], *, as_json: bool) -> int:
    """Show it, and return the exit code: 1 if the journal would refuse the run."""
    would_refuse = any(one.would is Would.REFUSE for one in plan)
    if as_json:
        for one in plan:
            write_json(_object(one))
        counts = Counter(one.would for one in plan)
        summary = {str(would): counts[would] for would in Would}
        write_json({"type": "summary", "companies": len(plan), "would": summary})
    else:
        _show_table(plan)
    if would_refuse:
        sys.stderr.write("The journal has such fiscal numbers as others: it would be refused.\n")
    return FAILED if would_refuse else DONE


def _show_table(plan: tuple[PlannedCompany, ...]) -> None:
    names = ("line", "fiscal_id", "company", "serie", "AT", "journal", "would")
    table = new_table(*names, numbers=("line",))
    for column in table.columns[2:4]:
        column.no_wrap, column.overflow, column.max_width = True, "ellipsis", 26
    for one in plan[:_MOST_ROWS]:
        company = one.company
        row = (company.line or None, company.fiscal_id, company.account.organization_name)
        at = "yes" if company.at is not None else None
        table.add_row(*map(cell, (*row, company.serie, at, _standing(one), one.would)))
    console = data_console()
    console.print(table)
    if len(plan) > _MOST_ROWS:
        console.print(f"… {len(plan) - _MOST_ROWS} more: --json shows all", style="dim")


def _standing(one: PlannedCompany) -> str | None:
    return None if one.standing is None else f"{one.standing.step}: {one.standing.state}"


def _object(one: PlannedCompany) -> dict[str, object]:
    company, standing = one.company, one.standing
    return {
        "type": "plan",
        "line": company.line,
        "fiscal_id": company.fiscal_id,
        "organization_name": company.account.organization_name,
        "serie": company.serie,
        "has_at_credentials": company.at is not None,
        "account": standing and standing.account_name,
        "step": standing and standing.step,
        "state": standing and standing.state,
        "would": one.would,
    }
