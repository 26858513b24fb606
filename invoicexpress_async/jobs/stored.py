"""Reads a journal, in a file or a database, outside the run that writes it."""

import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

from invoicexpress_async.jobs.journal import Entry, JournalState, Key, Table, Value
from invoicexpress_async.jobs.postgres import SliceLeft, is_url
from invoicexpress_async.jobs.postgres.address import DEFAULT_SCHEMA, import_psycopg
from invoicexpress_async.jobs.sqlite import JournalFile

Place: TypeAlias = str | os.PathLike[str]
"""A path, or a `postgresql://` URL."""


class StoredJournal(Protocol):
    """A journal opened only to read. Every method raises JournalError when it cannot be read."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def holder(self) -> str | None:
        """The present holder, such as "by process 4711 on ..."; None when there is none."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Make all reads inside see the journal as it is at one moment."""
        ...

    def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; empty for an absent key."""
        ...

    def entries(
        self,
        table: Table,
        *,
        states: frozenset[JournalState] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> Iterable[Entry]:
        """Yield the entries of the plan, or those in some states, without keeping them."""
        ...

    def groups(self, table: Table, *by: str, example: str) -> list[tuple[Value, ...]]:
        """Group the plan's entries: return the columns `by`, the count and smallest `example`."""
        ...

    def count(self, table: Table, column: str, *, is_set: bool = True) -> int:
        """Return how many entries, in the plan or not, have true (or false) in a column."""
        ...

    def count_since(self, table: Table, moment: float, states: frozenset[JournalState]) -> int:
        """Return how many entries of the plan have reached some states since a moment."""
        ...

    def job(self, name: str) -> str | None:
        """Return the value that `Journal.bind` wrote under a name; None when there is none."""
        ...

    def runs(self, limit: int) -> list[tuple[Value, ...]]:
        """Return the start times and process ids of the last runs, the latest first."""
        ...

    @property
    def run_count(self) -> int:
        """The number of all runs that have begun."""
        ...


@runtime_checkable
class SlicedJournal(Protocol):
    """A journal whose accounts are divided among workers."""

    def slices_left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in the given states."""
        ...


def is_stored(place: Place) -> bool:
    """Whether there is a journal at a place.

    Raises:
        JournalError: the database cannot be reached.
    """
    if is_url(place):
        import_psycopg()
        from invoicexpress_async.jobs.postgres.reader import (  # noqa: PLC0415  # of an extra
            is_there,
        )

        return is_there(str(place), schema=DEFAULT_SCHEMA)
    return Path(place).exists()


def open_stored(place: Place) -> StoredJournal:
    """Open the journal of a file or of a database, only to read.

    Raises:
        JournalError: the journal does not exist, or cannot be read.
    """
    if is_url(place):
        import_psycopg()
        from invoicexpress_async.jobs.postgres.reader import (  # noqa: PLC0415  # of an extra
            JournalDatabase,
        )

        return JournalDatabase(str(place), schema=DEFAULT_SCHEMA)
    return JournalFile(Path(place))
