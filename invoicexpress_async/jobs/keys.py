"""Where the key of a row is: in the row, hidden, or at a place that the row names."""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from invoicexpress_async.call.keys import KeyCallable
from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError

AccountKeys: TypeAlias = Callable[[str], Awaitable[str]]
"""A vault: awaited with an account's name, returns its key."""

_MAX_CHARACTERS: Final = 4096  # so that a path by mistake does not fill the memory


class KeyUnavailableError(InvoiceXpressError):
    """The key of an account could not be had: nothing was sent, and its row stays open.

    Attributes:
        is_transient: Whether the source itself failed, and may have the key later; False when it
            has none for the account.
    """

    cure = "Fix the source of the keys, and run the plan again."
    is_transient: bool = False


@attrs.frozen
class KeyReference:
    """Where a key is, in place of the key: `env:NAME` or `file:PATH`. Read at the row's turn."""

    kind: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def problem(self) -> str | None:
        """Return why there is nothing to read, or None."""
        if self.kind == "env":
            is_there = bool(os.environ.get(self.name))
            return None if is_there else "api_key names an environment variable that is not set"
        # In this order: a folder that must not be entered makes `is_file` raise.
        is_there = os.access(self.name, os.R_OK) and Path(self.name).is_file()
        return None if is_there else "api_key names a file that cannot be read"

    async def read(self) -> str:
        """Return the key.

        Raises:
            KeyUnavailableError: there is none.
        """
        return await asyncio.to_thread(self.read_now)

    def read_now(self) -> str:
        """Return what is there, and let the thread wait for it.

        Raises:
            KeyUnavailableError: there is nothing.
        """
        is_variable = self.kind == "env"
        text = os.environ.get(self.name) if is_variable else _read_text(Path(self.name))
        if not text or not text.strip():
            raise KeyUnavailableError(f"There is no API key in {self}.")
        return text.strip()


def _read_text(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_MAX_CHARACTERS + 1)
            return text if len(text) <= _MAX_CHARACTERS else None
    except (OSError, UnicodeError):
        return None


def source_of(key: Secret | KeyReference | AccountKeys, account: str) -> str | KeyCallable:
    """Return the key as `SessionManager.account` takes it."""
    if isinstance(key, Secret):
        return key.reveal()
    if isinstance(key, KeyReference):
        return key.read
    return functools.partial(_ask, key, account)


async def _ask(keys: AccountKeys, account: str) -> str:
    is_transient = False
    try:
        return _checked(await keys(account))
    except (ConfigurationError, KeyUnavailableError) as error:
        why = str(error.args[0]).rstrip(".")
        why = why[:1].lower() + why[1:]
    except Exception as error:  # noqa: BLE001  # a vault's own, of any class
        why, is_transient = type(error).__name__, True
    # What another raised, its text and its frames, may hold what the vault knows.
    unavailable = KeyUnavailableError(
        f"The key of account {account} could not be had: {why}.", account=account
    )
    unavailable.is_transient = is_transient
    raise unavailable


def _checked(returned: object) -> str:
    if isinstance(returned, str):
        return check_api_key(Secret(returned)).reveal()
    del returned  # a traceback that prints locals must not show it
    raise ConfigurationError("The callable for the API key did not return a str.")


def as_key(
    value: str | Secret | KeyReference | AccountKeys,
) -> Secret | KeyReference | AccountKeys:
    """Take a text for what it is: `env:NAME`, `file:PATH`, or a key."""
    if not isinstance(value, str):
        is_key = isinstance(value, Secret | KeyReference) or callable(value)
        if is_key:
            return value
        del value
        raise ConfigurationError("The API key is neither a str nor an async callable.")
    kind, colon, name = value.partition(":")
    if colon and kind == "env":
        return KeyReference("env", name)
    if colon and kind == "file":
        return KeyReference("file", name)
    return Secret(value)
