"""Slices of the accounts: one process at a time holds a slice, and only it sends for its accounts.

A hold has an epoch, which only grows, and a lease. Writes need the present epoch, and sends need a
lease that has not ended. The database's clock decides when another process may take a slice; the
holder stops earlier, by its own clock, which counts the time of a suspended machine.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import attrs

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.journal import (
    Entry,
    JournalError,
    JournalState,
    Key,
    PlanChanges,
    Table,
    Value,
)
from invoicexpress_async.jobs.postgres.fence import Fence, FencedError
from invoicexpress_async.jobs.postgres.view import JournalView

if TYPE_CHECKING:
    from invoicexpress_async.jobs.postgres.session import JournalSession

Slots: TypeAlias = Mapping[str, Mapping[int, int]]
"""For each account, the limiter slots in use: their number by seconds until they are free."""

# The part of a lease after which the holder stops, before another process may begin.
_CERTAIN: Final = 0.9


@attrs.frozen(kw_only=True)
class SliceLeft:
    """A slice with rows that are not done.

    Attributes:
        number: The number of the slice.
        rows: The number of its open rows.
        due: When it is to be worked on again; None for now.
        holder: The present holder, such as "process 4711 on host"; None when there is none.
        since: When the holder took it.
        until: When the holder's lease ends, unless it is renewed.
        over_seconds: The seconds since the lease ended, by the database's clock; below 0 before
            its end, None when no process holds the slice.
        due_seconds: The seconds since the slice became due, by the database's clock; below 0
            before that, None when `due` is None.
    """

    number: int
    rows: int
    due: dt.datetime | None
    holder: str | None
    since: dt.datetime | None
    until: dt.datetime | None
    over_seconds: float | None = None
    due_seconds: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether the slice was due and not held at the time when it was read."""
        # Not by this machine's clock, which may show a slice that just became due as not due yet.
        return all(one is None or one >= 0 for one in (self.over_seconds, self.due_seconds))


@attrs.frozen(kw_only=True)
class Recently:
    """The limiter slots that the last holder had in use when it released a slice.

    Attributes:
        slots: For each account, the number of slots by seconds until they are free again.
        seconds_ago: The seconds since the release.
    """

    slots: Slots = attrs.field(factory=dict[str, Mapping[int, int]])
    seconds_ago: float = 0.0


@attrs.define(eq=False, kw_only=True)
class HeldSlice(JournalView):
    """The journal of the accounts of one slice, while this process holds the slice.

    A job uses it as its journal. Nothing is written when another process has taken the slice over,
    and nothing is sent when one may have.

    Attributes:
        number: The number of the slice.
        epoch: The epoch of this hold.
        recently: The limiter slots that the last holder had in use.
    """

    number: int
    epoch: int
    recently: Recently
    _session: "JournalSession" = attrs.field(alias="session")
    _clock: Clock = attrs.field(alias="clock")
    _until: float = attrs.field(alias="until")
    # None until this process has worked on the slice: until then, the last holder's note stays.
    _used: Slots | None = attrs.field(default=None, init=False)
    _seen: dict[Key, Entry] = attrs.field(factory=dict[Key, Entry], init=False)

    def _opened(self) -> "JournalSession":
        return self._session

    @property
    def label(self) -> str:
        """The journal's label and the slice, for people."""
        return f"{self._session.label}, slice {self.number}"

    @property
    def fence(self) -> Fence:
        """The fence that each write carries."""
        return Fence(self.number, self.epoch)

    @property
    def is_held(self) -> bool:
        """Whether the slice is certainly still held."""
        return self._clock.uptime() < self._until

    def check_right(self) -> None:
        """Refuse to send when another process may have taken the slice over.

        Raises:
            FencedError: another process may have taken it over.
        """
        if not self.is_held:
            raise FencedError(
                f"Slice {self.number} may be another process's by now: nothing was sent."
            )

    def extend(self, until: float) -> None:
        """Extend the hold to a time on the clock that counts a suspended machine's time."""
        self._until = max(self._until, until)

    def lose(self) -> None:
        """End the hold: nothing is sent for the slice from now on."""
        self._until = float("-inf")

    def note_used(self, slots: Slots) -> None:
        """Note the slots in use of the accounts' limits, which the release records."""
        self._used = slots

    @property
    def used(self) -> Slots | None:
        """The slots to record for the next holder; None to keep the last holder's."""
        return self._used

    async def open_entries(self, table: Table, states: frozenset[JournalState]) -> list[Entry]:
        """Return the entries of the plan in some states; `admit` refuses those changed later."""
        entries = await self._session.read(table, states=states, slice_=self.number)
        self._seen = {table.key_of(entry): entry for entry in entries}
        return entries

    async def begin_plan(self, table: Table) -> None:
        """Refuse: a plan belongs to the whole journal."""
        self._refuse_plan(table)

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Refuse: a plan belongs to the whole journal."""
        del entries
        self._refuse_plan(table)

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Refuse: a plan belongs to the whole journal."""
        self._refuse_plan(table)

    async def enter_plan(self, table: Table) -> None:
        """Refuse: a plan belongs to the whole journal."""
        self._refuse_plan(table)

    def _refuse_plan(self, table: Table) -> NoReturn:
        raise JournalError(f"A slice has no plan of {table.name}: enter it into the journal.")

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Return an entry of the plan as stored; add nothing.

        Raises:
            JournalError: the plan lacks the entry, or changed it since the slice was read.
        """
        key = table.key_of(entry)
        (known,) = await self._session.look_up(table, [key])
        if not known or not known["is_in_plan"]:
            raise JournalError(f"The plan has no entry {', '.join(key)}.")
        seen = self._seen.get(key, known)
        if any(seen[one.name] != known[one.name] for one in table.requested):
            raise JournalError(f"The plan of {', '.join(key)} was changed: it is read again.")
        return known


def certain_until(asked_at: float, lease_seconds: float) -> float:
    """Return until when a lease that was requested at `asked_at` certainly lasts."""
    return asked_at + _CERTAIN * lease_seconds


def dump_slots(slots: Slots) -> str:
    """Return slots as text."""
    return json.dumps({name: [*one.items()] for name, one in slots.items()})


def load_slots(text: str | None) -> Slots:
    """Read what `dump_slots` wrote."""
    found: Mapping[str, Sequence[tuple[int, int]]] = json.loads(text) if text else {}
    return {name: dict(one) for name, one in found.items()}


def slices_left_of(rows: Sequence[Entry]) -> list[SliceLeft]:
    """Return the slices from the rows of the statement `slices_left`."""
    return [
        SliceLeft(
            number=int(one["slice"] or 0),
            rows=int(one["count"] or 0),
            due=_time(one["due"]),
            holder=None if one["holder"] is None else str(one["holder"]),
            since=_time(one["since"]),
            until=_time(one["until"]),
            over_seconds=_float(one["over"]),
            due_seconds=_float(one["due_for"]),
        )
        for one in rows
    ]


def _float(value: Value) -> float | None:
    return None if value is None else float(value)


def _time(seconds: object) -> dt.datetime | None:
    if not isinstance(seconds, float):
        return None
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
