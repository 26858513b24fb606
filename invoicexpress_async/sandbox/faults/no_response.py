"""Faults that leave a request without a response."""

from invoicexpress_async.sandbox.faults.fault import Exchange, early, on_arrival, silent


@on_arrival()
async def close_on_accept(exchange: Exchange) -> None:
    """Accept a connection and close it, before TLS and without reading."""
    exchange.close()


@on_arrival()
async def reset_on_accept(exchange: Exchange) -> None:
    """Accept a connection and reset it (RST), before TLS and without reading."""
    exchange.reset()


@on_arrival()
async def hang_on_accept(exchange: Exchange, *, seconds: float | None = None) -> None:
    """Accept a connection and send nothing: over TLS, the handshake never ends.

    Args:
        seconds: Close it after this time; None waits until the peer leaves.
    """
    await exchange.hang(seconds)


@early()
async def close_unread(exchange: Exchange) -> None:
    """Close the connection when the request's head arrives; the request counts as not read."""
    exchange.close()


@early()
async def reset_unread(exchange: Exchange) -> None:
    """Reset the connection (RST) when the request's head arrives; it counts as not read."""
    exchange.reset()


@early()
async def hang_unread(exchange: Exchange) -> None:
    """Read only the head, and send nothing until the peer leaves."""
    await exchange.hang()


@early(needs_reuse=True)
async def stale_keep_alive(exchange: Exchange) -> None:
    """Close a kept-alive connection when its next request arrives, and do not read the request.

    The fault waits for a connection that has already served a request.
    """
    exchange.close()


def _share(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"share must be 0.0 to 1.0, not {share!r}")
    return share


@early(share=_share)
async def reset_half_body(exchange: Exchange, *, share: float = 0.5) -> None:
    """Read a part of the body, then reset the connection (RST).

    Args:
        share: The share of the body to read, 0.0 to 1.0.
    """
    await exchange.body_arrives(int(exchange.head.content_length * share))
    exchange.reset()


@silent()
async def close_after_read(exchange: Exchange) -> None:
    """Read the request, then close the connection without a response."""
    exchange.close()


@silent()
async def reset_peer(exchange: Exchange, *, seconds: float = 0.0) -> None:
    """Read the request, then reset the connection (RST) without a response.

    Args:
        seconds: How long to wait before the reset.
    """
    if seconds:
        await exchange.sleep(seconds)
    exchange.reset()


@silent()
async def timeout(exchange: Exchange, *, seconds: float | None = None) -> None:
    """Read the request and never respond.

    Args:
        seconds: Close the connection after this time; None waits until the peer leaves.
    """
    await exchange.hang(seconds)
