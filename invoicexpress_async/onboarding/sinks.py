"""Where new keys go: files that people use. A plain async callable does as well."""

import abc
import asyncio
import csv
import functools
import io
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.key_file import KeyFile

SecretSink: TypeAlias = Callable[[Company, CreatedAccount], Awaitable[None]]
"""Awaited with a company and its new account, and again after a crash until it has returned.

So it may be given the same twice. What it raises parks the company, its key kept in the spool.
"""

# The one that may be cut short and look whole stands last.
_COLUMNS: Final = ("account", "api_key", "fiscal_id", "account_id", "organization_name")
_PREFIX: Final = "INVOICEXPRESS_API_KEY_"
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.+")


class _SinkFile(KeyFile):
    @abc.abstractmethod
    def name_for(self, account: str) -> str:
        """Return what the key of an account is kept under."""

    @abc.abstractmethod
    def name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        """Return what a new key is kept under, and what makes its line."""


class _FileSink:
    def __init__(self, file: _SinkFile) -> None:
        self._file = file

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def check(self) -> None:
        """Make the file, if it is not there; `onboard` does so before it sends anything.

        Raises:
            ConfigurationError: the file is something else, or it cannot be written.
        """
        self._file.check()

    async def __call__(self, company: Company, account: CreatedAccount) -> None:
        """Append the account's key, unless it is there already.

        Raises:
            ConfigurationError: the file is something else, or it cannot hold the key.
            OSError: it cannot be written.
        """
        name, line = self._file.name_and_line(company, account)
        await asyncio.to_thread(self._file.append, name, account.api_key, line)

    async def key_of(self, account: str) -> str:
        """Return the key of an account that is in the file, for a run that continues later.

        Raises:
            KeyError: it is not there.
        """
        return await asyncio.to_thread(self._file.key, self._file.name_for(account))


class CsvSink(_FileSink):
    """A private CSV (0600) of account, api_key, fiscal_id, account_id, organization_name.

    Each row is on the disk before the key counts as delivered. `provision`, `rollover` and
    `audit` take it as their file of accounts. Of an account whose name is not known, since its
    url is missing or led elsewhere, the name is empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(_CsvFile(path))


class EnvFileSink(_FileSink):
    """A private file (0600) of lines `INVOICEXPRESS_API_KEY_NAME=…`, for a process manager.

    NAME is the account's in capitals, with `_` for what an environment variable cannot have. Keys
    are written as they are, as systemd and Docker read such a file. Of an account whose name is
    not known, since its url is missing or led elsewhere, it is `FISCAL_ID_` and the fiscal
    number.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(_EnvFile(path))


_KIND_OF_NAME: Final[Mapping[str, Callable[[Path], CsvSink | EnvFileSink]]] = {".env": EnvFileSink}


def file_sink(path: Path) -> CsvSink | EnvFileSink:
    """Return the sink that the name of a file stands for: a CSV, unless it ends in `.env`."""
    by_end = _KIND_OF_NAME.get(path.suffix.lower() or path.name, CsvSink)
    return by_end(path)


def name_of(account: CreatedAccount) -> str:
    """Return the account's name, or "" when its url is missing or of another host."""
    try:
        return account.name
    except InvoiceXpressError:
        return ""


class _CsvFile(_SinkFile):
    start = ",".join(_COLUMNS) + "\r\n"

    def name_for(self, account: str) -> str:
        return account

    def name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        name = name_of(account) or _unnamed(company.fiscal_id)
        return name, functools.partial(_row, company, account)

    def read(self, text: str) -> dict[str, Secret]:
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if text and tuple(rows.fieldnames or ()) != _COLUMNS:
            self.refuse()
        return {
            row["account"] or _unnamed(row["fiscal_id"]): Secret(row["api_key"])
            for row in rows
            if row["api_key"]
        }

    def is_whole(self, line: str) -> bool:
        return len(next(csv.reader([line]))) == len(_COLUMNS)

    def is_begun(self, line: str, *, is_first: bool) -> bool:
        return not is_first or self.start.startswith(line)


class _EnvFile(_SinkFile):
    def name_for(self, account: str) -> str:
        return _PREFIX + re.sub(r"[^A-Z0-9]", "_", account.upper())

    def name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        name = self.name_for(name_of(account) or f"fiscal_id_{company.fiscal_id}")
        key = check_api_key(account.api_key)  # one with a line break would set other variables
        return name, functools.partial(_assignment, name, key)

    def read(self, text: str) -> dict[str, Secret]:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        entries = [line for line in lines if line.strip() and not line.startswith("#")]
        if not all(map(_ASSIGNMENT.fullmatch, entries)):
            self.refuse()
        pairs = (line.split("=", 1) for line in entries)
        return {name: Secret(key) for name, key in pairs}

    def is_whole(self, line: str) -> bool:
        return _ASSIGNMENT.fullmatch(line) is not None

    def is_begun(self, line: str, *, is_first: bool) -> bool:
        del is_first
        return _PREFIX.startswith(line) or line.startswith(_PREFIX)


def _row(company: Company, account: CreatedAccount) -> str:
    details = (company.fiscal_id, account.id, company.account.organization_name)
    text = io.StringIO(newline="")
    csv.writer(text).writerow((name_of(account), account.api_key.reveal(), *details))
    return text.getvalue()


def _assignment(name: str, key: Secret) -> str:
    return f"{name}={key.reveal()}\n"


def _unnamed(fiscal_id: str) -> str:
    return f"fiscal_id:{fiscal_id}"  # no account's name has a colon
