"""A circuit breaker that several processes share: all learn what one of them finds out."""

import asyncio
import uuid
from typing import Final, Protocol

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.postgres.outage import SharedOutage

_POLL_SECONDS: Final = 2.0
_NEVER: Final = float("inf")


class OutageBoard(Protocol):
    """A place where processes report outages to each other, such as a `PostgresJournal`."""

    async def share_outage(
        self, token: str, *, is_failing: bool | None, may_probe: bool
    ) -> SharedOutage:
        """Report the state that this process sees, and return the state known to all processes."""
        ...


class SharedBreaker(CircuitBreaker):
    """Opens for all processes when it opens for one, and lets one of them try the server.

    Args:
        clock: The clock of the run.
        board: Where the processes exchange their states.
    """

    def __init__(self, clock: Clock, board: OutageBoard) -> None:
        super().__init__(clock)
        self._board = board
        self._token = uuid.uuid4().hex
        # Whether the server fails, if the other processes do not know it yet; else None.
        self._news: bool | None = None
        self._has_news = asyncio.Event()

    async def follow(self) -> None:
        """Exchange states with the other processes until cancelled."""
        while True:
            await self.exchange()
            timer = asyncio.ensure_future(self._clock.sleep(_POLL_SECONDS))
            news = asyncio.ensure_future(self._has_news.wait())
            try:
                await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                news.cancel()
                await asyncio.wait({timer, news})

    async def exchange(self) -> None:
        """Report this process's news once, and take over the state known to the others."""
        news, self._news = self._news, None
        self._has_news.clear()
        try:
            outage = await self._board.share_outage(
                self._token, is_failing=news, may_probe=self.may_probe
            )
        except JournalError:
            # Without the journal nothing is sent, so waiting loses nothing.
            if not self._has_news.is_set():
                self._news = news
            return
        if not self._has_news.is_set():
            self._take_over(outage)

    def _take_over(self, outage: SharedOutage) -> None:
        if outage.seconds is None:
            if self.is_open:
                self._failing.clear()  # another process has seen the server work
                super()._close()
            return
        was_open, before = self.is_open, self.probe_at
        if not was_open:
            self._open(since_seconds=outage.seconds)
            before = _NEVER
        self.probe_at = min(before, self._clock.now()) if outage.is_ours_to_probe else _NEVER
        if not was_open or self.probe_at != before:
            self._notify()

    def _close(self) -> None:
        self._tell(is_failing=False)
        super()._close()

    def _pause(self) -> None:
        self.probe_at: float = _NEVER  # until this process is the one that probes
        self._tell(is_failing=True)
        self._notify()

    def _tell(self, *, is_failing: bool) -> None:
        self._news = is_failing
        self._has_news.set()
