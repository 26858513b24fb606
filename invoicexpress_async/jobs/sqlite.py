"""`SqliteJournal`: what was meant and what became of it, on the disk before anything is sent."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite_lock import Lease
from invoicexpress_async.jobs.sqlite_writer import Writer


class SqliteJournal:
    """A file that carries a job over crashes: SQLite, private (0600), durable at each commit.

    Use it with `async with`, for one run at a time. It holds account names, series and what
    became of them; no key and no password is ever in it. Beside it, SQLite keeps `-wal` and
    `-shm` files while it is open, and a `-lease` file says who holds it: copy or move it only
    when no run does.

    Args:
        path: The file; made when it is not there. Its folder must be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._writer: Writer | None = None
        self._lease: Lease | None = None

    @property
    def writer(self) -> Writer:
        """What writes to it, while it is open.

        Raises:
            JournalError: it is not open.
        """
        if self._writer is None:
            raise JournalError(f"The journal {self.path} is not open: use `async with` on it.")
        return self._writer

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            JournalError: another run holds it; or it is no journal, of a newer version, damaged,
                locked, or cannot be written.
        """
        if self._writer is not None:
            raise JournalError(f"The journal {self.path} is open already.")
        self._check_path()
        lease = Lease(self.path)
        writer = Writer(self.path)
        try:
            await writer.open()
        except BaseException:
            await writer.close()
            lease.release()
            raise
        self._writer, self._lease = writer, lease
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        writer, lease, self._writer, self._lease = self._writer, self._lease, None, None
        with contextlib.ExitStack() as stack:
            if lease is not None:
                stack.callback(lease.release)
            if writer is not None:
                await writer.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A SqliteJournal is not pickled: open it in the process that runs the job.")

    def _check_path(self) -> None:
        folder = self.path.absolute().parent
        if not os.access(folder, os.X_OK):  # what is in it cannot even be asked
            problem = "cannot be reached: make its folder, or get the permission to enter it"
            raise JournalError(f"The journal {self.path} {problem}. Nothing was sent.")
        if self.path.exists() and not self.path.is_file():
            raise JournalError(f"The journal {self.path} is not a file.")
