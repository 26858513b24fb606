"""What a process has sent for accounts lately, handed on to the one that sends for them next."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from invoicexpress_async.call.limiter import LimiterRegistry, RateLimit

Recent: TypeAlias = Mapping[str, Mapping[int, int]]
"""Of each account: how many slots of its limit are free again in how many seconds."""


@attrs.frozen
class RecentRequests:
    """The slots in use of the accounts of one manager."""

    limiters: LimiterRegistry
    limit: RateLimit | None

    def of(self, accounts: Iterable[str]) -> Recent:
        """Return what is in use now, rounded up to whole seconds."""
        found: dict[str, Mapping[int, int]] = {}
        for account in accounts:
            limiter = self.limiters.known(account)
            slots = [] if limiter is None else limiter.recent()
            if slots:
                found[account] = Counter(map(math.ceil, slots))
        return found

    def take_over(self, recent: Recent, *, seconds_ago: float) -> None:
        """Count what another process had in use so long ago."""
        for account, slots in recent.items():
            left = [one - seconds_ago for one, count in slots.items() for _ in range(count)]
            if any(one > 0 for one in left):
                limiter = self.limiters.of(account, self.limit)
                limiter.take_over(one for one in left if one > 0)
