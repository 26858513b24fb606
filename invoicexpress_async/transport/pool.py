"""The connections of one manager."""

from typing import TypeVar

from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.address import Address
from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import TransportOptions
from invoicexpress_async.transport.connection import ConnectionRoom, HttpLane
from invoicexpress_async.transport.lanes import LanePool
from invoicexpress_async.transport.opener import ConnectionOpener
from invoicexpress_async.transport.openings import Openings
from invoicexpress_async.transport.trust import ConnectionTrust

T = TypeVar("T")


class Transport:
    """The connections of one manager."""

    def __init__(self, options: TransportOptions, *, max_connections: int, clock: Clock) -> None:
        openings = Openings()
        self._opener = ConnectionOpener(options, openings)
        room = ConnectionRoom(
            options=options,
            openings=openings,
            opener=self._opener,
            trust=ConnectionTrust(clock),
        )
        self._lanes = LanePool(
            lambda origin: HttpLane(origin, room),
            size=max_connections,
            clock=clock,
        )

    @property
    def connection_count(self) -> int:
        """The connections there are at the most, busy or idle."""
        return self._lanes.count

    async def attempt(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Make one attempt, recorded in `attempt`. Raises nothing but cancellation."""
        lane = self._lanes.take_at_once(address.origin)
        if lane is None:
            lane = await self._lanes.take(address.origin, address.account)
        try:
            await lane.exchange(address, request, key, attempt)
        finally:
            self._lanes.give(lane)

    def abandon(self) -> None:
        """Let go of the idle connections without waiting."""
        self._opener.abandon()
        self._lanes.abandon()

    async def close(self) -> None:
        """Close all connections; every attempt must have ended."""
        # The opener first: it closes all connections together, and copes with a loop that is gone.
        await self._opener.close()
        await self._lanes.close()
