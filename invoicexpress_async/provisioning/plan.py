"""Plans and account lists: their rows, checked before anything is sent."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, cast

import attrs

from invoicexpress_async.config import (
    Secret,
    account_name_in,
    all_of,
    check_new_serie,
    check_type,
)
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.csv_reader import CsvRecord
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.provisioning.reading import (
    CsvRows,
    Defaults,
    account_problem,
    key_in,
    key_problem,
    plan_table,
    serie_problem,
)
from invoicexpress_async.provisioning.row import (
    AccountRow,
    PlanRow,
    PlanSummary,
    named_accounts,
    summarise,
)

GivenRow: TypeAlias = PlanRow | Mapping[str, object]
"""A row, or a mapping with `account` and optionally `api_key`, `serie` and `default`."""

_KNOWN: Final = frozenset({"account", "api_key", "serie", "default"})


def given_rows(rows: Iterable[GivenRow], defaults: Defaults) -> Iterator[PlanRow]:
    """Yield the given rows as `PlanRow`.

    Raises:
        ConfigurationError: naming the first invalid row by its number, from 1.
    """
    for number, row in enumerate(rows, 1):
        yield _row(row, number, defaults)


async def given_stream(rows: AsyncIterable[GivenRow], defaults: Defaults) -> AsyncIterator[PlanRow]:
    """Yield the given rows as `PlanRow`, as they come.

    Raises:
        ConfigurationError: as `given_rows`.
    """
    number = 0
    async for row in rows:
        number += 1
        yield _row(row, number, defaults)


def _row(row: GivenRow, number: int, defaults: Defaults) -> PlanRow:
    if isinstance(row, PlanRow):
        return row
    if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        kind = type(row).__name__
        raise ConfigurationError(f"Row {number}: it is of type {kind}: give a PlanRow or mapping.")
    problem = ""
    try:
        return _of_mapping(row, number, defaults)
    except ConfigurationError as error:
        problem = str(error.args[0])
    # Raised in the `except` block, its context would show the row and its key.
    raise ConfigurationError(f"Row {number}: {problem}")


def _of_mapping(row: Mapping[str, object], number: int, defaults: Defaults) -> PlanRow:
    if unknown := sorted(set(row) - _KNOWN):
        raise ConfigurationError(f"it has {unknown[0]!r}; known are {', '.join(sorted(_KNOWN))}.")
    key = row.get("api_key") or defaults.api_keys
    if not (isinstance(key, str | Secret | KeyReference) or callable(key)):
        raise ConfigurationError("it has no api_key, and no api_keys were given for all rows.")
    account, serie = row.get("account"), row.get("serie") or defaults.serie
    if not isinstance(account, str) or not isinstance(serie, str):
        missing = "account" if not isinstance(account, str) else "serie"
        raise ConfigurationError(f"its {missing} is no text.")
    flag = row.get("default")
    if not (flag is None or (isinstance(flag, int) and flag in {0, 1})):
        raise ConfigurationError("its default is none of True, False, 1, 0, None.")
    is_default = defaults.is_default if flag is None else bool(flag)
    api_key = cast("str | Secret | KeyReference | AccountKeys", key)
    return PlanRow(
        account=account, api_key=api_key, serie=serie, is_default=is_default, line=number
    )


def _as_rows(rows: Collection[PlanRow]) -> Collection[PlanRow]:
    return rows if isinstance(rows, CsvRows) else all_of("rows", PlanRow, rows)


def _summary(plan: "Plan") -> PlanSummary:
    if plan.accounts is not None:
        return summarise(filter(plan.is_chosen, plan.rows))
    return plan.rows.summary if isinstance(plan.rows, CsvRows) else summarise(plan.rows)


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """The rows of a run.

    Attributes:
        rows: The rows, in order; the rows of a file are read from it each time, so that a plan
            of a million rows takes no memory.
        stream: Rows that come one by one, each checked only at its turn; instead of `rows`.
        ignored_columns: Columns of the file that are not used; a misspelled name is among them.
        notes: Remarks for people on how the file was read.
        accounts: The accounts whose rows are run; None for all. The other rows stay in the plan
            and in the journal.
        summary: The counts of the rows that are run; zero for a stream.

    Raises:
        ConfigurationError: two rows are for the same account and serie, or make two series the
            default of one account.
    """

    rows: Collection[PlanRow] = attrs.field(default=(), converter=_as_rows)
    stream: AsyncIterable[PlanRow] | None = None
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    accounts: frozenset[str] | None = None
    summary: PlanSummary = attrs.field(init=False, default=attrs.Factory(_summary, takes_self=True))

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        serie: str | None = None,
        default: bool = False,
        api_keys: AccountKeys | None = None,
    ) -> "Plan":
        """Read a plan from a file with a header: account, api_key, and optionally serie, default.

        UTF-8 (or UTF-16 with a BOM), separated by `;` `,` or tabs, quoted where needed; or a
        spreadsheet in `.xlsx` (extra `excel`), or stdin as `-`. Blank lines are skipped, spaces
        around the name of an account do not count, and the account's address stands for its name.
        Windows-1252 is read if the columns that are used are plain ASCII. A relative `file:PATH`
        of a key is relative to this file. The file is read again when the plan is run, and must
        not change.

        Args:
            path: The file.
            serie: The serie of the rows that give none.
            default: The default flag of the rows that give none.
            api_keys: An async callable that returns the key of an account, for the rows that
                have none; the column may then be left out.

        Raises:
            ConfigurationError: naming every bad row by its line, and never a key.
        """
        if serie is not None:
            check_new_serie(serie)
        defaults = Defaults(serie=serie, is_default=default, api_keys=api_keys)
        rows = CsvRows.check(Path(path), defaults)
        return cls(rows=rows, ignored_columns=rows.ignored, notes=rows.notes)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[GivenRow] | AsyncIterable[GivenRow],
        *,
        serie: str | None = None,
        default: bool = False,
        api_keys: AccountKeys | None = None,
    ) -> "Plan":
        """Return a plan of rows, or of mappings such as database rows.

        A mapping has `account` and optionally `api_key`, `serie` and `default`. An async iterable
        is run once, row by row, as by `from_async`.

        Args:
            rows: The rows.
            serie: The serie of the rows that give none.
            default: The default flag of the rows that give none.
            api_keys: An async callable that returns the key of an account, for the rows that
                have none.

        Raises:
            ConfigurationError: naming the row by its number, and never its key. For an async
                iterable the run raises it, at that row.
        """
        if serie is not None:
            check_new_serie(serie)
        defaults = Defaults(serie=serie, is_default=default, api_keys=api_keys)
        if isinstance(rows, AsyncIterable):
            return cls(stream=given_stream(rows, defaults))
        return cls(rows=tuple(given_rows(rows, defaults)))

    def only(self, accounts: Iterable[str]) -> "Plan":
        """Return the same plan, restricted to the rows of these accounts.

        A pilot of five accounts uses the journal of the whole plan: the rest is run later.
        """
        return attrs.evolve(self, accounts=named_accounts(accounts))

    def is_chosen(self, row: PlanRow) -> bool:
        """Whether a row is among those that are run."""
        return self.accounts is None or row.account in self.accounts

    @classmethod
    def from_async(cls, rows: AsyncIterable[PlanRow]) -> "Plan":
        """Return a plan of rows that come one by one, as from a database. It can run only once.

        A row that clashes with an earlier one is refused at its turn; the others continue. An
        exception of `rows` ends the run, and is raised once the rows in flight have ended.
        """
        check_type("rows", rows, AsyncIterable)
        return cls(stream=rows)


def _as_accounts(rows: Iterable[AccountRow]) -> tuple[AccountRow, ...]:
    return all_of("rows", AccountRow, rows)


@attrs.frozen(kw_only=True)
class AccountList:
    """The accounts for `rollover` and `audit`.

    Attributes:
        rows: The accounts, in order.
        notes: Remarks for people on how the file was read.

    Raises:
        ConfigurationError: an account appears twice.
    """

    rows: tuple[AccountRow, ...] = attrs.field(converter=_as_accounts)
    notes: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        seen: set[str] = set()
        for row in self.rows:
            if row.account in seen:
                raise ConfigurationError(f"Account {row.account} is there twice.")
            seen.add(row.account)

    @classmethod
    def from_csv(
        cls, path: str | os.PathLike[str], *, api_keys: AccountKeys | None = None
    ) -> "AccountList":
        """Read accounts from a file like that of a plan; its serie, if given, is the next serie.

        Raises:
            ConfigurationError: naming every bad row by its line, and never a key.
        """
        rows, notes = _read_accounts(Path(path), api_keys)
        return cls(rows=rows, notes=notes)


def requested_rows(plan: Plan) -> Iterator[tuple[str, str, int]]:
    """Yield account, serie and `is_default` of each row: the part that enters the journal."""
    rows = plan.rows
    if isinstance(rows, CsvRows):
        return rows.requested()
    return ((row.account, row.serie, row.is_default) for row in rows)


def _read_accounts(
    path: Path, api_keys: AccountKeys | None
) -> tuple[list[AccountRow], tuple[str, ...]]:
    """Return the accounts of a file, each with its serie or None, and the notes.

    Raises:
        ConfigurationError: naming every bad row by its line.
    """
    problems = Problems(path)
    defaults = Defaults(serie=None, is_default=True, api_keys=api_keys)
    rows: dict[str, AccountRow] = {}
    table = plan_table(path, defaults, problems)
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
    key = key_in(cells.get("api_key", ""), api_keys, folder)
    found = [
        account_problem(account),
        key_problem(key),
        None if serie is None else serie_problem(serie),
    ]
    if texts := [text for text in found if text]:
        problems.add(record.line, "; ".join(texts))
        return None
    return AccountRow(account=account, api_key=key, serie=serie, line=record.line)
