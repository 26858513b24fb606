"""A circuit breaker: detects that the server fails as a whole, and decides when to try it again."""

from collections.abc import Callable
from typing import Final

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import InvoiceXpressError

# One account can fail for reasons of its own; this many accounts in a row, with no success between
# them, mean that the server fails.
_ACCOUNTS_IN_A_ROW: Final = 5
_MAX_PAUSE_SECONDS: Final = 60.0


class OutageError(InvoiceXpressError):
    """The server failed for every account, for longer than the run was set to wait."""

    cure = "Run the same command again when the server responds; it continues where it stopped."


class CircuitBreaker:
    """Distinguishes a failing server from a failing account, and lets one item at a time retry.

    A run that goes on against a server that is down turns thousands of rows into failures, and
    keeps the server down.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self._opened_at: float | None = None
        self._pause_seconds = 1.0
        self._is_probing = False
        self._listeners: set[Callable[[], None]] = set()
        self._sources: set[Callable[[], bool]] = set()
        self.probe_at: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the server is considered down."""
        return self._opened_at is not None

    @property
    def seconds(self) -> float:
        """The seconds since the breaker opened; 0 when it is closed."""
        return 0.0 if self._opened_at is None else self._clock.now() - self._opened_at

    def allows(self) -> bool:
        """Whether an item may start now."""
        is_due = not self._is_probing and self._clock.now() >= self.probe_at
        return not self.is_open or is_due

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the result of `allows` may have changed."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Stop calling `listener`."""
        self._listeners.discard(listener)

    def add_item_check(self, has_item: Callable[[], bool]) -> None:
        """Register a callable that says whether there is an item to run now."""
        self._sources.add(has_item)

    def remove_item_check(self, has_item: Callable[[], bool]) -> None:
        """Remove a callable that `add_item_check` registered."""
        self._sources.discard(has_item)

    @property
    def may_probe(self) -> bool:
        """Whether an item is probing the server, or could do so now."""
        return self._is_probing or any(has_item() for has_item in self._sources)

    def on_start(self) -> bool:
        """Note that an item starts; return whether it is the item that probes the server."""
        self._is_probing = self.is_open
        return self._is_probing

    def on_idle(self) -> None:
        """Note that the probe has ended. A probe that sent no request leaves the breaker open."""
        self._is_probing = False
        self._notify()

    @property
    def next_probe_at(self) -> float:
        """When the next item may probe the server, on the clock; infinite during a probe."""
        return float("inf") if self._is_probing else self.probe_at

    def record_success(self) -> None:
        """Note a response that shows that the server works."""
        self._failing.clear()
        self._is_probing = False
        if self.is_open:
            self._close()

    def record_failure(self, account: str) -> None:
        """Note a failure that the server may have caused."""
        self._failing.add(account)
        if self._opened_at is None and len(self._failing) >= _ACCOUNTS_IN_A_ROW:
            self._open(since_seconds=0.0)
            self._pause()
        elif self._is_probing:
            self._is_probing = False
            self._pause_seconds = min(self._pause_seconds * 2, _MAX_PAUSE_SECONDS)
            self._pause()

    def _open(self, *, since_seconds: float) -> None:
        self._opened_at = self._clock.now() - since_seconds

    def _close(self) -> None:
        self._opened_at, self._pause_seconds = None, 1.0
        self._notify()

    def _pause(self) -> None:
        self.probe_at = self._clock.now() + self._pause_seconds
        self._notify()

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener()
