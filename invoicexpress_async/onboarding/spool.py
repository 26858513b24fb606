"""`KeySpool`: keeps new keys on the disk from the moment they are read until their delivery."""

import json
import os
from pathlib import Path
from typing import Final

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.onboarding.key_file import (
    append,
    lock,
    make_private,
    open_private,
    read_all,
    sync_folder,
)

_START: Final = b'{"fiscal_id": '


class SpoolError(InvoiceXpressError):
    """The spool cannot be written: no account is created without it."""

    cure = "Fix the disk or name another spool, and run it again; a key in memory was delivered."


class KeySpool:
    """A private file (0600) of keys that are not delivered yet. One line each, synced at once.

    A new account's key comes only once, in one response. The spool is emptied when all keys are
    delivered.

    Args:
        path: The file; created if it does not exist. Its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._file: int | None = None
        self._problem = ""

    def open(self) -> dict[str, CreatedAccount]:
        """Open the spool and return the keys that an earlier run left, by fiscal number.

        Raises:
            SpoolError: the file cannot be opened, is in use by another run, or is not a spool.
        """
        problem = ""
        found: dict[str, CreatedAccount] | None = None
        try:
            self._file = open_private(self.path)
            # Another run would empty the spool while this one has keys to deliver.
            lock(self._file, is_waiting=False)
            sync_folder(self.path)
            found = _recover(self._file)
            problem = "is not one: it is kept as it is. Name another file"
        except BlockingIOError:
            problem = "is in use by another run"
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
        if found is not None:
            return found
        self.close()
        raise SpoolError(f"The key spool {self.path} {problem}. Nothing was sent.")

    def write(self, fiscal_id: str, account: CreatedAccount) -> None:
        """Write a key to the disk.

        Raises:
            SpoolError: the key, or an earlier one, could not be written.
        """
        if self._file is None:
            raise ConfigurationError(f"The key spool {self.path} is not open.")
        try:
            # A write that failed may have left half a line.
            append(self._file, (b"\n" if self._problem else b"") + _line(fiscal_id, account))
        except OSError as error:
            self._problem = str(error.strerror)
        self.check()

    def check(self) -> None:
        """Raise if a key could not be written.

        Raises:
            SpoolError: a key could not be written.
        """
        if self._problem:
            raise SpoolError(f"The key spool {self.path} cannot be written: {self._problem}.")

    def empty(self) -> None:
        """Empty the spool. Call it only when every key is delivered.

        Raises:
            SpoolError: the spool cannot be emptied.
        """
        if self._file is None:
            return
        problem = ""
        try:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise SpoolError(
                f"The key spool {self.path} cannot be emptied: {problem}. All keys in it are "
                "delivered."
            )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _recover(descriptor: int) -> dict[str, CreatedAccount] | None:
    """Read a spool and repair its end; None if the file is no spool. No error shows its content."""
    content = read_all(descriptor)
    found = _parse_all(content)
    is_cut_short = bool(content) and not content.endswith(b"\n")
    del content
    if found is not None:
        make_private(descriptor)
        if is_cut_short:
            append(descriptor, b"\n")  # else the next key would be appended to that line
    return found


def _line(fiscal_id: str, account: CreatedAccount) -> bytes:
    fields = {
        "fiscal_id": fiscal_id,
        "id": account.id,
        "url": account.url,
        "api_key": account.api_key.reveal(),
        "state": account.state,
    }
    return json.dumps(fields).encode() + b"\n"


def _parse(line: bytes) -> tuple[str, CreatedAccount] | None:
    """Return the fiscal number and account of a line; None if the line was cut short."""
    try:
        fields = json.loads(line)
        account = CreatedAccount(
            id=fields["id"],
            url=fields["url"],
            api_key=Secret(fields["api_key"]),
            state=fields["state"],
        )
        return fields["fiscal_id"], account
    except (ValueError, TypeError, KeyError):
        return None


def _parse_all(content: bytes) -> dict[str, CreatedAccount] | None:
    """Return the keys in a spool by fiscal number, or None if the file is no spool."""
    lines = [line for line in content.split(b"\n") if line]
    spooled = [one for one in map(_parse, lines) if one is not None]
    if not spooled and not all(map(_is_cut_short, lines)):
        return None
    return dict(spooled)


def _is_cut_short(line: bytes) -> bool:
    # After a loss of power, a file system may show zeros for data that it had not written.
    return not line.strip(b"\0") or _START.startswith(line[: len(_START)])
