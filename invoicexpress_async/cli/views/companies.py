"""The views of companies: their columns and their table, without any secret."""

from collections.abc import Mapping
from typing import Final

import attrs
from rich.table import Table

from invoicexpress_async import StatusError
from invoicexpress_async.cli.cures import AGAIN, WAIT, cure_of_company, cure_of_standing
from invoicexpress_async.cli.failures import cause_text
from invoicexpress_async.cli.output import MORE, data_console, print_more, sequence_object
from invoicexpress_async.cli.summary import Ended, RunSummary
from invoicexpress_async.cli.views.columns import Column, Columns, Place, line_text, table_of
from invoicexpress_async.cli.views.run_view import LAST_COLUMNS, RecordKind
from invoicexpress_async.cli.words import Language, counted, label, word
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.onboarding import (
    CompanyOutcome,
    CompanyStanding,
    CompanyState,
    CompanyStep,
)

# The maximum width of the columns before "why", together.
_BEFORE_WHY: Final = 72
_STYLES: Final[Mapping[str, str]] = {
    CompanyState.DONE: "green",
    CompanyState.UNKNOWN: "bold magenta",
    CompanyState.KEY_LOST: "bold magenta",
    CompanyState.REFUSED: "red",
    CompanyState.FAILED: "red",
}
_WORST: Final = tuple(_STYLES)[1:]
# The step that is done when another step is reached and reported.
DONE_AT: Final[Mapping[CompanyStep, CompanyStep]] = {
    CompanyStep.KEY: CompanyStep.ACCOUNT,
    CompanyStep.AT: CompanyStep.KEY,
    CompanyStep.SERIES: CompanyStep.AT,
    CompanyStep.VERIFY: CompanyStep.SERIES,
    CompanyStep.END: CompanyStep.VERIFY,
}
_STEPS: Final = tuple(DONE_AT.values())
BRIEF_STEPS: Final = ("acc", "key", "at", "ser", "ver")


@attrs.frozen(kw_only=True)
class CompanyView(Ended):
    """The view of a company that has ended, or of a company in a journal."""

    fiscal_id: str
    organization_name: str
    account_name: str | None
    account_id: str | None
    error_name: str | None
    status: int | None
    code: str | None

    @property
    def is_shown(self) -> bool:
        return not self.is_good

    @property
    def rank(self) -> int:
        return _WORST.index(self.state) if self.state in _WORST else len(_WORST)

    @property
    def needs_person(self) -> bool:
        """Whether the company does not continue by itself."""
        return self.state in _WORST

    @property
    def example(self) -> str:
        return self.fiscal_id

    @property
    def cause(self) -> str:
        return cause_text(self.error_name, self.status, self.code)

    @property
    def message(self) -> str:
        return " ".join(self.error.messages) if isinstance(self.error, StatusError) else ""


COMPANY_COLUMNS: Final[Columns[CompanyView]] = (
    Column("line", lambda one: one.line, text=line_text, is_number=True, is_cut=True),
    Column("fiscal_id", lambda one: one.fiscal_id, is_cut=True),
    Column(
        "organization_name",
        lambda one: one.organization_name,
        title="company",
        width=20,
        is_cut=True,
    ),
    Column("account", lambda one: one.account_name, width=18, is_cut=True),
    Column("account_id", lambda one: one.account_id, places=Place.CSV | Place.JSON),
    Column("step", lambda one: one.step, is_cut=True, is_word=True),
    Column(
        "state",
        lambda one: one.state,
        style=lambda one: _STYLES.get(one.state, ""),
        is_cut=True,
        is_word=True,
    ),
    Column("serie", lambda one: one.serie, places=Place.REPORTS | Place.JSON),
    Column("sequence_id", lambda one: one.sequence and one.sequence.id, places=Place.CSV),
    Column("error", lambda one: one.error_name, places=Place.CSV),
    Column("status", lambda one: one.status, places=Place.CSV),
    Column("code", lambda one: one.code, places=Place.CSV),
    Column("message", lambda one: one.message, places=Place.CSV),
    Column(
        "why", lambda one: f"{one.cause} {one.message}".strip(), places=Place.PEOPLE, is_cut=True
    ),
    Column("is_recorded", lambda one: one.is_recorded, places=Place.JSON),
    Column(
        "sequence", lambda one: one.sequence and sequence_object(one.sequence), places=Place.JSON
    ),
    *LAST_COLUMNS,
)


def company_view(outcome: CompanyOutcome) -> CompanyView:
    return CompanyView(
        line=outcome.company.line,
        state=outcome.state,
        serie=outcome.company.serie,
        step=outcome.step,
        sequence=outcome.sequence,
        error=outcome.error,
        cure=cure_of_company(outcome),
        intent=outcome.intent,
        is_recorded=outcome.is_recorded,
        fiscal_id=outcome.company.fiscal_id,
        organization_name=outcome.company.account.organization_name,
        account_name=outcome.account_name,
        account_id=outcome.account_id,
        error_name=outcome.error_name,
        status=outcome.status,
        code=outcome.code,
    )


def standing_view(fiscal_id: str, found: CompanyStanding, *, is_held: bool) -> CompanyView:
    """Return the view of a company in a journal."""
    state, cure = found.state, cure_of_standing(found.step, found.state, found.error)
    if state == JournalState.INTENT:
        state, cure = ("in flight", WAIT) if is_held else (CompanyState.UNKNOWN, AGAIN)
    error = recorded_error(found.error, status=found.status, code=found.code)
    return CompanyView(
        line=0,
        state=state,
        serie=None,
        step=found.step,
        error=error if cure else None,
        cure=cure,
        is_recorded=True,
        fiscal_id=fiscal_id,
        organization_name=found.organization_name,
        account_name=found.account_name,
        account_id=found.account_id,
        error_name=found.error,
        status=found.status,
        code=found.code,
    )


def company_table(companies: list[CompanyView], *, width: int, language: Language = "en") -> Table:
    """Return companies as a table; the column "why" is cut to fit the width of the screen."""
    table = table_of(COMPANY_COLUMNS, companies, language)
    table.padding = (0, 0)
    for column in table.columns:
        if column.header == word("why", language) and column.no_wrap:
            column.max_width = max(1, width - _BEFORE_WHY)
    return table


def _show_first(summary: RunSummary[CompanyView], language: Language) -> None:
    console, first = data_console(), summary.first()
    if first:
        console.print(company_table(first, width=console.width, language=language))
        print_more(MORE, summary.failed - len(first), language)


COMPANIES: Final = RecordKind[CompanyView](
    noun="companies",
    title="onboarding",
    columns=COMPANY_COLUMNS,
    order=lambda one: (int(not one.needs_person), one.rank, one.fiscal_id, one.line),
    good=(CompanyState.DONE,),
    styles=_STYLES,
    has_step=True,
    show_first=_show_first,
)


def progress_text(
    summary: RunSummary[CompanyView], steps: Mapping[CompanyStep, int], language: Language
) -> str:
    """Return the steps that were done in this run and the companies that have ended."""
    ends = _with_parked(
        counted(summary.counts[CompanyState.DONE], "done", language), summary, language
    )
    done = " ".join(f"{label(step, language)} {steps[step]}" for step in _STEPS)
    return f"{done} · {ends}" if steps else ends


def brief_text(
    summary: RunSummary[CompanyView], steps: Mapping[CompanyStep, int], language: Language
) -> str:
    """Return the steps that were done, in short, for a bar that counts the ended companies."""
    named = zip(BRIEF_STEPS, _STEPS, strict=True)
    done = " ".join(f"{word(name, language)} {steps[step]}" for name, step in named)
    return _with_parked(done, summary, language)


def _with_parked(text: str, summary: RunSummary[CompanyView], language: Language) -> str:
    return f"{text}, {counted(summary.failed, 'parked', language)}" if summary.failed else text
