"""State that belongs to a server's accounts, not to a manager: limits, locks, unresolved intents.

The server counts the requests of an account from all senders, and a create that one manager has
lost must not be sent by another. So all managers of a process that have the same base URL share
one realm, in whatever thread their event loops run.
"""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, TypeAlias

from invoicexpress_async.call.limiter import LimiterRegistry, RetryBudget
from invoicexpress_async.call.wake import wake
from invoicexpress_async.clock import Clock, MonotonicClock
from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.models.intent import Intent

# The number of creates to remember, in case a list lags; older ones have been listed long ago.
_MAX_RECENT_CREATES: Final = 10_000

# The number of accounts whose last requested default is remembered; it matters during calls only.
_MAX_DEFAULT_CHOICES: Final = 10_000

# Ordered, so that thousands of waiters can be cancelled together, each in constant time.
_Queue: TypeAlias = OrderedDict["_Turn", None]


class RecentCreates:
    """The ids of sequences created by this process; it is unknown whether a list can lag."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._mutex = threading.Lock()

    def add(self, account: str, serie: str, sequence_id: int) -> None:
        """Note the id of a created sequence."""
        with self._mutex:
            self._ids[account, serie] = sequence_id
            if len(self._ids) > _MAX_RECENT_CREATES:
                self._ids.popitem(last=False)

    def get(self, account: str, serie: str) -> int | None:
        """Return the id of a created sequence; None when none is noted."""
        return self._ids.get((account, serie))


class DefaultChoices:
    """The last sequence of each account that a call of this process has made the default.

    A call must not undo what another call has requested meanwhile, nor return what was true before.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._count = 0
        self._mutex = threading.Lock()

    def add(self, account: str, sequence_id: int) -> None:
        """Note that a call makes a sequence the default."""
        with self._mutex:
            self._count += 1
            self._last[account] = self._count, sequence_id
            self._last.move_to_end(account)
            if len(self._last) > _MAX_DEFAULT_CHOICES:
                self._last.popitem(last=False)

    def number(self, account: str) -> int:
        """Return a number that grows with each choice for the account."""
        return self._last.get(account, (0, 0))[0]

    def since(self, account: str, number: int) -> int | None:
        """Return the id of the sequence that was chosen after `number`, or None."""
        last, sequence_id = self._last.get(account, (0, 0))
        return sequence_id if last > number else None


class UnresolvedIntents:
    """The unresolved intents by account, at most one for each request."""

    def __init__(self) -> None:
        self._by_account: dict[str, dict[tuple[object, ...], Intent]] = {}
        self._mutex = threading.Lock()  # managers in several threads share it

    def add(self, intent: Intent) -> None:
        """Add an intent, or replace an older one with the same request."""
        with self._mutex:
            mine = self._by_account.setdefault(intent["account"], {})
            known = mine.setdefault(_identity(intent), intent)
            if known["sent_at"] <= intent["sent_at"]:
                mine[_identity(intent)] = intent

    def discard(self, intent: Intent) -> None:
        """Remove the intent with the same request as `intent`, if there is one."""
        with self._mutex:
            self._remove(intent)

    def forget(self, intent: Intent) -> None:
        """Remove this intent; one with the same request that was sent since stays."""
        with self._mutex:
            if self.get(intent) == intent:
                self._remove(intent)

    def _remove(self, intent: Intent) -> None:
        mine = self._by_account.get(intent["account"])
        if mine is None:
            return
        mine.pop(_identity(intent), None)
        if not mine:
            del self._by_account[intent["account"]]

    def get(self, intent: Intent) -> Intent | None:
        """Return the intent with the same request, or None."""
        mine = self._by_account.get(intent["account"])
        return None if mine is None else mine.get(_identity(intent))

    def for_account(self, account: str) -> tuple[Intent, ...]:
        """Return the unresolved intents of one account."""
        with self._mutex:
            return tuple(self._by_account.get(account, {}).values())

    def all(self) -> tuple[Intent, ...]:
        """Return the unresolved intents of all accounts."""
        with self._mutex:
            return tuple(one for mine in self._by_account.values() for one in mine.values())


def _identity(intent: Intent) -> tuple[object, ...]:
    serie = intent["serie"]
    form = None if serie is None else canonical(serie)
    what = intent["operation"], form, intent["sequence_id"]
    if intent["operation"] != "create_account":
        return what
    return (*what, *map(intent.get, ("email", "organization_name", "fiscal_id")))


class KeyedLock:
    """A lock for each key: one holder at a time, first come, first served.

    The holders may be tasks of event loops in several threads. No holder blocks another's loop. A
    holder whose event loop was closed while it held the lock has lost it.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, _Hold] = {}
        self._mutex = threading.Lock()

    def hold(self, key: Hashable) -> "_Guard":
        """Hold the lock of `key` for the block; yield whether another call held it before."""
        return _Guard(self, key)

    def enter(self, key: Hashable) -> "_Hold | _Turn":
        """Take the lock, or return a place in its queue."""
        loop = asyncio.get_running_loop()
        with self._mutex:
            held = self._held.get(key)
            if held is not None and held.loop.is_closed():
                held = self._hand_over(key, held)
            if held is None:
                held = self._held[key] = _Hold(loop)
                return held
            if held.queue is None:
                held.queue = OrderedDict[_Turn, None]()
            turn = _Turn()
            held.queue[turn] = None
            return turn

    def leave(self, key: Hashable, held: "_Hold") -> None:
        """Hand the lock over to the next in the queue, or free it."""
        with self._mutex:
            if self._held.get(key) is held:  # else it was lost
                self._hand_over(key, held)

    def give_up(self, key: Hashable, turn: "_Turn") -> None:
        """Leave the queue; pass on a lock that was handed over at the same moment."""
        with self._mutex:
            held = self._held.get(key)
            if turn.held is None and held is not None and held.queue:
                held.queue.pop(turn, None)
        if turn.held is not None:
            self.leave(key, turn.held)

    def _hand_over(self, key: Hashable, held: "_Hold") -> "_Hold | None":
        queue = held.queue
        while queue:
            turn, _ = queue.popitem(last=False)
            loop = turn.waiter.get_loop()
            if not loop.is_closed():
                turn.held = self._held[key] = _Hold(loop, queue)
                wake(turn.waiter)
                return turn.held
        del self._held[key]
        return None


class _Hold:
    """One holder's time with a lock, and the queue behind it; None without one, as usual."""

    __slots__ = ("loop", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: _Queue | None = None) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.queue: _Queue | None = queue


class _Turn:
    """A place in a queue. The lock is handed to it before its task runs again."""

    __slots__ = ("held", "waiter")

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held: _Hold | None = None


class _Guard:
    # A class, because a generator of contextlib costs a hundredth of a whole call.
    __slots__ = ("_held", "_key", "_lock")

    def __init__(self, lock: KeyedLock, key: Hashable) -> None:
        self._lock = lock
        self._key = key
        self._held: _Hold | None = None

    async def __aenter__(self) -> bool:
        entered = self._lock.enter(self._key)
        if isinstance(entered, _Hold):
            self._held = entered
            return False
        try:
            await entered.waiter
        except asyncio.CancelledError:
            self._lock.give_up(self._key, entered)
            raise
        self._held = entered.held
        return True

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            self._lock.leave(self._key, self._held)


class Realm:
    """The state that the managers of one base URL share; `users` counts those that are open."""

    def __init__(self, clock: Clock) -> None:
        self.limiters: LimiterRegistry = LimiterRegistry(clock)
        self.retry_budget: RetryBudget = RetryBudget()
        self.send_lock: KeyedLock = KeyedLock()
        """Held during each request that is sent at most once, by account and subject."""
        self.unresolved: UnresolvedIntents = UnresolvedIntents()
        self.recent_creates: RecentCreates = RecentCreates()
        self.default_choices: DefaultChoices = DefaultChoices()
        self.users: int = 0

    @property
    def is_forgettable(self) -> bool:
        """Whether the realm can be dropped without losing anything."""
        return not self.users and self.limiters.is_idle and not self.unresolved.all()


class Process:
    """The realms of one process.

    A process has one, `THIS_PROCESS`; tests create others to simulate several processes.
    """

    def __init__(self) -> None:
        self._realms: dict[tuple[str, Clock | None], Realm] = {}
        self._mutex = threading.Lock()

    def enter(self, template: str, clock: Clock) -> Realm:
        """Return the realm of a base URL, for a manager that opens."""
        # All monotonic clocks show the same time; a clock of a test shows another time.
        key = template, None if type(clock) is MonotonicClock else clock
        with self._mutex:
            realm = self._realms.get(key)
            if realm is None:
                idle = [key for key, one in self._realms.items() if one.is_forgettable]
                for one in idle:
                    del self._realms[one]
                realm = self._realms[key] = Realm(clock)
            realm.users += 1
            return realm

    def leave(self, realm: Realm) -> None:
        """Note that a manager has closed."""
        with self._mutex:
            realm.users -= 1

    def forget_server(self, template: str) -> None:
        """Forget a base URL: a new server listens there, as on a reused port in tests."""
        with self._mutex:
            self._realms = {key: realm for key, realm in self._realms.items() if key[0] != template}

    def forget(self) -> None:
        """Forget everything: a forked child has sent nothing, and needs new locks."""
        self._mutex = threading.Lock()
        self._realms = {}


# The only state that belongs to the process: the server, too, sees the process as one sender.
THIS_PROCESS: Final = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THIS_PROCESS.forget)
