"""Where new keys go: files that people use. A plain async callable does as well."""

import asyncio
import csv
import io
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

from invoicexpress_async.account_models import CreatedAccount
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding.company import Company

SecretSink: TypeAlias = Callable[[Company, CreatedAccount], Awaitable[None]]
"""Awaited with a company and its new account, and again after a crash until it has returned.

So it may be given the same twice. What it raises parks the company, its key kept in the spool.
"""

_COLUMNS: Final = ("account", "api_key", "fiscal_id", "organization_name", "account_id")


class CsvSink:
    """A private CSV (0600) of account, api_key, fiscal_id, organization_name, account_id.

    Each row is on the disk before the key counts as delivered. `provision`, `rollover` and
    `audit` take it as their file of accounts.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._writing = asyncio.Lock()

    async def __call__(self, company: Company, account: CreatedAccount) -> None:
        """Append the account, if it is not there yet.

        Raises:
            ConfigurationError: the file is there and is none of these.
            OSError: it cannot be written.
        """
        async with self._writing:
            await asyncio.to_thread(self._append, company, account)

    async def key_of(self, account: str) -> str:
        """Return the key of an account that is in the file: for a run that goes on later.

        Raises:
            KeyError: it is not there.
        """
        return (await asyncio.to_thread(self._read))[account]["api_key"]

    def _append(self, company: Company, account: CreatedAccount) -> None:
        known = self._read()
        key = account.api_key.reveal()
        if known.get(account.name, {}).get("api_key") == key:
            return
        is_begun = self.path.exists() and self.path.stat().st_size
        rows: list[tuple[str, ...]] = [] if is_begun else [_COLUMNS]
        name = company.account.organization_name
        rows.append((account.name, key, company.fiscal_id, name, account.id))
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        _append(self.path, text.getvalue())

    def _read(self) -> dict[str, dict[str, str]]:
        if not self.path.exists():
            return {}
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames and not {"account", "api_key"} <= set(rows.fieldnames):
                raise ConfigurationError(f"{self.path} is there already and is no file of keys.")
            return {row["account"]: row for row in rows}


class EnvFileSink:
    """A private file (0600) of lines `INVOICEXPRESS_API_KEY_NAME=…`, for a process manager.

    NAME is the account's in capitals, with `_` for what an environment variable cannot have.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._writing = asyncio.Lock()

    async def __call__(self, company: Company, account: CreatedAccount) -> None:
        """Append the variable, if it is not there yet.

        Raises:
            OSError: it cannot be written.
        """
        del company
        async with self._writing:
            await asyncio.to_thread(self._append, account)

    async def key_of(self, account: str) -> str:
        """Return the key of an account that is in the file: for a run that goes on later.

        Raises:
            KeyError: it is not there.
        """
        return (await asyncio.to_thread(self._read))[_variable(account)]

    def _append(self, account: CreatedAccount) -> None:
        name, key = _variable(account.name), account.api_key.reveal()
        if self._read().get(name) != key:
            _append(self.path, f"{name}={key}\n")

    def _read(self) -> dict[str, str]:
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def _variable(account: str) -> str:
    return "INVOICEXPRESS_API_KEY_" + re.sub(r"[^A-Z0-9]", "_", account.upper())


def _append(path: Path, text: str) -> None:
    """Append, and return when it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
