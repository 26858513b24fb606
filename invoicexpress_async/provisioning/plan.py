"""What is to be done: one row for each account and serie, checked before anything is sent."""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal

import attrs

from invoicexpress_async.config import Secret, check_account_name, check_api_key, check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning._table import Problems, Record, Table

_REQUIRED: Final = ("account", "api_key")
_OPTIONAL: Final = ("serie", "default")
# Spreadsheets write their truth values in the user's language.
_TRUE: Final = frozenset({"1", "true", "yes", "sim", "verdadeiro"})
_FALSE: Final = frozenset({"0", "false", "no", "não", "nao", "falso"})
_MOST_KEY_FILE_CHARACTERS: Final = 4096  # so that a path by mistake does not fill the memory


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
        is_there = Path(self.name).is_file() and os.access(self.name, os.R_OK)
        return None if is_there else "api_key names a file that cannot be read"

    async def read(self) -> str:
        """Return the key.

        Raises:
            ConfigurationError: there is none.
        """
        text = (
            os.environ.get(self.name)
            if self.kind == "env"
            else await asyncio.to_thread(_read_text, Path(self.name))
        )
        if not text or not text.strip():
            raise ConfigurationError(f"No API key is to be had from {self}.")
        return text.strip()


def _read_text(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(_MOST_KEY_FILE_CHARACTERS)
    except (OSError, UnicodeError):
        return None


def _as_key(value: str | Secret | KeyReference) -> Secret | KeyReference:
    if not isinstance(value, str):
        return value
    kind, colon, name = value.partition(":")
    if colon and kind == "env":
        return KeyReference("env", name)
    if colon and kind == "file":
        return KeyReference("file", name)
    return Secret(value)


def _check_key(_: object, __: object, key: Secret | KeyReference) -> None:
    if isinstance(key, Secret):
        check_api_key(key)


def _check_serie(_: object, __: object, serie: str) -> None:
    check_serie(serie)


@attrs.frozen(kw_only=True)
class PlanRow:
    """One serie on one account.

    Attributes:
        account: The account's name; upper case is lowered.
        api_key: The key, hidden, or where it is. A text is taken as either.
        serie: The name, sent exactly as it is.
        is_default: Whether it must be the account's default; False leaves the flag as it is.
        line: Where it stands in the file it came from; 0 when it came from none.
    """

    account: str = attrs.field(converter=check_account_name)
    api_key: Secret | KeyReference = attrs.field(converter=_as_key, validator=_check_key)
    serie: str = attrs.field(validator=_check_serie)
    is_default: bool = False
    line: int = 0


def _as_rows(rows: Iterable[PlanRow]) -> tuple[PlanRow, ...]:
    return tuple(rows)


@attrs.frozen(kw_only=True)
class Plan:
    """The rows of a run.

    Attributes:
        rows: What is to be done, in order.
        ignored_columns: Columns of the file that mean nothing here; a misspelled one is among
            them.

    Raises:
        ConfigurationError: two rows are for the same account and serie, or make two series the
            default of one account.
    """

    rows: tuple[PlanRow, ...] = attrs.field(converter=_as_rows)
    ignored_columns: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        clashes = Clashes()
        for row in self.rows:
            if problem := clashes.find(row):
                raise ConfigurationError(f"Account {row.account}, serie {row.serie!r}: {problem}.")

    @classmethod
    def from_csv(
        cls, path: str | os.PathLike[str], *, serie: str | None = None, default: bool = False
    ) -> "Plan":
        """Read a plan from a file with a header: account, api_key, and maybe serie, default.

        UTF-8 (or UTF-16 with a BOM), separated by `;` `,` or tabs, quoted where needed. Blank
        lines are skipped, spaces around a cell do not count. A relative `file:PATH` of a key is
        relative to this file.

        Args:
            path: The file.
            serie: For the rows that name none.
            default: For the rows that do not say.

        Raises:
            ConfigurationError: naming every bad row by its line, and never a key.
        """
        file = Path(path)
        problems = Problems(file)
        table = Table(path=file, required=_REQUIRED, optional=_OPTIONAL, problems=problems)
        if serie is not None:
            check_serie(serie)
        clashes = Clashes()
        rows: list[PlanRow] = []
        for record in table.read():
            row = _row(record, problems, folder=file.parent, serie=serie, default=default)
            if row is None:
                continue
            rows.append(row)
            if problem := clashes.find(row):
                problems.add(row.line, problem)
        problems.check()
        if not rows:
            raise ConfigurationError(f"{file} has a header and no rows.")
        return cls(rows=rows, ignored_columns=table.ignored)


class Clashes:
    """The rows seen so far, to find those that cannot both be meant."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], int] = {}
        self._default_lines: dict[str, int] = {}

    def find(self, row: PlanRow) -> str | None:
        """Return what is wrong with the row beside those before it, or None."""
        # Names that differ in case or spaces only would be refused by `ensure` one by one.
        identity = row.account, "".join(row.serie.casefold().split())
        if identity in self._lines:
            return f"the same account and serie as {_where(self._lines[identity])}"
        self._lines[identity] = row.line
        if not row.is_default:
            return None
        if row.account in self._default_lines:
            return f"a second default for the account of {_where(self._default_lines[row.account])}"
        self._default_lines[row.account] = row.line
        return None


def _where(line: int) -> str:
    return f"line {line}" if line else "an earlier row"


def _row(
    record: Record, problems: Problems, *, folder: Path, serie: str | None, default: bool
) -> PlanRow | None:
    cells = record.cells
    name = cells.get("serie") or serie
    flag = _flag(cells.get("default", ""), default=default)
    key = _located(_as_key(cells["api_key"]), folder)
    found = [
        _problem(check_account_name, cells["account"], _ACCOUNT_PROBLEM),
        _key_problem(key),
        _NO_SERIE if name is None else _problem(check_serie, name, _SERIE_PROBLEM),
        _FLAG_PROBLEM if flag is None else None,
    ]
    texts = [text for text in found if text]
    if texts or name is None or flag is None:
        problems.add(record.line, "; ".join(texts))
        return None
    return PlanRow(
        account=cells["account"], api_key=key, serie=name, is_default=flag, line=record.line
    )


_ACCOUNT_PROBLEM: Final = "account is not one DNS label of letters, digits and hyphens, up to 63"
_SERIE_PROBLEM: Final = "serie is over 35 characters or has a control character in it"
_NO_SERIE: Final = "no serie, and none was given for all rows"
_FLAG_PROBLEM: Final = "default is none of 1, 0, true, false, yes, no"


def _flag(text: str, *, default: bool) -> bool | None:
    folded = text.casefold()
    if folded in _TRUE | _FALSE:
        return folded in _TRUE
    return None if folded else default


def _problem(check: Callable[[object], object], value: str, text: str) -> str | None:
    try:
        check(value)
    except ConfigurationError:
        return text  # the error's own text shows the value
    return None


def _key_problem(key: Secret | KeyReference) -> str | None:
    if isinstance(key, KeyReference):
        return key.problem()
    try:
        check_api_key(key)
    except ConfigurationError:
        return "api_key is empty or has a control character in it"
    return None


def _located(key: Secret | KeyReference, folder: Path) -> Secret | KeyReference:
    if isinstance(key, KeyReference) and key.kind == "file":
        return KeyReference("file", str(folder / key.name))
    return key
