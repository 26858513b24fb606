"""Where the companies of a journal stand, without being its run."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import attrs

from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite_file import connect_to_read
from invoicexpress_async.onboarding.report import CompanyStep


@attrs.frozen(kw_only=True)
class CompanyStanding:
    """What a journal says of a company.

    Attributes:
        email: Of its user.
        step: Where it stands.
        state: "open" (it goes on), "intent" (sent, and nobody has looked yet), or a value of
            `CompanyState`.
        account_name: Of its account, once known.
        error: The class of the error it ended with.
    """

    email: str
    step: CompanyStep
    state: str
    account_name: str | None
    error: str | None


def read_standings(path: str | os.PathLike[str]) -> Mapping[str, CompanyStanding]:
    """Read where the companies stand, by fiscal number, whether a run holds the journal or not.

    A journal that is not there has none.

    Raises:
        JournalError: it cannot be read.
    """
    if not Path(path).exists():
        return MappingProxyType({})
    problem = ""
    with closing(connect_to_read(Path(path))) as connection:
        connection.row_factory = sqlite3.Row
        try:
            rows = connection.execute("SELECT * FROM companies").fetchall()
            return MappingProxyType({row["fiscal_id"]: _standing(row) for row in rows})
        except sqlite3.Error as error:
            problem = str(error)
    raise JournalError(f"The journal {path} cannot be read: {problem}.")


def _standing(row: sqlite3.Row) -> CompanyStanding:
    return CompanyStanding(
        email=row["email"],
        step=CompanyStep(row["step"]),
        state=row["state"],
        account_name=row["account_name"],
        error=row["error"],
    )
