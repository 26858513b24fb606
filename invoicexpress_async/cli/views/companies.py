"""How companies ended: on the screen, in JSON and in a report, without any secret."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from invoicexpress_async import Intent, StatusError
from invoicexpress_async import Sequence as DocumentSequence
from invoicexpress_async.cli.cures import cure_of_company
from invoicexpress_async.cli.failures import cause_text, error_object
from invoicexpress_async.cli.output import cell, data_console, new_table, sequence_object
from invoicexpress_async.cli.report_file import Layout
from invoicexpress_async.cli.report_style import ReportStyle
from invoicexpress_async.cli.summary import FailureGroup, Group, RunSummary
from invoicexpress_async.cli.views.columns import (
    Column,
    Columns,
    Place,
    ReportSpec,
    alone,
    line_text,
    object_of,
    report_of,
    table_of,
    words_text,
)
from invoicexpress_async.cli.views.page import ReportFacts
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.onboarding import CompanyOutcome, CompanyState, CompanyStep

# What the columns before "why" take at most.
_BEFORE_WHY: Final = 72
_STYLES: Final[Mapping[str, str]] = {
    CompanyState.DONE: "green",
    CompanyState.UNKNOWN: "bold magenta",
    CompanyState.KEY_LOST: "bold magenta",
    CompanyState.REFUSED: "red",
    CompanyState.FAILED: "red",
}
_RANKS: Final[tuple[str, ...]] = (
    CompanyState.UNKNOWN,
    CompanyState.KEY_LOST,
    CompanyState.REFUSED,
    CompanyState.FAILED,
    CompanyState.DONE,
)
# A step is reported when it is reached: by then, the one before it is done.
DONE_AT: Final[Mapping[CompanyStep, CompanyStep]] = {
    CompanyStep.KEY: CompanyStep.ACCOUNT,
    CompanyStep.AT: CompanyStep.KEY,
    CompanyStep.SERIES: CompanyStep.AT,
    CompanyStep.VERIFY: CompanyStep.SERIES,
    CompanyStep.END: CompanyStep.VERIFY,
}
_STEPS: Final = tuple(DONE_AT.values())
_BRIEF_STEPS: Final = ("acc", "key", "at", "ser", "ver")


@attrs.frozen(kw_only=True)
class CompanyView:
    """A company that has ended, as it is shown."""

    outcome: CompanyOutcome
    cure: str | None
    created: bool | None = False  # an account is reported by its step
    hint: str = ""  # the table has the message itself

    @property
    def line(self) -> int:
        """Where it stands in the file."""
        return self.outcome.company.line

    @property
    def state(self) -> str:
        """How it ended."""
        return self.outcome.state

    @property
    def is_good(self) -> bool:
        """Whether it is done."""
        return self.outcome.error is None

    @property
    def is_unknown(self) -> bool:
        """Whether something was sent whose outcome is not known, or whose key is lost."""
        return self.state in {CompanyState.UNKNOWN, CompanyState.KEY_LOST}

    @property
    def is_shown(self) -> bool:
        """Whether it needs a person."""
        return not self.is_good

    @property
    def is_recorded(self) -> bool:
        """Whether an earlier run settled it."""
        return self.outcome.is_recorded

    @property
    def rank(self) -> int:
        """How soon it is shown: the worst first."""
        return _RANKS.index(self.state)

    @property
    def example(self) -> str:
        """What names it as an example of its group."""
        return self.outcome.company.fiscal_id

    @property
    def group(self) -> Group | None:
        """How it failed: its state, its step, its code and its cure."""
        if self.is_good:
            return None
        return self.state, self.outcome.step, self.code, self.cure or ""

    @property
    def code(self) -> str:
        """The status and code of a refusal, or the name of what stopped it."""
        outcome = self.outcome
        return cause_text(outcome.error_name, outcome.status, outcome.code)

    @property
    def message(self) -> str:
        """What the server said of a refusal."""
        error = self.outcome.error
        return " ".join(error.messages) if isinstance(error, StatusError) else ""

    @property
    def sequence(self) -> DocumentSequence | None:
        """Its first sequence."""
        return self.outcome.sequence

    @property
    def intent(self) -> Intent | None:
        """Of the create of its sequence, when that is unknown."""
        return self.outcome.intent

    @property
    def failure(self) -> dict[str, object] | None:
        """Its error as plain data."""
        error = self.outcome.error
        return None if error is None else error_object(error) | {"cure": self.cure}


COMPANY_COLUMNS: Final[Columns[CompanyView]] = (
    Column("line", lambda one: one.line, text=line_text, is_number=True, is_cut=True),
    Column("fiscal_id", lambda one: one.outcome.company.fiscal_id, is_cut=True),
    Column(
        "organization_name",
        lambda one: one.outcome.company.account.organization_name,
        title="company",
        width=20,
        is_cut=True,
    ),
    Column("account", lambda one: one.outcome.account_name, width=18, is_cut=True),
    Column("account_id", lambda one: one.outcome.account_id, places=Place.CSV | Place.JSON),
    Column("step", lambda one: one.outcome.step, is_cut=True),
    Column("state", lambda one: one.outcome.state, places=Place.REPORTS | Place.JSON),
    Column(
        "state",
        lambda one: one.outcome.state,
        places=Place.TABLE,
        text=words_text,
        style=lambda one: _STYLES[one.state],
        is_cut=True,
    ),
    Column("serie", lambda one: one.outcome.company.serie, places=Place.REPORTS | Place.JSON),
    Column("sequence_id", lambda one: one.sequence and one.sequence.id, places=Place.CSV),
    Column("error", lambda one: one.outcome.error_name, places=Place.CSV),
    Column("status", lambda one: one.outcome.status, places=Place.CSV),
    Column("code", lambda one: one.outcome.code, places=Place.CSV),
    Column("message", lambda one: one.message, places=Place.CSV),
    Column(
        "why", lambda one: f"{one.code} {one.message}".strip(), places=Place.PEOPLE, is_cut=True
    ),
    Column("cure", lambda one: one.cure, places=Place.REPORTS, title="what to do"),
    Column("is_recorded", lambda one: one.is_recorded, places=Place.JSON),
    Column(
        "sequence", lambda one: one.sequence and sequence_object(one.sequence), places=Place.JSON
    ),
    Column(
        "intent",
        lambda one: one.intent,
        places=Place.CSV | Place.JSON,
        text=lambda intent: intent and json.dumps(intent),
    ),
    Column("failure", lambda one: one.failure, places=Place.JSON),
)


def company_view(outcome: CompanyOutcome) -> CompanyView:
    """Return an outcome as it is shown."""
    return CompanyView(outcome=outcome, cure=cure_of_company(outcome))


def company_object(
    company: CompanyView, columns: Columns[CompanyView] = COMPANY_COLUMNS
) -> dict[str, object]:
    """Return how a company ended as plain data."""
    return object_of("outcome", columns, company)


def company_layout(
    path: Path,
    columns: Columns[CompanyView] = COMPANY_COLUMNS,
    *,
    style: ReportStyle = ReportStyle(),  # noqa: B008  # frozen
) -> Layout[CompanyView]:
    """Return the report that the suffix of the file selects: a line for each company."""
    summary = RunSummary[CompanyView](total=0)
    spec = ReportSpec[CompanyView, CompanyView](
        title="onboarding",
        columns=columns,
        lines_of=alone,
        order=lambda one: (int(one.is_good), one.rank, one.example, one.line),
        on_record=summary.add,
        facts=lambda: ReportFacts(counts=summary.counts, advice=_advice(summary)),
        end=lambda: _report_end(summary),
    )
    return report_of(path, spec, style)


def _advice(summary: RunSummary[CompanyView]) -> list[str]:
    return [
        f"{group.count} {state}, step {step}, {code}: {cure}"
        for (state, step, code, cure), group in _groups(summary)
    ]


def _report_end(summary: RunSummary[CompanyView]) -> str:
    lines = [f"\n{ends_text(summary)}.\n", *(f"- {one}\n" for one in _advice(summary))]
    return "".join(lines)


def _groups(summary: RunSummary[CompanyView]) -> list[tuple[Group, FailureGroup]]:
    return sorted(summary.ordered_groups(), key=lambda one: _RANKS.index(one[0][0]))


def show_companies(summary: RunSummary[CompanyView], *, seconds: float) -> None:
    """Show those that are not done, what to do about them, and the counts."""
    console = data_console()
    if summary.failed:
        first = summary.first()
        console.print(company_table(first, width=console.width))
        if left := summary.failed - len(first):
            console.print(f"… {left} more: --json and --report show all", style="dim")
        console.print(_failure_table(summary))
    console.print(_counts(summary, seconds=seconds))


def company_table(
    companies: list[CompanyView], *, width: int, columns: Columns[CompanyView] = COMPANY_COLUMNS
) -> Table:
    """Return companies as a table that is no wider than the screen."""
    table = table_of(columns, companies)
    table.padding = (0, 0)
    for column in table.columns:
        if column.header == "why":
            column.max_width = max(1, width - _BEFORE_WHY)
    return table


def _failure_table(summary: RunSummary[CompanyView]) -> Table:
    table = new_table("state", "step", "why", "such as", "count", "what to do", numbers=("count",))
    for (state, step, code, cure), group in _groups(summary):
        cells = map(cell, (step, code, group.example, group.count, cure))
        table.add_row(Text(str(words_text(state)), _STYLES[state]), *cells)
    return table


def _counts(summary: RunSummary[CompanyView], *, seconds: float) -> Text:
    text, recorded = Text(), summary.recorded_done
    for state in CompanyState:
        if count := summary.counts[state]:
            earlier = f" ({recorded} by an earlier run)" if recorded else ""
            text.append(f"{count} {words_text(state)}", _STYLES[state])
            text.append(f"{earlier if state is CompanyState.DONE else ''}  ")
    if summary.not_started:
        text.append(f"{summary.not_started} not started  ", "bold red")
    return text.append(f"of {summary.total} companies in {seconds:.1f} s")


def progress_text(summary: RunSummary[CompanyView], steps: Counter[CompanyStep]) -> str:
    """Return the steps that were done in this run and the companies that have ended."""
    done = " ".join(f"{step} {steps[step]}" for step in _STEPS)
    return f"{done} · {ends_text(summary)}" if steps else ends_text(summary)


def brief_text(summary: RunSummary[CompanyView], steps: Counter[CompanyStep]) -> str:
    """Return the same for a bar, which shows how many have ended."""
    named = zip(_BRIEF_STEPS, _STEPS, strict=True)
    done = " ".join(f"{name} {steps[step]}" for name, step in named)
    return f"{done}, {summary.failed} parked" if summary.failed else done


def ends_text(summary: RunSummary[CompanyView]) -> str:
    """Return how many are done and how many are not."""
    done = f"{summary.counts[CompanyState.DONE]} done"
    return f"{done}, {summary.failed} parked" if summary.failed else done


def companies_object(
    summary: RunSummary[CompanyView],
    steps: Counter[CompanyStep],
    *,
    seconds: float,
    undelivered: int,
    problem: InvoiceXpressError | None,
) -> dict[str, object]:
    """Return the counts as plain data; `not_run` is not 0 when the run ended early."""
    return {
        "type": "summary",
        "companies": summary.total,
        "counts": {str(state): summary.counts[state] for state in CompanyState},
        "steps": {str(step): steps[step] for step in _STEPS},
        "recorded": summary.recorded,
        "not_run": summary.not_started,
        "undelivered": undelivered,
        "seconds": round(seconds, 3),
        "is_complete": problem is None and summary.is_complete,
        "problem": problem and error_object(problem),
    }
