"""A journal on a simulated disk: SQLite's own file and our own statements, without a thread."""

import asyncio
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from invoicexpress_async.jobs.journal import Change, Claim, Entry, JournalError
from invoicexpress_async.jobs.sqlite.batch import Batch, commit
from invoicexpress_async.jobs.sqlite.file import close, connect
from invoicexpress_async.jobs.sqlite.journal import SqliteJournal
from invoicexpress_async.jobs.sqlite.writer import GroupCommitWriter
from simulation.loop import SimulatedLoop
from simulation.troubles import Troubles


@attrs.define(kw_only=True, eq=False)
class Disk:
    """Commits what is handed over a moment later, and says so a moment later still.

    A process that is killed or frozen in between has its thread killed or frozen with it: what
    was not committed is lost, what was committed stays.
    """

    loop: SimulatedLoop
    troubles: Troubles
    _connections: list[sqlite3.Connection] = attrs.field(factory=list, init=False)

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open the file on behalf of the process that runs."""
        connection = connect(path)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close what killed processes have left open, as their kernel would."""
        for connection in self._connections:
            connection.close()

    def hand_over(self, writer: "SimulatedWriter", batch: Batch) -> None:
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
    """The real writer, but for its thread."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._disk = disk
        self.broken: sqlite3.Error | None = None
        self.connection: sqlite3.Connection

    async def open(self) -> None:
        if self._disk.troubles.is_disk_full():
            raise JournalError(f"The journal {self.path} cannot be used: disk full.")
        self.connection = self._disk.connect(self.path)

    async def close(self) -> None:
        while self._is_busy and self._disk.loop.process.is_alive:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        self.failure = self.failure or "it was closed"
        close(self.connection, is_last=False)

    def acknowledge(self, batch: Batch, errors: list[Exception | None]) -> None:
        """Say what became of a batch."""
        self._disk.troubles.strike("a commit is acknowledged")
        self._committed(batch, errors)
        self._disk.troubles.strike("a commit is known")

    def _hand_over(self, batch: Batch) -> None:
        self._disk.hand_over(self, batch)


class SimulatedJournal(SqliteJournal):
    """The real journal on a simulated disk; without its lease, on which nothing may rest."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._disk = disk
        self._simulated = SimulatedWriter(path, disk)

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
            await asyncio.sleep(0)  # what froze stops here, and not at some later step
        return there
