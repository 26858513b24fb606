"""The seam between this package and time: one monotonic clock, its sleep and its timeouts."""

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the package needs of time; tests put a clock of their own in its place."""

    def now(self) -> float:
        """Return monotonic seconds: unmoved by changes of the wall clock."""
        ...

    def uptime(self) -> float:
        """Return monotonic seconds that go on while the machine is suspended."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...

    def timeout(self, seconds: float, /) -> asyncio.Timeout:
        """Return the async context manager that cancels its body after `seconds`."""
        ...


def _uptime_clock() -> Callable[[], float]:
    # Linux's monotonic clock stands still in a suspended machine, and this one does not; that of
    # macOS goes on, where Python's own does not; Windows counts the time in its only one.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if (number := getattr(time, name, None)) is not None:
            return functools.partial(time.clock_gettime, number)
    return time.monotonic


class MonotonicClock:
    """The real clock, of one event loop."""

    uptime: "staticmethod[[], float]" = staticmethod(_uptime_clock())

    # Read eight times in a call: the function itself, and not one more around it. A library that
    # freezes `time` in tests does not reach it: limits and deadlines go on.
    now: "staticmethod[[], float]" = staticmethod(time.monotonic)

    timeout: "staticmethod[[float | None], asyncio.Timeout]" = staticmethod(asyncio.timeout)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
