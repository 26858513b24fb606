"""Turns to open a connection, so that handshakes do not come due all together."""

import asyncio
from typing import Final

_OPENED_AT_ONCE: Final = 16
_MAX_TURN_SECONDS: Final = 0.25


class Openings:
    """Lets few connections be opened at a time.

    A handshake is a millisecond of CPU: a hundred that come due together hold the event loop for
    a tenth of a second. A server that hangs in its handshake keeps its turn for a moment only,
    so that it delays no other.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_OPENED_AT_ONCE)

    async def begin(self) -> "Opening":
        """Wait for a turn and take it."""
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        turn = Opening(self._turns)
        turn.limit = loop.call_later(_MAX_TURN_SECONDS, turn.end)
        return turn


class Opening:
    """One turn, ended once: by the connection, by its failure, or by the clock."""

    __slots__ = ("_turns", "limit")

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns: asyncio.Semaphore | None = turns
        self.limit: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Give the turn to the next."""
        if self.limit is not None:
            self.limit.cancel()
        if self._turns is not None:
            self._turns.release()
            self._turns = None
