"""From the records of a file to rows, with every problem told by its line and no cell shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from invoicexpress_async.config import Secret, check_account_name, check_api_key, check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning._table import Problems, Record, Table
from invoicexpress_async.provisioning.key import KeyReference, as_key
from invoicexpress_async.provisioning.row import Clashes, PlanRow

_REQUIRED: Final = ("account", "api_key")
_OPTIONAL: Final = ("serie", "default")
# Spreadsheets write their truth values in the user's language.
_TRUE: Final = frozenset({"1", "true", "yes", "sim", "verdadeiro"})
_FALSE: Final = frozenset({"0", "false", "no", "não", "nao", "falso"})

_ACCOUNT_PROBLEM: Final = "account is not one DNS label of letters, digits and hyphens, up to 63"
_SERIE_PROBLEM: Final = "serie is over 35 characters or has a control character in it"
_NO_SERIE: Final = "no serie, and none was given for all rows"
_FLAG_PROBLEM: Final = "default is none of 1, 0, true, false, yes, no"


def read_rows(
    path: Path, *, serie: str | None, default: bool
) -> tuple[list[PlanRow], tuple[str, ...]]:
    """Return the rows of a file and the columns that were ignored.

    Raises:
        ConfigurationError: naming every bad row by its line.
    """
    problems = Problems(path)
    table = Table(path=path, required=_REQUIRED, optional=_OPTIONAL, problems=problems)
    clashes = Clashes()
    rows: list[PlanRow] = []
    for record in table.read():
        row = _row(record, problems, folder=path.parent, serie=serie, default=default)
        if row is None:
            continue
        rows.append(row)
        if problem := clashes.find(row):
            problems.add(row.line, problem)
    problems.check()
    if not rows:
        raise ConfigurationError(f"{path} has a header and no rows.")
    return rows, table.ignored


def _row(
    record: Record, problems: Problems, *, folder: Path, serie: str | None, default: bool
) -> PlanRow | None:
    cells = record.cells
    name = cells.get("serie") or serie
    flag = _flag(cells.get("default", ""), default=default)
    key = _located(as_key(cells["api_key"]), folder)
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
