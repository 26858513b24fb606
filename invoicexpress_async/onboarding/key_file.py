"""A private file that keys are appended to: whole lines, each on the disk before it counts."""

import abc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding.private_file import (
    append,
    lock,
    make_private,
    open_private,
    read_all,
    sync_folder,
)


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
