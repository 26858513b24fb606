"""The `Journal` protocol: intents and outcomes, kept across crashes.

A job keeps one entry for each of its items, in a table that the job's package defines. The store,
SQLite or another, does not know the meaning of the columns.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, Unpack, runtime_checkable

import attrs

from invoicexpress_async.errors import ConfigurationError, ErrorContext, InvoiceXpressError

Value: TypeAlias = str | int | float | None
"""The value of one column of an entry; a bool is stored as an int."""
Entry: TypeAlias = Mapping[str, Value]
"""One entry of a table, by column."""
Key: TypeAlias = tuple[str, ...]
"""The values of the key columns of an entry, in their order."""
Commit: TypeAlias = asyncio.Future[None]
"""Done when a write is durable; raises JournalError when the write fails."""


class JournalState(StrEnum):
    """Every state that an entry of a journal can have."""

    PLANNED = "planned"
    """Nothing was sent."""
    OPEN = "open"
    """A company is between two steps, and none of its requests is unresolved."""
    INTENT = "intent"
    """The request may have been sent: the intent is durable, and no outcome is."""
    UNKNOWN = "unknown"
    """The request was sent, and its outcome is unknown."""
    ABSENT = "absent"
    """The request was sent, and a complete list did not show its sequence."""
    DONE = "done"
    PREPARED = "prepared"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    KEY_LOST = "key_lost"


UNRESOLVED: Final = frozenset({JournalState.INTENT, JournalState.UNKNOWN, JournalState.ABSENT})
"""The states of requests that may have taken effect: they are looked up before anything else."""


class Column(NamedTuple):
    """A column of a table, and the type of its values. Any column outside the key may be empty."""

    name: str
    kind: type[str] | type[int] | type[float]


@attrs.frozen(kw_only=True, cache_hash=True)
class Table:
    """A table of a journal. A column that an older journal lacks is added to it.

    Attributes:
        name: The table's name in the database.
        key: The text columns that identify an entry.
        requested: The columns that a plan gives; an entry is planned again when they change.
        columns: The other columns. Every table also has `state`, `is_in_plan` and `updated_at`.
    """

    name: str
    key: tuple[str, ...]
    requested: tuple[Column, ...] = ()
    columns: tuple[Column, ...]

    def key_of(self, entry: Entry) -> Key:
        """Return the key of an entry."""
        return tuple(str(entry[name]) for name in self.key)

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """All columns, those of the key first."""
        keys = tuple(Column(name, str) for name in self.key)
        common = Column("state", str), Column("is_in_plan", int), Column("updated_at", float)
        return (*keys, *self.requested, *common, *self.columns)


class PlanChange(NamedTuple):
    """An entry on which a plan and a journal do not agree."""

    kind: Literal["added", "removed", "changed"]
    key: Key
    state: str | None


@attrs.frozen(kw_only=True)
class PlanChanges:
    """The differences between a plan and the plan that a journal has.

    Attributes:
        counts: The number of differing entries, by kind.
        first: Some of the differing entries.
        lost: The keys of some entries that are unresolved and not in the plan any more.
    """

    counts: Mapping[str, int]
    first: tuple[PlanChange, ...]
    lost: tuple[Key, ...]


class Change(NamedTuple):
    """New values for columns of one entry.

    Columns that a plan gives are compared, not changed: when the entry has other values by now,
    the outcome is of another request, and the state "done" or "refused" is written as "planned".

    Nothing is written when the entry has lost its `expected` values: another process changed it.
    """

    table: Table
    key: Key
    values: Entry
    expected: Entry = MappingProxyType({})


INTENTS: Final = Table(
    name="intents",
    key=("kind", "account", "subject"),
    columns=(
        Column("token", str),
        Column("replaced", str),
        Column("intent", str),
        Column("claimed_at", str),
    ),
)
"""The claims: one entry for each request that must not be sent twice. Its key is:

- `create`, the account, the serie;
- `register`, the account, the sequence id;
- `create_account`, the fiscal number, ""; without a number the e-mail, the organization's name;
- `at_communication`, the account, "": the claim to send AT credentials. It is not an `Intent`.
"""
AT_COMMUNICATION: Final = "at_communication"
OF_A_SEQUENCE: Final = frozenset({"create", "register"})
"""The kinds of claims whose outcome can be looked up."""

CLAIMABLE: Final = frozenset({JournalState.PLANNED, JournalState.REFUSED, JournalState.FAILED})
"""The states of an intent that was not sent, or that the server refused without effect."""


@attrs.frozen(kw_only=True)
class Claim:
    """The right to send one request, once.

    Attributes:
        key: The key of the claim's entry in `INTENTS`.
        token: Known only to the claimer; every later write of the entry must carry it.
        intent: The request to be sent, as JSON without a secret.
        claimed_at: A `Timestamp`, as text.
        replaces: The token of the claim that this one takes over, because the sequence of that
            claim was absent for long enough; None for a first claim.
    """

    key: Key
    token: str
    intent: str
    claimed_at: str
    replaces: str | None = None


@runtime_checkable
class Journal(Protocol):
    """A store of entries. Every method raises JournalError when it cannot read or write."""

    @property
    def label(self) -> str:
        """The journal's name for people, without a secret."""
        ...

    async def prepare(self, table: Table) -> None:
        """Create the table, or add the columns that it lacks."""
        ...

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write a property of the job, such as its kind, once; return the value that is written.

        Returns None when there is no value and `unless_used` has entries, of another kind of job.
        """
        ...

    async def begin_plan(self, table: Table) -> None:
        """Begin to compare a plan with the entries."""
        ...

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add entries to the plan: the key and the requested columns of each."""
        ...

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return the differences between the plan and the entries; change nothing yet."""
        ...

    async def enter_plan(self, table: Table) -> None:
        """Apply the plan: new entries are planned, and missing entries leave the plan."""
        ...

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Add one entry, with its key and requested columns, to the plan; return it as stored."""
        ...

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; all entries must exist."""
        ...

    async def read(
        self, table: Table, *, states: frozenset[JournalState] | None = None
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states."""
        ...

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key does not exist yet."""
        ...

    def write(self, *changes: Change) -> Commit:
        """Change entries together, in the order of the calls."""
        ...

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        """Claim the right to send, in one durable transaction with the changes.

        The claim is won when its key has no entry, when the entry's state is in `CLAIMABLE`, or
        when the entry's token is the one that the claim replaces. Returns None when it is won;
        else changes nothing and returns the entry: the caller must read, and must not send.
        """
        ...

    def settle(self, claim: Claim, state: JournalState, *changes: Change) -> Commit:
        """Write the outcome of a claimed request, together with the changes.

        The returned commit raises ClaimLostError, and nothing is written, when another process
        has taken the claim over. An intent that is done stays done.
        """
        ...

    def observe(self, key: Key) -> Commit:
        """Write that the result of an intent was seen to exist, whichever process sent it."""
        ...


@runtime_checkable
class RightToSend(Protocol):
    """A journal whose right to send expires: after that, another process may send instead."""

    def check_right(self) -> None:
        """Raise JournalError when the right has expired, or may have: nothing may be sent."""
        ...


SHARE: Final = (
    "Wait for its end. Or let both use it at the same time: each of them shares it, a command with "
    "--shared-journal, a program with SqliteJournal(path, shared=True)."
)
NEWER: Final = (
    "Use that version of this program, or a later one. This one has changed nothing in the journal."
)
DAMAGED: Final = (
    'Keep the file, and see "A lost or damaged journal" in docs/bulk-job.md before you start '
    "another one: that does not know what this one has sent."
)


class JournalError(InvoiceXpressError):
    """The journal cannot be read or written: nothing is sent without it."""

    cure: str = (
        "Correct the named problem and run the same command again. The journal loses nothing."
    )

    def __init__(
        self, message: str = "", *, cure: str | None = None, **context: Unpack[ErrorContext]
    ) -> None:
        super().__init__(message, **context)
        self.cure = cure or self.cure


class ClaimLostError(JournalError):
    """Another process has taken over a claim of this process, and has its outcome.

    This happens to a process that was frozen for long: it must not write its outdated state.
    """

    cure = "Run the same command again: it goes on from what the other process has written."


@attrs.frozen(kw_only=True)
class Difference:
    """One row on which the plan and the journal do not agree.

    Attributes:
        kind: "added" to the plan, "removed" from it, or "changed" in its default.
        account: The account's name.
        serie: The name of the sequence.
        state: The row's state in the journal; None for an added row.
    """

    kind: Literal["added", "removed", "changed"]
    account: str
    serie: str
    state: str | None = None


class JournalDifferenceError(ConfigurationError):
    """The journal belongs to another plan: rows were added, removed or changed since.

    Attributes:
        differences: The first differences, at most 100.
        count: The number of all differences.
    """

    cure = (
        "Take another journal for another plan; or accept the changes, with accept_changes=True "
        "or --accept-changes, if this is the same job and the new input is right."
    )

    def __init__(
        self,
        message: str = "",
        *,
        differences: tuple[Difference, ...] = (),
        count: int = 0,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.differences = differences
        self.count = count


def check_journal(journal: object) -> Journal:
    """Return the journal; refuse anything else, such as a path given by mistake.

    Raises:
        ConfigurationError: it is not a journal.
    """
    if not isinstance(journal, Journal):
        kind = type(journal).__name__
        raise ConfigurationError(
            f"journal is of type {kind}: give an open one, as in "
            "`async with SqliteJournal(path) as journal`."
        )
    return journal
