"""Reads a journal file, whether a run holds it or not."""

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from invoicexpress_async.jobs.journal import (
    Entry,
    JournalError,
    JournalState,
    Key,
    Table,
    Value,
)
from invoicexpress_async.jobs.sqlite.file import connect_to_read, journal_error, locate
from invoicexpress_async.jobs.sqlite.lock import lock_holder
from invoicexpress_async.jobs.sqlite.statements import in_states, of_keys, select


class JournalFile:
    """A journal file that is only read. Use it with `with`.

    Raises:
        JournalError: the file does not exist, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        path = locate(path)
        if not path.is_file():
            raise JournalError(f"The journal {path} is not there.")
        self._path = path
        self._connection = connect_to_read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    @property
    def holder(self) -> str | None:
        """The present holder, such as "by process 4711 on ..."; None when no run holds the file."""
        return lock_holder(self._path)

    @contextlib.contextmanager
    def snapshot(self) -> Generator[None]:
        """Read one snapshot inside the block: otherwise a run may write between two reads."""
        self._ask("BEGIN")
        try:
            yield
        finally:
            self._ask("COMMIT")

    def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in their order; an empty entry for an absent key."""
        entries = self._select(table, of_keys(table), json.dumps(keys))
        found = {table.key_of(entry): entry for entry in entries}
        return [found.get(key, {}) for key in keys]

    def entries(
        self,
        table: Table,
        *,
        states: frozenset[JournalState] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """Yield the entries of the plan, or those in some states, one at a time."""
        condition = "WHERE is_in_plan" if states is None else in_states(states)
        order = f" ORDER BY {order_by}" if order_by else ""
        end = f" LIMIT {limit}" if limit is not None else ""
        yield from self._select(table, condition + order + end)

    def groups(self, table: Table, *by: str, example: str) -> list[tuple[Value, ...]]:
        """Group the entries of the plan by columns; return these, the count, and one `example`."""
        present = self._present(table)
        if not present >= {*by, example}:
            return []
        columns = ", ".join(by)
        return self._ask(
            f"SELECT {columns}, count(*), min({example}) FROM {table.name} WHERE is_in_plan "  # noqa: S608  # names of our own
            f"GROUP BY {columns} ORDER BY count(*) DESC, {columns}"
        )

    def count(self, table: Table, column: str, *, is_set: bool = True) -> int:
        """Count the entries, in the plan or not, in which a column is true or false."""
        if column not in self._present(table):
            return 0
        condition = column if is_set else f"NOT {column}"
        return self._number(f"SELECT count(*) FROM {table.name} WHERE {condition}")  # noqa: S608  # names of our own

    def count_since(self, table: Table, moment: float, states: frozenset[JournalState]) -> int:
        """Count the entries of the plan that entered some states since a moment."""
        if not self._present(table):
            return 0
        since = f"{in_states(states)} AND updated_at >= {moment!r}"
        return self._number(f"SELECT count(*) FROM {table.name} {since}")  # noqa: S608  # names of our own

    def job(self, name: str) -> str | None:
        """Return a property of the job, or None."""
        for (value,) in self._ask("SELECT value FROM job WHERE name = ?", name):
            return str(value)
        return None

    def runs(self, limit: int) -> list[tuple[Value, ...]]:
        """Return the start times and process ids of the last runs, the last run first."""
        return self._ask("SELECT started_at, process FROM runs ORDER BY rowid DESC LIMIT ?", limit)

    @property
    def run_count(self) -> int:
        """The number of all runs that have started."""
        return self._number("SELECT count(*) FROM runs")

    def _select(self, table: Table, condition: str, *values: Value) -> Iterator[Entry]:
        present = self._present(table)
        if not present:
            return
        names = [column.name for column in table.all_columns]
        if "is_in_plan" not in present:  # of a job whose entries never leave the plan
            condition = condition.replace("WHERE is_in_plan", "WHERE 1")
        for row in self._each(select(table, present, condition), *values):
            yield dict(zip(names, row, strict=True))

    def _present(self, table: Table) -> frozenset[str]:
        return frozenset(str(row[1]) for row in self._ask(f"PRAGMA table_info({table.name})"))

    def _number(self, query: str) -> int:
        value = self._ask(query)[0][0]
        return value if isinstance(value, int) else 0

    def _ask(self, query: str, *values: Value) -> list[tuple[Value, ...]]:
        return list(self._each(query, *values))

    def _each(self, query: str, *values: Value) -> Iterator[tuple[Value, ...]]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            problem = str(error)
        else:
            return
        raise journal_error(self._path, f"cannot be read: {problem}")
