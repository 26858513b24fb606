"""Where a journal is, a file or a database, and reading it without being its run."""

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
    """A journal that is only read. Every method raises JournalError when it cannot be."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def holder(self) -> str | None:
        """Who holds it now, such as "by process 4711 on ..."; None when nobody does."""
        ...

    def one_moment(self) -> AbstractContextManager[None]:
        """Let all that is read inside be of one moment."""
        ...

    def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in their order; an empty one where it is absent."""
        ...

    def entries(
        self,
        table: Table,
        *,
        states: frozenset[JournalState] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> Iterable[Entry]:
        """Yield the entries of the plan, or those of them in some states; none is kept."""
        ...

    def groups(self, table: Table, *by: str, example: str) -> list[tuple[Value, ...]]:
        """Return the entries of the plan by columns: these, their number, and one `example`."""
        ...

    def count(self, table: Table, column: str, *, is_set: bool = True) -> int:
        """Return how many entries, in the plan or not, have a true or a false column."""
        ...

    def count_since(self, table: Table, moment: float, states: frozenset[JournalState]) -> int:
        """Return how many entries of the plan came into some states since a moment."""
        ...

    def job(self, name: str) -> str | None:
        """Return what is written of the kind of job."""
        ...

    def runs(self, limit: int) -> list[tuple[Value, ...]]:
        """Return when the last runs began and their process ids, the last one first."""
        ...

    @property
    def run_count(self) -> int:
        """How many runs began in all."""
        ...


@runtime_checkable
class SlicedJournal(Protocol):
    """A journal whose accounts are divided among workers."""

    def slices_left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in some states."""
        ...


def is_stored(place: Place) -> bool:
    """Whether a journal was made there.

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
    """Return the journal of a file or of a database, only to read.

    Raises:
        JournalError: it is not there, or cannot be read.
    """
    if is_url(place):
        import_psycopg()
        from invoicexpress_async.jobs.postgres.reader import (  # noqa: PLC0415  # of an extra
            JournalDatabase,
        )

        return JournalDatabase(str(place), schema=DEFAULT_SCHEMA)
    return JournalFile(Path(place))
