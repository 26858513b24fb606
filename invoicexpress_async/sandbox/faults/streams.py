"""Faults of speed and size."""

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import Exchange, positive, respond, responding
from invoicexpress_async.sandbox.http import encode_head, encode_response

_PIECE = b" " * 65_536
_CHUNKED = ("Transfer-Encoding", "chunked")


@responding()
async def latency(exchange: Exchange, response: Response, *, seconds: float = 1.0) -> None:
    """Respond late; the request takes effect before the wait.

    Args:
        seconds: The delay.
    """
    await exchange.sleep(seconds)
    await respond(exchange, response)


@responding(size=positive)
async def slicer(
    exchange: Exchange, response: Response, *, size: int = 1, seconds: float = 0.05
) -> None:
    """Send the response, including its head, in small slices.

    Args:
        size: The length of a slice, in bytes.
        seconds: The time between two slices.
    """
    data = encode_response(response, is_last=exchange.head.is_last)
    for start in range(0, len(data), size):
        if start:
            await exchange.sleep(seconds)
        await exchange.write(data[start : start + size])


@responding(bytes_per_second=positive)
async def bandwidth(
    exchange: Exchange, response: Response, *, bytes_per_second: int = 1024
) -> None:
    """Send the response, including its head, at a slow and even rate.

    Args:
        bytes_per_second: The rate; ten pieces are sent a second.
    """
    size = max(1, bytes_per_second // 10)
    data = encode_response(response, is_last=exchange.head.is_last)
    for start in range(0, len(data), size):
        await exchange.sleep(size / bytes_per_second)
        await exchange.write(data[start : start + size])


@responding()
async def slow_close(exchange: Exchange, response: Response, *, seconds: float = 1.0) -> None:
    """Send a whole body without a length, and close only after a while.

    Args:
        seconds: The time until the close.
    """
    await exchange.write(encode_head(response, ("Connection", "close")) + response.body)
    await exchange.sleep(seconds)
    exchange.close()


@responding()
async def big_body(exchange: Exchange, response: Response, *, size: int = 100_000_000) -> None:
    """Send the true response followed by spaces: valid JSON, but far too long.

    Args:
        size: The length of the whole body, in bytes.
    """
    size = max(size, len(response.body))
    await exchange.write(encode_head(response, ("Content-Length", str(size))) + response.body)
    await _pad(exchange, size - len(response.body))


@responding()
async def huge_length(
    exchange: Exchange, response: Response, *, length: int = 10_000_000_000, size: int = 100_000_000
) -> None:
    """Announce a length beyond all memory, send the response and spaces, and close at a limit.

    Args:
        length: The Content-Length.
        size: How many bytes are actually sent.
    """
    await exchange.write(encode_head(response, ("Content-Length", str(length))) + response.body)
    await _pad(exchange, size - len(response.body))
    exchange.close()


@responding()
async def endless_chunks(
    exchange: Exchange, response: Response, *, size: int = 256_000_000
) -> None:
    """Send the true response, then endless chunks of spaces, and close at a limit.

    Args:
        size: The limit, in bytes; the client should leave before it.
    """
    await exchange.write(encode_head(response, _CHUNKED) + _chunk(response.body or b" "))
    for _ in range(size // len(_PIECE)):
        await exchange.write(_chunk(_PIECE))
    exchange.close()


@responding()
async def endless_head(exchange: Exchange, response: Response, *, size: int = 16_000_000) -> None:
    """Send endless headers, and close at a limit.

    Args:
        size: The limit, in bytes; the client should leave before it.
    """
    lines = b"X-More: and more\r\n" * 1000
    await exchange.write(encode_head(response).removesuffix(b"\r\n"))
    for _ in range(size // len(lines)):
        await exchange.write(lines)
    exchange.close()


async def _pad(exchange: Exchange, size: int) -> None:
    for left in range(size, 0, -len(_PIECE)):
        await exchange.write(_PIECE[:left])


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
