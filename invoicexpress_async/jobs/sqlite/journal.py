"""`SqliteJournal`: intents and outcomes, durable before anything is sent."""

import json
import operator
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from invoicexpress_async.jobs.claims import observed
from invoicexpress_async.jobs.journal import (
    Change,
    Claim,
    Commit,
    Entry,
    JournalError,
    JournalState,
    Key,
    PlanChange,
    PlanChanges,
    Table,
    Value,
)
from invoicexpress_async.jobs.sqlite.batch import find, insert_all, rows_of
from invoicexpress_async.jobs.sqlite.statements import (
    create,
    definition,
    in_states,
    insert,
    look_up,
    plan,
    select,
)
from invoicexpress_async.jobs.sqlite.writer import GroupCommitWriter

_MAX_CHANGES_SHOWN: Final = 100


class SqliteJournal:
    """A SQLite file that carries a job over crashes: private (0600), durable at each commit.

    Use it with `async with`, for one run at a time. It contains account names, series and their
    outcomes, and never a key or a password. While it is open, SQLite keeps `-wal` and `-shm` files
    beside it, and a `-lease` file says which run holds it. Copy or move it only when no run holds
    it.

    Args:
        path: The file; it is created if it does not exist. Its folder must exist. A name is always
            a path, never a URI. Symbolic links are followed: a file is one journal under any name.
        shared: Whether other runs and services may have it open at the same time, if they share
            it too. Each request is then sent by one of them, and looked up by the others.
    """

    def __init__(self, path: str | os.PathLike[str], *, shared: bool = False) -> None:
        self.path: Path = Path(os.fspath(path))
        self._is_shared = shared
        self._is_open = False
        self._writer: GroupCommitWriter | None = None
        # By table: the differences that the last comparison has found.
        self._compared: dict[str, PlanChanges] = {}

    @property
    def label(self) -> str:
        """The path, for people."""
        return str(self.path)

    @property
    def writer(self) -> GroupCommitWriter:
        """The writer of the open journal.

        Raises:
            JournalError: the journal is not open.
        """
        if self._writer is None:
            raise JournalError(f"The journal {self.path} is not open: use `async with` on it.")
        return self._writer

    async def __aenter__(self) -> Self:
        """Open the journal.

        Raises:
            JournalError: another run holds it, or the file is not a journal, is of a newer
                version, is damaged or locked, or cannot be written.
        """
        if self._is_open:
            raise JournalError(f"The journal {self.path} is open already.")
        self._is_open = True
        writer = GroupCommitWriter(self.path, is_shared=self._is_shared)
        try:
            await writer.open()
        except BaseException:
            self._is_open = False
            await writer.close()
            raise
        self._writer, self.path = writer, writer.path
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        # The writer stays: a run that still goes on gets the error that the journal was closed.
        await self.writer.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A SqliteJournal is not pickled: open it in the process that runs the job.")

    async def prepare(self, table: Table) -> None:
        """Create the table, or add the columns that it lacks."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(create(table))
            present = _columns(connection, table)
            for column in table.all_columns:
                if column.name not in present:
                    connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {definition(column)}")

        await self.writer.run(work)

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write a property of the job, such as its kind, once; return the value that is written."""

        def work(connection: sqlite3.Connection) -> str | None:
            query = "SELECT value FROM job WHERE name = ?"
            known = connection.execute(query, (name,)).fetchone()
            if known is not None:
                return str(known[0])
            if _is_used(connection, unless_used):
                return None
            connection.execute("INSERT INTO job VALUES (?, ?)", (name, value))
            return value

        return await self.writer.run(work)

    async def begin_plan(self, table: Table) -> None:
        """Begin to compare a plan with the entries."""

        def work(connection: sqlite3.Connection) -> None:
            for statement in plan(table).begin:
                connection.execute(statement)

        await self.writer.run(work)

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add entries to the plan: the key and the requested columns of each."""
        rows = list(map(_plan_values(table), entries))
        await self.writer.run(lambda one: insert_all(one, plan(table).add, rows))

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return the differences between the plan and the entries; change nothing yet."""
        changes = await self.writer.run(lambda connection: _compare(connection, table))
        self._compared[table.name] = changes
        return changes

    async def enter_plan(self, table: Table) -> None:
        """Apply the plan: new entries are planned, and missing entries leave the plan.

        Raises:
            JournalError: another plan was applied since the comparison.
        """
        compared = self._compared.pop(table.name, None)

        def work(connection: sqlite3.Connection) -> None:
            now = _compare(connection, table)
            has_changes = any(now.counts.values())
            if has_changes and compared is not None and _rows_of(now) != _rows_of(compared):
                raise JournalError(
                    f"Another plan was entered into the journal {self.label} at the same time. "
                    "Nothing was sent."
                )
            if has_changes or not _is_used(connection, table):
                connection.execute(plan(table).leave)
                connection.execute(plan(table).enter, (time.time(),))
            connection.execute(plan(table).empty)

        await self.writer.run(work)

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Add one entry, with its key and requested columns, to the plan; return it as stored."""

        def work(connection: sqlite3.Connection) -> Entry:
            values = _plan_values(table)(entry)
            connection.execute(plan(table).enter_one, (*values, time.time()))
            key = table.key_of(entry)
            return find(connection, table, [key]).get(key, {})

        return await self.writer.run(work)

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; all entries must exist."""

        def work(connection: sqlite3.Connection) -> list[Entry]:
            found = rows_of(connection.execute(look_up(table), (json.dumps(keys),)))
            if len(found) == len(keys):
                return found  # all exist, and are in the order of the keys
            by_key = {table.key_of(entry): entry for entry in found}
            return [by_key.get(key, {}) for key in keys]

        return await self.writer.run(work)

    async def read(
        self, table: Table, *, states: frozenset[JournalState] | None = None
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states."""
        condition = "" if states is None else in_states(states)
        query = select(table, _all_names(table), condition)
        return await self.writer.run(lambda one: rows_of(one.execute(query)))

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key does not exist yet."""

        def work(connection: sqlite3.Connection) -> None:
            for entry in entries:
                statement = insert(table, (*entry, "updated_at"))
                connection.execute(statement, (*entry.values(), time.time()))

        await self.writer.run(work)

    def write(self, *changes: Change) -> Commit:
        """Change entries together, in the order of the calls."""
        return self.writer.write(changes)

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        """Claim the right to send, or return the entry of its owner."""
        return await self.writer.claim(claim, changes)

    def settle(self, claim: Claim, state: JournalState, *changes: Change) -> Commit:
        """Write the outcome of a claimed request, unless another process has the claim now."""
        return self.writer.settle(claim, state, changes)

    def observe(self, key: Key) -> Commit:
        """Write that the result of an intent was seen to exist, whichever process sent it."""
        return self.writer.write(observed(key))


def _all_names(table: Table) -> frozenset[str]:
    return frozenset(column.name for column in table.all_columns)


def _columns(connection: sqlite3.Connection, table: Table) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table.name})")}


def _plan_values(table: Table) -> Callable[[Entry], tuple[Value, ...]]:
    return operator.itemgetter(*table.key, *(one.name for one in table.requested))


def _is_used(connection: sqlite3.Connection, table: Table) -> bool:
    used = f"SELECT 1 FROM {table.name} LIMIT 1"  # noqa: S608  # a name of our own
    return connection.execute(used).fetchone() is not None


def _counts(connection: sqlite3.Connection, table: Table) -> dict[str, int]:
    counts = connection.execute(plan(table).counts).fetchone()
    return dict(zip(plan(table).changes, counts, strict=True))


def _rows_of(changes: PlanChanges) -> tuple[object, ...]:
    return changes.counts, [(one.kind, one.key) for one in changes.first]


def _compare(connection: sqlite3.Connection, table: Table) -> PlanChanges:
    if not _is_used(connection, table):
        return PlanChanges(counts={}, first=(), lost=())
    counts = _counts(connection, table)
    first: list[PlanChange] = []
    for kind, query in plan(table).changes.items():
        limit = min(_MAX_CHANGES_SHOWN - len(first), counts[kind])
        if not limit:
            continue
        first += (
            PlanChange(kind=kind, key=tuple(key), state=state)  # type: ignore[arg-type]  # one of three
            for *key, state in connection.execute(f"{query} LIMIT {limit}")
        )
    unresolved = connection.execute(plan(table).lost) if counts["removed"] else ()
    lost = tuple(tuple(map(str, row[:-1])) for row in unresolved)
    return PlanChanges(counts=counts, first=tuple(first), lost=lost)
