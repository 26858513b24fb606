"""The journal in a PostgreSQL database. Nothing outside this folder contains its SQL."""

from invoicexpress_async.jobs.postgres.address import is_url
from invoicexpress_async.jobs.postgres.fence import FencedError, slice_of
from invoicexpress_async.jobs.postgres.journal import LEASE_SECONDS, WINDOW_SECONDS, PostgresJournal
from invoicexpress_async.jobs.postgres.slices import HeldSlice, SliceLeft

__all__ = [
    "LEASE_SECONDS",
    "WINDOW_SECONDS",
    "FencedError",
    "HeldSlice",
    "PostgresJournal",
    "SliceLeft",
    "is_url",
    "slice_of",
]
