"""Inspects a database that is to contain a journal, for `invoicexpress doctor`. It only reads."""

import contextlib
import time
from typing import Any, Final, cast

import attrs
import psycopg

from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.postgres.address import Address, problem_of
from invoicexpress_async.jobs.postgres.schema import VERSION
from invoicexpress_async.jobs.postgres.statements import Statements

_FACTS: Final = """SELECT current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('server_encoding') AS encoding,
    current_setting('max_connections')::int AS max_connections,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS is_replica,
    extract(epoch FROM clock_timestamp())::double precision AS now,
    pg_backend_pid() AS pid,
    current_user::text AS role,
    to_regnamespace(%(quoted)s) IS NOT NULL AS has_schema,
    to_regclass(%(journal)s) IS NOT NULL AS has_journal,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema"""
_RIGHTS: Final = """SELECT has_schema_privilege(%(schema)s, 'USAGE') AND NOT EXISTS (
    SELECT FROM pg_tables WHERE schemaname = %(schema)s AND NOT (
        has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT')
        AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'INSERT')
        AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'UPDATE')
        AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'DELETE'))
    )"""


@attrs.frozen(kw_only=True)
class Inspection:
    """The facts about a database and its server.

    Attributes:
        label: The address, for people.
        version: The server's version, as 150018 for 15.18.
        version_text: The same, for people.
        settings: `fsync`, `full_page_writes` and `synchronous_commit`, each "on" or another value.
        encoding: The encoding of the database.
        max_connections: The server's limit of connections.
        is_replica: Whether the server cannot be written to.
        clock_seconds: The seconds by which this machine's clock is ahead of the server's.
        is_pooled: Whether a pooler is in between.
        has_transactions: Whether that pooler keeps the statements of a transaction together.
        role: The role that is connected.
        may_write: Whether the role may use the journal, or create it when it does not exist.
        schema_version: The schema version of the journal; None when it cannot be read.
        newest_schema_version: The newest schema version that this program knows.
    """

    label: str
    version: int
    version_text: str
    settings: dict[str, str]
    encoding: str
    max_connections: int
    is_replica: bool
    clock_seconds: float
    is_pooled: bool
    has_transactions: bool
    role: str
    may_write: bool
    schema_version: int | None
    newest_schema_version: int


def inspect(url: str, *, schema: str) -> Inspection:
    """Inspect a database.

    Raises:
        ConfigurationError: the URL is invalid, or contains a password.
        JournalError: the database cannot be reached.
    """
    address = Address.parse(url, schema=schema)
    try:
        with psycopg.connect(
            **cast("dict[str, Any]", dict(address.parameters)),
            autocommit=True,
            prepare_threshold=None,
        ) as connection:
            return _inspect(connection, address.label, schema)
    except psycopg.Error as error:
        problem = problem_of(error)
    raise JournalError(f"The journal {address.label} cannot be reached: {problem}.")


def _inspect(
    connection: "psycopg.Connection[tuple[Any, ...]]", label: str, schema: str
) -> Inspection:
    name = Statements(schema).name("journal")
    found = _row(connection, _FACTS, {"quoted": f'"{schema}"', "journal": name})
    may_write, version = bool(found["may_create_schema"]), None
    if found["has_schema"]:
        may_write = bool(connection.execute(_RIGHTS, {"schema": schema}).fetchone() == (True,))
    if found["has_journal"]:
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            row = connection.execute(f"SELECT version FROM {name}".encode()).fetchone()
            version = None if row is None else int(row[0])
    return Inspection(
        label=label,
        version=int(found["version"]),
        version_text=str(found["version_text"]).split()[0],
        settings={
            one: str(found[one]) for one in ("fsync", "full_page_writes", "synchronous_commit")
        },
        encoding=str(found["encoding"]),
        max_connections=int(found["max_connections"]),
        is_replica=bool(found["is_replica"]),
        clock_seconds=time.time() - float(found["now"]),
        # A pooler reports its own process ids to its clients, and not the server's.
        is_pooled=found["pid"] != connection.info.backend_pid,
        has_transactions=_has_transactions(connection),
        role=str(found["role"]),
        may_write=may_write,
        schema_version=version,
        newest_schema_version=VERSION,
    )


def _row(
    connection: "psycopg.Connection[tuple[Any, ...]]", query: str, values: dict[str, str]
) -> dict[str, Any]:
    cursor = connection.execute(query.encode(), values)
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def _has_transactions(connection: "psycopg.Connection[tuple[Any, ...]]") -> bool:
    try:
        with connection.transaction():
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
