"""One run at a time: a lock that the operating system lets go when its holder dies."""

import contextlib
import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.journal import JournalError

# Who looks whether it is held takes it for a moment; a run that begins just then must not fail.
_BUSY_SECONDS: Final = 0.25


class RunLock:
    """Holds a journal for one run.

    It is SQLite's own write lock on a small file beside the journal: it works on every system
    that SQLite does, and a killed holder holds it no more.

    Raises:
        JournalError: another run holds it, or the file cannot be written.
    """

    def __init__(self, journal: Path) -> None:
        self._path = _path(journal)
        problem = ""
        try:
            _make(self._path)
            # Closed from another thread than it was opened in.
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._take()
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
        except sqlite3.Error as error:
            problem = f"cannot be used: {self._path.name}: {error}"
            if _is_busy(error):
                problem = f"is in use {_holder_text(self._path)}"
        if problem:
            raise JournalError(f"The journal {journal} {problem}. Nothing was sent.")

    def release(self) -> None:
        """Let the next run have it."""
        self._connection.close()

    def _take(self) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS holder (told TEXT NOT NULL)")
            connection.execute("DELETE FROM holder")
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            who = f"by process {os.getpid()} on {socket.gethostname()} since {since}"
            connection.execute("INSERT INTO holder VALUES (?)", (who,))
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")  # held until the connection or the process ends
        except sqlite3.Error:
            connection.close()
            raise


def lock_holder(journal: Path) -> str | None:
    """Return who holds a journal now, such as "by process 4711 on ...", or None."""
    path = _path(journal)
    if not path.is_file():
        return None
    try:
        with contextlib.closing(_open(path, mode="rw")) as connection:
            connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        # A file that cannot be locked for another reason says nothing of a holder.
        return _holder_text(path) if _is_busy(error) else None
    return None


def _path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}-lease")


def _make(path: Path) -> None:
    # Never opened when it is there: closing it would let this process's own lock on it go.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _is_busy(error: sqlite3.Error) -> bool:
    # The low byte is the kind of error; what is above tells more of it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _open(path: Path, *, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)


def _holder_text(path: Path) -> str:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(path, mode="ro")) as reader:
        row = reader.execute("SELECT told FROM holder").fetchone()
        return str(row[0]).strip() if row else "by another run"
    return "by another run"
