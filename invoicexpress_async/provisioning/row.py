"""One row of a plan, and conflicts between two rows."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import attrs

from invoicexpress_async.config import Secret, check_account_name, check_api_key, check_new_serie
from invoicexpress_async.config.serie_names import fold
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, as_key
from invoicexpress_async.jobs.sqlite import SeenLine, SeenLines
from invoicexpress_async.models.account_fields import hide_secrets_in_tracebacks


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
    is_default: bool = False
    line: int = 0


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
        self._series: Counter[str] = Counter()
        self._defaults: Counter[str] = Counter()

    def find(self, row: PlanRow | RequestedRow) -> str | None:
        """Return what is wrong with the row beside those before it, or None."""
        earlier = self._seen.enter(_as_row(row))
        if earlier is not None:
            return f"the same account and serie as {_where(earlier)}"
        self._series[row.serie] += 1
        if not row.is_default:
            return None
        earlier = self._seen.enter(_as_default(row))
        if earlier is not None:
            return f"a second default for the account of {_where(earlier)}"
        self._defaults[row.serie] += 1
        return None

    def find_all(self, rows: Sequence[RequestedRow]) -> Iterator[tuple[int, str]]:
        """Yield what `find` says of each of some rows, by line: of nearly all it is nothing."""
        defaults = [row for row in rows if row.is_default]
        if self._seen.enter_all([*map(_as_row, rows), *map(_as_default, defaults)]):
            self._series.update(row.serie for row in rows)
            self._defaults.update(row.serie for row in defaults)
            return
        for row in rows:
            if problem := self.find(row):
                yield row.line, problem

    def requested(self) -> Iterator[RequestedRow]:
        """Yield what the rows seen request, in the order of their names."""
        for account, detail in self._seen.details("row"):
            yield RequestedRow(account, detail[1:], detail[0] == "1")

    def summary(self) -> PlanSummary:
        """Count the rows seen."""
        return PlanSummary(
            rows=self._series.total(),
            accounts=self._seen.count("row"),
            series=dict(self._series.most_common()),
            defaults=self._defaults.total(),
            default_series=tuple(self._defaults),
        )

    def close(self) -> None:
        """Forget them."""
        self._seen.close()


def summarise(rows: Iterable[PlanRow]) -> PlanSummary:
    """Count rows, and refuse two that cannot both be meant.

    Raises:
        ConfigurationError: naming the first such row.
    """
    with contextlib.closing(RowConflicts()) as conflicts:
        for row in rows:
            if problem := conflicts.find(row):
                raise ConfigurationError(f"Account {row.account}, serie {row.serie!r}: {problem}.")
        return conflicts.summary()


def _as_row(row: PlanRow | RequestedRow) -> SeenLine:
    # Names that only look the same would be refused by `ensure` one by one.
    return SeenLine("row", row.account, fold(row.serie), row.line, f"{row.is_default:d}{row.serie}")


def _as_default(row: PlanRow | RequestedRow) -> SeenLine:
    return SeenLine("default", row.account, "", row.line)


def _where(line: int) -> str:
    return f"line {line}" if line else "an earlier row"
