"""The file of a journal: private, durable, checked when opened, never repaired by guessing."""

import contextlib
import errno
import os
import shlex
import sqlite3
import stat
import time
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.journal import DAMAGED, INTENTS, NEWER, JournalError
from invoicexpress_async.jobs.sqlite.statements import create

_APPLICATION_ID: Final = 0x49584A31  # "IXJ1", so that no other database is taken for a journal
_VERSION: Final = 2
# Processes that open the file at the same moment wait for each other's commits, and a backup tool
# may hold the file for a moment. If the lock lasts longer, the file cannot be opened.
_OPENING_SECONDS: Final = 5.0
# A run that has opened the file reports the lock after this time, and tries again.
_BUSY_SECONDS: Final = 2.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS runs (started_at REAL NOT NULL, process INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
# Version 1 kept an intent only in its row or company. Each unresolved intent becomes a claim that
# can only be taken over.
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


# Names in the table `job`: the path under which the file is open, and where its last entries are.
_LEFT_OPEN: Final = "left open"
_ENTRIES: Final = "last entries"
_NEWER: Final = "was written by a newer version of this program"
# The first two are texts of SQLite: the writer keeps the text of the first failure.
_DAMAGE: Final = ("malformed", "file is not a database", "is damaged")
_TRIES: Final = 5
_TRY_AGAIN_SECONDS: Final = 0.1


def journal_error(path: object, problem: str) -> JournalError:
    """Return the error for a journal that cannot be used, with the cure of its cause."""
    cure = DAMAGED if any(one in problem for one in _DAMAGE) else None
    if _NEWER in problem:
        cure = NEWER
    return JournalError(f"The journal {path} {problem}.", cure=cure)


def locate(path: str | os.PathLike[str]) -> Path:
    """Return the resolved path of a journal: one file is one journal under any name.

    Raises:
        JournalError: the file has several names (hard links) or is not a regular file, or its
            folder does not exist.
    """
    if not os.access(Path(os.fspath(path)).absolute().parent, os.X_OK):
        # The files in the folder cannot even be examined.
        problem = "cannot be reached: make its folder, or get the permission to enter it"
        raise JournalError(f"The journal {os.fspath(path)} {problem}. Nothing was sent.")
    # Absolute, so that SQLite does not take a name such as "file:job.db" for a URI.
    found = Path(os.fspath(path)).resolve()
    problem = ""
    try:
        status = found.stat()
        if not stat.S_ISREG(status.st_mode):
            problem = "is not a file"
        elif status.st_nlink > 1:
            # SQLite keeps its log beside the name by which the file was opened.
            problem = f"has {status.st_nlink} names (hard links): keep one of them"
    except FileNotFoundError:
        pass
    except OSError as error:
        problem = f"cannot be reached: {error.strerror}"
    if problem:
        raise JournalError(f"The journal {found} {problem}. Nothing was sent.")
    return found


def connect(path: Path) -> sqlite3.Connection:
    """Open a journal for writing; create it if it does not exist.

    Raises:
        JournalError: the file is not a journal, is of a newer version, damaged, locked or
            read-only, or its log is missing.
    """
    problem = ""
    connection: sqlite3.Connection | None = None
    try:
        _make_private(path)
        has_log = _has_log(path)
        connection = sqlite3.connect(path, timeout=_OPENING_SECONDS, isolation_level=None)
        problem = _prepare(connection, path, has_log=has_log)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1_000:.0f}")
    except OSError as error:
        problem = f"cannot be opened: {error.strerror}"
    except sqlite3.Error as error:
        problem = f"cannot be used: {error}"
    if connection is None or problem:
        if connection is not None:
            _end_checkpoint(connection)
            connection.close()
        raise journal_error(path, f"{problem}. Nothing was sent")
    return connection


def close(connection: sqlite3.Connection, *, is_last: bool) -> None:
    """Close a journal; the last process to close it removes the mark that says it is open."""
    with contextlib.suppress(sqlite3.Error):  # a full disk, or one that is gone
        if is_last and not connection.in_transaction:
            connection.execute("DELETE FROM job WHERE name = ?", (_LEFT_OPEN,))
    _end_checkpoint(connection)
    connection.close()


def _end_checkpoint(connection: sqlite3.Connection) -> None:
    """Write "here" before the log is removed: a lock or a full disk may have prevented it."""
    with contextlib.suppress(sqlite3.Error):
        if _marks(connection).get(_ENTRIES) == "elsewhere":
            connection.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (_ENTRIES, "here"))


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.is_file() and log.stat().st_size > 0


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open an existing journal for reading, even while a run holds it.

    Raises:
        JournalError: the file does not exist, or is not a journal of this version.
    """
    problem, has_log = "", False
    connection: sqlite3.Connection | None = None
    try:
        # Not "mode=ro": the log of a killed run must be merged first.
        has_log = _has_log(path)
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_OPENING_SECONDS, isolation_level=None)
        problem = _mismatch(connection) or _lost(connection, path, has_log) or ""
    except sqlite3.Error as error:
        problem = f"cannot be read: {error}"
    if connection is None or problem:
        if connection is not None:
            connection.close()
        raise journal_error(path, problem)
    if has_log:
        _complete(connection)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _make_private(path: Path) -> None:
    # The list of customers is confidential. SQLite gives its own files the same mode.
    # An existing file is not opened: closing it would release this process's locks on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if os.name == "posix":
        path.chmod(0o600)


def _prepare(connection: sqlite3.Connection, path: Path, *, has_log: bool) -> str:
    is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and (problem := _mismatch(connection) or _lost(connection, path, has_log)):
        return problem
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        return "is on a file system that cannot keep it durable (no write-ahead log)"
    # In WAL mode only FULL syncs each commit; NORMAL loses the last commits in a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if is_new:
        _create(connection)
    else:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            return f"is damaged: {verdict}"
        if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
            _migrate(connection)
    _mark(connection, path)
    return ""


def _mark(connection: sqlite3.Connection, path: Path) -> None:
    """Write into the main file that it is open, and under which name.

    A file that cannot be written is thus detected here, and not at the first intent.
    """
    connection.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (_LEFT_OPEN, str(path)))
    connection.execute("INSERT INTO runs VALUES (?, ?)", (time.time(), os.getpid()))
    # Only `checkpoint` may move entries from the log to the main file.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    checkpoint(connection)


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move the entries of the log to the main file.

    The main file then says "elsewhere", which is what a reader finds if the log is lost. The log
    begins with "here"; so a main file that another program has checkpointed says "here" too.
    """
    write = "INSERT OR REPLACE INTO job VALUES (?, ?)"
    connection.execute(write, (_ENTRIES, "elsewhere"))
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.execute(write, (_ENTRIES, "here"))


def _complete(connection: sqlite3.Connection) -> None:
    """Complete the checkpoint of a process that was killed during it.

    Otherwise the last process to close the file removes the log, and "elsewhere" stays.
    """
    if _marks(connection).get(_ENTRIES) == "elsewhere":
        time.sleep(_TRY_AGAIN_SECONDS)  # another run may be in it just now
        if _marks(connection).get(_ENTRIES) == "elsewhere":
            with contextlib.suppress(sqlite3.Error):  # read-only, locked: the next run ends it
                connection.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (_ENTRIES, "here"))


def _lost(connection: sqlite3.Connection, path: Path, has_log: bool) -> str | None:  # noqa: FBT001  # one of two facts
    """Return what is missing from a journal that was left open."""
    marks = _marks(connection)
    for _ in range(_TRIES):
        if has_log or marks.get(_ENTRIES) != "elsewhere":
            break
        time.sleep(_TRY_AGAIN_SECONDS)  # another run may be opening it just now
        has_log, marks = _has_log(path), _marks(connection)
    else:
        return (
            f"was in use when it was moved or copied, and its last entries are in its file "
            f"{path.name}-wal, which is not beside it: put that file there. Nothing is missing "
            "only if it was neither moved nor copied, and another program (sqlite3) was the last "
            f"to close it after its run was killed. Then run `{_accept(path)}`"
        )
    other = Path(marks.get(_LEFT_OPEN) or path)
    if other != path and other.exists() and other.samefile(path):
        return f"is in use as {other}: name it so"
    return None


def _accept(path: Path) -> str:
    # The main file is the same in both cases: only a person can know which case it is.
    accept = f"UPDATE job SET value = 'here' WHERE name = '{_ENTRIES}'"  # noqa: S608  # a name of our own
    return f'sqlite3 {shlex.quote(str(path))} "{accept}"'


def _marks(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, value FROM job").fetchall())


def _create(connection: sqlite3.Connection) -> None:
    # One transaction: after a kill in the middle the file is still empty. Another run may be first.
    connection.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} {create(INTENTS)}; PRAGMA application_id = {_APPLICATION_ID}; "
        f"PRAGMA user_version = {_VERSION}; COMMIT;"
    )


def _migrate(connection: sqlite3.Connection) -> None:
    # One transaction: a journal has one version or the other.
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
        return f"{_NEWER} (schema {version})"
    if version < 1:
        return f"has the unknown schema {version}"
    return None
