"""One connection to the database: each message is one transaction, and is sent again when lost.

The statements of a message are sent together, as one query of the simple protocol. So no
transaction stays open while this process is frozen, and no session state has to be kept by a
pooler in transaction mode: settings are made for the transaction only.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
import psycopg

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.journal import Entry, JournalError
from invoicexpress_async.jobs.postgres.address import Address, problem_of

Rows: TypeAlias = list[Entry]

# The first statements of each transaction. Another client of the same pooler may have changed the
# settings of the session: an intent must be on the disk whatever they are.
_SETTINGS: Final = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET LOCAL synchronous_commit = on",
    "SET LOCAL lock_timeout = '5s'",
    "SET LOCAL idle_in_transaction_session_timeout = '10s'",
)
_CHECK: Final = """SELECT current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('server_encoding') AS server_encoding,
    current_setting('server_version_num')::int AS version,
    (pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on')::int
        AS is_replica,
    extract(epoch FROM clock_timestamp())::double precision AS now"""
_MIN_VERSION: Final = 130000
# The ages that decide whether to send again are measured on the wall clocks of several machines.
_MAX_CLOCK_SECONDS: Final = 60.0
# A statement takes milliseconds, and a plan of a million rows some seconds.
_STATEMENT_SECONDS: Final = 60
# The server ends a statement before this; the limit is for a server that is frozen itself.
_RESPONSE_SECONDS: Final = 75.0
_RETRY_SECONDS: Final = 0.25
# The first failure is a lost connection; the second means that no new connection can be made.
_FAILURES_OF_AN_OUTAGE: Final = 2
_LOGGER: Final = logging.getLogger("invoicexpress_async")
_LOST: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)


@attrs.define
class Message:
    """The statements of one transaction, and their values."""

    statements: list[str] = attrs.field(factory=list[str])
    values: list[object] = attrs.field(factory=list[object])

    def add(self, statement: str, *values: object) -> None:
        """Append a statement."""
        self.statements.append(statement)
        self.values += values

    def encode(self) -> bytes:
        """Return the message as one query, settings first."""
        settings = (*_SETTINGS, f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        return "; ".join((*settings, *self.statements)).encode()


@attrs.define(eq=False)
class Reachability:
    """Tracks over all connections whether a database is reachable, and logs each change."""

    _label: str = attrs.field(alias="label")
    _failures: int = attrs.field(default=0, init=False)

    def note_failure(self, problem: str) -> None:
        """Note that a message was lost."""
        self._failures += 1
        if self._failures == _FAILURES_OF_AN_OUTAGE:
            _LOGGER.warning(
                "The journal %s is not reached: %s. Nothing new is sent until it is.",
                self._label,
                problem,
            )

    def note_success(self) -> None:
        """Note that a message was carried out."""
        if self._failures >= _FAILURES_OF_AN_OUTAGE:
            _LOGGER.warning("The journal %s is reached again.", self._label)
        self._failures = 0


class Connection:
    """A connection that is opened again when it is lost.

    Args:
        address: The address of the database.
        clock: The clock for waiting between two tries.
        patience_seconds: How long a lost message is sent again.
        reachability: The state of the database, shared by all connections to it.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Clock,
        patience_seconds: float,
        reachability: Reachability | None = None,
    ) -> None:
        self._address = address
        self._reachability = reachability or Reachability(address.label)
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect, and check the server's version, settings, encoding, clock and role.

        Raises:
            JournalError: it cannot be reached, or a check fails.
        """
        try:
            self._connection = await self._connect()
        except psycopg.Error as error:
            problem = problem_of(error)
        else:
            return
        raise JournalError(
            f"The journal {self._address.label} cannot be opened: {problem}. Nothing was sent."
        )

    async def execute(
        self, message: Message, *, patience_seconds: float | None = None
    ) -> list[Rows]:
        """Execute a message, and return the rows of each of its statements that returns rows.

        The message is sent again when it or its response is lost.

        Raises:
            JournalError: the execution failed; whether the message took effect is unknown.
        """
        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        until = self._clock.now() + patience
        async with self._turn:
            while True:
                try:
                    rows = await self._try(message)
                except _LOST as error:
                    problem = problem_of(error)
                    self._reachability.note_failure(problem)
                except psycopg.Error as error:
                    raise self._error(problem_of(error)) from None
                else:
                    self._reachability.note_success()
                    return rows
                if self._clock.now() >= until:
                    raise self._error(problem)
                await self._clock.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _error(self, problem: str) -> JournalError:
        return JournalError(f"The journal {self._address.label} cannot be used: {problem}.")

    async def _try(self, message: Message) -> list[Rows]:
        if self._connection is None:
            self._connection = await self._connect()
        connection = self._connection
        try:
            return await _limited(connection, message.encode(), message.values)
        except BaseException as error:
            # An error with an SQLSTATE ended only the transaction: the connection can be used.
            is_lost = not isinstance(error, psycopg.Error) or error.sqlstate is None
            if (
                is_lost
                or connection.closed
                or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
            ):
                self._connection = None
                _cut(connection)
                await connection.close()
            raise

    async def _connect(self) -> "psycopg.AsyncConnection[Any]":
        parameters: Mapping[str, Any] = self._address.parameters
        connection = await psycopg.AsyncConnection.connect(
            **parameters,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.AsyncClientCursor,
        )
        try:
            await _check(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _check(connection: "psycopg.AsyncConnection[Any]") -> None:
    ((found,),) = await _limited(connection, Message([_CHECK]).encode(), [])
    if problem := _problem(found):
        # Retried like a lost connection: a primary may replace a replica, and a clock may be set.
        raise psycopg.OperationalError(problem)


def _problem(found: Entry) -> str:
    version = int(found["version"] or 0)
    seconds = time.time() - float(found["now"] or 0.0)
    if version < _MIN_VERSION:
        return f"the server is PostgreSQL {version // 10000}: it must be 13 or later"
    if found["is_replica"]:
        return "the server is a replica or read-only: name the primary"
    for setting in ("fsync", "full_page_writes"):
        if found[setting] == "off":
            return f"{setting} is off on the server: an intent could be lost. Set it to on"
    if found["server_encoding"] != "UTF8":
        return f"the database's encoding is {found['server_encoding']}: make one with UTF8"
    if abs(seconds) > _MAX_CLOCK_SECONDS:
        return (
            f"the clocks of this machine and of the server are {abs(seconds):.0f} seconds apart: "
            "set them"
        )
    return ""


async def _limited(
    connection: "psycopg.AsyncConnection[Any]", query: bytes, values: Sequence[object]
) -> list[Rows]:
    """Execute a query in bounded time, even when neither the server nor the network reacts."""
    work = asyncio.ensure_future(_carry_out(connection, query, values))
    try:
        done, _ = await asyncio.wait({work}, timeout=_RESPONSE_SECONDS)
        if not done:
            _cut(connection)
    except asyncio.CancelledError:
        _cut(connection)
        await asyncio.wait({work})
        if not work.cancelled():
            work.exception()  # no caller waits for it any more
        raise
    return await work


async def _carry_out(
    connection: "psycopg.AsyncConnection[Any]", query: bytes, values: Sequence[object]
) -> list[Rows]:
    found: list[Rows] = []
    async with connection.cursor() as cursor:
        await cursor.execute(query, values or None)
        while True:
            if cursor.description is not None:
                names = [column.name for column in cursor.description]
                rows: list[tuple[Any, ...]] = await cursor.fetchall()
                found.append([dict(zip(names, row, strict=True)) for row in rows])
            if not cursor.nextset():
                return found


def _cut(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Shut the socket down, which ends every wait on it."""
    with contextlib.suppress(OSError, psycopg.Error):
        twin = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with contextlib.closing(twin):
            twin.shutdown(socket.SHUT_RDWR)
