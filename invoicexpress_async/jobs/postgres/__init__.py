"""The journal in a PostgreSQL database. Nothing outside this folder knows its SQL."""

from invoicexpress_async.jobs.postgres.address import is_url
from invoicexpress_async.jobs.postgres.journal import PostgresJournal

__all__ = ["PostgresJournal", "is_url"]
