"""What belongs to a server's accounts, and not to a manager: limits, locks, unresolved intents.

The server counts the requests of an account from all senders, and a create that one manager has
lost must not be sent by another. So all managers of a process that have the same base URL share
one realm, in whatever thread their event loops run.
"""

import os
import threading
from collections import OrderedDict
from typing import Final

from invoicexpress_async.call.limiter import LimiterRegistry
from invoicexpress_async.call.locks import KeyedLock
from invoicexpress_async.call.unresolved import UnresolvedIntents
from invoicexpress_async.clock import Clock, MonotonicClock

# For how many a list that lags is made up for; older ones have long been shown.
_MAX_RECENT_CREATES: Final = 10_000


class RecentCreates:
    """The ids of sequences that this process has created: whether a list can lag is unknown."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._mutex = threading.Lock()

    def add(self, account: str, serie: str, sequence_id: int) -> None:
        """Note one."""
        with self._mutex:
            self._ids[account, serie] = sequence_id
            if len(self._ids) > _MAX_RECENT_CREATES:
                self._ids.popitem(last=False)

    def get(self, account: str, serie: str) -> int | None:
        """Return the id of one."""
        return self._ids.get((account, serie))


class Realm:
    """The state that the managers of one base URL share.

    Attributes:
        limiters: Of its accounts.
        send_lock: Held over each request that is sent at most once, by account and subject.
        unresolved: What was sent and has no known outcome.
        recent_creates: What was created.
        users: How many managers are open on it.
    """

    def __init__(self, clock: Clock) -> None:
        self.limiters: LimiterRegistry = LimiterRegistry(clock)
        self.send_lock: KeyedLock = KeyedLock()
        self.unresolved: UnresolvedIntents = UnresolvedIntents()
        self.recent_creates: RecentCreates = RecentCreates()
        self.users: int = 0

    @property
    def is_forgettable(self) -> bool:
        """Whether nothing is lost with it."""
        return not self.users and self.limiters.is_idle and not self.unresolved.all()


class Process:
    """The realms of one process.

    There is one for each process, `THIS_PROCESS`; tests make others to play several processes.
    """

    def __init__(self) -> None:
        self._realms: dict[tuple[str, Clock | None], Realm] = {}
        self._mutex = threading.Lock()

    def enter(self, template: str, clock: Clock) -> Realm:
        """Return the realm of a base URL, for a manager that opens."""
        # All real clocks are one; that of a test is another time.
        key = template, None if type(clock) is MonotonicClock else clock
        with self._mutex:
            realm = self._realms.get(key)
            if realm is None:
                self._forget_idle()
                realm = self._realms[key] = Realm(clock)
            realm.users += 1
            return realm

    def leave(self, realm: Realm) -> None:
        """Note that a manager has closed."""
        with self._mutex:
            realm.users -= 1

    def forget_server(self, template: str) -> None:
        """Know nothing of a base URL: a new server listens there, as on a reused port in tests."""
        with self._mutex:
            self._realms = {key: realm for key, realm in self._realms.items() if key[0] != template}

    def forget(self) -> None:
        """Know nothing: a forked child has sent nothing, and its parent's locks are not its own."""
        self._mutex = threading.Lock()
        self._realms = {}

    def _forget_idle(self) -> None:
        self._realms = {
            key: realm for key, realm in self._realms.items() if not realm.is_forgettable
        }


# The one piece of state that belongs to the process: the server, too, sees one sender.
THIS_PROCESS: Final = Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THIS_PROCESS.forget)
