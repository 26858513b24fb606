"""Private files that keys are appended to: each line is on the disk before it counts."""

import os
import stat
import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

_MODE: Final = 0o600
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would write a carriage return of its own


def open_private(path: Path) -> int:
    """Open a file to read and append; made for its owner only when it is not there.

    A device, a pipe or a folder is an OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, _MODE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a file")  # noqa: TRY301  # one place closes it
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def make_private(descriptor: int) -> None:
    """Make an open file of ours private, also if another program created it."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, _MODE)


def lock(descriptor: int, *, is_waiting: bool = True) -> None:
    """Lock an open file for this descriptor; where the system cannot, assume that no other does.

    A BlockingIOError says that another process holds it, and waiting was not requested.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))


def append(descriptor: int, content: bytes) -> None:
    """Append, and return when it is on the disk; after an OSError a part of it may be."""
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
    os.fsync(descriptor)


def read_all(descriptor: int) -> bytes:
    """Return what is in an open file."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def sync_folder(path: Path) -> None:
    """Make the name of a new file outlive the power, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def stamp(descriptor: int) -> tuple[int, int]:
    """Return what changes with each write to an open file: its size and its time."""
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
