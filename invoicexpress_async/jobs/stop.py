"""Ending a run before its last row, in bounded time and with every row accounted for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Final, Unpack

import attrs

from invoicexpress_async.config import check_seconds
from invoicexpress_async.errors import ErrorContext, InvoiceXpressError

# A server that responds at all does so in this time; a service manager waits 10 s or more
# before it kills the process.
DRAIN_SECONDS: Final = 8.0


class RowCutOffError(InvoiceXpressError):
    """A row had begun when the run was cut off, and no send of it is known to be unresolved."""

    cure = "Run the plan again: it looks first, and creates only what is absent."

    def __init__(self, message: str = "", **context: Unpack[ErrorContext]) -> None:
        # A step of the row may have been carried out; only a read shows which one.
        context.setdefault("may_have_been_processed", True)
        super().__init__(message, **context)


@attrs.define(eq=False)
class RunStop:
    """Ends a run early: no further row begins, and those in flight have bounded time to end.

    Pass it to `provision` or `iter_outcomes`. Call it from the run's event loop, for example in a
    handler of `loop.add_signal_handler`.
    """

    _deadline: float | None = attrs.field(default=None, init=False)
    _scopes: set[asyncio.Timeout] = attrs.field(factory=set[asyncio.Timeout], init=False)
    _listeners: list[Callable[[], None]] = attrs.field(factory=list[Callable[[], None]], init=False)
    _parts: "set[RunStop]" = attrs.field(factory=set["RunStop"], init=False)

    @property
    def is_requested(self) -> bool:
        """Whether no further row may begin."""
        return self._deadline is not None

    @property
    def seconds_left(self) -> float:
        """The time that rows in flight have left; infinite when no stop was requested."""
        if self._deadline is None:
            return float("inf")
        return self._deadline - time.monotonic()

    @property
    def in_flight(self) -> int:
        """The number of rows that have begun and not ended."""
        return len(self._scopes) + sum(part.in_flight for part in self._parts)

    def request(self, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Let no further row begin; cut off those that are in flight after `drain_seconds`.

        Another request can shorten the time, and never lengthens it.

        Raises:
            ConfigurationError: `drain_seconds` is not a finite number above 0.
        """
        self._end_at(time.monotonic() + check_seconds("drain_seconds", drain_seconds))

    def cut_off(self) -> None:
        """Let no further row begin, and end those in flight at once: their outcome is unknown."""
        self._end_at(time.monotonic())

    @contextlib.asynccontextmanager
    async def row(self) -> AsyncGenerator[None]:
        """Enclose a row while it is in flight; raise RowCutOffError when its time runs out."""
        scope = asyncio.timeout(None if self._deadline is None else self.seconds_left)
        try:
            async with scope:
                self._scopes.add(scope)
                try:
                    yield
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise
        else:
            return
        raise RowCutOffError("The run was stopped before the row had ended.")

    @contextlib.contextmanager
    def part(self) -> "Generator[RunStop]":
        """Yield the stop of a part of the run. The part ends with the run, or earlier by itself."""
        part = RunStop()
        if self._deadline is not None:
            part._end_at(self._deadline)
        self._parts.add(part)
        try:
            yield part
        finally:
            self._parts.discard(part)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a stop is requested."""
        self._listeners.append(listener)

    def _end_at(self, when: float) -> None:
        self._deadline = when if self._deadline is None else min(when, self._deadline)
        for listener in self._listeners:
            listener()
        for part in tuple(self._parts):
            part._end_at(self._deadline)  # noqa: SLF001  # its own class
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time() + self.seconds_left)
