"""What keeps a process from writing for accounts that another has taken over."""

from typing import NamedTuple

from invoicexpress_async.jobs.journal import JournalError


class Fence(NamedTuple):
    """A slice of the accounts, and the epoch in which this process holds it."""

    slice: int
    epoch: int


class FencedError(JournalError):
    """Another process speaks for the account now: nothing is sent or written for it any more."""

    cure = "Nothing: the process that has taken the account over goes on with it."
