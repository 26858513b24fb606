"""The writing thread: commits simultaneous requests together."""

import asyncio
import contextlib
import copy
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from invoicexpress_async.jobs.journal import (
    Change,
    Claim,
    Commit,
    Entry,
    JournalError,
    JournalState,
)
from invoicexpress_async.jobs.sqlite.batch import Batch, Request, Work, commit
from invoicexpress_async.jobs.sqlite.file import checkpoint, close, connect, journal_error, locate
from invoicexpress_async.jobs.sqlite.lock import RunLock

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("invoicexpress_async")

# A backup, or a read by another program, ends within this time; so does any usual deadline.
_MAX_LOCKED_SECONDS: Final = 600.0
# The time between two commits. Without it, a job on a fast disk commits a few rows at a time, and
# the commits take a third of its processor time. A response of the API takes ten times as long.
_PERIOD_SECONDS: Final = 0.010
# The log then has a few MiB.
_COMMITS_IN_A_CHECKPOINT: Final = 500


class GroupCommitWriter:
    """Runs requests on one connection, in order. A result is given after its commit.

    Everything that touches the disk runs in the thread, including opening and closing the file.

    Requests that arrive during a transaction go into the next one. After the first failure nothing
    is written any more, because the content of the disk is then unknown. A file that another
    program holds locked is not a failure: the writer waits for it, and each caller waits as long
    as its own deadline allows.
    """

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path: Path = path
        """The file; resolved once it is open."""
        self._is_shared = is_shared
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._gathered: Batch = []
        # True from when the next batch is certain to be handed over until it is committed.
        self._is_busy = False
        self._handed_over_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._opening = Request(self._loop.create_future())
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._is_closing = False
        self.failure: str | None = None

    async def open(self) -> None:
        """Start the thread, and wait until the file is open.

        Raises:
            JournalError: the file cannot be used.
        """
        self._thread.start()
        await self._opening.done

    async def run(self, work: Work[T]) -> T:
        """Run work in the next transaction; return its result when the transaction is durable.

        An exception of the work is raised here, and undoes this work alone.

        Raises:
            JournalError: the transaction failed.
        """
        results: list[T] = []

        def keep(connection: sqlite3.Connection) -> None:
            results.append(work(connection))

        await self._enqueue(Request(self._loop.create_future(), work=keep))
        return results[0]

    def write(self, changes: tuple[Change, ...]) -> Commit:
        """Change entries in the next transaction; the future is done when it is durable."""
        return self._enqueue(Request(self._loop.create_future(), changes=changes))

    async def claim(self, claim: Claim, changes: tuple[Change, ...]) -> Entry | None:
        """Claim in the next transaction; return None, or the entry of the claim's owner if lost."""
        request = Request(self._loop.create_future(), claim=claim, changes=changes, lost=[])
        await self._enqueue(request)
        return request.lost[0] if request.lost else None

    def settle(self, claim: Claim, state: JournalState, changes: tuple[Change, ...]) -> Commit:
        """Write the outcome of a claim, and the changes, in the next transaction."""
        done = self._loop.create_future()
        return self._enqueue(Request(done, claim=claim, state=state, changes=changes))

    def _enqueue(self, request: Request) -> Commit:
        if self.failure is not None:
            _fail([request], self._error(self.failure))
            return request.done
        self._gathered.append(request)
        if not self._is_busy:
            self._is_busy = True
            # A request that no send waits for is written with the next claim, if one comes soon.
            is_urgent = request.work is not None or (request.claim and request.state is None)
            self._loop.call_later(0.0 if is_urgent else _PERIOD_SECONDS, self._flush)
        return request.done

    async def close(self) -> None:
        """Write the waiting requests, and close the file; later requests fail."""
        if self._thread.is_alive():
            self._is_closing = True
            self._flush()
            self.failure = self.failure or "it was closed"
            self._batches.put(None)
            await self._ended.wait()
            # For its last instructions: join() would block.
            while self._thread.is_alive():  # noqa: ASYNC110  # a thread has no event for its end
                await asyncio.sleep(0)

    def _flush(self) -> None:
        batch, self._gathered = self._gathered, []
        self._is_busy = bool(batch)
        if batch:
            self._handed_over_at = self._loop.time()
            self._hand_over(batch)

    def _hand_over(self, batch: Batch) -> None:
        # A method of its own for tests without threads, which commit in their event loop.
        self._batches.put(batch)

    def _committed(self, batch: Batch, errors: list[Exception | None]) -> None:
        broken = next((one for one in errors if isinstance(one, sqlite3.Error)), None)
        if broken is not None:
            self.failure = str(broken)
            _fail(batch + self._gathered, self._error(self.failure))
            self._gathered = []
        else:
            for request, error in zip(batch, errors, strict=True):
                _succeed([request]) if error is None else _fail([request], error)
        # The next part of a plan does not wait: no other requests would go with it.
        is_alone = len(batch) == 1 and batch[0].work is not None
        wait = 0.0 if is_alone else _PERIOD_SECONDS
        self._loop.call_at(self._handed_over_at + wait, self._flush)

    def _error(self, failure: str) -> JournalError:
        return journal_error(self.path, f"cannot be written: {failure}")

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            try:
                path = locate(self.path)
                lock = RunLock(path, is_shared=self._is_shared)
                stack.callback(lock.release)
                connection = connect(path)
            except Exception as error:  # noqa: BLE001  # it is raised in the event loop
                self._call_in_loop(_fail, [self._opening], error)
            else:
                self.path = path
                self._call_in_loop(_succeed, [self._opening])
                self._serve(connection, lock)
        self._call_in_loop(self._ended.set)

    def _serve(self, connection: sqlite3.Connection, lock: RunLock) -> None:
        broken: sqlite3.Error | None = None
        try:
            commits = 0
            while (batch := self._batches.get()) is not None:
                errors: list[Exception | None] = [broken] * len(batch)
                if broken is None:
                    errors = self._commit(connection, batch)
                    broken = next((one for one in errors if isinstance(one, sqlite3.Error)), None)
                self._call_in_loop(self._committed, batch, errors)
                commits += 1
                if broken is None and commits % _COMMITS_IN_A_CHECKPOINT == 0:
                    with contextlib.suppress(sqlite3.Error):  # the next commit says what is wrong
                        checkpoint(connection)
        finally:
            close(connection, is_last=broken is None and lock.is_last)

    def _commit(self, connection: sqlite3.Connection, batch: Batch) -> list[Exception | None]:
        """Commit a batch as soon as no other program holds the file locked."""
        began = time.monotonic()
        errors = commit(connection, batch)
        if _is_locked(errors):
            _LOGGER.warning("The journal %s is locked by another program: waiting.", self.path)
        while _is_locked(errors) and not self._is_closing:
            if time.monotonic() - began > _MAX_LOCKED_SECONDS:
                break
            errors = commit(connection, batch)
        return errors

    def _call_in_loop(self, how: Callable[..., object], *what: object) -> None:
        # The loop may have been closed before the journal was.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(how, *what)


def _is_locked(errors: list[Exception | None]) -> bool:
    # At the beginning of the transaction: once it has begun, no other process can lock the file.
    code: int = getattr(errors[0], "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _succeed(batch: Batch) -> None:
    for request in batch:
        if not request.done.done():  # its caller may have been cancelled
            request.done.set_result(None)


def _fail(batch: Batch, error: Exception) -> None:
    for request in batch:
        if not request.done.done():
            request.done.set_exception(copy.copy(error))
            request.done.exception()  # its caller may be gone: asyncio must not complain
