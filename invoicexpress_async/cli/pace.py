"""How fast a run is of late, and so how long it will still take."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_SECONDS: Final = 30.0
_SAMPLE_SECONDS: Final = 0.5
_MINUTE: Final = 60.0


class Pace:
    """Measures over the last half minute: after a pause, the time before it says nothing."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._samples: deque[tuple[float, int]] = deque([(now(), 0)])
        self._last = self._samples[0]

    def note(self, count: int) -> None:
        """Take how many are done by now."""
        moment = self._now()
        self._last = moment, count
        if moment - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append(self._last)
        while moment - self._samples[0][0] > _WINDOW_SECONDS and len(self._samples) > 1:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """How many a second; 0 when nothing can be said."""
        (began, first), (moment, count) = self._samples[0], self._last
        return (count - first) / (moment - began) if moment > began else 0.0

    def text(self, left: int) -> str:
        """Return the rate and the time for those that are left, such as "12/s, 3 min left"."""
        rate = self.per_second
        if rate <= 0:
            return ""
        told = f"{rate:.0f}/s" if rate >= 1 else f"{rate:.1f}/s"
        return f"{told}, {_duration(left / rate)} left" if left else told


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    return f"{minutes:.0f} min" if minutes < 2 * _MINUTE else f"{minutes / _MINUTE:.1f} h"
