"""Turns the cells of a file into rows. Problems are reported by line, and show no cell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import attrs

from invoicexpress_async.config import (
    LOOKS_LIKE_A_KEY,
    Secret,
    account_name_in,
    boolean,
    check_account_name,
    check_api_key,
    check_new_serie,
    is_key_like,
)
from invoicexpress_async.config.serie_names import invisible_in, is_rounded, spreadsheet_damage
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.csv_reader import CsvColumns, CsvReader
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, as_key
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.jobs.table_source import is_read_once
from invoicexpress_async.provisioning.row import (
    PlanRow,
    PlanSummary,
    RequestedRow,
    RequestedRows,
)

T = TypeVar("T")
Key: TypeAlias = Secret | KeyReference | AccountKeys

# Spreadsheets write their truth values in the user's language.
_TRUE: Final = ("1", "true", "yes", "sim", "verdadeiro")
_FALSE: Final = ("0", "false", "no", "não", "nao", "falso")
_FLAGS: Final[dict[str, bool]] = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}

_ACCOUNT_PROBLEM: Final = "account is not one DNS label of letters, digits and hyphens, up to 63"
_SERIE_PROBLEM: Final = "serie is over 35 characters or has a control character in it"
_NO_SERIE: Final = "no serie, and none was given for all rows"
_FLAG_PROBLEM: Final = "default is none of 1, 0, true, false, yes, no"


def _check_keys(_: object, __: object, api_keys: AccountKeys | None) -> None:
    if api_keys is not None and not callable(api_keys):
        # Not its value: it may be a key.
        raise ConfigurationError("api_keys is not callable: give an async function of an account.")


@attrs.frozen(kw_only=True)
class Defaults:
    """The values for rows that leave a column out or empty.

    Attributes:
        serie: The serie.
        is_default: The default flag.
        api_keys: The source of the keys.
    """

    serie: str | None
    is_default: bool = attrs.field(validator=boolean)
    api_keys: AccountKeys | None = attrs.field(default=None, validator=_check_keys)


class GivenRow(NamedTuple):
    """The values of a row's cells, not checked yet."""

    account: str
    api_key: Key
    serie: str
    is_default: bool | None
    line: int

    def problem(self) -> str:
        """Return what is wrong with the row, or "". The text shows no cell."""
        found = (
            account_problem(self.account),
            key_problem(self.api_key),
            serie_problem(self.serie) if self.serie else _NO_SERIE,
            _FLAG_PROBLEM if self.is_default is None else None,
        )
        return "; ".join(filter(None, found))

    def requested(self) -> RequestedRow:
        """Return what the row requests. Only for a row without a problem."""
        return RequestedRow(self.account, self.serie, bool(self.is_default), self.line)

    def plan_row(self) -> PlanRow | None:
        """Return the `PlanRow`; None when the row has a problem."""
        if self.is_default is None:
            return None
        try:
            return PlanRow(
                account=self.account,
                api_key=self.api_key,
                serie=self.serie,
                is_default=self.is_default,
                line=self.line,
            )
        except ConfigurationError:  # its text would show the cell
            return None


@attrs.frozen(kw_only=True)
class PlanCells:
    """The cells of some rows of a file, by column.

    Attributes:
        columns: The columns, as they were read.
        defaults: The values for rows that leave a column out or empty.
        folder: The folder that the path of a key is relative to.
    """

    columns: CsvColumns
    defaults: Defaults
    folder: Path

    def rows(self) -> Iterator[GivenRow]:
        """Return the rows, not checked yet."""
        accounts = [account_name_in(cell).lower() for cell in self._cells("account")]
        keys = [*map(self._key, self._cells("api_key"))]
        return map(GivenRow, accounts, keys, self._series(), self._flags(), self.columns.lines)

    def right_rows(self) -> list[tuple[str, str, bool, int]] | None:
        """Return what the rows request if all are valid; None if one may not be.

        The checks are the same as for single rows, in a quarter of the time: no row objects are
        made, and a value that many rows share is checked once.
        """
        flags = [flag for flag in self._flags() if flag is not None]
        try:
            accounts = [*map(check_account_name, map(account_name_in, self._cells("account")))]
            series = _each(check_new_serie, self._series())
        except ConfigurationError:
            return None
        if len(flags) < len(accounts) or not self._has_right_keys():
            return None
        return [*zip(accounts, series, flags, self.columns.lines, strict=True)]

    def _has_right_keys(self) -> bool:
        cells = self._cells("api_key")
        if "" in cells and self.defaults.api_keys is None:
            return False
        # A key is invalid because of a single character, so all keys are checked as one.
        keys = "".join(cell for cell in cells if ":" not in cell)
        if keys and (key_problem(Secret(keys)) or any(map(is_rounded, cells))):
            return False
        return not any(key_problem(self._key(cell)) for cell in cells if ":" in cell)

    def _key(self, cell: str) -> Key:
        return key_in(cell, self.defaults.api_keys, self.folder)

    def _series(self) -> list[str]:
        return [cell or self.defaults.serie or "" for cell in self._cells("serie")]

    def _flags(self) -> list[bool | None]:
        return _each(self._flag, self._cells("default"))

    def _flag(self, text: str) -> bool | None:
        return _FLAGS.get(text.casefold()) if text else self.defaults.is_default

    def _cells(self, name: str) -> Sequence[str]:
        return self.columns.cells.get(name) or [""] * len(self.columns.lines)


@attrs.define(kw_only=True, eq=False)
class CsvRows:
    """The rows of a file: checked once, then read again for each iteration, and not kept.

    The rows of a source that can be read only once, such as a pipe, are kept.

    Attributes:
        path: The file.
        defaults: The values for rows that leave a column out or empty.
        summary: The counts of the rows.
        ignored: The columns that are not used.
        notes: Remarks for people on how the file was read.
    """

    path: Path
    defaults: Defaults
    summary: PlanSummary
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    _state: tuple[int, ...] = attrs.field(alias="state")
    _kept: list[PlanRow] | None = attrs.field(alias="kept")
    _requested: RequestedRows = attrs.field(alias="requested")

    @classmethod
    def check(cls, path: Path, defaults: Defaults) -> "CsvRows":
        """Read the file once and check every row.

        Raises:
            ConfigurationError: naming every bad row by its line.
        """
        problems = Problems(path)
        state = _state(path)
        table = plan_table(path, defaults, problems)
        kept = list[PlanRow]() if is_read_once(path) else None
        requested = RequestedRows()
        for cells in _cells(table, defaults):
            if kept is not None:
                kept += filter(None, map(GivenRow.plan_row, cells.rows()))
            requested.add(cells.right_rows() or _right_rows(cells.rows(), problems))
        for row, problem in requested.conflicts():
            problems.add(row.line, problem)
        problems.check()
        summary = requested.summary()
        if not summary.rows:
            raise ConfigurationError(f"{path} has a header and no rows.")
        return cls(
            path=path,
            defaults=defaults,
            summary=summary,
            ignored=table.ignored,
            notes=table.notes,
            state=state,
            kept=kept,
            requested=requested,
        )

    def __len__(self) -> int:
        return self.summary.rows

    def __iter__(self) -> Iterator[PlanRow]:
        if self._kept is not None:
            yield from self._kept
            return
        problems = Problems(self.path)
        self._check_unchanged()
        for cells in _cells(plan_table(self.path, self.defaults, problems), self.defaults):
            self._check_unchanged()  # after this chunk was read, and before any of it is run
            yield from _plan_rows(cells.rows(), problems)
        self._check_unchanged()
        problems.check()

    def requested(self) -> Iterator[tuple[str, str, int]]:
        """Yield account, serie and `is_default` of the rows, without reading the file again."""
        self._check_unchanged()
        yield from self._requested

    def __contains__(self, row: object) -> bool:
        return any(one == row for one in self)

    def _check_unchanged(self) -> None:
        # Kept rows are not read again, and the times of a pipe change with each write to it.
        if self._kept is None and _state(self.path) != self._state:
            raise ConfigurationError(f"{self.path} was changed since it was checked: begin anew.")


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()  # reading the file raises the error
    return status.st_ino, status.st_size, status.st_mtime_ns


def plan_table(path: Path, defaults: Defaults, problems: Problems) -> CsvReader:
    """Return the reader of a plan's columns in a file."""
    is_keyed = defaults.api_keys is None
    return CsvReader(
        path=path,
        required=("account", "api_key") if is_keyed else ("account",),
        exact=("serie",),
        optional=("serie", "default") if is_keyed else ("api_key", "serie", "default"),
        problems=problems,
    )


def _cells(table: CsvReader, defaults: Defaults) -> Iterator[PlanCells]:
    for columns in table.read_columns():
        yield PlanCells(columns=columns, defaults=defaults, folder=table.path.parent)


def _right_rows(rows: Iterable[GivenRow], problems: Problems) -> Iterator[RequestedRow]:
    for row in rows:
        if problem := row.problem():
            problems.add(row.line, problem)
        else:
            yield row.requested()


def _plan_rows(rows: Iterable[GivenRow], problems: Problems) -> Iterator[PlanRow]:
    for row in rows:
        plan_row = row.plan_row()  # a valid row is not checked a second time
        if plan_row is None:
            problems.add(row.line, row.problem())
        else:
            yield plan_row


def _each(read: Callable[[str], T], cells: Sequence[str]) -> list[T]:
    """Return the value of each cell; `read` is called once for equal cells."""
    known = {cell: read(cell) for cell in {*cells}}
    return [*map(known.__getitem__, cells)]


def key_in(cell: str, api_keys: AccountKeys | None, folder: Path) -> Key:
    """Return the key in a cell, or the reference to it; a file in it is relative to `folder`."""
    key = as_key(cell or api_keys or "")
    if isinstance(key, KeyReference) and key.kind == "file":
        return KeyReference("file", str(folder / key.name))
    return key


def account_problem(account: str) -> str | None:
    """Return what is wrong with the name of an account, or None."""
    return _problem(check_account_name, account, _ACCOUNT_PROBLEM)


def serie_problem(serie: str) -> str | None:
    """Return what is wrong with a serie, or None."""
    return _problem(check_new_serie, serie, _SERIE_PROBLEM)


def key_problem(key: Key) -> str | None:
    """Return what is wrong with a key or a reference to one, or None."""
    if isinstance(key, KeyReference):
        return key.problem()
    if not isinstance(key, Secret):
        return None
    if is_rounded(key.reveal()):
        return "api_key is a rounded number: format the column as text, and paste the keys again"
    try:
        check_api_key(key)
    except ConfigurationError:
        hidden = _reason("api_key", key.reveal())
        return hidden or "api_key is empty or has a control character in it"
    return None


def _problem(check: Callable[[object], object], value: str, text: str) -> str | None:
    try:
        check(value)
    except ConfigurationError:
        # The error's own text shows the value.
        return _reason(text.partition(" ")[0], value) or text
    return None


def _reason(column: str, value: str) -> str | None:
    if column != "api_key" and is_key_like(value):
        return f"{column} {LOOKS_LIKE_A_KEY}"
    if invisible := invisible_in(value):
        return f"{column} has an invisible character in it, {invisible}"
    misread = spreadsheet_damage(value) if column == "serie" else None
    return misread and f"{column} {misread}"
