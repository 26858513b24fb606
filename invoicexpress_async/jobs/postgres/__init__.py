"""The journal in a PostgreSQL database. Nothing outside this folder knows its SQL."""

from invoicexpress_async.jobs.postgres.address import is_url
from invoicexpress_async.jobs.postgres.fence import FencedError
from invoicexpress_async.jobs.postgres.journal import PostgresJournal
from invoicexpress_async.jobs.postgres.slices import HeldSlice, SliceLeft

__all__ = ["FencedError", "HeldSlice", "PostgresJournal", "SliceLeft", "is_url"]
