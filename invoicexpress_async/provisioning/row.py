"""The rows of plans and account lists, and conflicts between rows."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

import attrs

from invoicexpress_async.config import (
    Secret,
    boolean,
    check_account_name,
    check_api_key,
    check_new_serie,
)
from invoicexpress_async.config.serie_names import fold
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, as_key
from invoicexpress_async.jobs.sqlite import SeenLine, SeenLines, SortedRows
from invoicexpress_async.models.account_fields import hide_secrets_in_tracebacks

# How many rows are noted at once.
_CHUNK: Final = 1_000


def _check_key(_: object, __: object, key: Secret | KeyReference | AccountKeys) -> None:
    if isinstance(key, Secret):
        check_api_key(key)


def _check_serie(_: object, __: object, serie: str) -> None:
    check_new_serie(serie)


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class AccountRow:
    """One account of an account list.

    Attributes:
        account: The account's name; upper case is lowered.
        api_key: The key or its source, as in a `PlanRow`.
        serie: The next serie of the account, when it is given; None otherwise.
        line: The row's line in its file; 0 without a file.
    """

    account: str = attrs.field(converter=check_account_name)
    api_key: Secret | KeyReference | AccountKeys = attrs.field(
        converter=as_key, validator=_check_key
    )
    serie: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_serie))
    line: int = 0


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class PlanRow:
    """One serie on one account.

    Attributes:
        account: The account's name; upper case is lowered.
        api_key: The key, hidden in a `Secret`, or its source. A str is taken as a key or as a
            reference to one. An async callable is awaited with the account's name at the row's
            turn.
        serie: The name, sent exactly as it is.
        is_default: Whether it must be the account's default; False leaves the flag as it is.
        line: The row's line in its file, or its number among the given rows; 0 without either.
    """

    account: str = attrs.field(converter=check_account_name)
    api_key: Secret | KeyReference | AccountKeys = attrs.field(
        converter=as_key, validator=_check_key
    )
    serie: str = attrs.field(validator=_check_serie)
    is_default: bool = attrs.field(default=False, validator=boolean)
    line: int = 0


def named_accounts(names: Iterable[str]) -> frozenset[str]:
    """Return the accounts that are meant, in lower case.

    Raises:
        ConfigurationError: one text, whose letters would be taken for names, or no name.
    """
    if isinstance(names, str):
        raise ConfigurationError(f"The accounts are {names!r:.80}: give a list of names.")
    return frozenset(map(check_account_name, names))


@attrs.frozen(kw_only=True)
class PlanSummary:
    """The counts of a plan's rows.

    Attributes:
        rows: How many rows there are.
        accounts: How many accounts they are for.
        series: How many rows there are of each serie.
        defaults: How many rows make their serie the default.
        default_series: The series of those rows.
    """

    rows: int
    accounts: int
    series: Mapping[str, int]
    defaults: int
    default_series: tuple[str, ...] = ()


class RequestedRow(NamedTuple):
    """A row of a plan without its key; a `PlanRow` has the key too."""

    account: str
    serie: str
    is_default: bool
    line: int = 0


class RowConflicts:
    """Finds rows that clash with an earlier row. Close it at the end."""

    def __init__(self) -> None:
        self._seen = SeenLines()

    def find(self, row: PlanRow | RequestedRow) -> str | None:
        """Return how the row clashes with an earlier one, or None."""
        # Compared by look: of two names that only look the same, `ensure` would refuse one.
        earlier = self._seen.enter(SeenLine("row", row.account, fold(row.serie), row.line))
        if earlier is not None:
            return f"the same account and serie as {_where(earlier)}"
        if not row.is_default:
            return None
        earlier = self._seen.enter(SeenLine("default", row.account, "", row.line))
        return None if earlier is None else f"a second default for the account of {_where(earlier)}"

    def close(self) -> None:
        """Delete the rows seen so far."""
        self._seen.close()


class RequestedRows:
    """What all rows of a plan request. Kept on the disk when there are very many.

    They are deleted when this object is closed or garbage-collected.
    """

    def __init__(self) -> None:
        self._rows = SortedRows()
        self._series: Counter[str] = Counter()
        self._defaults: Counter[str] = Counter()

    def add(self, rows: Iterable[tuple[str, str, bool, int]]) -> None:
        """Add account, serie, `is_default` and line of some rows."""
        given = iter(rows)
        while chunk := [*islice(given, _CHUNK)]:
            self._rows.add([(one, fold(serie), serie, +flag, at) for one, serie, flag, at in chunk])
            self._series.update(serie for _, serie, _, _ in chunk)
            self._defaults.update(serie for _, serie, is_default, _ in chunk if is_default)

    def conflicts(self) -> Iterator[tuple[RequestedRow, str]]:
        """Yield the rows that clash with an earlier one. Call it once all rows were added."""
        self._rows.sort()
        if not self._rows.has_conflict:
            return  # nearly always
        with contextlib.closing(RowConflicts()) as conflicts:
            for account, serie, is_default, line in self._rows.as_given():
                row = RequestedRow(account, serie, bool(is_default), line)
                if problem := conflicts.find(row):
                    yield row, problem

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        """Yield account, serie and `is_default`, in the order of the accounts."""
        yield from self._rows.in_order()

    def summary(self) -> PlanSummary:
        """Count the rows."""
        return PlanSummary(
            rows=self._series.total(),
            accounts=self._rows.accounts,
            series=dict(self._series.most_common()),
            defaults=self._defaults.total(),
            default_series=tuple(self._defaults),
        )

    def close(self) -> None:
        """Delete the rows seen so far."""
        self._rows.close()


def summarise(rows: Iterable[PlanRow]) -> PlanSummary:
    """Count rows, and refuse rows that clash.

    Raises:
        ConfigurationError: naming the first such row.
    """
    with contextlib.closing(RequestedRows()) as requested:
        requested.add((row.account, row.serie, row.is_default, row.line) for row in rows)
        for row, problem in requested.conflicts():
            raise ConfigurationError(f"Account {row.account}, serie {row.serie!r}: {problem}.")
        return requested.summary()


def _where(line: int) -> str:
    return f"line {line}" if line else "an earlier row"
