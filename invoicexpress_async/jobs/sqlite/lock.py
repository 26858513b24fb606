"""A lock beside the journal: a second run is refused, unless both runs share the journal.

It is a courtesy. Safety does not depend on it, because each request is claimed in the journal
itself before it is sent. A lock file can be deleted, copied, or be on a file system without locks.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

from invoicexpress_async.jobs.journal import SHARE, JournalError

if sys.platform != "win32":  # on Windows, the claims must be enough
    import fcntl

# To check the lock is to take it for a moment; a run that starts just then must not fail.
_TRIES: Final = 5
_TRY_AGAIN_SECONDS: Final = 0.05


class RunLock:
    """Holds a journal for one run, or shares it with other runs that share it.

    The lock is on a file beside the journal: closing any descriptor of the journal itself would
    release SQLite's locks on it. The lock of a killed process ends with the process.

    Raises:
        JournalError: another run holds it, or the file cannot be written.
    """

    def __init__(self, journal: Path, *, is_shared: bool) -> None:
        path = _path(journal)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(
                f"The journal {journal} cannot be opened: {path.name}: {error.strerror}. "
                "Nothing was sent."
            ) from None
        if _is_taken(self._descriptor, is_shared=is_shared):
            self._write_holder()
            return
        os.close(self._descriptor)
        raise JournalError(
            f"The journal {journal} is in use {_holder(path)}: see "
            f"`invoicexpress status {journal}`. Nothing was sent.",
            cure=SHARE,
        )

    @property
    def is_last(self) -> bool:
        """Whether no other run shares it now."""
        return _is_taken(self._descriptor, is_shared=False)

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)

    def _write_holder(self) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        text = f"by process {os.getpid()} on {socket.gethostname()} since {since}"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def lock_holder(journal: Path) -> str | None:
    """Return the present holder of a journal, such as "by process 4711 on ...", or None."""
    path = _path(journal)
    if not path.is_file():
        return None
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _is_taken(descriptor, is_shared=False, tries=1) else _holder(path)
    finally:
        os.close(descriptor)


def _path(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}-lease")


def _is_taken(descriptor: int, *, is_shared: bool, tries: int = _TRIES) -> bool:
    """Take the lock of a descriptor; return whether it is taken."""
    if sys.platform == "win32":
        return True
    how = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    for left in reversed(range(tries)):
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return True
        if left:
            time.sleep(_TRY_AGAIN_SECONDS)
    return False


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        text = path.read_bytes()[:200].decode("utf-8", "replace").strip()
        if text.startswith("by process"):
            return text
    return "by another run"
