"""The task that writes to the journal, and commits simultaneous requests together."""

import asyncio
import copy
from collections import deque
from typing import Final, TypeAlias

from invoicexpress_async.jobs.journal import Commit, JournalError
from invoicexpress_async.jobs.postgres.batch import Request, Transaction
from invoicexpress_async.jobs.postgres.connection import Connection, Message, Rows
from invoicexpress_async.jobs.postgres.statements import Statements

_MAX_BATCH: Final = 500

_Query: TypeAlias = tuple[Message, "asyncio.Future[list[Rows]]"]


class GroupCommitWriter:
    """Executes requests in order, on one connection.

    Requests that arrive during a transaction go into the next one. When a transaction fails, only
    the requests in it fail: the database may be reachable again for the next one.
    """

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._queue: deque[Request | _Query] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self.commits: int = 0

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def submit(self, request: Request) -> None:
        """Execute a request in the next transaction."""
        if self._problem is not None:
            _fail([request], JournalError(self._problem))
            return
        self._queue.append(request)
        self._wake.set()

    async def query(self, message: Message) -> list[Rows]:
        """Execute a message after all earlier requests, and return its rows.

        Raises:
            JournalError: the execution failed, or the writer is closed.
        """
        if self._problem is not None:
            raise JournalError(self._problem)
        found: asyncio.Future[list[Rows]] = asyncio.get_running_loop().create_future()
        self._queue.append((message, found))
        self._wake.set()
        return await found

    async def close(self, problem: str) -> None:
        """Execute the waiting requests, and fail later ones with `problem`."""
        self._problem = problem
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._queue or self._problem is None:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(0)  # requests of the same loop iteration go together
                continue
            first = self._queue[0]
            if isinstance(first, Request):
                await self._commit()
            else:
                self._queue.popleft()
                await self._answer(*first)

    async def _answer(self, message: Message, found: "asyncio.Future[list[Rows]]") -> None:
        try:
            rows = await self._connection.execute(message)
        except Exception as error:  # noqa: BLE001  # no caller may wait for ever
            _set_error(found, error)
        else:
            if not found.done():
                found.set_result(rows)

    async def _commit(self) -> None:
        batch: list[Request] = []
        while self._queue and len(batch) < _MAX_BATCH:
            if not isinstance(one := self._queue[0], Request):
                break
            batch.append(one)
            self._queue.popleft()
        try:
            transaction = Transaction.of(self._statements, batch)
            found = await self._connection.execute(transaction.message)
            results = transaction.results(found)
        except Exception as error:  # noqa: BLE001  # no caller may wait for ever
            _fail(batch, error)
            return
        self.commits += 1
        for request, result in results:
            if isinstance(result, Exception):
                _set_error(request.done, result)
            elif not request.done.done():  # the caller may have been cancelled
                request.done.set_result(None)


def _fail(batch: list[Request], error: Exception) -> None:
    for request in batch:
        _set_error(request.done, copy.copy(error))


def _set_error(future: "asyncio.Future[list[Rows]] | Commit", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # the caller may be gone: asyncio must not warn
