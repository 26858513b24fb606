"""The connections of one manager: counted, used by one request at a time, kept while idle."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.attempt import Address, Attempt
from invoicexpress_async.transport.client_session import TransportOptions
from invoicexpress_async.transport.connection import (
    MAX_IDLE_SECONDS,
    ConnectionTrust,
    HttpConnection,
)
from invoicexpress_async.transport.opener import ConnectionOpener

T = TypeVar("T")


class Transport:
    """The connections of one manager."""

    def __init__(self, options: TransportOptions, *, max_connections: int, clock: Clock) -> None:
        opener = self._opener = ConnectionOpener(options)
        trust = ConnectionTrust(clock)
        self._pool = ConnectionPool(
            lambda origin: HttpConnection(origin, opener, trust),
            size=max_connections,
            clock=clock,
        )

    @property
    def connection_count(self) -> int:
        """An upper bound of the number of open connections, busy or idle."""
        return self._pool.count

    async def attempt(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Make one attempt, recorded in `attempt`. Raises only if cancelled."""
        connection = await self._pool.acquire(address.origin, address.account)
        try:
            await connection.exchange(address, request, key, attempt)
        finally:
            self._pool.release(connection)

    def abort(self) -> None:
        """Close the idle connections without waiting."""
        self._opener.abort()
        self._pool.abort()

    async def close(self) -> None:
        """Close all connections; every attempt must have ended."""
        # The opener first: it closes all connections together, even after their loop has ended.
        await self._opener.close()
        await self._pool.close()


_MAX_VISITORS: Final = 100


class ConnectionPool:
    """At most `size` connections over all origins, busy and idle together.

    A connector that serves thousands of hosts limits its busy connections only: its idle ones
    accumulate. Here a connection to a new origin replaces an idle one, so that there are never
    more sockets than `size`.

    A new origin is a visitor: few idle connections of visitors are kept, so that a job over
    thousands of accounts leaves few behind. An origin that comes back after its connection was
    closed becomes a regular: its idle connection is kept while there is room, and connections of
    visitors are closed first.
    """

    def __init__(self, make: Callable[[str], HttpConnection], *, size: int, clock: Clock) -> None:
        self._make = make
        self._size = size
        self._clock = clock
        self._slots = FairSemaphore(size)
        self._count = 0
        self._idle = IdleConnections(
            max_visitors=min(size, _MAX_VISITORS), max_regulars=max(0, size - _MAX_VISITORS)
        )
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def count(self) -> int:
        """The number of connections, busy or idle."""
        return self._count

    async def acquire(self, origin: str, account: str) -> HttpConnection:
        """Return a connection for one request of `account`; call `release` after it."""
        await self._slots.acquire(account)
        try:
            return self._idle.pop(origin) or await self._open(origin)
        except BaseException:
            self._slots.release()
            raise

    def release(self, connection: HttpConnection) -> None:
        """Take a connection back, after its request has ended."""
        if self._is_closed:
            self._count -= 1
            connection.abort()
            self._slots.release()
            return
        leaving = self._idle.add(connection, self._clock.now())
        if leaving is not None:
            self._count -= 1
            leaving.abort()
        self._slots.release()
        self._schedule_sweep()

    async def close(self) -> None:
        """Close all idle connections, and the busy ones when they are released."""
        self._stop()
        while connection := self._idle.pop_oldest(self._clock.now()):
            self._count -= 1
            await connection.close()

    def abort(self) -> None:
        """Close all idle connections without waiting, as for a manager that was never closed."""
        self._stop()
        self.close_idle(0.0)

    def close_idle(self, seconds: float) -> None:
        """Close the connections that have been idle for `seconds` or more, without waiting."""
        now = self._clock.now()
        while connection := self._idle.pop_oldest(now, idle_seconds=seconds):
            self._count -= 1
            connection.abort()

    async def _open(self, origin: str) -> HttpConnection:
        # This caller holds a slot and no connection: at least one of `size` is idle. That one
        # counts until its socket is closed, or two callers could both replace it.
        while self._count >= self._size and (
            connection := self._idle.pop_oldest(self._clock.now())
        ):
            try:
                await connection.close()
            finally:
                self._count -= 1
        connection = self._make(origin)
        self._count += 1
        return connection

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(MAX_IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self.close_idle(MAX_IDLE_SECONDS)
        if len(self._idle):
            self._schedule_sweep()

    def _stop(self) -> None:
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()


# How long servers commonly keep an idle connection; later a new one is needed anyway.
_REMEMBERED_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 10_000


class IdleConnections:
    """Idle connections of visitors and of regulars, each oldest first.

    Args:
        max_visitors: The maximum number of idle connections of visitors.
        max_regulars: The maximum number of regulars: origins that came back after their connection
            had been closed. Further origins stay visitors: more regulars than connections would
            close each other's connections, and none would find its connection again.
    """

    def __init__(self, *, max_visitors: int, max_regulars: int) -> None:
        self._max_visitors = max_visitors
        self._max_regulars = max_regulars
        self._visitors: OrderedDict[HttpConnection, float] = OrderedDict()  # with its idle start
        self._regulars: OrderedDict[HttpConnection, float] = OrderedDict()
        self._by_origin: dict[str, list[HttpConnection]] = {}
        self._regular_origins: set[str] = set()
        self._closed_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._visitors) + len(self._regulars)

    def pop(self, origin: str) -> HttpConnection | None:
        """Take out the origin's connection that was used last; None when there is none."""
        connections = self._by_origin.get(origin)
        if not connections:
            return None
        connection = connections.pop()
        if not connections:
            del self._by_origin[origin]
        if connection in self._visitors:
            del self._visitors[connection]
        else:
            del self._regulars[connection]
        return connection

    def add(self, connection: HttpConnection, now: float) -> HttpConnection | None:
        """Add a connection; return the one that is no longer kept."""
        self._by_origin.setdefault(connection.origin, []).append(connection)
        if self._is_regular(connection.origin, now):
            self._regulars[connection] = now
            return None
        self._visitors[connection] = now
        if len(self._visitors) <= self._max_visitors:
            return None
        return self._pop(self._visitors, now)

    def pop_oldest(self, now: float, idle_seconds: float = 0.0) -> HttpConnection | None:
        """Take out the longest idle visitor, else regular, if idle for at least `idle_seconds`."""
        for connections in (self._visitors, self._regulars):
            if connections and next(iter(connections.values())) <= now - idle_seconds:
                return self._pop(connections, now)
        return None

    def _is_regular(self, origin: str, now: float) -> bool:
        if origin in self._regular_origins:
            return True
        closed_at = self._closed_at.get(origin)
        if closed_at is None or now - closed_at >= _REMEMBERED_SECONDS:
            return False
        if len(self._regular_origins) >= self._max_regulars:
            return False
        self._regular_origins.add(origin)
        return True

    def _pop(self, connections: OrderedDict[HttpConnection, float], now: float) -> HttpConnection:
        connection, _ = connections.popitem(last=False)
        of_origin = self._by_origin[connection.origin]
        of_origin.remove(connection)
        if not of_origin:
            del self._by_origin[connection.origin]
            self._regular_origins.discard(connection.origin)
        self._remember(connection.origin, now)
        return connection

    def _remember(self, origin: str, now: float) -> None:
        self._closed_at[origin] = now
        self._closed_at.move_to_end(origin)
        if len(self._closed_at) > _MAX_REMEMBERED:
            self._closed_at.popitem(last=False)


class FairSemaphore:
    """At most `size` holders; freed slots go to the waiting accounts in turn, one at a time."""

    def __init__(self, size: int) -> None:
        self._free = size
        # Ordered, so that thousands of waiters can be cancelled together, each in constant time.
        self._queues: OrderedDict[str, OrderedDict[asyncio.Future[None], None]] = OrderedDict()

    async def acquire(self, account: str) -> None:
        """Wait for a slot and take it. When it is cancelled, the next waiter gets the slot."""
        if self._free and not self._queues:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(account, OrderedDict())[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot had been handed over at the same moment
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
            # A cancelled waiter is skipped: its task has not run yet to leave the queue.
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
