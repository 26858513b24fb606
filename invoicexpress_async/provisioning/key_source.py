"""The sources of a worker's API keys. They are references, since no key is in the database."""

import asyncio
import importlib
import os
from pathlib import Path
from typing import Final, cast

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, KeyUnavailableError
from invoicexpress_async.provisioning.plan import AccountList

_ACCOUNT: Final = "{account}"


def load_keys(reference: str) -> AccountKeys:
    """Return the key source for a reference.

    Args:
        reference: `env:NAME`, where `{account}` stands for the account in capitals, with `_` for
            each `-`; or `file:PATH`, where `{account}` stands for the account unchanged. Without
            `{account}` the variable holds one key for all accounts, and the file is a list of
            accounts as `provision` takes it, read again when it has changed. Or
            `module:callable`: an async callable that takes the account's name.

    Raises:
        ConfigurationError: the reference is of no such form, the file cannot be read, or the
            callable does not exist.
    """
    kind, colon, name = reference.partition(":")
    if not (colon and kind and name):
        raise ConfigurationError(
            "The keys are named by env:NAME, file:PATH or module:callable; a key itself is never "
            "an argument."
        )
    if kind == "env":
        return _OfVariables(name)
    if kind == "file":
        return _OfFiles(name) if _ACCOUNT in name else _OfList(Path(name))
    return _imported(kind, name)


@attrs.frozen
class _OfVariables:
    name: str

    async def __call__(self, account: str) -> str:
        capitals = account.upper().replace("-", "_")
        return KeyReference("env", self.name.replace(_ACCOUNT, capitals)).read_now()


@attrs.frozen
class _OfFiles:
    path: str

    async def __call__(self, account: str) -> str:
        # An account's name has no slash and no dot: it cannot lead to another folder.
        return await KeyReference("file", self.path.replace(_ACCOUNT, account)).read()


@attrs.define(eq=False)
class _OfList:
    path: Path
    _keys: dict[str, Secret | KeyReference | AccountKeys] = attrs.field(init=False, repr=False)
    _version: tuple[int, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._read()

    async def __call__(self, account: str) -> str:
        if self._found_version() != self._version:
            await asyncio.to_thread(self._read)
        key = self._keys.get(account)
        if isinstance(key, Secret):
            return key.reveal()
        if isinstance(key, KeyReference):
            return await key.read()
        raise KeyUnavailableError(f"The file of the keys has none for account {account}.")

    def _read(self) -> None:
        self._version = self._found_version()
        self._keys = {row.account: row.api_key for row in AccountList.from_csv(self.path).rows}

    def _found_version(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)  # noqa: PTH116  # the same call, and no other file's
        except OSError as error:
            problem = str(error.strerror)
        else:
            return found.st_mtime_ns, found.st_size
        raise ConfigurationError(f"The file of the keys, {self.path}, cannot be read: {problem}.")


def _imported(module: str, name: str) -> AccountKeys:
    try:
        found: object = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        problem = str(error)
    else:
        if callable(found):
            return cast("AccountKeys", found)
        problem = f"it has no callable {name!r}"
    raise ConfigurationError(f"The keys of {module}:{name} cannot be had: {problem}.")
