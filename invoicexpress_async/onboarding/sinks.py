"""Sinks for new keys: files for people and programs. Any async callable can be a sink."""

import abc
import asyncio
import csv
import functools
import io
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from invoicexpress_async.config import Secret, check_api_key
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.key_file import (
    append,
    lock,
    make_private,
    open_private,
    read_all,
    stamp,
    sync_folder,
)

SecretSink: TypeAlias = Callable[[Company, CreatedAccount], Awaitable[None]]
"""Awaited with a company and its new account, and again after a crash, until it has returned.

It may be called with the same account twice. If it raises, the company is parked, and its key
stays in the spool.
"""

# The company's name is last, since a name that was cut short still looks complete.
_COLUMNS: Final = ("account", "api_key", "fiscal_id", "account_id", "organization_name")
_PREFIX: Final = "INVOICEXPRESS_API_KEY_"
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.+")


class FileSink(abc.ABC):
    """A file of keys by name. Other processes may read it, and append to it in the same way.

    A last line that a kill or a full disk cut short is removed: the key is still in the spool,
    where it stays until its append has returned.
    """

    _start: str = ""
    """The text before the first key."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        # Not an asyncio lock: the thread of an append can outlive a run that is cut off.
        self._using = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, Secret] = {}

    def check(self) -> None:
        """Create the file if it does not exist. `onboard` calls this before it sends anything.

        Raises:
            ConfigurationError: the file has another content, or cannot be written.
        """
        problem = ""
        try:
            self._use(lambda _: None)
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise ConfigurationError(f"The file of keys {self.path} cannot be written: {problem}.")

    async def __call__(self, company: Company, account: CreatedAccount) -> None:
        """Append the account's key unless the file contains it.

        Raises:
            ConfigurationError: the file has another content, or cannot hold the key.
            OSError: the file cannot be written.
        """
        name, line = self._name_and_line(company, account)
        await asyncio.to_thread(self._append, name, account.api_key, line)

    async def key_of(self, account: str) -> str:
        """Return the key of an account from the file, for a run that continues later.

        Raises:
            KeyError: the file does not contain it.
        """
        return await asyncio.to_thread(self._key, self._name_for(account))

    @abc.abstractmethod
    def _name_for(self, account: str) -> str:
        """Return the name under which an account's key is stored."""

    @abc.abstractmethod
    def _name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        """Return the name of a new key, and a function that makes its line."""

    @abc.abstractmethod
    def _read(self, text: str) -> dict[str, Secret]:
        """Return the keys in the file's text, by name; refuse a file with another content."""

    @abc.abstractmethod
    def _is_complete_line(self, line: str) -> bool:
        """Return whether a last line lacks only its line end, as some editors leave it."""

    @abc.abstractmethod
    def _is_own_line_cut_short(self, line: str, *, is_first: bool) -> bool:
        """Return whether a last line may be a line of this program that was cut short."""

    def _append(self, name: str, key: Secret, line: Callable[[], str]) -> None:
        # `line` makes the text only here, so that no frame of a traceback holds it.
        def work(descriptor: int) -> None:
            if self._keys.get(name) == key:
                return
            start = "" if os.fstat(descriptor).st_size else self._start
            append(descriptor, f"{start}{line()}".encode())
            self._keys[name] = key
            self._seen = stamp(descriptor)

        failure = None
        try:
            self._use(work)
        except OSError as error:
            failure = OSError(error.errno, error.strerror, str(self.path))
        if failure is not None:
            raise failure

    def _key(self, name: str) -> str:
        if self.path.exists():
            self._use(lambda _: None)
        return self._keys[name].reveal()

    def _use(self, work: Callable[[int], None]) -> None:
        with self._using:
            is_new = not self.path.exists()
            descriptor = open_private(self.path)
            try:
                lock(descriptor)
                if stamp(descriptor) != self._seen:
                    self._reload_redacted(descriptor)
                work(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.path)

    def _reload_redacted(self, descriptor: int) -> None:
        """Read the file again. No traceback of an error has a frame with its content."""
        failure: Exception | None = None
        try:
            self._reload(descriptor)
        except (ConfigurationError, OSError) as error:
            failure = error.with_traceback(None)
        if failure is not None:
            raise failure

    def _reload(self, descriptor: int) -> None:
        """Read the file, and repair its end."""
        content = read_all(descriptor)
        end = content.rfind(b"\n") + 1
        text, tail = (
            part.decode("utf-8-sig", "replace") for part in (content[:end], content[end:])
        )
        if tail and self._is_complete_line(tail):
            self._keys = self._read(text + tail)
            append(descriptor, b"\n")
        else:
            self._keys = self._read(text)
            if tail and not self._is_own_line_cut_short(tail, is_first=not end):
                self._reject_foreign_file()
            if tail:
                os.ftruncate(descriptor, end)
        make_private(descriptor)
        self._seen = stamp(descriptor)

    def _reject_foreign_file(self) -> NoReturn:
        raise ConfigurationError(
            f"{self.path} exists already and is not a file of keys of this program: it is left as "
            "it is. Name another file."
        )


class CsvSink(FileSink):
    """A private CSV (0600) of account, api_key, fiscal_id, account_id, organization_name.

    Each row is on the disk before the key counts as delivered. `provision`, `rollover` and
    `audit` accept the file as their file of accounts. The name of an account is empty when it is
    not known, because its url is missing or leads to another host.
    """

    _start = ",".join(_COLUMNS) + "\r\n"

    def _name_for(self, account: str) -> str:
        return account

    def _name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        name = name_of(account) or _unnamed(company.fiscal_id)
        return name, functools.partial(_row, company, account)

    def _read(self, text: str) -> dict[str, Secret]:
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if text and tuple(rows.fieldnames or ()) != _COLUMNS:
            self._reject_foreign_file()
        return {
            row["account"] or _unnamed(row["fiscal_id"]): Secret(row["api_key"])
            for row in rows
            if row["api_key"]
        }

    def _is_complete_line(self, line: str) -> bool:
        return len(next(csv.reader([line]))) == len(_COLUMNS)

    def _is_own_line_cut_short(self, line: str, *, is_first: bool) -> bool:
        return not is_first or self._start.startswith(line)


class EnvFileSink(FileSink):
    """A private file (0600) of lines `INVOICEXPRESS_API_KEY_NAME=…`, for a process manager.

    NAME is the account's name in capitals, with `_` for characters that are not letters or digits.
    Keys are written unquoted, as systemd and Docker read such a file. NAME is `FISCAL_ID_` and the
    fiscal number when the account's name is not known, because its url is missing or leads to
    another host.
    """

    def _name_for(self, account: str) -> str:
        return _PREFIX + re.sub(r"[^A-Z0-9]", "_", account.upper())

    def _name_and_line(
        self, company: Company, account: CreatedAccount
    ) -> tuple[str, Callable[[], str]]:
        name = self._name_for(name_of(account) or f"fiscal_id_{company.fiscal_id}")
        key = check_api_key(account.api_key)  # a key with a line break would set other variables
        return name, functools.partial(_assignment, name, key)

    def _read(self, text: str) -> dict[str, Secret]:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        entries = [line for line in lines if line.strip() and not line.startswith("#")]
        if not all(map(_ASSIGNMENT.fullmatch, entries)):
            self._reject_foreign_file()
        pairs = (line.split("=", 1) for line in entries)
        return {name: Secret(key) for name, key in pairs}

    def _is_complete_line(self, line: str) -> bool:
        return _ASSIGNMENT.fullmatch(line) is not None

    def _is_own_line_cut_short(self, line: str, *, is_first: bool) -> bool:
        del is_first
        return _PREFIX.startswith(line) or line.startswith(_PREFIX)


_KIND_OF_NAME: Final[Mapping[str, Callable[[Path], CsvSink | EnvFileSink]]] = {".env": EnvFileSink}


def file_sink(path: Path) -> CsvSink | EnvFileSink:
    """Return the sink for a file: an `EnvFileSink` if its name ends in `.env`, else a `CsvSink`."""
    by_end = _KIND_OF_NAME.get(path.suffix.lower() or path.name, CsvSink)
    return by_end(path)


def name_of(account: CreatedAccount) -> str:
    """Return the account's name, or "" when its url is missing or has another host."""
    try:
        return account.name
    except InvoiceXpressError:
        return ""


def _row(company: Company, account: CreatedAccount) -> str:
    details = (company.fiscal_id, account.id, company.account.organization_name)
    text = io.StringIO(newline="")
    csv.writer(text).writerow((name_of(account), account.api_key.reveal(), *details))
    return text.getvalue()


def _assignment(name: str, key: Secret) -> str:
    return f"{name}={key.reveal()}\n"


def _unnamed(fiscal_id: str) -> str:
    return f"fiscal_id:{fiscal_id}"  # no account's name has a colon
