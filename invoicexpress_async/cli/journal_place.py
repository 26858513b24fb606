"""Where a journal is, on the command line: a file, or a database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cyclopts import Token

from invoicexpress_async.jobs.postgres import PostgresJournal, is_url
from invoicexpress_async.provisioning import SqliteJournal

JournalPlace: TypeAlias = Path | str
"""A path, or a `postgresql://` URL as text."""

DATABASE_URL: Final = "postgresql:// URL"
"""What a database is named by, for the help: a store is added here and in `jobs/stored.py`."""


def parse_place(_type: object, tokens: Sequence[Token]) -> JournalPlace:
    """Return what an argument names."""
    text = tokens[0].value
    return text if is_url(text) else Path(text)


def journal_at(place: JournalPlace, *, shared: bool = False) -> SqliteJournal | PostgresJournal:
    """Return the journal that is there, to be opened.

    Raises:
        ConfigurationError: a URL that cannot be right, or has a password in it.
    """
    if isinstance(place, str):
        return PostgresJournal(place)  # it is shared in any case
    return SqliteJournal(place, shared=shared)
