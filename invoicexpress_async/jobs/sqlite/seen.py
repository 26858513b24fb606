"""The keys of an input and their lines, in a private database: a million keys spill to the disk."""

import contextlib
import sqlite3
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.sqlite.batch import insert_all

_SEEN: Final = """
CREATE TABLE seen (kind TEXT, first TEXT, second TEXT, line INTEGER NOT NULL,
    PRIMARY KEY (kind, first, second)) WITHOUT ROWID
"""
_ROWS: Final = (
    "CREATE TABLE rows (account TEXT, alike TEXT, name TEXT, is_only INTEGER, line INTEGER)"
)


class SeenLine(NamedTuple):
    """A pair of texts of one kind, and its line in the input."""

    kind: str
    first: str
    second: str
    line: int


class SeenLines:
    """Pairs of texts of several kinds, each with its first line.

    They are deleted when the object is closed or garbage-collected.
    """

    def __init__(self) -> None:
        self._database = _private_database(_SEEN)
        weakref.finalize(self, self._database.close)

    def enter(self, entry: SeenLine) -> int | None:
        """Add a pair; return the line of an earlier equal pair, or None.

        Raises:
            ConfigurationError: the disk is full.
        """
        with _room_for_a_plan():
            cursor = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)", entry)
            return None if cursor.rowcount else self._line(entry)

    def close(self) -> None:
        """Delete the pairs."""
        self._database.close()

    def _line(self, entry: SeenLine) -> int:
        query = "SELECT line FROM seen WHERE kind = ? AND first = ? AND second = ?"
        return int(self._database.execute(query, entry[:3]).fetchone()[0])


NamedRow: TypeAlias = tuple[str, str, str, int, int]
"""An account, a name folded and exact, 1 if it is the account's only such row, and a line."""


class SortedRows:
    """The rows of an input, to be sorted by account.

    They are deleted when the object is closed or garbage-collected.
    """

    def __init__(self) -> None:
        self._database = _private_database(_ROWS)
        weakref.finalize(self, self._database.close)

    def add(self, rows: Sequence[NamedRow]) -> None:
        """Add rows.

        Raises:
            ConfigurationError: the disk is full.
        """
        with _room_for_a_plan():
            insert_all(self._database, "INSERT INTO rows", rows)

    def sort(self) -> None:
        """Sort the rows, after the last was added.

        Raises:
            ConfigurationError: the disk is full.
        """
        # An index that is kept in order while rows are added costs four times as much.
        with _room_for_a_plan():
            self._database.execute(
                "CREATE INDEX IF NOT EXISTS sorted ON rows (account, alike, is_only, name)"
            )

    @property
    def has_conflict(self) -> bool:
        """Whether two rows of an account have the same folded name, or both have `is_only`."""
        query = (
            "SELECT 1 FROM rows GROUP BY account, alike HAVING count(*) > 1 UNION ALL "
            "SELECT 1 FROM rows WHERE is_only GROUP BY account HAVING count(*) > 1 LIMIT 1"
        )
        return self._database.execute(query).fetchone() is not None

    @property
    def accounts(self) -> int:
        """The number of accounts."""
        query = "SELECT count(DISTINCT account) FROM rows"
        return int(self._database.execute(query).fetchone()[0])

    def in_order(self) -> Iterator[tuple[str, str, int]]:
        """Yield account, name and `is_only`, in the order of the accounts."""
        query = "SELECT account, name, is_only FROM rows ORDER BY account, alike"
        yield from self._database.execute(query)

    def as_given(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield account, name, `is_only` and line, in the order of the input."""
        query = "SELECT account, name, is_only, line FROM rows ORDER BY rowid"
        yield from self._database.execute(query)

    def close(self) -> None:
        """Delete the rows."""
        self._database.close()


def _private_database(schema: str) -> sqlite3.Connection:
    # An empty name makes a private file that is deleted when it is closed.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA cache_size = -1024")  # KiB; more is not faster
    database.execute(schema)
    database.execute("BEGIN")  # one transaction for everything: it is never committed
    return database


@contextlib.contextmanager
def _room_for_a_plan() -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        problem = str(error)
    else:
        return
    raise ConfigurationError(
        f"The plan cannot be checked: {problem}. Make room in the folder for temporary files."
    )
