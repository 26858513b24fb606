"""What is to be done: rows that were checked before anything is sent."""

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from invoicexpress_async.config import check_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.provisioning._reading import read_rows
from invoicexpress_async.provisioning.row import Clashes, PlanRow


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
        if serie is not None:
            check_serie(serie)
        rows, ignored = read_rows(Path(path), serie=serie, default=default)
        return cls(rows=rows, ignored_columns=ignored)
