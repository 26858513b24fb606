"""The summary of a run while it goes on: counts, groups of failures, and the first records."""

import abc
import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import attrs

from invoicexpress_async import Intent, Sequence
from invoicexpress_async.cli.failures import error_object
from invoicexpress_async.cli.shell import DONE, FAILED, UNKNOWN
from invoicexpress_async.cli.words import Language, word
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.journal import JournalState

_MAX_KEPT: Final = 20
_MAX_SERIES: Final = 3
_GOOD: Final = frozenset({JournalState.DONE, JournalState.PREPARED})
_UNKNOWN: Final = frozenset({JournalState.UNKNOWN, JournalState.ABSENT, JournalState.KEY_LOST})
_HINT: Final = "Of {example} it said: {hint}"


class Group(NamedTuple):
    """What the records of a group of failures have in common.

    Attributes:
        state: How they ended, or what is wrong with them, as a text for `words`.
        cure: What to do about it, as a text for `words`.
        code: The status and code of the response, or the error's short name.
        step: The step at which they failed.
    """

    state: str
    cure: str
    code: str = ""
    step: str = ""


class _Shown(Protocol):
    """A record that a `Digest` can keep."""

    @property
    def line(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def example(self) -> str: ...
    @property
    def group(self) -> Group | None: ...
    @property
    def hint(self) -> str: ...


@attrs.frozen(kw_only=True)
class Ended(abc.ABC):
    """The view of a row or a company that has ended."""

    line: int
    state: str
    serie: str | None
    step: str = ""
    created: bool | None = False
    sequence: Sequence | None = None
    error: InvoiceXpressError | None = None
    cure: str | None = None
    intent: Intent | None = None
    is_recorded: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the record is done or prepared, and needs no person."""
        return self.state in _GOOD

    @property
    def is_unknown(self) -> bool:
        """Whether a request was sent whose outcome is unknown."""
        return self.state in _UNKNOWN

    @property
    @abc.abstractmethod
    def is_shown(self) -> bool:
        """Whether the table may have a line for the record."""

    @property
    @abc.abstractmethod
    def rank(self) -> int:
        """The place in the order of the table; 0 comes first."""

    @property
    @abc.abstractmethod
    def example(self) -> str:
        """The name of the record as an example of its group."""

    @property
    @abc.abstractmethod
    def cause(self) -> str:
        """The status and code of a refusal, or another cause in short."""

    @property
    def hint(self) -> str:
        """The server's message, if the error has no better cure."""
        return ""

    @property
    def group(self) -> Group | None:
        """The group of the record's failure; None when it did not fail."""
        if self.error is None:
            return None
        return Group(state=self.state, cure=self.cure or "", code=self.cause, step=self.step)

    @property
    def failure(self) -> dict[str, object] | None:
        if self.error is None:
            return None
        return error_object(self.error) | {"cure": self.cure and word(self.cure, "en")}


S = TypeVar("S", bound=_Shown)
E = TypeVar("E", bound=Ended)


@attrs.define(eq=False)
class FailureGroup:
    """The count of records that failed alike, and the first of them in the order of the file."""

    count: int
    line: int
    example: str
    hint: str = ""

    def advice(self, cure: str, language: Language) -> str:
        text = word(cure, language)
        if not self.hint:
            return text
        said = word(_HINT, language, example=self.example, hint=self.hint)
        return f"{text} {said}"


@attrs.define(kw_only=True, eq=False)
class Digest(Generic[S]):
    """The first records and the groups of failures. Other records are not kept."""

    max_kept: int = _MAX_KEPT
    seen: int = 0
    groups: dict[Group, FailureGroup] = attrs.field(factory=dict[Group, FailureGroup])
    _kept: list[tuple[int, int, int, S]] = attrs.field(factory=list[tuple[int, int, int, S]])
    _order: Iterator[int] = attrs.field(factory=itertools.count)

    def keep(self, one: S) -> None:
        """Count the failure of a record, and keep the record if it is among the first."""
        self.seen += 1
        if one.group is not None:
            first = FailureGroup(0, one.line, one.example, one.hint)
            group = self.groups.setdefault(one.group, first)
            group.count += 1
            if one.line < group.line:
                group.line, group.example, group.hint = one.line, one.example, one.hint
        # Negated, so that the smallest entry of the heap is the record to drop.
        entry = (-one.rank, -one.line, -next(self._order), one)
        if len(self._kept) < self.max_kept:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def first(self) -> list[S]:
        """Return the first records: by rank, then in the order of the file."""
        return [one for *_, one in sorted(self._kept, key=lambda entry: entry[:3], reverse=True)]

    def ordered_groups(self) -> list[tuple[Group, FailureGroup]]:
        return sorted(self.groups.items(), key=lambda one: one[1].line)


@attrs.define(kw_only=True, eq=False)
class RunSummary(Digest[E]):
    """The digest and the counts of the rows or companies that have ended."""

    total: int
    counts: Counter[str] = attrs.field(factory=Counter[str])
    series: Counter[str] = attrs.field(factory=Counter[str])
    good: int = 0
    unknown: int = 0
    created: int = 0
    good_created: int = 0
    recorded: int = 0
    recorded_done: int = 0
    intents: list[Intent] = attrs.field(factory=list[Intent])

    def add(self, one: E) -> None:
        self.counts[one.state] += 1
        if one.serie is not None:
            self.series[one.serie] += 1
        self.good += one.is_good
        self.unknown += one.is_unknown
        self.created += one.created is True
        self.good_created += one.created is True and one.is_good
        self.recorded += one.is_recorded
        self.recorded_done += one.is_recorded and one.is_good
        if one.intent is not None:
            self.intents.append(one.intent)
        if one.is_shown:
            self.keep(one)

    @property
    def about(self) -> str:
        """The names of the most frequent series, and how many more there are."""
        first = [name for name, _ in self.series.most_common(_MAX_SERIES)]
        more = len(self.series) - len(first)
        return ", ".join(first) + (f" + {more}" if more else "")

    @property
    def ended(self) -> int:
        return self.counts.total()

    @property
    def failed(self) -> int:
        return self.ended - self.good

    @property
    def not_started(self) -> int:
        return self.total - self.ended

    @property
    def is_complete(self) -> bool:
        return self.good == self.total

    @property
    def exit_code(self) -> int:
        if self.unknown:
            return UNKNOWN
        return FAILED if self.failed else DONE
