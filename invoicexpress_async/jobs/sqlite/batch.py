"""What is requested together, carried out in one transaction and in as few statements as can be.

For each step of a statement the writing thread lets go of the interpreter, and waits to have it
back from the event loop. One statement for all claims of a transaction, instead of some for each,
halves the time of a job.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias, TypeVar

import attrs

from invoicexpress_async.jobs.journal import (
    CLAIMABLE,
    INTENTS,
    Change,
    Claim,
    ClaimLostError,
    Commit,
    Entry,
    JournalState,
    Key,
    Table,
)
from invoicexpress_async.jobs.sqlite.statements import look_up, put, update

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]


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
    except sqlite3.Error as error:
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
    _claims: list[Request] = attrs.field(factory=list[Request], init=False)
    _ended: dict[int, Request] = attrs.field(factory=dict[int, Request], init=False)
    _changes: list[Change] = attrs.field(factory=list[Change], init=False)

    def add(self, number: int, request: Request) -> None:
        touched = _touched(request)
        if request.work is not None or touched & self._touched:
            self.flush()
        self._touched |= touched
        if request.work is not None:
            self._attempt(number, request.work)
        elif request.claim is None:
            self._changes += request.changes
        elif request.state is None:
            self._claims.append(request)
        else:
            self._ended[number] = request

    def flush(self) -> None:
        """Carry out what is gathered."""
        if self._claims:
            self._win()
        if self._ended:
            self._settle()
        write(self._connection, self._changes)
        self._touched, self._claims, self._ended, self._changes = set(), [], {}, []

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
        claims = [(one, one.claim) for one in self._claims if one.claim is not None]
        there = _find_intents(self._connection, (claim.key for _, claim in claims))
        won: list[list[object]] = []
        for request, claim in claims:
            entry = there.get(claim.key)
            if entry is not None and not _is_free(entry, claim):
                request.lost.append(entry)
            else:
                won.append([*claim.key, *_won(claim).values()])
                self._changes += request.changes
        if won:
            columns = (*INTENTS.key, *_won(claims[0][1]))
            self._connection.execute(put(INTENTS, columns), (json.dumps(won),))

    def _settle(self) -> None:
        ended = {number: (one.claim, one.state) for number, one in self._ended.items() if one.claim}
        values = ("state", "updated_at")
        now = time.time()
        rows = [[*claim.key, claim.token, state, now] for claim, state in ended.values()]
        cursor = self._connection.execute(update(INTENTS, values), (json.dumps(rows),))
        if cursor.rowcount == len(rows):
            return
        there = _find_intents(self._connection, (claim.key for claim, _ in ended.values()))
        for number, (claim, _) in ended.items():
            try:
                check_claim(there.get(claim.key), claim)
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
    statements: dict[str, list[tuple[object, ...]]] = {}
    keys: set[tuple[object, ...]] = set()
    for table, key, values, token in changes:
        if (table.name, *key) in keys:
            _run_statements(connection, statements)
            statements, keys = {}, set()
        keys.add((table.name, *key))
        columns = (*key, token, *values.values())
        statements.setdefault(update(table, tuple(values)), []).append(columns)
    _run_statements(connection, statements)


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


def _touched(request: Request) -> set[tuple[str, ...]]:
    touched = {(table.name, *key) for table, key, _, _ in request.changes}
    if request.claim is not None:
        touched.add((INTENTS.name, *request.claim.key))
    return touched


def _is_free(there: Entry, claim: Claim) -> bool:
    is_replaced = claim.replaces is not None and there["token"] == claim.replaces
    return is_replaced or there["state"] in CLAIMABLE


def _won(claim: Claim) -> Entry:
    return {
        "state": JournalState.INTENT,
        "token": claim.token,
        "replaced": claim.replaces,
        "intent": claim.intent,
        "claimed_at": claim.claimed_at,
        "updated_at": time.time(),
    }


def _run_statements(
    connection: sqlite3.Connection, statements: dict[str, list[tuple[object, ...]]]
) -> None:
    for statement, rows in statements.items():
        connection.execute(statement, (json.dumps(rows),))
