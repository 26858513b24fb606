"""Faults that leave a request without a response."""

from typing import ClassVar

import attrs

from invoicexpress_async.sandbox.faults.fault import (
    Arrival,
    ArrivalFault,
    Exchange,
    ExchangeFault,
    ReadFault,
)


@attrs.frozen(kw_only=True)
class CloseOnAccept(ArrivalFault):
    """Accept a connection and close it, before TLS and without reading."""

    async def meet(self, arrival: Arrival) -> None:
        arrival.close()


@attrs.frozen(kw_only=True)
class ResetOnAccept(ArrivalFault):
    """Accept a connection and reset it (RST), before TLS and without reading."""

    async def meet(self, arrival: Arrival) -> None:
        arrival.reset()


@attrs.frozen(kw_only=True)
class HangOnAccept(ArrivalFault):
    """Accept a connection and say nothing: over TLS, the handshake never ends.

    Args:
        seconds: Then close it; None waits until the peer leaves.
    """

    seconds: float | None = None

    async def meet(self, arrival: Arrival) -> None:
        await arrival.hang(self.seconds)


@attrs.frozen(kw_only=True)
class CloseUnread(ExchangeFault):
    """Close the connection as the request's head arrives; it counts as not read."""

    is_early: ClassVar[bool] = True

    async def play(self, exchange: Exchange) -> None:
        exchange.close()


@attrs.frozen(kw_only=True)
class ResetUnread(ExchangeFault):
    """Reset the connection (RST) as the request's head arrives; it counts as not read."""

    is_early: ClassVar[bool] = True

    async def play(self, exchange: Exchange) -> None:
        exchange.reset()


@attrs.frozen(kw_only=True)
class HangUnread(ExchangeFault):
    """Read no further than the head, and say nothing until the peer leaves."""

    is_early: ClassVar[bool] = True

    async def play(self, exchange: Exchange) -> None:
        await exchange.hang()


@attrs.frozen(kw_only=True)
class StaleKeepAlive(CloseUnread):
    """Close a kept-alive connection just as its next request arrives, and read none of that.

    Only on a connection that has served a request; until there is one, it waits.
    """

    needs_reuse: ClassVar[bool] = True


@attrs.frozen(kw_only=True)
class ResetHalfBody(ExchangeFault):
    """Read a part of the body, then reset the connection (RST).

    Args:
        share: The part, 0.0 to 1.0.
    """

    is_early: ClassVar[bool] = True
    share: float = attrs.field(
        default=0.5, validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(1))
    )

    async def play(self, exchange: Exchange) -> None:
        await exchange.body_arrives(int(exchange.head.content_length * self.share))
        exchange.reset()


@attrs.frozen(kw_only=True)
class CloseAfterRead(ReadFault):
    """Read the request, then close the connection without a response."""

    async def play(self, exchange: Exchange) -> None:
        self.settle(exchange)
        exchange.close()


@attrs.frozen(kw_only=True)
class ResetPeer(ReadFault):
    """Read the request, then reset the connection (RST) without a response.

    Args:
        seconds: How long to wait before that.
    """

    seconds: float = 0.0

    async def play(self, exchange: Exchange) -> None:
        self.settle(exchange)
        if self.seconds:
            await exchange.sleep(self.seconds)
        exchange.reset()


@attrs.frozen(kw_only=True)
class Timeout(ReadFault):
    """Read the request and never respond.

    Args:
        seconds: Then close the connection; None waits until the peer leaves.
    """

    seconds: float | None = None

    async def play(self, exchange: Exchange) -> None:
        self.settle(exchange)
        if self.seconds is None:
            await exchange.hang()
        else:
            await exchange.sleep(self.seconds)
            exchange.close()
