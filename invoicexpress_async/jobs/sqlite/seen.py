"""Which keys an input has had, and on which line: a million of them spill to the disk."""

import sqlite3
import weakref
from collections.abc import Iterator
from typing import Final

from invoicexpress_async.errors import ConfigurationError

_SCHEMA: Final = """
CREATE TABLE seen (kind TEXT, first TEXT, second TEXT, line INTEGER NOT NULL,
    detail TEXT, PRIMARY KEY (kind, first, second)) WITHOUT ROWID
"""


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

    def enter(
        self, kind: str, first: str, second: str, line: int, *, detail: str | None = None
    ) -> int | None:
        """Note a pair, with some detail of it; return the line of the same pair before it, or None.

        Raises:
            ConfigurationError: there is no room for it.
        """
        try:
            entered = self._database.execute(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?)",
                (kind, first, second, line, detail),
            )
        except sqlite3.Error as error:
            problem = str(error)
        else:
            return None if entered.rowcount else self._line(kind, first, second)
        raise ConfigurationError(
            f"The plan cannot be checked: {problem}. Make room in the folder for temporary files."
        )

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

    def _line(self, kind: str, first: str, second: str) -> int:
        query = "SELECT line FROM seen WHERE kind = ? AND first = ? AND second = ?"
        return int(self._database.execute(query, (kind, first, second)).fetchone()[0])
