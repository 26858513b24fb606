"""What a roll-over would do, account by account; those that need a person first."""

from collections.abc import Mapping
from typing import Final

import attrs

from invoicexpress_async.cli.cures import cure_of_step
from invoicexpress_async.cli.failures import cure_of, error_object, message_of
from invoicexpress_async.cli.output import ACCOUNT_WIDTH, write_json
from invoicexpress_async.cli.views.columns import Column, Columns, Place, line_text, show_plan
from invoicexpress_async.cli.words import Language, lines_of, word
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.provisioning import RolloverPlan, RolloverStep

_MAX_ROWS: Final = 20
_MAX_PROBLEMS: Final = 100
_SERIE_WIDTH: Final = 18
_IN_JOURNAL: Final = "the journal has it:"
_UNLIKE: Final = "ensure it, as default; its name is unlike all others of the account"
_NOTHING: Final = "nothing: it is the default"
_ENSURE: Final = "ensure, then make it the default"


@attrs.frozen(kw_only=True)
class RolloverLine:
    """An account with its present and its next serie, and how far a journal has it."""

    step: RolloverStep
    journal: str | None

    @property
    def current(self) -> str | None:
        current = self.step.current
        return None if current is None else current.serie

    @property
    def failure(self) -> dict[str, object] | None:
        error = self.step.problem
        return (
            None
            if error is None
            else error_object(error) | {"cure": word(cure_of_step(error), "en")}
        )

    @property
    def note(self) -> str:
        step = self.step
        if step.problem is not None:
            return _problem_text(step.problem, step.row.account)
        if self.journal is not None:
            return lines_of(_IN_JOURNAL, self.journal)
        if step.is_unlike:
            return _UNLIKE
        if step.current is not None and canonical(step.current.serie) == canonical(
            step.serie or ""
        ):
            return _NOTHING
        return _ENSURE


ROLLOVER_COLUMNS: Final[Columns[RolloverLine]] = (
    Column("line", lambda one: one.step.row.line, text=line_text, is_number=True),
    Column("account", lambda one: one.step.row.account, width=ACCOUNT_WIDTH),
    Column("current", lambda one: one.current, title="default now", width=_SERIE_WIDTH),
    Column("serie", lambda one: one.step.serie, places=Place.JSON),
    Column(
        "next",
        lambda one: one.step.serie or "?",
        places=Place.TABLE,
        style=lambda one: "" if one.step.serie else "yellow",
        width=_SERIE_WIDTH,
    ),
    Column("what to do", lambda one: one.note, places=Place.TABLE, is_text=True),
    Column("is_unlike", lambda one: one.step.is_unlike, places=Place.JSON),
    Column("failure", lambda one: one.failure, places=Place.JSON),
    Column("journal", lambda one: one.journal, places=Place.JSON),
)


def show_rollover(
    plan: RolloverPlan, states: Mapping[str, str], *, as_json: bool, language: Language
) -> None:
    lines = [RolloverLine(step=step, journal=states.get(step.row.account)) for step in plan.steps]
    if not as_json:
        lines.sort(key=lambda line: (line.step.problem is None, not line.step.is_unlike))
    first = sum(line.step.problem is not None or line.step.is_unlike for line in lines)
    most = max(_MAX_ROWS, min(first, _MAX_PROBLEMS))
    show_plan(ROLLOVER_COLUMNS, lines, as_json=as_json, language=language, most=most)
    if as_json:
        write_json(_summary(plan))


def _problem_text(error: InvoiceXpressError, account: str) -> str:
    text = message_of(error).removeprefix(f"Account {account}: ")
    # Its text contains its cure.
    return text if isinstance(error, ConfigurationError) else lines_of(text, cure_of(error))


def _summary(plan: RolloverPlan) -> dict[str, object]:
    return {
        "type": "summary",
        "year": plan.year,
        "accounts": len(plan.steps),
        "series": dict(plan.plan().summary.series),
        "problems": len(plan.problems),
    }
