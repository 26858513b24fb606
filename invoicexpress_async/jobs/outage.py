"""The server as a whole: whether it fails, and when to try it again."""

from typing import Final

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import InvoiceXpressError

# One account can fail for reasons of its own; so many in a row, and none between that does not,
# do not.
_ACCOUNTS_IN_A_ROW: Final = 5
_LONGEST_PAUSE_SECONDS: Final = 60.0


class OutageError(InvoiceXpressError):
    """The server failed for every account, for longer than the run was to wait."""

    cure = "Run the same command again when the server answers; it goes on where it ended."


class Outage:
    """Tells a failing server from a failing account, and lets one row at a time try it again.

    A run that goes on against a server that is down turns thousands of rows into failures, and
    keeps it down.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self._since: float | None = None
        self._pause_seconds = 1.0
        self._is_probing = False
        self.probe_at: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the server is taken to be down."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """How long it has been down; 0 when it is not."""
        return 0.0 if self._since is None else self._clock.now() - self._since

    def may_start(self) -> bool:
        """Whether a row may have a turn now."""
        return not self.is_on or (not self._is_probing and self._clock.now() >= self.probe_at)

    def starts(self) -> None:
        """Note that a row has its turn."""
        self._is_probing = self.is_on

    def ends(self) -> None:
        """Note that no row has its turn: one that asked nothing of the server told nothing."""
        self._is_probing = False

    @property
    def changes_at(self) -> float:
        """When the next row may try it; infinite while one does."""
        return float("inf") if self._is_probing else self.probe_at

    def succeeded(self) -> None:
        """Note an answer of a server that works."""
        self._failing.clear()
        self._since, self._pause_seconds, self._is_probing = None, 1.0, False

    def failed(self, account: str) -> None:
        """Note a failure that may be the server's."""
        self._failing.add(account)
        if self._since is None and len(self._failing) >= _ACCOUNTS_IN_A_ROW:
            self._since = self._clock.now()
            self.probe_at = self._since + self._pause_seconds
        elif self._is_probing:
            self._is_probing = False
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            self.probe_at = self._clock.now() + self._pause_seconds
