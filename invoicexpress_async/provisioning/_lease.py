"""One run at a time: a lock that the operating system lets go when its holder dies."""

import contextlib
import os
import socket
import sqlite3
import time
from pathlib import Path

from invoicexpress_async.provisioning.journal_error import JournalError


class Lease:
    """Holds a journal for one run.

    It is SQLite's own write lock on a small file beside the journal: it works on every system
    that SQLite does, and a killed holder holds it no more.

    Raises:
        JournalError: another run holds it, or the file cannot be written.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(f"{journal.name}-lease")
        problem = ""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            # Closed from another thread than it was opened in.
            self._connection = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
            self._take()
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
        except sqlite3.OperationalError as error:
            problem = f"is in use{self._holder()} ({error})"
        except sqlite3.Error as error:
            problem = f"cannot be used: {self._path.name}: {error}"
        if problem:
            raise JournalError(f"The journal {journal} {problem}. Nothing was sent.")

    def release(self) -> None:
        """Let the next run have it."""
        self._connection.close()

    def _take(self) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS holder (told TEXT NOT NULL)")
        connection.execute("DELETE FROM holder")
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        who = f" by process {os.getpid()} on {socket.gethostname()} since {since}"
        connection.execute("INSERT INTO holder VALUES (?)", (who,))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")  # held until the connection or the process ends

    def _holder(self) -> str:
        with contextlib.suppress(OSError, sqlite3.Error):
            reader = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=0)
            with contextlib.closing(reader):
                row = reader.execute("SELECT told FROM holder").fetchone()
                return str(row[0]) if row else ""
        return ""
