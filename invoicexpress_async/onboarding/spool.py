"""`KeySpool`: new keys on the disk from the moment they are read until they are delivered."""

import json
import os
from pathlib import Path

import attrs

from invoicexpress_async.account_models import CreatedAccount
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError


class SpoolError(InvoiceXpressError):
    """The spool cannot be written: no account is created without it."""

    cure = "Mend the disk or name another spool, and run it again; a key in memory was delivered."


@attrs.frozen(kw_only=True)
class SpooledKey:
    """One line of the spool."""

    fiscal_id: str
    account: CreatedAccount


class KeySpool:
    """A private file (0600) of keys that are not delivered yet, one line each, synced as written.

    A new account's key comes once, in one answer. It is emptied when all is delivered.

    Args:
        path: The file; made when it is not there. Its folder must be there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: int | None = None

    def open(self) -> dict[str, CreatedAccount]:
        """Open it and return what an earlier run left, by fiscal number.

        Raises:
            SpoolError: it cannot be opened, or is not a spool.
        """
        problem = ""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._file = os.open(self.path, flags, 0o600)
            if hasattr(os, "fchmod"):
                os.fchmod(self._file, 0o600)
            _sync_folder(self.path)
            content = self.path.read_bytes()
            found = self._read(content)
            if content and not content.endswith(b"\n"):
                self._write(b"\n")  # a line that a kill cut short: what follows must not join it
        except OSError as error:
            problem = f"cannot be opened: {error.strerror}"
        else:
            if found is not None:
                return found
            problem = "is not one: it is kept as it is. Name another file"
        self.close()
        raise SpoolError(f"The key spool {self.path} {problem}. Nothing was sent.")

    def write(self, fiscal_id: str, account: CreatedAccount) -> None:
        """Put a key on the disk.

        Raises:
            SpoolError: it is not there.
        """
        problem = ""
        try:
            self._write(_line(fiscal_id, account))
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise SpoolError(f"The key spool {self.path} cannot be written: {problem}.")

    def empty(self) -> None:
        """Forget all: everything in it is delivered."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise ConfigurationError(f"The key spool {self.path} is not open.")
        written = 0
        while written < len(line):
            written += os.write(self._file, line[written:])
        os.fsync(self._file)

    def _read(self, content: bytes) -> dict[str, CreatedAccount] | None:
        lines = content.split(b"\n")
        found: dict[str, CreatedAccount] = {}
        for line in lines:
            spooled = _parse(line) if line else None
            if spooled is not None:
                found[spooled.fiscal_id] = spooled.account
        return (
            None if content and not found and not content.startswith(b'{"fiscal_id": ') else found
        )


def _line(fiscal_id: str, account: CreatedAccount) -> bytes:
    fields = {
        "fiscal_id": fiscal_id,
        "id": account.id,
        "url": account.url,
        "api_key": account.api_key.reveal(),
        "state": account.state,
    }
    return json.dumps(fields).encode() + b"\n"


def _parse(line: bytes) -> SpooledKey | None:
    """Return one line, or None for one that a kill or a full disk cut short."""
    try:
        fields = json.loads(line)
        account = CreatedAccount(
            id=fields["id"],
            url=fields["url"],
            api_key=Secret(fields["api_key"]),
            state=fields["state"],
        )
        return SpooledKey(fiscal_id=fields["fiscal_id"], account=account)
    except (ValueError, TypeError, KeyError):
        return None


def _sync_folder(path: Path) -> None:
    """Make the name of a new file outlive the power, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
