"""From the records of a file to rows; problems are reported by line, and show no cell."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import attrs

from invoicexpress_async.config import (
    Secret,
    account_name_in,
    check_account_name,
    check_api_key,
    check_new_serie,
)
from invoicexpress_async.config.serie_names import invisible_in, misread_in
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.csv_reader import CsvReader, CsvRecord
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, as_key
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.jobs.table_source import is_read_once
from invoicexpress_async.provisioning.row import (
    AccountRow,
    PlanRow,
    PlanSummary,
    RequestedRow,
    RowConflicts,
)

# Spreadsheets write their truth values in the user's language.
_TRUE: Final = ("1", "true", "yes", "sim", "verdadeiro")
_FALSE: Final = ("0", "false", "no", "não", "nao", "falso")
_FLAGS: Final[dict[str, bool]] = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}

# So many rows are compared with the earlier ones at once.
_CHUNK: Final = 500
_ACCOUNT_PROBLEM: Final = "account is not one DNS label of letters, digits and hyphens, up to 63"
_SERIE_PROBLEM: Final = "serie is over 35 characters or has a control character in it"
_NO_SERIE: Final = "no serie, and none was given for all rows"
_FLAG_PROBLEM: Final = "default is none of 1, 0, true, false, yes, no"


@attrs.frozen(kw_only=True)
class Defaults:
    """What the rows of a file do not say themselves.

    Attributes:
        serie: For the rows that name none.
        is_default: For the rows that do not say.
        api_keys: Where the keys are, when the file has none.
    """

    serie: str | None
    is_default: bool
    api_keys: AccountKeys | None = None


@attrs.define(kw_only=True, eq=False)
class CsvRows:
    """The rows of a file, checked once and read anew each time: none is kept.

    What can be read only once, such as a pipe, is kept.

    Attributes:
        path: The file.
        defaults: What its rows do not say themselves.
        summary: Its rows, counted.
        ignored: The columns that mean nothing here.
        notes: What a person should know of how it was read.
    """

    path: Path
    defaults: Defaults
    summary: PlanSummary
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    _state: tuple[int, ...] = attrs.field(alias="state")
    _kept: list[PlanRow] | None = attrs.field(alias="kept")
    _conflicts: RowConflicts = attrs.field(alias="conflicts")

    @classmethod
    def check(cls, path: Path, defaults: Defaults) -> "CsvRows":
        """Read the file once, to find all that is wrong with it.

        Raises:
            ConfigurationError: naming every bad row by its line.
        """
        problems = Problems(path)
        state = _state(path)
        table = _table(path, defaults, problems)
        kept = list[PlanRow]() if is_read_once(path) else None
        conflicts = RowConflicts()
        given = _given_rows(table, defaults)
        while chunk := [*islice(given, _CHUNK)]:
            found = {row.line: problem for row in chunk if (problem := row.problem())}
            right = [row for row in chunk if row.line not in found]
            found.update(conflicts.find_all([row.requested() for row in right]))
            for line, problem in found.items():
                problems.add(line, problem)
            if kept is not None:
                kept += filter(None, (row.plan_row() for row in right))
        problems.check()
        summary = conflicts.summary()
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
            conflicts=conflicts,
        )

    def __len__(self) -> int:
        return self.summary.rows

    def __iter__(self) -> Iterator[PlanRow]:
        if self._kept is not None:
            yield from self._kept
            return
        problems = Problems(self.path)
        self._check_unchanged()
        yield from _rows(_table(self.path, self.defaults, problems), self.defaults, problems)
        self._check_unchanged()
        problems.check()

    def requested(self) -> Iterator[RequestedRow]:
        """Yield what its rows request, without reading it again."""
        self._check_unchanged()
        yield from self._conflicts.requested()

    def __contains__(self, row: object) -> bool:
        return any(one == row for one in self)

    def _check_unchanged(self) -> None:
        if _state(self.path) != self._state:
            raise ConfigurationError(f"{self.path} was changed since it was checked: begin anew.")


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()  # reading it says what is wrong
    return status.st_ino, status.st_size, status.st_mtime_ns


def _table(path: Path, defaults: Defaults, problems: Problems) -> CsvReader:
    is_keyed = defaults.api_keys is None
    return CsvReader(
        path=path,
        required=("account", "api_key") if is_keyed else ("account",),
        exact=("serie",),
        optional=("serie", "default") if is_keyed else ("api_key", "serie", "default"),
        problems=problems,
    )


class _GivenRow(NamedTuple):
    """The cells of a row that matter, not checked yet."""

    account: str
    api_key: Secret | KeyReference | AccountKeys
    serie: str
    is_default: bool | None
    line: int

    def problem(self) -> str:
        """Return what is wrong with it; "" when nothing is. It shows no cell."""
        found = (
            *_account_problems(self.account, self.api_key),
            _problem(check_new_serie, self.serie, _SERIE_PROBLEM) if self.serie else _NO_SERIE,
            _FLAG_PROBLEM if self.is_default is None else None,
        )
        return "; ".join(filter(None, found))

    def requested(self) -> RequestedRow:
        """Return what it requests, when nothing is wrong with it."""
        return RequestedRow(self.account, self.serie, bool(self.is_default), self.line)

    def plan_row(self) -> PlanRow | None:
        """Return the row; None when something is wrong with it."""
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
        except ConfigurationError:  # its text shows what is in it
            return None


def _given_rows(table: CsvReader, defaults: Defaults) -> Iterator[_GivenRow]:
    folder = table.path.parent
    for record in table.read():
        cells = record.cells
        yield _GivenRow(
            account_name_in(cells["account"]).lower(),
            _located(as_key(cells.get("api_key") or defaults.api_keys or ""), folder),
            cells.get("serie") or defaults.serie or "",
            _flag(cells.get("default", ""), default=defaults.is_default),
            record.line,
        )


def _rows(table: CsvReader, defaults: Defaults, problems: Problems) -> Iterator[PlanRow]:
    for row in _given_rows(table, defaults):
        plan_row = row.plan_row()  # a row that was found right is not looked at twice
        if plan_row is None:
            problems.add(row.line, row.problem())
        else:
            yield plan_row


def read_accounts(
    path: Path, api_keys: AccountKeys | None
) -> tuple[list[AccountRow], tuple[str, ...]]:
    """Return the accounts of a file, each with the serie that it names or none; and the notes.

    Raises:
        ConfigurationError: naming every bad row by its line.
    """
    problems = Problems(path)
    defaults = Defaults(serie=None, is_default=True, api_keys=api_keys)
    rows: dict[str, AccountRow] = {}
    table = _table(path, defaults, problems)
    for record in table.read():
        row = _account_row(record, problems, folder=path.parent, api_keys=api_keys)
        if row is None:
            continue
        if row.account in rows:
            problems.add(row.line, f"the same account as line {rows[row.account].line}")
        rows.setdefault(row.account, row)
    problems.check()
    if not rows:
        raise ConfigurationError(f"{path} has a header and no rows.")
    return list(rows.values()), table.notes


def _account_row(
    record: CsvRecord, problems: Problems, *, folder: Path, api_keys: AccountKeys | None
) -> AccountRow | None:
    cells = record.cells
    account = account_name_in(cells["account"])
    serie = cells.get("serie") or None
    key = _located(as_key(cells.get("api_key") or api_keys or ""), folder)
    found = [
        *_account_problems(account, key),
        None if serie is None else _problem(check_new_serie, serie, _SERIE_PROBLEM),
    ]
    if texts := [text for text in found if text]:
        problems.add(record.line, "; ".join(texts))
        return None
    return AccountRow(account=account, api_key=key, serie=serie, line=record.line)


def _account_problems(
    account: str, key: Secret | KeyReference | AccountKeys
) -> tuple[str | None, ...]:
    return _problem(check_account_name, account, _ACCOUNT_PROBLEM), _key_problem(key)


def _flag(text: str, *, default: bool) -> bool | None:
    return _FLAGS.get(text.casefold()) if text else default


def _problem(check: Callable[[object], object], value: str, text: str) -> str | None:
    try:
        check(value)
    except ConfigurationError:
        # The error's own text shows the value.
        return _reason(text.partition(" ")[0], value) or text
    return None


def _reason(column: str, value: str) -> str | None:
    if invisible := invisible_in(value):
        return f"{column} has an invisible character in it, {invisible}"
    misread = misread_in(value) if column == "serie" else None
    return misread and f"{column} {misread}"


def _key_problem(key: Secret | KeyReference | AccountKeys) -> str | None:
    if isinstance(key, KeyReference):
        return key.problem()
    if not isinstance(key, Secret):
        return None
    try:
        check_api_key(key)
    except ConfigurationError:
        hidden = _reason("api_key", key.reveal())
        return hidden or "api_key is empty or has a control character in it"
    return None


def _located(
    key: Secret | KeyReference | AccountKeys, folder: Path
) -> Secret | KeyReference | AccountKeys:
    if isinstance(key, KeyReference) and key.kind == "file":
        return KeyReference("file", str(folder / key.name))
    return key
