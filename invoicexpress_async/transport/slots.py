"""A semaphore that is fair between accounts, so that one busy account starves no other."""

import asyncio
from collections import OrderedDict


class FairSlots:
    """At most `size` holders; freed slots go round the waiting accounts, one each in turn."""

    def __init__(self, size: int) -> None:
        self._free = size
        # Thousands of one account may be cancelled together: each leaves at no cost.
        self._queues: OrderedDict[str, OrderedDict[asyncio.Future[None], None]] = OrderedDict()

    def acquire_at_once(self) -> bool:
        """Take a slot if one is free and no other call waits; return whether it was."""
        if self._free and not self._queues:
            self._free -= 1
            return True
        return False

    async def acquire(self, account: str) -> None:
        """Wait for a slot and take it. Cancelling gives it on."""
        if self.acquire_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(account, OrderedDict())[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot had been handed over in the same moment
            else:
                self._forget(account, turn)
            raise

    def release(self) -> None:
        """Hand the slot to the first waiter of the account whose turn it is."""
        while self._queues:
            account, queue = self._queues.popitem(last=False)
            turn, _ = queue.popitem(last=False)
            if queue:
                self._queues[account] = queue
            # A cancelled one is passed over: its task has not run yet to leave the queue.
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, account: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(account)
        if queue is None or turn not in queue:
            return
        del queue[turn]
        if not queue:
            del self._queues[account]
