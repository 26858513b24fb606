"""A report in a file: made private, never written over anything but an earlier one."""

import os
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from invoicexpress_async.errors import ConfigurationError

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")

_MARKDOWN: Final = frozenset({".md", ".markdown"})


class Layout(Protocol[T_contra]):
    """How a report is written.

    Attributes:
        start: How each such file begins, and by which it is known.
    """

    start: str

    def entry(self, one: T_contra) -> str:
        """Return what is written of one."""
        ...

    def end(self) -> str:
        """Return what is written last."""
        ...


def is_markdown(path: Path) -> bool:
    """Whether its suffix asks for Markdown; all others are CSV."""
    return path.suffix.lower() in _MARKDOWN


class ReportFile(Generic[T]):
    """A file that is opened before anything is sent and written as things come.

    An earlier report is kept until there is something to write in its place.

    Raises:
        ConfigurationError: the file cannot be written, or must not be.
    """

    def __init__(self, path: Path, layout: Layout[T], *, accounts: Path | None = None) -> None:
        check_report(path, layout, accounts=accounts)
        problem = ""
        try:
            # No key is in it, but who the customers are is nobody else's business.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise ConfigurationError(f"The report {path} cannot be written: {problem}.")
        self._layout = layout
        self._has_begun = False

    def note(self, one: T) -> None:
        """Write one."""
        if not self._has_begun:
            self._has_begun = True
            if self._file.seekable():  # a device is not
                self._file.truncate(0)
            self._file.write(self._layout.start)
        self._file.write(self._layout.entry(one))

    def close(self) -> None:
        """Write the rest, and close."""
        with self._file as file:
            if self._has_begun:
                file.write(self._layout.end())


def check_report(path: Path, layout: Layout[T], *, accounts: Path | None = None) -> None:
    """Refuse to write over anything but an earlier report.

    Raises:
        ConfigurationError: it is the file of the accounts, or another file that is there.
    """
    if not path.is_file():
        return  # new, or a device
    if accounts is not None and accounts.exists() and path.samefile(accounts):
        raise ConfigurationError(f"The report {path} is the file of the accounts: name another.")
    if not _is_report(path, layout.start.encode()):
        raise ConfigurationError(
            f"{path} is there already and is not a report of this command: it is kept. "
            "Name another file."
        )


def _is_report(path: Path, beginning: bytes) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(len(beginning))
    except OSError:
        return False
    return start in {b"", beginning}
