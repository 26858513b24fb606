"""A private file that keys are appended to: whole lines, each on the disk before it counts."""

import abc
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

_MODE: Final = 0o600
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would write a carriage return of its own


def open_private(path: Path) -> int:
    """Open a file to read and append; made for its owner only when it is not there.

    Raises:
        OSError: it cannot be opened, or is a device, a pipe or a folder.
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

    Raises:
        BlockingIOError: another process holds it, and waiting was not requested.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))


def append(descriptor: int, content: bytes) -> None:
    """Append, and return when it is on the disk.

    Raises:
        OSError: it is not, or a part of it only.
    """
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


class KeyFile(abc.ABC):
    """A file of keys by name, which other processes may read, and append to as it does.

    A last line that a kill or a full disk cut short is taken back: its key is in the spool until
    its append has returned.

    Attributes:
        path: The file.
        start: What stands in it before the first key.
    """

    start: str = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        # Not asyncio's: a run that is cut off leaves the thread of an append behind.
        self._using = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, Secret] = {}

    def check(self) -> None:
        """Open it, and make it if it is not there, so that a problem is reported early.

        Raises:
            ConfigurationError: the file is something else, or it cannot be written.
        """
        problem = ""
        try:
            self._use(lambda _: None)
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise ConfigurationError(f"The file of keys {self.path} cannot be written: {problem}.")

    def append(self, name: str, key: Secret, line: Callable[[], str]) -> None:
        """Append a key, unless it is there already, and return when it is on the disk.

        Args:
            name: Of the key.
            key: The key.
            line: Makes what is written; no frame that an error goes through holds it.

        Raises:
            ConfigurationError: the file is something else.
            OSError: it cannot be written.
        """

        def work(descriptor: int) -> None:
            if self._keys.get(name) == key:
                return
            start = "" if os.fstat(descriptor).st_size else self.start
            append(descriptor, f"{start}{line()}".encode())
            self._keys[name] = key
            self._seen = _stamp(descriptor)

        failure = None
        try:
            self._use(work)
        except OSError as error:
            failure = OSError(error.errno, error.strerror, str(self.path))
        if failure is not None:
            raise failure

    def key(self, name: str) -> str:
        """Return a key that is in it.

        Raises:
            KeyError: it is not.
        """
        if self.path.exists():
            self._use(lambda _: None)
        return self._keys[name].reveal()

    @abc.abstractmethod
    def read(self, text: str) -> dict[str, Secret]:
        """Return the keys that are in it, by name.

        Raises:
            ConfigurationError: it is something else.
        """

    @abc.abstractmethod
    def is_whole(self, line: str) -> bool:
        """Return whether a last line lacks its end only, as editors leave it."""

    @abc.abstractmethod
    def is_begun(self, line: str, *, is_first: bool) -> bool:
        """Return whether a last line may be one of this program's, cut short."""

    def _use(self, work: Callable[[int], None]) -> None:
        with self._using:
            is_new = not self.path.exists()
            descriptor = open_private(self.path)
            try:
                lock(descriptor)
                if _stamp(descriptor) != self._seen:
                    self._look_unseen(descriptor)
                work(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.path)

    def _look_unseen(self, descriptor: int) -> None:
        """Look, and let no frame that holds the content go out with an error."""
        failure: Exception | None = None
        try:
            self._look(descriptor)
        except (ConfigurationError, OSError) as error:
            failure = error.with_traceback(None)
        if failure is not None:
            raise failure

    def _look(self, descriptor: int) -> None:
        """Read it, and repair its end."""
        content = read_all(descriptor)
        end = content.rfind(b"\n") + 1
        text, tail = (
            part.decode("utf-8-sig", "replace") for part in (content[:end], content[end:])
        )
        if tail and self.is_whole(tail):
            self._keys = self.read(text + tail)
            append(descriptor, b"\n")
        else:
            self._keys = self.read(text)
            if tail and not self.is_begun(tail, is_first=not end):
                self.refuse()
            if tail:
                os.ftruncate(descriptor, end)
        make_private(descriptor)
        self._seen = _stamp(descriptor)

    def refuse(self) -> NoReturn:
        """Say that it is something else.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"{self.path} exists already and is not a file of keys of this program: it is left as "
            "it is. Name another file."
        )


def _stamp(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns
