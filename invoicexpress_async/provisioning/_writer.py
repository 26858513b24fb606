"""The one thread that writes, and commits together what is asked for together."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from invoicexpress_async.provisioning._journal_file import connect
from invoicexpress_async.provisioning.journal_error import JournalError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_MOST_IN_ONE_COMMIT: Final = 1000


class _Item(NamedTuple):
    work: Work[None] | None
    done: "asyncio.Future[None]"
    statement: str = ""
    values: Sequence[object] = ()


class Writer:
    """Runs pieces of work on one connection, in order. A result is given after its commit.

    The first failure is the last: nothing is written after it, since nobody can tell what the
    disk holds then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        # What one turn of the loop asks for is handed over at once: a thread is dear to wake.
        self._gathered: list[_Item] = []
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self.failure: str | None = None

    async def open(self) -> None:
        """Start, and wait until the file is open.

        Raises:
            JournalError: it cannot be used.
        """
        self._thread.start()
        await self._opened

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

    async def write(self, statement: str, values: Sequence[object]) -> None:
        """Write one row in the next transaction; return when that is on the disk.

        All rows of one statement are given to SQLite together: this thread then takes the
        interpreter, which the event loop needs, less often.

        Args:
            statement: What changes one row.
            values: Its parameters.

        Raises:
            JournalError: it is not, and may not be.
        """
        await self._ask(_Item(None, self._loop.create_future(), statement, values))

    async def _ask(self, item: _Item) -> None:
        if self.failure is not None:
            raise self._error()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(item)
        try:
            await item.done
        except sqlite3.Error as error:
            failure = str(error)
        else:
            return
        self.failure = failure
        raise self._error()

    async def close(self) -> None:
        """Write what is waiting, and close the file."""
        if self._thread.is_alive():
            self._hand_over()
            self._items.put(None)
            await self._ended.wait()
            self._thread.join()

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._items.put(gathered)

    def _error(self) -> JournalError:
        return JournalError(f"The journal {self._path} cannot be written: {self.failure}.")

    def _run(self) -> None:
        try:
            connection = connect(self._path)
        except Exception as error:  # noqa: BLE001  # it is raised in the event loop
            self._tell(_fail, [self._opened], error)
        else:
            self._tell(_succeed, [self._opened])
            try:
                self._serve(connection)
            finally:
                connection.close()
        self._loop.call_soon_threadsafe(self._ended.set)

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (items := self._items.get()) is not None:
            batch, is_last = items, False
            while not (is_last or self._items.empty() or len(batch) >= _MOST_IN_ONE_COMMIT):
                more = self._items.get()
                is_last = more is None
                batch += more or ()
            self._commit(connection, batch)
            if is_last:
                return

    def _commit(self, connection: sqlite3.Connection, batch: list[_Item]) -> None:
        all_done = [item.done for item in batch]
        try:
            connection.execute("BEGIN IMMEDIATE")
            rows: dict[str, list[Sequence[object]]] = {}
            for item in batch:
                if item.work is not None:
                    item.work(connection)
                else:
                    rows.setdefault(item.statement, []).append(item.values)
            for statement, values in rows.items():
                connection.executemany(statement, values)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # each asker gets it, in the event loop
            if connection.in_transaction:
                connection.rollback()
            self._tell(_fail, all_done, error)
        else:
            self._tell(_succeed, all_done)

    def _tell(self, how: Callable[..., None], *what: object) -> None:
        # The loop may have been closed under a run that nobody closed.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(how, *what)


def _succeed(all_done: "list[asyncio.Future[None]]") -> None:
    for done in all_done:
        if not done.done():  # its asker may have been cancelled
            done.set_result(None)


def _fail(all_done: "list[asyncio.Future[None]]", error: Exception) -> None:
    for done in all_done:
        if not done.done():
            done.set_exception(error)
