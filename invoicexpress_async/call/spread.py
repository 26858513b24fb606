"""An even pace for an account whose server refuses bursts, and the return to bursts."""

from typing import Final

import attrs

# The server's window and ours are not aligned: staying a little under the limit allows for it.
_MARGIN: Final = 1.03
# How long bursts are avoided, in windows; four times as long each time that a burst is refused.
_FIRST_WINDOWS: Final = 5.0
_LONGER_EACH_TIME: Final = 4.0
_MAX_WINDOWS: Final = 240.0
# An even pace that is refused as well is slowed down: others may use a part of the limit.
_SLOWER: Final = 1.25
_MAX_SLOWDOWN: Final = 8.0


@attrs.define
class Spread:
    """The pace of one account after a 429.

    Attributes:
        ends_at: When bursts are tried again.
        next_at: When the next request may be sent.
    """

    window_seconds: float
    requests: float
    ends_at: float = float("-inf")
    next_at: float = float("-inf")
    _windows: float = _FIRST_WINDOWS / _LONGER_EACH_TIME
    _slowdown: float = 1.0
    _changed_at: float = float("-inf")
    _has_sent: bool = True

    def refused(self, now: float, paused_until: float) -> None:
        """Note a 429: spread requests out after the pause, for longer or slower than before."""
        if not self._has_sent:
            self.next_at = max(self.next_at, paused_until)
            return  # the refused request was sent before the pace was set
        if now < self.ends_at:
            self._slowdown = min(self._slowdown * _SLOWER, _MAX_SLOWDOWN)
        else:
            self._windows = min(self._windows * _LONGER_EACH_TIME, _MAX_WINDOWS)
        self._has_sent = False
        self._changed_at = now
        self.next_at = max(self.next_at, paused_until)
        self.ends_at = paused_until + self._windows * self.window_seconds

    def is_active(self, now: float) -> bool:
        """Whether requests are spread out now; afterwards bursts are tried."""
        return now < self.ends_at

    def is_over(self, now: float) -> bool:
        """Whether bursts have been accepted for as long as they were avoided."""
        return now >= self.ends_at + self._windows * self.window_seconds

    def sent(self, now: float) -> None:
        """Note a request: the next one may be sent an interval later."""
        self._has_sent = True
        if self._slowdown > 1.0 and now - self._changed_at >= self.window_seconds:
            self._slowdown, self._changed_at = max(1.0, self._slowdown / _SLOWER), now
        interval = self.window_seconds * _MARGIN * self._slowdown / self.requests
        # After a late request the next one may go sooner, by one interval at most.
        self.next_at = max(self.next_at, now - interval) + interval
