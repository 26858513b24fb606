"""Rows of a plan from mappings, as a database or a request gives them."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, cast

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference
from invoicexpress_async.provisioning.reading import Defaults
from invoicexpress_async.provisioning.row import PlanRow

GivenRow: TypeAlias = PlanRow | Mapping[str, object]
"""A row, or a mapping with `account`, and maybe `api_key`, `serie` and `default`."""

_KNOWN: Final = frozenset({"account", "api_key", "serie", "default"})


def given_rows(rows: Iterable[GivenRow], defaults: Defaults) -> Iterator[PlanRow]:
    """Yield the rows.

    Raises:
        ConfigurationError: naming the first that cannot be right by its number, from 1.
    """
    for number, row in enumerate(rows, 1):
        yield _row(row, number, defaults)


async def given_stream(rows: AsyncIterable[GivenRow], defaults: Defaults) -> AsyncIterator[PlanRow]:
    """Yield the rows as they come.

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
    problem = ""
    try:
        return _of_mapping(row, number, defaults)
    except ConfigurationError as error:
        problem = str(error.args[0])
    # Raised from here, its context would show the row and its key.
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
    if not (flag is None or isinstance(flag, bool) or flag in {0, 1}):
        raise ConfigurationError("its default is none of True, False, 1, 0, None.")
    is_default = defaults.is_default if flag is None else bool(flag)
    api_key = cast("str | Secret | KeyReference | AccountKeys", key)
    return PlanRow(
        account=account, api_key=api_key, serie=serie, is_default=is_default, line=number
    )
