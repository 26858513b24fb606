"""What is kept of an onboarding while it goes on."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import attrs

from invoicexpress_async import StatusError
from invoicexpress_async.cli.cures import cure_of_company
from invoicexpress_async.cli.shell import DONE, FAILED, UNKNOWN
from invoicexpress_async.cli.summary import Kind
from invoicexpress_async.onboarding import Company, CompanyOutcome, CompanyState, CompanyStep

LOST: Final = frozenset({CompanyState.UNKNOWN, CompanyState.KEY_LOST})
_RANKS: Final = (
    CompanyState.UNKNOWN,
    CompanyState.KEY_LOST,
    CompanyState.REFUSED,
    CompanyState.FAILED,
)
# A step is told of when it is reached: by then, the one before it is done.
_DONE_AT: Final[Mapping[CompanyStep, CompanyStep]] = {
    CompanyStep.KEY: CompanyStep.ACCOUNT,
    CompanyStep.AT: CompanyStep.KEY,
    CompanyStep.SERIES: CompanyStep.AT,
    CompanyStep.VERIFY: CompanyStep.SERIES,
    CompanyStep.END: CompanyStep.VERIFY,
}
STEPS: Final = tuple(_DONE_AT.values())


@attrs.define(kw_only=True, eq=False)
class CompanyTally:
    """The companies that have ended, and the steps that were done.

    Attributes:
        total: The companies of the file.
        steps: How often each step was done in this run.
        counts: The companies that have ended, by state.
        recorded: How many of them an earlier run had settled.
        done_before: How many of these are done.
        parked: Those that are not done.
    """

    total: int
    steps: Counter[CompanyStep] = attrs.field(factory=Counter[CompanyStep])
    counts: Counter[CompanyState] = attrs.field(factory=Counter[CompanyState])
    recorded: int = 0
    done_before: int = 0
    parked: list[CompanyOutcome] = attrs.field(factory=list[CompanyOutcome])

    def reach(self, _company: Company, step: CompanyStep) -> None:
        """Count a step."""
        self.steps[_DONE_AT[step]] += 1

    def note(self, outcome: CompanyOutcome) -> None:
        """Count a company that has ended."""
        self.counts[outcome.state] += 1
        self.recorded += outcome.is_recorded
        self.done_before += outcome.is_recorded and outcome.error is None
        if outcome.error is not None:
            self.parked.append(outcome)

    @property
    def ended(self) -> int:
        """How many companies have ended."""
        return self.counts.total()

    @property
    def not_started(self) -> int:
        """How many have not."""
        return self.total - self.ended

    @property
    def exit_code(self) -> int:
        """The exit code of a run that ended by itself."""
        if any(self.counts[state] for state in LOST):
            return UNKNOWN
        return DONE if self.counts[CompanyState.DONE] == self.total else FAILED

    def ordered(self) -> list[CompanyOutcome]:
        """Return those that are not done, the worst first, then in the order of the file."""
        return sorted(self.parked, key=lambda one: (_RANKS.index(one.state), one.company.line))

    def kinds(self) -> dict[tuple[CompanyState, CompanyStep, str, str], Kind]:
        """Return how those that are not done ended, the worst first."""
        found: dict[tuple[CompanyState, CompanyStep, str, str], Kind] = {}
        for one in self.ordered():
            key = (one.state, one.step, code_of(one), cure_of_company(one) or "")
            first = Kind(0, one.company.line, one.company.fiscal_id)
            found.setdefault(key, first).rows += 1
        return found

    def text(self) -> str:
        """Return the counts in words."""
        steps = " ".join(f"{step} {self.steps[step]}" for step in STEPS)
        return f"{steps} · {self.ends()}" if self.steps else self.ends()

    def brief(self) -> str:
        """Return the same for a bar, which shows how many have ended."""
        names = ("acc", "key", "at", "ser", "ver")
        steps = " ".join(
            f"{name} {self.steps[step]}" for name, step in zip(names, STEPS, strict=True)
        )
        parked = len(self.parked)
        return f"{steps}, {parked} parked" if parked else steps

    def ends(self) -> str:
        """Return how many are done and how many are not."""
        done = f"{self.counts[CompanyState.DONE]} done"
        return f"{done}, {len(self.parked)} parked" if self.parked else done


def code_of(outcome: CompanyOutcome) -> str:
    """Return the status and code of a refusal, or the name of what stopped a company."""
    if isinstance(outcome.error, StatusError):
        status, code = outcome.status, outcome.code
        return f"{status}/{code}" if code else str(status)
    return (outcome.error_name or "").removesuffix("Error")


def message_of_server(outcome: CompanyOutcome) -> str:
    """Return what the server said of a refusal."""
    error = outcome.error
    return " ".join(error.messages) if isinstance(error, StatusError) else ""
