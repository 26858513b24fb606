"""Compares the rows of a plan with a journal, for a dry run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import attrs

from invoicexpress_async.cli.options import JobOptions, JournalPlace
from invoicexpress_async.cli.shell import echo
from invoicexpress_async.cli.views.preview import PreviewLine
from invoicexpress_async.cli.words import Language, counted, word
from invoicexpress_async.jobs.journal import UNRESOLVED
from invoicexpress_async.jobs.stored import is_stored
from invoicexpress_async.provisioning import Plan, RowState
from invoicexpress_async.provisioning.journal_status import JournalReader

_LEFT: Final = "Left as the journal has them: {states}."
_JOURNAL_EMPTY: Final = "The journal {journal} has nothing yet: all {count} rows are new."
_JOURNAL_HAS: Final = (
    "The journal {journal} has settled {settled}; {unknown} unknown would be read first; {left} "
    "would be ensured."
)
_JOURNAL_DIFFERS: Final = (
    "It has another plan. Rows that differ: {count}. Without --accept-changes the run would be "
    "refused."
)


@attrs.define(eq=False)
class Compared:
    """The result of comparing the rows of a plan with a journal.

    Attributes:
        has_journal: Whether the journal exists.
        rows: How many rows the plan has.
        rows_in_journal: How many rows the journal's plan has.
        states: How many rows of the plan are in the journal, by state.
        changed: How many rows are to be the default in the plan or in the journal, but not both.
        lines: The chosen rows.
    """

    has_journal: bool = False
    rows: int = 0
    rows_in_journal: int = 0
    states: Counter[str] = attrs.field(factory=Counter[str])
    changed: int = 0
    lines: list[PreviewLine] = attrs.field(factory=list[PreviewLine])

    @property
    def differences(self) -> int:
        if not self.rows_in_journal:
            return 0  # the plan is the first of the journal
        known = self.states.total()
        return (self.rows - known) + (self.rows_in_journal - known) + self.changed


def compare(plan: Plan, job: JobOptions) -> Compared:
    compared, settled = Compared(), settled_states(job)
    with journal_reader(job.journal) as reader:
        if reader is not None:
            compared.has_journal, compared.rows_in_journal = True, reader.row_count()
        rows = reader.compare(plan.rows) if reader else ((row, None) for row in plan.rows)
        for row, found in rows:
            compared.rows += 1
            state, is_default = found or (None, row.is_default)
            compared.changed += is_default is not row.is_default
            if state is not None:
                compared.states[state] += 1
            if plan.is_chosen(row):
                line = PreviewLine.of_row(row, state)
                compared.lines.append(line.settled() if state in settled else line)
    return compared


def settled_states(job: JobOptions) -> tuple[str, ...]:
    """Return the states in which the run leaves a row unchanged."""
    return (RowState.DONE,) if job.retry_refused else (RowState.DONE, RowState.REFUSED)


def journal_reader(path: JournalPlace | None) -> AbstractContextManager[JournalReader | None]:
    return nullcontext() if path is None or not is_stored(path) else JournalReader(path)


def show_compared(job: JobOptions, compared: Compared) -> None:
    if not compared.rows_in_journal:
        echo(job.said(_JOURNAL_EMPTY, journal=job.journal, count=compared.rows))
        return
    settled = settled_states(job)
    counts = [counted(compared.states[state], state, job.language) for state in settled]
    unknown = sum(compared.states[state] for state in UNRESOLVED)
    left = compared.rows - sum(compared.states[state] for state in settled) - unknown
    values = {"settled": ", ".join(counts), "unknown": unknown, "left": left}
    echo(job.said(_JOURNAL_HAS, journal=job.journal, **values))
    if compared.differences and not job.accept_changes:
        echo(job.said(_JOURNAL_DIFFERS, count=compared.differences))


def settled_texts(lines: Iterable[PreviewLine], language: Language) -> Iterator[str]:
    """Yield a text on how many lines the run leaves unchanged, if there are any."""
    found = Counter(line.journal for line in lines if line.is_settled and line.journal is not None)
    states = [counted(count, state, language) for state, count in sorted(found.items())]
    if states:
        yield word(_LEFT, language, states=", ".join(states))
