"""One row of a plan, and conflicts between two rows."""

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

# So many rows are noted at once.
_CHUNK: Final = 1_000


def _check_key(_: object, __: object, key: Secret | KeyReference | AccountKeys) -> None:
    if isinstance(key, Secret):
        check_api_key(key)


def _check_serie(_: object, __: object, serie: str) -> None:
    check_new_serie(serie)


@hide_secrets_in_tracebacks
@attrs.frozen(kw_only=True)
class AccountRow:
    """One account to look at.

    Attributes:
        account: Its name; upper case is lowered.
        api_key: The key, hidden, or where it is, as of a `PlanRow`.
        serie: The serie that it is to have next, when the file says so; None otherwise.
        line: Where it stands in the file it came from; 0 when it came from none.
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
        api_key: The key, hidden, or where it is. A text is taken as either. An async callable is
            awaited with the account's name at the row's turn.
        serie: The name, sent exactly as it is.
        is_default: Whether it must be the account's default; False leaves the flag as it is.
        line: Where it stands in the file it came from; 0 when it came from none.
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
    """What a plan requests, counted.

    Attributes:
        rows: How many.
        accounts: How many accounts they are for.
        series: How many rows there are of each serie.
        defaults: How many make their serie the default.
        default_series: Which series these are.
    """

    rows: int
    accounts: int
    series: Mapping[str, int]
    defaults: int
    default_series: tuple[str, ...] = ()


class RequestedRow(NamedTuple):
    """What a plan requests for one row; a `PlanRow` has the same, and a key."""

    account: str
    serie: str
    is_default: bool
    line: int = 0


class RowConflicts:
    """The rows seen so far, to find those that cannot both be meant. Close it in the end."""

    def __init__(self) -> None:
        self._seen = SeenLines()

    def find(self, row: PlanRow | RequestedRow) -> str | None:
        """Return what is wrong with the row beside those before it, or None."""
        # Names that only look the same would be refused by `ensure` one by one.
        earlier = self._seen.enter(SeenLine("row", row.account, fold(row.serie), row.line))
        if earlier is not None:
            return f"the same account and serie as {_where(earlier)}"
        if not row.is_default:
            return None
        earlier = self._seen.enter(SeenLine("default", row.account, "", row.line))
        return None if earlier is None else f"a second default for the account of {_where(earlier)}"

    def close(self) -> None:
        """Forget them."""
        self._seen.close()


class RequestedRows:
    """What all rows of a plan request: a million of them are on the disk.

    They are forgotten when it is closed, or collected.
    """

    def __init__(self) -> None:
        self._rows = SortedRows()
        self._series: Counter[str] = Counter()
        self._defaults: Counter[str] = Counter()

    def add(self, rows: Iterable[tuple[str, str, bool, int]]) -> None:
        """Note account, serie, `is_default` and line of some rows."""
        given = iter(rows)
        while chunk := [*islice(given, _CHUNK)]:
            self._rows.add([(one, fold(serie), serie, +flag, at) for one, serie, flag, at in chunk])
            self._series.update(serie for _, serie, _, _ in chunk)
            self._defaults.update(serie for _, serie, is_default, _ in chunk if is_default)

    def conflicts(self) -> Iterator[tuple[RequestedRow, str]]:
        """Yield the rows that cannot be meant beside one before them, once all were noted."""
        self._rows.sort()
        if not self._rows.has_conflict:
            return  # as nearly always
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
        """Forget them."""
        self._rows.close()


def summarise(rows: Iterable[PlanRow]) -> PlanSummary:
    """Count rows, and refuse two that cannot both be meant.

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
