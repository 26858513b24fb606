"""Passes the slots that a process has in use on to the next process that sends for an account."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from invoicexpress_async.call.limiter import LimiterRegistry, RateLimit

Recent: TypeAlias = Mapping[str, Mapping[int, int]]
"""For each account, the limiter slots in use: their number by seconds until they are free."""


@attrs.frozen
class RecentRequests:
    """The limiter slots that the accounts of one manager have in use."""

    limiters: LimiterRegistry
    limit: RateLimit | None

    def of(self, accounts: Iterable[str]) -> Recent:
        """Return the slots in use now, by seconds rounded up to whole ones."""
        found: dict[str, Mapping[int, int]] = {}
        for account in accounts:
            limiter = self.limiters.known(account)
            slots = [] if limiter is None else limiter.recent()
            if slots:
                found[account] = Counter(map(math.ceil, slots))
        return found

    def take_over(self, recent: Recent, *, seconds_ago: float) -> None:
        """Count the slots that another process had in use `seconds_ago`."""
        for account, slots in recent.items():
            left = [one - seconds_ago for one, count in slots.items() for _ in range(count)]
            if any(one > 0 for one in left):
                limiter = self.limiters.of(account, self.limit)
                limiter.take_over(one for one in left if one > 0)
