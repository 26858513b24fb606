"""The seam between this package and time: one monotonic clock, its sleep and its timeouts."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the package needs of time; tests put a clock of their own in its place."""

    def now(self) -> float:
        """Return monotonic seconds: unmoved by changes of the wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...

    def timeout_at(self, when: float) -> asyncio.Timeout:
        """Return the async context manager that cancels its body at `when`."""
        ...


class MonotonicClock:
    """The real clock, of one event loop."""

    # Read eight times in a call: the function itself, and not one more around it.
    now: "staticmethod[[], float]" = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)

    def timeout_at(self, when: float) -> asyncio.Timeout:
        """Return `asyncio.timeout` until `when`."""
        return asyncio.timeout(when - time.monotonic())
