"""The package's only access to time: one monotonic clock, its sleep and its timeouts."""

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """The time functions that the package needs; tests replace them with a clock of their own."""

    def now(self) -> float:
        """Return monotonic seconds, which changes of the wall clock do not affect."""
        ...

    def uptime(self) -> float:
        """Return monotonic seconds that also count the time of a suspended machine."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...

    def timeout(self, seconds: float, /) -> asyncio.Timeout:
        """Return the async context manager that cancels its body after `seconds`."""
        ...


def _uptime_clock() -> Callable[[], float]:
    # On Linux CLOCK_MONOTONIC stops in a suspended machine, and CLOCK_BOOTTIME goes on. On macOS
    # CLOCK_MONOTONIC goes on, and Python's own stops. On Windows time.monotonic goes on.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if (number := getattr(time, name, None)) is not None:
            return functools.partial(time.clock_gettime, number)
    return time.monotonic


class MonotonicClock:
    """The real clock, of one event loop."""

    uptime: "staticmethod[[], float]" = staticmethod(_uptime_clock())

    # Read eight times in a call, hence the function itself without a wrapper. A library that
    # freezes `time` in tests does not affect it: limits and deadlines go on.
    now: "staticmethod[[], float]" = staticmethod(time.monotonic)

    timeout: "staticmethod[[float | None], asyncio.Timeout]" = staticmethod(asyncio.timeout)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
