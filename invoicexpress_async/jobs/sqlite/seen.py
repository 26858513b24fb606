"""Which keys an input has had, and on which line: a million of them spill to the disk."""

import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from invoicexpress_async.errors import ConfigurationError

_SCHEMA: Final = """
CREATE TABLE seen (kind TEXT, first TEXT, second TEXT, line INTEGER NOT NULL,
    detail TEXT, PRIMARY KEY (kind, first, second)) WITHOUT ROWID
"""


class SeenLine(NamedTuple):
    """A pair of texts of some kind, the line that it stands on, and some detail of it."""

    kind: str
    first: str
    second: str
    line: int
    detail: str | None = None


class SeenLines:
    """Pairs of texts, of several kinds, each with the line that it stood on first.

    They are forgotten when it is closed, or collected.
    """

    def __init__(self) -> None:
        # An empty name is a private file that is gone when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        self._database.execute(_SCHEMA)
        self._database.execute("BEGIN")  # one transaction for all: it is never committed

    def enter(self, entry: SeenLine) -> int | None:
        """Note a pair; return the line of the same pair before it, or None.

        Raises:
            ConfigurationError: there is no room for it.
        """
        return None if self.enter_all([entry]) else self._line(entry)

    def enter_all(self, entries: Iterable[SeenLine]) -> bool:
        """Note pairs, or none of them when one is there already; return whether they are noted.

        Raises:
            ConfigurationError: there is no room for them.
        """
        try:
            return self._enter(entries)
        except sqlite3.Error as error:
            problem = str(error)
        raise ConfigurationError(
            f"The plan cannot be checked: {problem}. Make room in the folder for temporary files."
        )

    def _enter(self, entries: Iterable[SeenLine]) -> bool:
        is_new = True
        self._database.execute("SAVEPOINT entries")
        try:
            self._database.executemany("INSERT INTO seen VALUES (?, ?, ?, ?, ?)", entries)
        except sqlite3.IntegrityError:
            is_new = False
            self._database.execute("ROLLBACK TO entries")
        self._database.execute("RELEASE entries")
        return is_new

    def count(self, kind: str) -> int:
        """Return how many different first texts a kind has."""
        query = "SELECT count(DISTINCT first) FROM seen WHERE kind = ?"
        return int(self._database.execute(query, (kind,)).fetchone()[0])

    def details(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield the first texts of a kind, in order, each with its detail."""
        query = "SELECT first, detail FROM seen WHERE kind = ? ORDER BY first, second"
        yield from self._database.execute(query, (kind,))

    def close(self) -> None:
        """Forget them."""
        self._database.close()

    def _line(self, entry: SeenLine) -> int:
        query = "SELECT line FROM seen WHERE kind = ? AND first = ? AND second = ?"
        return int(self._database.execute(query, entry[:3]).fetchone()[0])
