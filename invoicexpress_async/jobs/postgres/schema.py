"""The schema of a journal: created when absent, migrated when older, refused when newer."""

import os
import socket
from typing import Final

from invoicexpress_async.jobs.journal import INTENTS, NEWER, JournalError, Table
from invoicexpress_async.jobs.postgres.connection import Connection, Message
from invoicexpress_async.jobs.postgres.statements import NOW, Statements, has_slice

# Version 1 had no table `outage`.
VERSION: Final = 2
# The processes and labels whose run is noted. The jobs of a queue open the journal every few
# seconds: that counts as one run.
_NOTED: Final = set[tuple[int, str]]()


def holder_name() -> str:
    """Return the name of this process, for people."""
    return f"process {os.getpid()} on {socket.gethostname()}"


async def open_schema(
    connection: Connection, statements: Statements, *, label: str, slices: int
) -> int:
    """Create or check the schema, note this process's run, and return the number of slices.

    Raises:
        JournalError: the schema is of a newer version, or belongs to another program.
    """
    found = await _version(connection, statements)
    if found is None or 1 <= found[0] < VERSION:
        await connection.execute(_created_or_migrated(statements, slices))
        found = await _version(connection, statements)
    version, count = found or (0, 0)
    if version > VERSION:
        raise JournalError(
            f"The journal {label} was written by a newer version of this program (schema "
            f"{version}). Nothing was sent.",
            cure=NEWER,
        )
    if version < VERSION:
        raise JournalError(f"The journal {label} has the unknown schema {version}.")
    opener = os.getpid(), label
    if opener not in _NOTED:
        message = Message()
        message.add(
            f"INSERT INTO {statements.name('runs')} (started_at, process, holder) "
            f"VALUES ({NOW}, %s, %s)",
            os.getpid(),
            holder_name(),
        )
        await connection.execute(message)
        _NOTED.add(opener)
    return count


async def prepare_table(connection: Connection, statements: Statements, table: Table) -> None:
    """Create a table, or add the columns that it lacks. A complete table needs no CREATE right."""
    message = Message()
    message.add(
        "SELECT column_name::text AS name FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s",
        statements.schema,
        table.name,
    )
    (rows,) = await connection.execute(message)
    present = {str(row["name"]) for row in rows}
    if all(column.name in present for column in table.all_columns):
        return
    change = _locked(statements)
    _add_table(change, statements, table)
    await connection.execute(change)


def _add_table(message: Message, statements: Statements, table: Table) -> None:
    message.add(statements.create(table))
    for column in table.all_columns:
        if column.name not in table.key:
            message.add(statements.add_column(table, column))
    if table.requested:
        message.add(statements.create_plan(table))
    if has_slice(table):
        message.add(statements.create_index(table))


async def _version(connection: Connection, statements: Statements) -> tuple[int, int] | None:
    message = Message()
    message.add("SELECT to_regclass(%s) IS NOT NULL AS is_there", statements.name("journal"))
    ((found,),) = await connection.execute(message, patience_seconds=0.0)
    if not found["is_there"]:
        return None
    message = Message()
    message.add(f"SELECT version, slices FROM {statements.name('journal')}")
    (rows,) = await connection.execute(message, patience_seconds=0.0)
    return (int(rows[0]["version"] or 0), int(rows[0]["slices"] or 0)) if rows else None


def _locked(statements: Statements) -> Message:
    """Return a message whose lock keeps other processes from executing theirs at the same time."""
    message = Message()
    message.add(
        "SELECT pg_advisory_xact_lock(hashtext(%s))::text AS locked",
        f"invoicexpress {statements.schema}",
    )
    return message


def _created_or_migrated(statements: Statements, slices: int) -> Message:
    """Return the message that creates what does not exist, and leaves all else as it is."""
    message, name = _locked(statements), statements.name
    # `CREATE SCHEMA IF NOT EXISTS` needs the right to create even when the schema exists.
    message.add(
        f"DO $$BEGIN IF to_regnamespace('{statements.schema}') IS NULL THEN "
        f'CREATE SCHEMA "{statements.schema}"; END IF; END$$'
    )
    message.add(
        f"CREATE TABLE IF NOT EXISTS {name('journal')} "
        "(version integer NOT NULL, slices integer NOT NULL, created_at timestamptz NOT NULL)"
    )
    message.add(
        f"INSERT INTO {name('journal')} SELECT %s, %s, clock_timestamp() "
        f"WHERE NOT EXISTS (SELECT FROM {name('journal')})",
        VERSION,
        slices,
    )
    message.add(f"UPDATE {name('journal')} SET version = %s WHERE version < %s", VERSION, VERSION)
    message.add(
        f"CREATE TABLE IF NOT EXISTS {name('job')} (name text PRIMARY KEY, value text NOT NULL)"
    )
    message.add(
        f"CREATE TABLE IF NOT EXISTS {name('runs')} (run bigint GENERATED ALWAYS AS IDENTITY "
        "PRIMARY KEY, started_at double precision NOT NULL, process integer NOT NULL, "
        "holder text NOT NULL)"
    )
    message.add(
        f"CREATE TABLE IF NOT EXISTS {name('slices')} (slice integer PRIMARY KEY, "
        "epoch bigint NOT NULL DEFAULT 0, token text, holder text, since timestamptz, "
        "until timestamptz, released_at timestamptz, due timestamptz, "
        "used text) WITH (fillfactor = 50)"
    )
    message.add(
        f"INSERT INTO {name('slices')} (slice) SELECT generate_series(0, slices - 1) "
        f"FROM {name('journal')} ON CONFLICT DO NOTHING"
    )
    message.add(
        f"CREATE TABLE IF NOT EXISTS {name('outage')} (since timestamptz, "
        "pause double precision NOT NULL DEFAULT 1, probe_at timestamptz, token text, "
        "token_until timestamptz)"
    )
    message.add(
        f"INSERT INTO {name('outage')} (since) SELECT NULL "
        f"WHERE NOT EXISTS (SELECT FROM {name('outage')})"
    )
    _add_table(message, statements, INTENTS)
    return message
