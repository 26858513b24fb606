"""The limit of one account: a slot is taken at the send and freed a minute after the response."""

import asyncio
import itertools
import logging
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import attrs

from invoicexpress_async.call.spread import Spread
from invoicexpress_async.call.wake import wake
from invoicexpress_async.clock import Clock
from invoicexpress_async.config import positive_int, positive_seconds
from invoicexpress_async.errors import ConfigurationError

# The clocks of two machines differ in speed. 800 parts per million is far above the drift of a
# quartz, and costs less than a thousandth of the throughput.
_DRIFT: Final = 800e-6

_LOGGER: Final = logging.getLogger("invoicexpress_async")


def _fraction(_: object, __: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigurationError(
            f"share is {value!r:.40}: give a part of the limit, over 0 up to 1."
        )


@attrs.frozen
class RateLimit:
    """The number of requests that this process may send for one account.

    The provider allows 780 a minute for each account. The kind of window is unknown, so no
    window of any kind ever contains more.

    Attributes:
        requests: The number allowed in each window.
        per_seconds: The length of the window.
        share: The part of `requests` for this process, when several use the same account.
    """

    requests: int = attrs.field(default=780, validator=positive_int)
    per_seconds: float = attrs.field(default=60.0, kw_only=True, validator=positive_seconds)
    share: float = attrs.field(default=1.0, kw_only=True, validator=_fraction)

    @property
    def allowed(self) -> int:
        """The requests of this process in one window, at least 1."""
        return max(1, int(self.requests * self.share))


class AccountLimiter:
    """The slots of one account, handed out first come, first served.

    The server counts a request somewhere between its send and its response, so a slot that is
    freed `per_seconds` after the response keeps every window of the server within the limit,
    whatever the network delays. A full burst is sent at once, until a 429 shows that the server
    refuses bursts: then requests are spread out evenly, and bursts are tried again later.
    """

    # A job keeps one limiter per account for a minute. Hence `__slots__`, and lists, which take a
    # tenth of the memory of a deque.
    __slots__ = (
        "_allowed", "_clock", "_freed", "_freed_at", "_held_seconds", "_in_flight",
        "_mutex", "_paused_until", "_spread", "_waiting", "limit",
    )  # fmt: skip

    def __init__(
        self, limit: RateLimit | None, clock: Clock, mutex: "threading.RLock | None" = None
    ) -> None:
        # Without a limit, the limiter only pauses after a 429.
        self._allowed = float("inf") if limit is None else limit.allowed
        self._held_seconds = 0.0 if limit is None else limit.per_seconds * (1 + _DRIFT)
        self.limit = limit
        self._clock = clock
        self._mutex = mutex or threading.RLock()  # held briefly, and never across an await
        self._in_flight = 0
        self._freed_at: list[float] = []
        self._paused_until = float("-inf")
        self._spread: Spread | None = None
        self._waiting: OrderedDict[asyncio.Future[None], None] | None = None  # None: no waiters
        self._freed: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the limiter can be dropped: a new one would behave the same."""
        now = self._clock.now()
        self._drop_expired(now)
        if self._spread is not None and not self._spread.is_over(now):
            return False
        return not (self._in_flight or self._waiting or self._freed_at or now < self._paused_until)

    @property
    def is_paused(self) -> bool:
        """Whether the account pauses after a 429."""
        return self._clock.now() < self._paused_until

    def wait_reason(self) -> str:
        """Return why a call waits for a slot, in words."""
        now, limit = self._clock.now(), self.limit
        if limit is None or now < self._opens_at(now):
            return "the account's pace after a 429 of the server"
        return f"the account's rate limit ({limit.allowed} per {limit.per_seconds:g} s)"

    def acquire_at_once(self) -> bool:
        """Take a slot if one is free and no other call waits; return whether it was taken."""
        with self._mutex:
            if self._waiting and next(iter(self._waiting)).get_loop().is_closed():
                self._wake_first()
            if self._waiting or not self._has_room():
                return False
            self._take()
            return True

    def tighten(self, limit: RateLimit) -> bool:
        """Adopt a limit if it is stricter than the present one; return whether it was."""
        held_seconds = limit.per_seconds * (1 + _DRIFT)
        with self._mutex:
            rate = self._allowed / self._held_seconds if self._held_seconds else float("inf")
            if limit.allowed / held_seconds >= rate:
                return False
            self.limit = limit
            self._allowed, self._held_seconds = limit.allowed, held_seconds
            return True

    async def acquire(self) -> None:
        """Wait for a slot and take it. If this is cancelled, the next call has its turn."""
        if self.acquire_at_once():
            return
        await self._queue()

    def release(self) -> None:
        """Note that the request got a response or failed: its slot is freed a window later."""
        with self._mutex:
            if self._held_seconds:
                self._freed_at.append(self._clock.now() + self._held_seconds)
        self.release_unused()

    def release_unused(self) -> None:
        """Free a slot at once, because its request was never attempted."""
        with self._mutex:
            self._in_flight -= 1
            freed = self._freed
        if freed is not None and not freed.done():
            wake(freed)

    def recent(self) -> list[float]:
        """Return for each slot in use the seconds after which it is free again at the latest."""
        with self._mutex:
            now = self._clock.now()
            self._drop_expired(now)
            return [at - now for at in self._freed_at] + [self._held_seconds] * self._in_flight

    def take_over(self, recent: Iterable[float]) -> None:
        """Count another process's requests: each takes a slot for its number of seconds."""
        with self._mutex:
            now = self._clock.now()
            # This process may have sent some or all of these requests: each request counts once.
            theirs = sorted((now + min(one, self._held_seconds) for one in recent), reverse=True)
            mine = sorted(self._freed_at, reverse=True)
            both = itertools.zip_longest(mine, theirs, fillvalue=float("-inf"))
            self._freed_at = sorted(max(pair) for pair in both)

    def pause(self, seconds: float) -> None:
        """Pause the whole account after a 429, and spread its requests out from then on."""
        now = self._clock.now()
        with self._mutex:
            self._paused_until = max(self._paused_until, now + seconds)
            if not self._held_seconds:
                return  # without a limit, no pace is known
            if self._spread is None or self._spread.is_over(now):
                self._spread = Spread(self._held_seconds, self._allowed)
            self._spread.refused(now, self._paused_until)

    def _take(self) -> None:
        self._in_flight += 1
        if self._spread is not None:
            self._spread.sent(self._clock.now())

    async def _queue(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._mutex:
            if self._waiting is None:
                self._waiting = OrderedDict()
            is_first = not self._waiting
            self._waiting[turn] = None
        try:
            if not is_first:
                await turn
            while (freed := self._take_or_wait()) is not None:
                await self._wait_for_room(freed)
        finally:
            self._leave_queue(turn)

    def _take_or_wait(self) -> "asyncio.Future[None] | None":
        """Take a slot, or return a future that is done when a request in flight has ended."""
        with self._mutex:
            if self._has_room():
                self._take()  # before the next call in the queue checks
                return None
            self._freed = asyncio.get_running_loop().create_future()
            return self._freed

    def _leave_queue(self, turn: "asyncio.Future[None]") -> None:
        with self._mutex:
            if self._waiting is not None:
                self._waiting.pop(turn, None)
            self._wake_first()

    def _wake_first(self) -> None:
        """Wake the first call in the queue. One whose event loop was closed has left it."""
        waiting = self._waiting
        while waiting:
            first = next(iter(waiting))
            if not first.get_loop().is_closed():
                wake(first)
                return
            del waiting[first]
        self._waiting = None

    def _has_room(self) -> bool:
        now = self._clock.now()
        if now < self._opens_at(now):
            return False
        self._drop_expired(now)
        return self._in_flight + len(self._freed_at) < self._allowed

    def _opens_at(self, now: float) -> float:
        """Return the time before which nothing is sent, however many slots are free."""
        if self._spread is None or not self._spread.is_active(now):
            return self._paused_until
        return max(self._paused_until, self._spread.next_at)

    def _drop_expired(self, now: float) -> None:
        if self._freed_at and self._freed_at[0] <= now:
            del self._freed_at[: bisect_right(self._freed_at, now)]

    async def _wait_for_room(self, freed: "asyncio.Future[None]") -> None:
        now = self._clock.now()
        with self._mutex:
            opens_at = self._opens_at(now)
            next_at = self._freed_at[0] if self._freed_at else None
        if now < opens_at:
            await self._clock.sleep(opens_at - now)
            return
        if next_at is None:
            # Every slot is in flight: when a slot gets free is known only after a response.
            await freed
            return
        # A slot that is released unused is free sooner than `next_at`.
        sleeper = asyncio.ensure_future(self._clock.sleep(next_at - now))
        try:
            await asyncio.wait([sleeper, freed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()


class LimiterRegistry:
    """The limiters of one server's accounts: each account has exactly one.

    The registry belongs to the process: managers and event loops in several threads share it.
    """

    _FIRST_SWEEP: Final = 1_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.RLock()
        self._by_account: dict[str, AccountLimiter] = {}
        self._next_sweep = self._FIRST_SWEEP

    def of(self, account: str, limit: RateLimit | None) -> AccountLimiter:
        """Return the account's limiter; of two different limits, the stricter one applies."""
        limiter = self._by_account.get(account)
        if limiter is not None and limiter.limit is limit:
            return limiter
        with self._mutex:
            limiter = self._by_account.get(account)
            if limiter is None:
                self._sweep()
                limiter = AccountLimiter(limit, self._clock, self._mutex)
                self._by_account[account] = limiter
            elif limit is not None and limiter.tighten(limit):
                _LOGGER.warning(
                    "Account %s has two limits in this process: the stricter one holds.", account
                )
            return limiter

    def known(self, account: str) -> AccountLimiter | None:
        """Return the account's limiter, if there is one."""
        return self._by_account.get(account)

    def __len__(self) -> int:
        return len(self._by_account)

    def count_paused(self) -> int:
        """Count the accounts that pause after a 429."""
        with self._mutex:
            return sum(limiter.is_paused for limiter in self._by_account.values())

    @property
    def is_idle(self) -> bool:
        """Whether the registry can be dropped: a new one would behave the same."""
        with self._mutex:
            return all(limiter.is_idle for limiter in self._by_account.values())

    def _sweep(self) -> None:
        # Doubling the threshold keeps the cost of sweeping constant per account.
        if len(self._by_account) < self._next_sweep:
            return
        self._by_account = {
            name: limiter for name, limiter in self._by_account.items() if not limiter.is_idle
        }
        self._next_sweep = max(self._FIRST_SWEEP, 2 * len(self._by_account))


class RetryBudget:
    """The retries that all calls to one server may spend, so that an outage is not made worse.

    Each first attempt deposits a tenth of a retry; a capacity of 50 covers ordinary trouble. An
    outage over 10,000 calls thus costs at most about 10 % more requests.
    """

    _CAPACITY: Final = 50.0
    _DEPOSIT: Final = 0.1

    def __init__(self) -> None:
        self._left = self._CAPACITY
        self._mutex = threading.Lock()  # managers in several threads share it

    def deposit(self) -> None:
        """Add the deposit of a first attempt."""
        with self._mutex:
            self._left = min(self._CAPACITY, self._left + self._DEPOSIT)

    def withdraw(self) -> bool:
        """Take one retry, if one is left; return whether it was taken."""
        with self._mutex:
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True
