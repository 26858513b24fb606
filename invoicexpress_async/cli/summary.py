"""What is kept of a run while it goes on: counts, kinds of failures, a few rows. Not all of it."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from invoicexpress_async import Intent
from invoicexpress_async.cli.shell import DONE, FAILED, UNKNOWN
from invoicexpress_async.cli.views.row_view import GOOD, IN_DOUBT, STATES, UNPLANNED, ShownRow
from invoicexpress_async.errors import StatusError
from invoicexpress_async.provisioning import RowState

_MOST_ROWS: Final = 20


@attrs.define(eq=False)
class Kind:
    """Rows that ended alike, and the first of them in the order of the file."""

    rows: int
    line: int
    account: str


@attrs.define(kw_only=True, eq=False)
class Tally:
    """The rows that have ended.

    Attributes:
        total: The rows of the plan, and the accounts that got no row.
        counts: By state.
        created: How many sequences this run is known to have made.
        recorded: How many rows an earlier run had settled.
        recorded_done: How many of these are done.
        kinds: The failures, by state, code and cure.
        intents: Of all that is in doubt.
    """

    total: int
    counts: Counter[str] = attrs.field(factory=Counter[str])
    created: int = 0
    recorded: int = 0
    recorded_done: int = 0
    kinds: dict[tuple[str, str, str], Kind] = attrs.field(factory=dict[tuple[str, str, str], Kind])
    intents: list[Intent] = attrs.field(factory=list[Intent])
    _first: list[tuple[int, int, int, ShownRow]] = attrs.field(
        factory=list[tuple[int, int, int, ShownRow]]
    )
    _order: Iterator[int] = attrs.field(factory=itertools.count)

    def note(self, row: ShownRow) -> None:
        """Count one; its sequence is kept only if it is among the first that need a person."""
        self.counts[row.state] += 1
        self.created += row.created is True
        self.recorded += row.is_recorded
        self.recorded_done += row.is_recorded and row.is_good
        if row.intent is not None:
            self.intents.append(row.intent)
        if row.error is not None:
            kind = self.kinds.setdefault(
                (row.state, _code(row), row.cure or ""), Kind(0, row.line, row.account)
            )
            kind.rows += 1
            if row.line < kind.line:
                kind.line, kind.account = row.line, row.account
        if not (row.is_good and row.is_recorded):  # of these, nothing is known but that
            self._keep(row)

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return self.counts.total()

    @property
    def not_started(self) -> int:
        """How many rows have not."""
        return self.total - self.ended

    @property
    def in_doubt(self) -> int:
        """How many rows were sent and are not known to have worked."""
        return sum(self.counts[state] for state in IN_DOUBT)

    @property
    def is_complete(self) -> bool:
        """Whether all have ended well."""
        return sum(self.counts[state] for state in GOOD) == self.total

    @property
    def exit_code(self) -> int:
        """The exit code of a run that ended by itself."""
        if self.in_doubt:
            return UNKNOWN
        return DONE if set(self.counts) <= {*GOOD} else FAILED

    def first(self) -> list[ShownRow]:
        """Return the first rows in the order of the file, those that need a person before all."""
        return [row for *_, row in sorted(self._first, key=lambda one: one[:3], reverse=True)]

    def ordered_kinds(self) -> Iterable[tuple[tuple[str, str, str], Kind]]:
        """Return the failures in the order of the file."""
        return sorted(self.kinds.items(), key=lambda one: one[1].line)

    def _keep(self, row: ShownRow) -> None:
        # The one to go first is the least of the heap.
        entry = (-int(row.is_good), -row.line, -next(self._order), row)
        if len(self._first) < _MOST_ROWS:
            heapq.heappush(self._first, entry)
        else:
            heapq.heappushpop(self._first, entry)


def count_text(counts: Counter[str]) -> str:
    """Return the counts of the states that occurred, such as "12 done, 1 refused"."""
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def code_text(state: str, error: str | None, status: int | None, code: str | None) -> str:
    """Return what the server answered, in a word, or else what went wrong."""
    if status is not None:
        return f"{status}/{code}" if code else str(status)
    # Without an answer the class says it, unless the state does.
    is_told = state in {RowState.PARTIAL, UNPLANNED, "intent", *IN_DOUBT}
    return "-" if is_told else (error or "").removesuffix("Error")


def _code(row: ShownRow) -> str:
    status = row.error.status if isinstance(row.error, StatusError) else None
    return code_text(row.state, row.error_name, status, row.code)
