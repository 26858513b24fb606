"""Slices of the accounts: each is held by one process at a time, which alone sends for them.

A hold has an epoch, which only grows and without which nothing is written, and a lease, without
which nothing is sent. The database's clock decides when another may take a slice; the holder
stops earlier, on its own clock that counts the time of a suspended machine.
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
"""Of each account: how many slots of its limit are free again in how many seconds."""

# The holder stops so much earlier than another may begin.
_CERTAIN: Final = 0.9


@attrs.frozen(kw_only=True)
class SliceLeft:
    """A slice with rows that are not done.

    Attributes:
        number: Of the slice.
        rows: How many are open.
        due: When it is to be worked on again; None for now.
        holder: Who holds it now, such as "process 4711 on host"; None when nobody does.
        since: Since when.
        until: When the holder's lease ends, unless it is renewed.
        over_seconds: For how many seconds it has been over, by the database's clock; below 0 while
            it is not, None when nobody holds it.
        due_seconds: For how many seconds it has been due, by the database's clock; below 0 while it
            is not, None when it is for now.
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
        """Whether it was to be worked on when it was read, and nobody was known to do it."""
        # Not by the clock of this machine: what was just made due would not be.
        return all(one is None or one >= 0 for one in (self.over_seconds, self.due_seconds))


@attrs.frozen(kw_only=True)
class Recently:
    """What the last holder had sent when it let a slice go.

    Attributes:
        slots: Of each account: how many slots of its limit are free again in how many seconds.
        seconds_ago: When that was.
    """

    slots: Slots = attrs.field(factory=dict[str, Mapping[int, int]])
    seconds_ago: float = 0.0


@attrs.define(eq=False, kw_only=True)
class HeldSlice(JournalView):
    """The journal of the accounts of one slice, while this process holds it.

    It is what a job is given as its journal. Nothing is written with it, and nothing is sent,
    once another process has taken the slice over, or may have.

    Attributes:
        number: Of the slice.
        epoch: Of this hold.
        recently: What the last holder had sent.
    """

    number: int
    epoch: int
    recently: Recently
    _session: "JournalSession" = attrs.field(alias="session")
    _clock: Clock = attrs.field(alias="clock")
    _until: float = attrs.field(alias="until")
    # None until something was worked on: what the last holder has noted holds on then.
    _used: Slots | None = attrs.field(default=None, init=False)
    _seen: dict[Key, Entry] = attrs.field(factory=dict[Key, Entry], init=False)

    def _opened(self) -> "JournalSession":
        return self._session

    @property
    def label(self) -> str:
        """Its name, for people."""
        return f"{self._session.label}, slice {self.number}"

    @property
    def fence(self) -> Fence:
        """What each write brings with it."""
        return Fence(self.number, self.epoch)

    @property
    def is_held(self) -> bool:
        """Whether it certainly is still held."""
        return self._clock.uptime() < self._until

    def check_right(self) -> None:
        """Refuse to send when another process may have taken the slice over.

        Raises:
            FencedError: it may have.
        """
        if not self.is_held:
            raise FencedError(
                f"Slice {self.number} may be another process's by now: nothing was sent."
            )

    def extend(self, until: float) -> None:
        """Hold it longer, on the clock that counts a suspended machine's time."""
        self._until = max(self._until, until)

    def lose(self) -> None:
        """Send nothing for it from now on."""
        self._until = float("-inf")

    def note_used(self, slots: Slots) -> None:
        """Keep what is in use of the accounts' limits for the next holder, at the release."""
        self._used = slots

    @property
    def used(self) -> Slots | None:
        """What the next holder is to know; None for what the last one left."""
        return self._used

    async def open_entries(self, table: Table, states: frozenset[JournalState]) -> list[Entry]:
        """Return the entries of the plan in some states; `admit` refuses what is changed later."""
        entries = await self._session.read(table, states=states, slice_=self.number)
        self._seen = {table.key_of(entry): entry for entry in entries}
        return entries

    async def begin_plan(self, table: Table) -> None:
        """Refuse: a plan is of the whole journal."""
        self._refuse_plan(table)

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Refuse: a plan is of the whole journal."""
        del entries
        self._refuse_plan(table)

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Refuse: a plan is of the whole journal."""
        self._refuse_plan(table)

    async def enter_plan(self, table: Table) -> None:
        """Refuse: a plan is of the whole journal."""
        self._refuse_plan(table)

    def _refuse_plan(self, table: Table) -> NoReturn:
        raise JournalError(f"A slice has no plan of {table.name}: enter it into the journal.")

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Return what is there of an entry of the plan; nothing is added.

        Raises:
            JournalError: it is not there, or the plan was changed since the slice was read.
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
    """Return until when a lease is certainly not over, if it was requested then."""
    return asked_at + _CERTAIN * lease_seconds


def dump_slots(slots: Slots) -> str:
    """Return slots as text."""
    return json.dumps({name: [*one.items()] for name, one in slots.items()})


def load_slots(text: str | None) -> Slots:
    """Read what `dump_slots` wrote."""
    found: Mapping[str, Sequence[tuple[int, int]]] = json.loads(text) if text else {}
    return {name: dict(one) for name, one in found.items()}


def slices_left_of(rows: Sequence[Entry]) -> list[SliceLeft]:
    """Return the slices that a statement has found."""
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
