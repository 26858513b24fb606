"""Reads a journal in a database, whether a process works on it or not."""

import contextlib
import json
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

import psycopg

from invoicexpress_async.jobs.journal import (
    NEWER,
    Entry,
    JournalError,
    JournalState,
    Key,
    Table,
    Value,
)
from invoicexpress_async.jobs.postgres.address import Address, problem_of
from invoicexpress_async.jobs.postgres.schema import VERSION
from invoicexpress_async.jobs.postgres.slices import SliceLeft, slices_left_of
from invoicexpress_async.jobs.postgres.statements import Statements, states_text

_MAX_HOLDERS_NAMED: Final = 3
_ROWS_AT_ONCE: Final = 1_000


class JournalDatabase:
    """The journal of a schema, opened only to read, like `JournalFile`. Use it with `with`.

    Raises:
        JournalError: the journal does not exist, or cannot be read.
    """

    def __init__(self, url: str, *, schema: str) -> None:
        self._address = Address.parse(url, schema=schema)
        self._statements = Statements(schema)
        self._connection = self._connect()
        try:
            self._check()
        except BaseException:
            self._connection.close()
            raise

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
    def label(self) -> str:
        """The address, for people."""
        return self._address.label

    @property
    def holder(self) -> str | None:
        """The present holders of slices, as "by process 4711 on host"; None when there are none."""
        slices = self._statements.name("slices")
        query = (
            f"SELECT DISTINCT holder FROM {slices} WHERE holder IS NOT NULL "
            "AND until > clock_timestamp() ORDER BY holder"
        )
        names = [str(name) for (name,) in self._ask(query)]
        if not names:
            return None
        more = len(names) - _MAX_HOLDERS_NAMED
        shown = ", ".join(names[:_MAX_HOLDERS_NAMED])
        return f"by {shown}" + (f" and {more} more" if more > 0 else "")

    def slices_left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in the given states."""
        if not self._present(table):
            return []
        query = self._statements.slices_left(table, states)
        return slices_left_of(self._rows(query))

    @contextlib.contextmanager
    def snapshot(self) -> Generator[None]:
        """Make all reads inside see the journal as it is at one moment."""
        self._ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._ask("COMMIT")

    def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; empty for an absent key."""
        if not self._present(table):
            return [{}] * len(keys)
        named = [dict(zip(table.key, key, strict=True)) for key in keys]
        rows = self._rows(self._statements.look_up(table), json.dumps(named))
        found = {table.key_of(row): row for row in rows}
        return [found.get(key, {}) for key in keys]

    def entries(
        self,
        table: Table,
        *,
        states: frozenset[JournalState] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """Yield the entries of the plan, or those in some states, without keeping them."""
        if not self._present(table):
            return
        condition = f"WHERE old.is_in_plan <> 0{_and_in(states)}"
        order = f" ORDER BY {order_by}" if order_by else ""
        end = f" LIMIT {limit}" if limit is not None else ""
        yield from self._each(self._statements.select(table, condition + order + end))

    def groups(self, table: Table, *by: str, example: str) -> list[tuple[Value, ...]]:
        """Group the plan's entries: return the columns `by`, the count and smallest `example`."""
        if not self._present(table):
            return []
        columns, name = ", ".join(by), self._statements.name(table.name)
        return self._ask(
            f"SELECT {columns}, count(*), min({example}) FROM {name} WHERE is_in_plan <> 0 "
            f"GROUP BY {columns} ORDER BY count(*) DESC, {columns}"
        )

    def count(self, table: Table, column: str, *, is_set: bool = True) -> int:
        """Return how many entries, in the plan or not, have true (or false) in a column."""
        return self._count(table, f"{column} {'<>' if is_set else '='} 0")

    def count_since(self, table: Table, moment: float, states: frozenset[JournalState]) -> int:
        """Return how many entries of the plan have reached some states since a moment."""
        condition = f"old.is_in_plan <> 0{_and_in(states)} AND updated_at >= {moment!r}"
        return self._count(table, condition)

    def job(self, name: str) -> str | None:
        """Return the value that `Journal.bind` wrote under a name; None when there is none."""
        job = self._statements.name("job")
        for (value,) in self._ask(f"SELECT value FROM {job} WHERE name = %s", name):
            return str(value)
        return None

    def runs(self, limit: int) -> list[tuple[Value, ...]]:
        """Return when processes last opened the journal, and their ids, the latest first."""
        runs = self._statements.name("runs")
        query = f"SELECT started_at, process FROM {runs} ORDER BY run DESC LIMIT %s"
        return self._ask(query, limit)

    @property
    def run_count(self) -> int:
        """The number of all times that a process has opened the journal."""
        return _number(self._ask(f"SELECT count(*) FROM {self._statements.name('runs')}"))

    def _count(self, table: Table, condition: str) -> int:
        if not self._present(table):
            return 0
        name = self._statements.name(table.name)
        return _number(self._ask(f"SELECT count(*) FROM {name} AS old WHERE {condition}"))

    def _each(self, query: str) -> Iterator[Entry]:
        """Yield the rows of a query as they come: a server-side cursor keeps the others."""
        try:
            with self._connection.transaction(), self._connection.cursor(name="each") as cursor:
                cursor.itersize = _ROWS_AT_ONCE
                cursor.execute(query.encode())
                names = [column.name for column in cursor.description or ()]
                for row in cursor:
                    yield dict(zip(names, row, strict=True))
        except psycopg.Error as error:
            problem = problem_of(error)
        else:
            return
        raise self._unreadable(problem)

    def _rows(self, query: str, *values: Value) -> list[Entry]:
        cursor = self._execute(query, *values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _present(self, table: Table) -> bool:
        name = self._statements.name(table.name)
        return bool(self._ask("SELECT to_regclass(%s) IS NOT NULL", name)[0][0])

    def _ask(self, query: str, *values: Value) -> list[tuple[Value, ...]]:
        cursor = self._execute(query, *values)
        return [] if cursor.description is None else cursor.fetchall()

    def _execute(self, query: str, *values: Value) -> "psycopg.Cursor[tuple[Any, ...]]":
        try:
            return self._connection.execute(query.encode(), values or None)
        except psycopg.Error as error:
            problem = problem_of(error)
        raise self._unreadable(problem)

    def _unreadable(self, problem: str) -> JournalError:
        return JournalError(f"The journal {self.label} cannot be read: {problem}.")

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        parameters = cast("dict[str, Any]", dict(self._address.parameters))
        try:
            return psycopg.connect(
                **parameters,
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=psycopg.ClientCursor,
            )
        except psycopg.Error as error:
            problem = problem_of(error)
        raise self._unreadable(problem)

    def _check(self) -> None:
        journal = self._statements.name("journal")
        if not self._ask("SELECT to_regclass(%s) IS NOT NULL", journal)[0][0]:
            raise JournalError(f"The journal {self.label} is not there.")
        version = _number(self._ask(f"SELECT version FROM {journal}"))
        if version > VERSION:
            raise JournalError(
                f"The journal {self.label} was written by a newer version of this program "
                f"(schema {version}).",
                cure=NEWER,
            )


def is_there(url: str, *, schema: str) -> bool:
    """Whether the schema contains a journal.

    Raises:
        JournalError: the database cannot be reached.
    """
    address = Address.parse(url, schema=schema)
    try:
        with psycopg.connect(**cast("dict[str, Any]", dict(address.parameters))) as connection:
            cursor = psycopg.ClientCursor(connection)
            cursor.execute("SELECT to_regclass(%s)", [Statements(schema).name("journal")])
            row = cursor.fetchone()
            return row is not None and row[0] is not None
    except psycopg.Error as error:
        problem = problem_of(error)
    raise JournalError(f"The journal {address.label} cannot be read: {problem}.")


def _and_in(states: frozenset[JournalState] | None) -> str:
    return "" if states is None else f" AND old.state IN ({states_text(states)})"


def _number(rows: list[tuple[Value, ...]]) -> int:
    value = rows[0][0] if rows else 0
    return value if isinstance(value, int) else 0
