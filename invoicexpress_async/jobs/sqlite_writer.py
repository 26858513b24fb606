"""The one thread that writes, and commits together what is asked for together."""

import asyncio
import copy
import json
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite_file import connect

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Written: TypeAlias = asyncio.Future[None]
"""Done when something is on the disk, or with a JournalError."""


class _Item(NamedTuple):
    work: Work[None] | None
    done: Written
    statement: str = ""
    values: tuple[object, ...] = ()


class Writer:
    """Runs pieces of work on one connection, in order. A result is given after its commit.

    What is asked for while one transaction is on its way to the disk goes into the next one.
    The first failure is the last: nothing is written after it, since nobody can tell what the
    disk holds then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batches: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._gathered: list[_Item] = []
        # From the moment that the next batch is sure to be handed over, until it is committed.
        self._is_busy = False
        self._loop = asyncio.get_running_loop()
        self._opening = _Item(None, self._loop.create_future())
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self.failure: str | None = None

    async def open(self) -> None:
        """Start, and wait until the file is open.

        Raises:
            JournalError: it cannot be used.
        """
        self._thread.start()
        await self._opening.done

    async def run(self, work: Work[T]) -> T:
        """Run it in the next transaction; return when that is on the disk.

        Raises:
            JournalError: it is not, and may not be.
        """
        results: list[T] = []

        def keep(connection: sqlite3.Connection) -> None:
            results.append(work(connection))

        await self._ask(_Item(keep, self._loop.create_future()))
        return results[0]

    def write(self, statement: str, values: tuple[object, ...]) -> Written:
        """Write one row in the next transaction; what is returned is done when it is on the disk.

        All rows of one statement are given to SQLite as one: for each step of a statement this
        thread lets go of the interpreter and waits to have it back from the event loop.

        Args:
            statement: Takes its rows from `json_each(?)`, each as a JSON array.
            values: The row, of what JSON can hold; the first two are its name.

        Raises:
            JournalError: from what is returned: it is not, and may not be.
        """
        return self._ask(_Item(None, self._loop.create_future(), statement, values))

    def _ask(self, item: _Item) -> Written:
        if self.failure is not None:
            _fail([item], self._error(self.failure))
            return item.done
        self._gathered.append(item)
        if not self._is_busy:
            self._is_busy = True
            # In the next turn of the loop: others of this one go with it.
            self._loop.call_soon(self._hand_over)
        return item.done

    async def close(self) -> None:
        """Write what is waiting, and close the file; what is asked for later fails."""
        if self._thread.is_alive():
            self._hand_over()
            self.failure = self.failure or "it was closed"
            self._batches.put(None)
            await self._ended.wait()
            self._thread.join()

    def _hand_over(self) -> None:
        batch, self._gathered = self._gathered, []
        self._is_busy = bool(batch)
        if batch:
            self._batches.put(batch)

    def _committed(self, batch: list[_Item], error: Exception | None) -> None:
        if isinstance(error, sqlite3.Error):
            self.failure = str(error)
            error = self._error(self.failure)
            batch += self._gathered
            self._gathered = []
        if error is None:
            _succeed(batch)
        else:
            _fail(batch, error)
        self._hand_over()

    def _error(self, failure: str) -> JournalError:
        return JournalError(f"The journal {self._path} cannot be written: {failure}.")

    def _run(self) -> None:
        try:
            connection = connect(self._path)
        except Exception as error:  # noqa: BLE001  # it is raised in the event loop
            self._tell(_fail, [self._opening], error)
        else:
            self._tell(_succeed, [self._opening])
            problem: Exception | None = None
            try:
                while (batch := self._batches.get()) is not None:
                    if not isinstance(problem, sqlite3.Error):
                        problem = _commit(connection, batch)
                    self._tell(self._committed, batch, problem)
            finally:
                connection.close()
        self._tell(self._ended.set)

    def _tell(self, how: Callable[..., object], *what: object) -> None:
        # The loop may have been closed under a run that nobody closed.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(how, *what)


def _commit(connection: sqlite3.Connection, batch: list[_Item]) -> Exception | None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        _carry_out(connection, batch)
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001  # each asker gets it, in the event loop
        if connection.in_transaction:
            connection.rollback()
        return error
    return None


def _carry_out(connection: sqlite3.Connection, batch: list[_Item]) -> None:
    rows: dict[str, list[tuple[object, ...]]] = {}
    names: set[tuple[object, ...]] = set()
    for item in batch:
        name = item.values[:2]
        # What is asked for of one row is done in that order: the intent of one that was cut off
        # must not come after its end.
        if item.work is not None or name in names:
            _write_rows(connection, rows)
            rows.clear()
            names.clear()
        if item.work is not None:
            item.work(connection)
        else:
            rows.setdefault(item.statement, []).append(item.values)
            names.add(name)
    _write_rows(connection, rows)


def _write_rows(connection: sqlite3.Connection, rows: dict[str, list[tuple[object, ...]]]) -> None:
    for statement, values in rows.items():
        connection.execute(statement, (json.dumps(values),))


def _succeed(batch: list[_Item]) -> None:
    for item in batch:
        if not item.done.done():  # its asker may have been cancelled
            item.done.set_result(None)


def _fail(batch: list[_Item], error: Exception) -> None:
    for item in batch:
        if not item.done.done():
            item.done.set_exception(copy.copy(error))
            item.done.exception()  # whoever has asked may have left: then nobody is to be told
