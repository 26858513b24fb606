"""Deadlines by the thousand: blocks with a time to end, watched over with one timer for all."""

import asyncio
import time
from types import TracebackType
from typing import Final, Protocol, Self

# How much later than asked a block may be ended: what is due about the same time is ended at once.
_GRAIN_SECONDS: Final = 0.005


class Scope(Protocol):
    """What the package needs of `asyncio.Timeout`, which is one of these."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None: ...

    def expired(self) -> bool:
        """Return whether its time has come."""
        ...

    def reschedule(self, when: float | None, /) -> None:
        """Give it another time to end."""
        ...


class Deadlines:
    """The blocks of one event loop that have a time to end.

    `asyncio.timeout` and aiohttp's timeouts make, sort and cancel a timer for each block; nearly
    all end long before. Here the timer of an early one stays, and looks at the others when it
    fires: a tenth of the price, of which a call pays two.
    """

    def __init__(self) -> None:
        self._entered: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")

    def add(self, deadline: "Deadline") -> None:
        """Watch over a block."""
        self._entered.add(deadline)
        if deadline.when < self._wakes_at:
            self._wake_at(deadline.when)

    def remove(self, deadline: "Deadline") -> None:
        """Let go of it."""
        self._entered.discard(deadline)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(when - time.monotonic(), 0.0), self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes_at = None, float("inf")
        now = time.monotonic()
        for deadline in [one for one in self._entered if one.when <= now]:
            deadline.expire()
        if self._entered:
            self._wake_at(max(min(one.when for one in self._entered), now + _GRAIN_SECONDS))


class Deadline:
    """A block that is cancelled at `when` of the monotonic clock, and then raises TimeoutError.

    It does what `asyncio.timeout` does, which see for the counting of cancellations.
    """

    __slots__ = ("_cancelling", "_deadlines", "_has_expired", "_task", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self.when: float = when
        self._deadlines = deadlines
        self._has_expired = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline is for a task.")
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        task, self._task = self._task, None
        self._deadlines.remove(self)
        if (
            self._has_expired
            and task is not None
            # Whoever else has cancelled the task meanwhile is not to be kept from it.
            and task.uncancel() <= self._cancelling
            and exc_type is asyncio.CancelledError
        ):
            raise TimeoutError from exc

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def expired(self) -> bool:
        """Return whether its time has come."""
        return self._has_expired

    def expire(self) -> None:
        """Cancel what is inside."""
        self._has_expired = True
        self._deadlines.remove(self)
        if self._task is not None:
            self._task.cancel()

    def reschedule(self, when: float | None, /) -> None:
        """Give it another time to end.

        Raises:
            RuntimeError: it is not entered, has expired or has ended.
        """
        if self._task is None or self._has_expired:
            raise RuntimeError("Only a block that is being run can be rescheduled.")
        self.when = float("inf") if when is None else when
        self._deadlines.add(self)
