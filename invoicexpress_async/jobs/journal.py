"""The `Journal` protocol: intents and outcomes, kept across crashes.

A job keeps one entry for each of its items, in a table that its package owns. The store, SQLite
or another, knows nothing of what the columns mean.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, Unpack, runtime_checkable

import attrs

from invoicexpress_async.errors import ConfigurationError, ErrorContext, InvoiceXpressError

Value: TypeAlias = str | int | float | None
"""What one column of one entry holds; a bool is an int to a database."""
Entry: TypeAlias = Mapping[str, Value]
"""One entry of a table, by column."""
Key: TypeAlias = tuple[str, ...]
"""The values of the key columns of an entry, in their order."""
Commit: TypeAlias = asyncio.Future[None]
"""Done when something is durable, or with a JournalError."""


class JournalState(StrEnum):
    """Every state that an entry of a journal can have."""

    PLANNED = "planned"
    """Nothing was sent."""
    OPEN = "open"
    """A company between two steps: nothing of it is unresolved."""
    INTENT = "intent"
    """It may have been sent: the intent is durable, and no outcome is."""
    UNKNOWN = "unknown"
    """It was sent, and its outcome is not known."""
    ABSENT = "absent"
    """It was sent, and a complete list did not show it."""
    DONE = "done"
    PREPARED = "prepared"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    KEY_LOST = "key_lost"


UNRESOLVED: Final = frozenset({JournalState.INTENT, JournalState.UNKNOWN, JournalState.ABSENT})
"""The states of what may have taken effect: it is looked up before anything else."""


class Column(NamedTuple):
    """A column of a table, and the type of its values; all may be empty but those of the key."""

    name: str
    kind: type[str] | type[int] | type[float]


@attrs.frozen(kw_only=True, cache_hash=True)
class Table:
    """A table of a journal. A column that an older journal lacks is added to it.

    Attributes:
        name: In the database.
        key: The text columns that name an entry.
        requested: The columns that a plan gives; an entry of which they changed is planned anew.
        columns: The others. `state` and `updated_at` are among those of every table.
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
    """How a plan differs from the one that a journal has.

    Attributes:
        counts: How many entries, by kind.
        first: Some of them.
        lost: Some entries that are unresolved and not in the plan any more.
    """

    counts: Mapping[str, int]
    first: tuple[PlanChange, ...]
    lost: tuple[Key, ...]


class Change(NamedTuple):
    """Columns of one entry to be changed.

    Columns that a plan gives are not changed. They say what the outcome is of: when the entry has
    others by now, it is not done but planned.

    With a token, nothing of it is written when the entry has another one: then another process
    has taken it over since.
    """

    table: Table
    key: Key
    values: Entry
    token: str | None = None


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
"""Who may send what. One entry for each request that must not be sent twice:

- `create`, the account, the serie;
- `register`, the account, the sequence's id;
- `create_account`, the fiscal number or e-mail, nothing;
- `at_communication`, the account, nothing: of who sends credentials. It is no `Intent`.
"""
AT_COMMUNICATION: Final = "at_communication"

CLAIMABLE: Final = frozenset({JournalState.PLANNED, JournalState.REFUSED, JournalState.FAILED})
"""The states of an intent that nothing was sent of, or that the server refused without effect."""


@attrs.frozen(kw_only=True)
class Claim:
    """The right to send one request, once.

    Attributes:
        key: Of its entry in `INTENTS`.
        token: Known to the claimer only; every later write of the entry must carry it.
        intent: What is to be sent, as JSON without a secret.
        claimed_at: A `Timestamp`, as text.
        replaces: The token of a claim that this one takes over, because its request was found
            absent for long enough; None for a first one.
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
        """Its name for people, without a secret."""
        ...

    async def prepare(self, table: Table) -> None:
        """Make the table, or add the columns that it lacks."""
        ...

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write what kind of job this is, if that is not written yet; return what is written.

        None when nothing is, and the table has entries: they are of another kind of job.
        """
        ...

    async def begin_plan(self, table: Table) -> None:
        """Begin to compare a plan with the entries."""
        ...

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Note some entries of the plan: key and what is requested."""
        ...

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return how the plan differs; nothing is changed yet."""
        ...

    async def enter_plan(self, table: Table) -> None:
        """Take the plan over: new entries are planned, missing ones leave the plan."""
        ...

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Take one entry, key and what is requested, into the plan and return what is there."""
        ...

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in their order; every one must be there."""
        ...

    async def read(
        self, table: Table, *, states: frozenset[JournalState] | None = None
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states."""
        ...

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key is not there yet."""
        ...

    def write(self, *changes: Change) -> Commit:
        """Change entries together, in the order of the calls."""
        ...

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        """Win the right to send, in one durable transaction with the changes, or change nothing.

        It is won when the key is not claimed, when what was claimed is `CLAIMABLE`, or when
        the present token is the one that the claim replaces. Returns None then, and the entry as
        it is otherwise: who does not win reads, and never sends.
        """
        ...

    def settle(self, claim: Claim, state: JournalState, *changes: Change) -> Commit:
        """Write the outcome of a claimed request, together with the changes.

        What is returned raises ClaimLostError, and nothing is written, when another has taken
        the claim over. An intent that is done stays done.
        """
        ...

    def observe(self, key: Key) -> Commit:
        """Write that what an intent requested was seen to exist, whichever process sent it."""
        ...


@runtime_checkable
class RightToSend(Protocol):
    """A journal that is held for a time, after which another process may send for its accounts."""

    def check_right(self) -> None:
        """Raise JournalError when the time has run out, or may have: nothing may be sent."""
        ...


class JournalError(InvoiceXpressError):
    """The journal cannot be read or written: nothing is sent without it."""

    cure = "Correct what is named and run the same command again. What a journal has is kept."


class ClaimLostError(JournalError):
    """Another process has taken over what this one had claimed, and has its outcome.

    It happens to a process that was frozen for long: it must not write what it knew before.
    """

    cure = "Run the same command again: it goes on from what the other process has written."


@attrs.frozen(kw_only=True)
class Difference:
    """One row that the plan and the journal do not agree on.

    Attributes:
        kind: "added" to the plan, "removed" from it, or "changed" in its default.
        account: The account's name.
        serie: The name of the sequence.
        state: What the journal says of it; None of an added one.
    """

    kind: Literal["added", "removed", "changed"]
    account: str
    serie: str
    state: str | None = None


class JournalDifferenceError(ConfigurationError):
    """The journal is of another plan: rows were added, removed or changed since.

    Attributes:
        differences: The first of them, at most 100.
        count: How many there are.
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
    """Return a journal, or refuse what is none; its path is a natural slip.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(journal, Journal):
        kind = type(journal).__name__
        raise ConfigurationError(
            f"journal is of type {kind}: give an open one, as in "
            "`async with SqliteJournal(path) as journal`."
        )
    return journal
