"""Private files to which keys are appended. Each line is synced to the disk."""

import os
import stat
import sys
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

_MODE: Final = 0o600
_BINARY: Final = getattr(os, "O_BINARY", 0)  # else Windows would add a carriage return


def open_private(path: Path) -> int:
    """Open a file to read and append. A new file is created for its owner only (0600).

    Raises OSError for a device, a pipe or a folder.
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
    """Make an open file private (0600), even if another program created it."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, _MODE)


def lock(descriptor: int, *, is_waiting: bool = True) -> None:
    """Lock an open file for this descriptor. On Windows it does nothing.

    Raises BlockingIOError when another process holds the lock and waiting was not requested.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))


def append(descriptor: int, content: bytes) -> None:
    """Append and sync to the disk. After an OSError a part of the content may be written."""
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
    os.fsync(descriptor)


def read_all(descriptor: int) -> bytes:
    """Return the content of an open file."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def sync_folder(path: Path) -> None:
    """Make a new file's name survive a loss of power, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def stamp(descriptor: int) -> tuple[int, int]:
    """Return the size and mtime of an open file, which change with each write."""
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
