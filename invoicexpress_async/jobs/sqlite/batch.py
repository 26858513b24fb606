"""What is requested together, carried out in one transaction and in as few statements as can be.

For each step of a statement the writing thread lets go of the interpreter, and waits to have it
back from the event loop. One statement for all claims of a transaction, instead of some for each,
halves the time of a job.
"""

import contextlib
import functools
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import attrs

from invoicexpress_async.jobs.journal import (
    INTENTS,
    Change,
    Claim,
    ClaimLostError,
    Commit,
    Entry,
    JournalState,
    Key,
    Table,
    Value,
)
from invoicexpress_async.jobs.sqlite.statements import look_up, marks, update, win

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
_Rows: TypeAlias = list[tuple[Value, ...]]

# More in one statement costs no less for each.
_MAX_ROWS: Final = 64


class Request(NamedTuple):
    """Some work; or changes; or a claim to be won, with changes; or what became of a claim.

    Attributes:
        done: Done when it is durable.
        work: What to run.
        changes: What to change.
        claim: What is claimed.
        state: What became of it; None when it is to be won.
        lost: Takes the entry of the one who has the claim.
    """

    done: Commit
    work: Work[None] | None = None
    changes: tuple[Change, ...] = ()
    claim: Claim | None = None
    state: JournalState | None = None
    lost: list[Entry] = []  # noqa: RUF012  # a claim brings its own


Batch: TypeAlias = list[Request]
"""What goes into one transaction."""


def commit(connection: sqlite3.Connection, requests: Batch) -> list[Exception | None]:
    """Carry requests out in one transaction; return what each of them came to."""
    batch = _Transaction(connection)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for number, request in enumerate(requests):
            batch.add(number, request)
        batch.flush()
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001  # no caller may wait for ever
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.rollback()
        return [error] * len(requests)
    return [batch.errors.get(number) for number in range(len(requests))]


@attrs.define
class _Transaction:
    """Gathers requests as long as no two of them touch one entry: these are done in order."""

    _connection: sqlite3.Connection
    errors: dict[int, Exception] = attrs.field(factory=dict[int, Exception], init=False)
    _touched: set[tuple[str, ...]] = attrs.field(factory=set[tuple[str, ...]], init=False)
    _claims: list[tuple[Request, Claim]] = attrs.field(
        factory=list[tuple[Request, Claim]], init=False
    )
    _ended: list[tuple[int, Request, Claim]] = attrs.field(
        factory=list[tuple[int, Request, Claim]], init=False
    )
    _changes: list[Change] = attrs.field(factory=list[Change], init=False)

    def add(self, number: int, request: Request) -> None:
        touched = [(table.name, *key) for table, key, _, _ in request.changes]
        if request.claim is not None:
            touched.append((INTENTS.name, *request.claim.key))
        if request.work is not None or not self._touched.isdisjoint(touched):
            self.flush()
        self._touched.update(touched)
        if request.work is not None:
            self._attempt(number, request.work)
        elif request.claim is None:
            self._changes += request.changes
        elif request.state is None:
            self._claims.append((request, request.claim))
        else:
            self._ended.append((number, request, request.claim))

    def flush(self) -> None:
        """Carry out what is gathered."""
        if self._claims:
            self._win()
        if self._ended:
            self._settle()
        if self._changes:
            write(self._connection, self._changes)
        self._touched, self._claims, self._ended, self._changes = set(), [], [], []

    def _attempt(self, number: int, work: Work[None]) -> None:
        """Run one piece of work; what fails of it, and only that, is undone."""
        self._connection.execute("SAVEPOINT work")
        try:
            work(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  # its asker gets it, in the event loop
            self._connection.execute("ROLLBACK TO work")
            self.errors[number] = error
            return
        self._connection.execute("RELEASE work")

    def _win(self) -> None:
        rows = [(*claim.key, *_won(claim)) for _, claim in self._claims]
        there: dict[Key, Entry] = {}
        if _execute(self._connection, win, rows) < len(rows):
            there = _find_intents(self._connection, (claim.key for _, claim in self._claims))
        for request, claim in self._claims:
            entry = there.get(claim.key)
            if entry is None or entry["token"] == claim.token:
                self._changes += request.changes
            else:
                request.lost.append(entry)

    def _settle(self) -> None:
        rows = [(*claim.key, claim.token, request.state) for _, request, claim in self._ended]
        statement = functools.partial(update, INTENTS, ("state",))
        there: dict[Key, Entry] | None = None
        if _execute(self._connection, statement, rows) < len(rows):
            there = _find_intents(self._connection, (claim.key for _, _, claim in self._ended))
        for number, request, claim in self._ended:
            try:
                if there is not None:
                    check_claim(there.get(claim.key), claim)
                self._changes += request.changes
            except ClaimLostError as error:
                self.errors[number] = error


def check_claim(there: Entry | None, claim: Claim) -> None:
    """Refuse to go on with a claim that another has taken over.

    Raises:
        ClaimLostError: the entry has another token.
    """
    if there is None or there["token"] != claim.token:
        raise ClaimLostError(
            f"What was claimed of account {claim.key[1]} ({claim.key[0]} {claim.key[2]!r}) was "
            "taken over by another process. What this one knew of it was not written."
        )


def write(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write changes, those of the same columns as one statement, each entry's in their order."""
    statements: dict[tuple[str, ...], tuple[Table, _Rows]] = {}
    keys: set[tuple[object, ...]] = set()
    for table, key, values, token in changes:
        entry = (table.name, *key)
        if entry in keys:
            _update(connection, statements)
            keys.clear()
        keys.add(entry)
        shape = (table.name, *values)
        if shape not in statements:
            statements[shape] = table, []
        statements[shape][1].append((*key, token, *values.values()))
    _update(connection, statements)


def _update(
    connection: sqlite3.Connection, statements: dict[tuple[str, ...], tuple[Table, _Rows]]
) -> None:
    for (_, *columns), (table, rows) in statements.items():
        _execute(connection, functools.partial(update, table, tuple(columns)), rows)
    statements.clear()


def _execute(
    connection: sqlite3.Connection,
    statement: Callable[[int], str],
    rows: Sequence[tuple[Value, ...]],
) -> int:
    """Run a statement with the present time and all rows; return how many it has changed.

    It is made for a power of two of rows, so that SQLite knows most statements already; the last
    rows of it are empty, and name no entry.
    """
    changed = 0
    for at in range(0, len(rows), _MAX_ROWS):
        some = list(rows[at : at + _MAX_ROWS])
        count = 1 << (len(some) - 1).bit_length()
        some += [(None,) * len(rows[0])] * (count - len(some))
        given = (time.time(), *itertools.chain.from_iterable(some))
        changed += connection.execute(statement(count), given).rowcount
    return changed


def insert_all(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Value, ...]]
) -> None:
    """Insert rows, some of them by one statement: each by its own costs twice as much."""
    if not rows:
        return
    width, whole = len(rows[0]), len(rows) // _MAX_ROWS * _MAX_ROWS
    flat = itertools.chain.from_iterable
    many = (tuple(flat(rows[at : at + _MAX_ROWS])) for at in range(0, whole, _MAX_ROWS))
    connection.executemany(f"{into} {marks(_MAX_ROWS, width)}", many)
    connection.executemany(f"{into} {marks(1, width)}", rows[whole:])


def rows_of(cursor: sqlite3.Cursor) -> list[Entry]:
    """Return the entries that a statement has found."""
    names = [str(column[0]) for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def find(connection: sqlite3.Connection, table: Table, keys: Iterable[Key]) -> dict[Key, Entry]:
    """Return the entries that are there, by key."""
    cursor = connection.execute(look_up(table), (json.dumps(list(keys)),))
    return {table.key_of(entry): entry for entry in rows_of(cursor)}


def _find_intents(connection: sqlite3.Connection, keys: Iterable[Key]) -> dict[Key, Entry]:
    return find(connection, INTENTS, keys)


def _won(claim: Claim) -> tuple[Value, ...]:
    return JournalState.INTENT, claim.token, claim.replaces, claim.intent, claim.claimed_at
