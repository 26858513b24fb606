"""Fences: they keep a process from writing for accounts that another process has taken over."""

import hashlib
from typing import NamedTuple

from invoicexpress_async.jobs.journal import JournalError


class Fence(NamedTuple):
    """A slice of the accounts, and the epoch of this process's hold on it."""

    slice: int
    epoch: int


class FencedError(JournalError):
    """Another process has taken the account over: this one sends and writes nothing more for it."""

    cure = "Nothing to do: the process that has taken the account over goes on with it."


def slice_of(account: str, slices: int) -> int:
    """Return the slice of an account: the same in every version of Python and of PostgreSQL."""
    digest = hashlib.sha256(account.encode()).digest()
    return int.from_bytes(digest[:4], "big") % slices
