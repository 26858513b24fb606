"""The API key of a row: the key itself as a `Secret`, a reference to its place, or a vault."""

import asyncio
import functools
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from invoicexpress_async.call.keys import KeyCallable
from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError

AccountKeys: TypeAlias = Callable[[str], Awaitable[str]]
"""A vault: an async callable that takes an account's name and returns the account's key."""

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]*)+")
_MAX_CHARACTERS: Final = 4096  # so that a wrong path does not fill the memory


class KeyUnavailableError(InvoiceXpressError):
    """The key of an account was not available: nothing was sent, and its row stays open.

    Attributes:
        is_transient: Whether the source itself failed, and may return the key later; False when
            it has no key for the account.
    """

    cure = "Fix the source of the keys, and run the plan again."
    is_transient: bool = False


@attrs.frozen
class KeyReference:
    """A reference to a key: `env:NAME` or `file:PATH`. It is read when the row's turn begins."""

    kind: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def problem(self) -> str | None:
        """Return why the key cannot be read, or None."""
        if self.kind == "env":
            is_there = bool(os.environ.get(self.name))
            # Shown only if it cannot be a key after the colon: keys have lower-case letters.
            shown = f": {self.name}" if _VARIABLE.fullmatch(self.name) else ""
            problem = f"api_key names an environment variable that is not set{shown}"
            return None if is_there else problem
        # In this order: a folder that must not be entered makes `is_file` raise.
        is_there = os.access(self.name, os.R_OK) and Path(self.name).is_file()
        return None if is_there else "api_key names a file that cannot be read"

    async def read(self) -> str:
        """Return the key; read it in a worker thread.

        Raises:
            KeyUnavailableError: there is no key.
        """
        return await asyncio.to_thread(self.read_now)

    def read_now(self) -> str:
        """Return the key; block the thread while it is read.

        Raises:
            KeyUnavailableError: there is no key.
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
    """Return the key in a form that `SessionManager.account` accepts."""
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
    except Exception as error:  # noqa: BLE001  # a vault may raise any class
        why, is_transient = type(error).__name__, True
    # The text and the frames of a vault's exception may contain secrets: it is not chained.
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
    """Convert a text, `env:NAME`, `file:PATH` or a key; return other kinds of keys unchanged."""
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
