"""The file of a journal: made private, opened durable, recognised, never repaired by guessing."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.journal import INTENTS, JournalError
from invoicexpress_async.jobs.sqlite.statements import create

_APPLICATION_ID: Final = 0x49584A31  # "IXJ1", so that no other database is taken for a journal
_VERSION: Final = 2
# A backup tool may hold the file for a moment; what holds it longer is reported.
_BUSY_SECONDS: Final = 2.0

_SCHEMA: Final = """
CREATE TABLE runs (started_at REAL NOT NULL, process INTEGER NOT NULL);
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# Version 1 kept an intent in its row or company only. What is unresolved there becomes a claim
# that only a take-over can win.
_FROM_VERSION_1: Final = """
INSERT OR IGNORE INTO intents (kind, account, subject, state, updated_at, token, intent, claimed_at)
SELECT json_extract(intent, '$.operation'), account,
    coalesce(json_extract(intent, '$.serie'), json_extract(intent, '$.sequence_id'), ''),
    state, updated_at, 'version-1', intent, intended_at
FROM rows WHERE intent IS NOT NULL AND json_valid(intent);
INSERT OR IGNORE INTO intents (kind, account, subject, state, updated_at, token, intent, claimed_at)
SELECT json_extract(intent, '$.operation'),
    CASE json_extract(intent, '$.operation') WHEN 'create_account' THEN fiscal_id
        ELSE json_extract(intent, '$.account') END,
    coalesce(json_extract(intent, '$.serie'), json_extract(intent, '$.sequence_id'), ''),
    CASE state WHEN 'unknown' THEN 'unknown' ELSE 'intent' END, updated_at,
    'version-1', intent, NULL
FROM companies WHERE intent IS NOT NULL AND json_valid(intent);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open a journal to write, made when it is not there.

    Raises:
        JournalError: it is not a journal, of a newer version, damaged, locked or read-only.
    """
    problem = ""
    connection: sqlite3.Connection | None = None
    try:
        _make_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        problem = _prepare(connection)
    except OSError as error:
        problem = f"cannot be opened: {error.strerror}"
    except sqlite3.Error as error:
        problem = f"cannot be used: {error}"
    if connection is None or problem:
        if connection is not None:
            connection.close()
        raise JournalError(f"The journal {path} {problem}. Nothing was sent.")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal that is there, only to read, even while a run holds it.

    Raises:
        JournalError: it is not there, or not a journal of this version.
    """
    problem = ""
    connection: sqlite3.Connection | None = None
    try:
        # Not "mode=ro": a journal whose run was killed has a log that is to be taken in first.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        problem = _mismatch(connection) or ""
    except sqlite3.Error as error:
        problem = f"cannot be read: {error}"
    if connection is None or problem:
        if connection is not None:
            connection.close()
        raise JournalError(f"The journal {path} {problem}.")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _make_private(path: Path) -> None:
    # Who the customers are is nobody else's business. SQLite's own files take the mode over.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _prepare(connection: sqlite3.Connection) -> str:
    is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and (problem := _mismatch(connection)):
        return problem
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        return "is on a file system that cannot keep it durable (no write-ahead log)"
    # In WAL, only FULL syncs each commit to the disk; NORMAL loses the last ones with the power.
    connection.execute("PRAGMA synchronous = FULL")
    # A file that cannot be written is found out here, and not at the first intent.
    begun = f"INSERT INTO runs VALUES ({time.time()!r}, {os.getpid()});"  # noqa: S608  # two numbers
    if is_new:
        _create(connection, begun)
        return ""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        return f"is damaged: {verdict}"
    if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
        _migrate(connection)
    connection.execute(begun)
    return ""


def _create(connection: sqlite3.Connection, begun: str) -> None:
    # One transaction: killed in the middle, the file is empty still.
    connection.executescript(
        f"BEGIN; {_SCHEMA} {create(INTENTS)}; PRAGMA application_id = {_APPLICATION_ID}; "
        f"PRAGMA user_version = {_VERSION}; {begun} COMMIT;"
    )


def _migrate(connection: sqlite3.Connection) -> None:
    # One transaction again: a journal is of one version or the other.
    connection.executescript(
        f"BEGIN IMMEDIATE; {create(INTENTS)}; {_FROM_VERSION_1} "
        f"PRAGMA user_version = {_VERSION}; COMMIT;"
    )


def _mismatch(connection: sqlite3.Connection) -> str | None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        return "is not a journal of this program: it is kept as it is. Name another file"
    if version > _VERSION:
        return f"was written by a newer version of this program (schema {version})"
    if version < 1:
        return f"has the unknown schema {version}"
    return None
