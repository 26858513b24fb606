"""A journal on a simulated disk: SQLite and the package's statements, without a thread."""

import asyncio
import functools
import itertools
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import attrs

from invoicexpress_async.jobs.journal import Change, Claim, Entry, JournalError
from invoicexpress_async.jobs.sqlite.batch import Batch, commit
from invoicexpress_async.jobs.sqlite.file import close, connect
from invoicexpress_async.jobs.sqlite.journal import SqliteJournal
from invoicexpress_async.jobs.sqlite.statements import create
from invoicexpress_async.jobs.sqlite.writer import GroupCommitWriter
from invoicexpress_async.provisioning.rows_table import ROWS
from simulation.loop import SimulatedLoop
from simulation.troubles import Troubles


class Storage(Protocol):
    """The storage of the journal of one history."""

    def connect(self) -> sqlite3.Connection:
        """Open a connection that writes."""
        ...

    def disconnect(self, connection: sqlite3.Connection) -> None:
        """Close a connection, like a program that ends."""
        ...

    def look(self) -> sqlite3.Connection:
        """Return a connection that reads, for an observer."""
        ...

    def content(self) -> bytes:
        """Return all bytes that are stored."""
        ...

    def close(self) -> None:
        """Close the connections that killed processes left open, like a kernel."""
        ...


class StorageInFile:
    """A real file with its log, opened like by a program."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._reader: sqlite3.Connection | None = None

    def connect(self) -> sqlite3.Connection:
        connection = connect(self._path)
        self._connections.append(connection)
        return connection

    def disconnect(self, connection: sqlite3.Connection) -> None:
        close(connection, is_last=False)

    def look(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = sqlite3.connect(self._path)
        return self._reader

    def content(self) -> bytes:
        files = sorted(self._path.parent.glob(f"{self._path.name}*"))
        return b"".join(path.read_bytes() for path in files)

    def close(self) -> None:
        for connection in (*self._connections, *filter(None, [self._reader])):
            connection.close()


class StorageInMemory:
    """A database in memory, used by all histories of a process one after the other.

    Its connections stay open, with their statements. Opening a file and parsing the statements
    again would take half the time of a history.
    """

    def __init__(self) -> None:
        self._name = f"file:/simulation-{next(_NUMBERS)}?vfs=memdb"
        self._reader = self._open()
        with tempfile.TemporaryDirectory() as folder:
            template = connect(Path(folder) / "journal")
            template.executescript(f"{create(ROWS)}; PRAGMA journal_mode = DELETE;")
            template.backup(self._reader)
            template.close()
        tables = self._reader.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        self._tables = [str(name) for (name,) in tables]
        self._free: list[sqlite3.Connection] = []
        self._used: list[sqlite3.Connection] = []

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._name, uri=True, isolation_level=None)

    def connect(self) -> sqlite3.Connection:
        self._used.append(self._free.pop() if self._free else self._open())
        return self._used[-1]

    def disconnect(self, connection: sqlite3.Connection) -> None:
        """Do nothing: every transaction is committed."""

    def look(self) -> sqlite3.Connection:
        return self._reader

    def content(self) -> bytes:
        return self._reader.serialize()

    def close(self) -> None:
        for table in self._tables:
            self._reader.execute(f"DELETE FROM {table}")  # noqa: S608  # own table names
        self._free, self._used = self._free + self._used, []


_NAME: Final = Path("journal")
_NUMBERS: Final = itertools.count()


@functools.cache
def memory() -> StorageInMemory:
    """Return the storage in memory of this process."""
    return StorageInMemory()


@attrs.define(kw_only=True, eq=False)
class Disk:
    """Commits each batch a moment after it is handed over, and acknowledges it a moment later.

    If the process is killed or frozen in between, so is its thread: a batch that was not committed
    is lost or delayed, and a committed one stays.
    """

    loop: SimulatedLoop
    troubles: Troubles
    storage: Storage

    def submit(self, writer: "SimulatedWriter", batch: Batch) -> None:
        """Begin to commit a batch, on behalf of the process that runs."""
        self.troubles.strike("a batch is handed to the disk")
        self.loop.call_later(self._seconds(), self._commit, writer, batch)

    def _seconds(self) -> float:
        return self.troubles.latency() / 10

    def _commit(self, writer: "SimulatedWriter", batch: Batch) -> None:
        if not self.loop.process.is_alive:
            return
        if writer.broken is None and self.troubles.is_disk_full():
            writer.broken = sqlite3.OperationalError("database or disk is full")
        if writer.broken is None:
            errors = commit(writer.connection, batch)
        else:
            errors = [writer.broken] * len(batch)
        self.troubles.strike("a batch is committed")
        self.loop.call_later(self._seconds(), writer.acknowledge, batch, errors)


class SimulatedWriter(GroupCommitWriter):
    """The real writer, without its thread."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(_NAME)
        self._disk = disk
        self.broken: sqlite3.Error | None = None
        self.connection: sqlite3.Connection

    async def open(self) -> None:
        if self._disk.troubles.is_disk_full():
            raise JournalError(f"The journal {self.path} cannot be used: disk full.")
        self.connection = self._disk.storage.connect()

    async def close(self) -> None:
        while self._is_busy and self._disk.loop.process.is_alive:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        self.failure = self.failure or "it was closed"
        self._disk.storage.disconnect(self.connection)

    def acknowledge(self, batch: Batch, errors: list[Exception | None]) -> None:
        """Report the outcome of a batch."""
        self._disk.troubles.strike("a commit is acknowledged")
        self._committed(batch, errors)
        self._disk.troubles.strike("a commit is known")

    def _hand_over(self, batch: Batch) -> None:
        self._disk.submit(self, batch)


class SimulatedJournal(SqliteJournal):
    """The real journal on a simulated disk, without its lease, since safety must not need it."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(_NAME)
        self._disk = disk
        self._simulated = SimulatedWriter(disk)

    @property
    def writer(self) -> GroupCommitWriter:
        return self._simulated

    async def __aenter__(self) -> Self:
        await self._simulated.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._simulated.close()

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        there = await super().claim(claim, *changes)
        if there is None:
            self._disk.troubles.strike("a claim is won")
            await asyncio.sleep(0)  # a frozen process must stop here, not at a later step
        return there
