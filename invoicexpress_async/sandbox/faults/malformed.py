"""Faults in the sending of a response: cut, or not valid HTTP."""

import attrs

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import Exchange, altering, responding
from invoicexpress_async.sandbox.http import encode_head, encode_response, status_line

_CHUNKED = ("Transfer-Encoding", "chunked")
_LAST = ("Connection", "close")


def _end(exchange: Exchange, *, resets: bool) -> None:
    if resets:
        exchange.reset()
    else:
        exchange.close()


@responding()
async def status_line_only(exchange: Exchange, response: Response, *, resets: bool = False) -> None:
    """Send the status line, and end the connection.

    Args:
        resets: End with a reset (RST) instead of a close.
    """
    await exchange.write(status_line(response.status))
    _end(exchange, resets=resets)


@responding()
async def limit_data(
    exchange: Exchange, response: Response, *, size: int | None = None, resets: bool = False
) -> None:
    """Send less of the body than Content-Length says, and end the connection.

    Args:
        size: How many bytes of the body to send; None is half.
        resets: End with a reset (RST) instead of a close.
    """
    await exchange.write(_short(response, size))
    _end(exchange, resets=resets)


@responding()
async def stall(
    exchange: Exchange, response: Response, *, size: int | None = None, seconds: float | None = None
) -> None:
    """Send less of the body than Content-Length says, and then nothing.

    Args:
        size: How many bytes of the body to send; None is half.
        seconds: Close after this time; None waits until the peer leaves.
    """
    await exchange.write(_short(response, size))
    await exchange.hang(seconds)


@responding()
async def cut_chunk(exchange: Exchange, response: Response, *, resets: bool = False) -> None:
    """Send a chunked body, and end in the middle of a chunk.

    Args:
        resets: End with a reset (RST) instead of a close.
    """
    chunk = f"{len(response.body) + 1:x}\r\n".encode() + response.body[: len(response.body) // 2]
    await exchange.write(encode_head(response, _CHUNKED) + chunk)
    _end(exchange, resets=resets)


@responding()
async def bad_chunk(exchange: Exchange, response: Response) -> None:
    """Send a chunk whose size is not a number, and close."""
    await exchange.write(encode_head(response, _CHUNKED) + b"zz\r\n" + response.body)
    exchange.close()


@responding()
async def cut_without_length(
    exchange: Exchange, response: Response, *, resets: bool = False
) -> None:
    """Send half of a body that only the end of the connection ends, and end the connection.

    Args:
        resets: End with a reset (RST) instead of a close.
    """
    await exchange.write(encode_head(response, _LAST) + response.body[: len(response.body) // 2])
    _end(exchange, resets=resets)


@responding()
async def garbage(
    exchange: Exchange, _: Response, *, data: bytes = b"\x00\xff\xfeSSH-2.0-nothing of HTTP\r\n\r\n"
) -> None:
    """Send bytes that are not HTTP, and close.

    Args:
        data: The bytes.
    """
    await exchange.write(data)
    exchange.close()


@altering()
def big_header(response: Response, *, size: int = 70_000) -> Response:
    """Respond with one header that is longer than clients accept.

    Args:
        size: The length of its value, in bytes.
    """
    return response.with_header("X-Big", "x" * size)


@altering()
def many_headers(response: Response, *, count: int = 300) -> Response:
    """Respond with more headers than clients accept.

    Args:
        count: How many headers to add.
    """
    more = tuple((f"X-Header-{number}", "x") for number in range(count))
    return attrs.evolve(response, headers=(*response.headers, *more))


@responding()
async def two_lengths(exchange: Exchange, response: Response) -> None:
    """Respond with two different Content-Length headers, and close."""
    wrong = ("Content-Length", str(len(response.body) + 1))
    await exchange.write(encode_response(response.with_header(*wrong)))
    exchange.close()


def _short(response: Response, size: int | None) -> bytes:
    size = len(response.body) // 2 if size is None else size
    # One byte more than is sent, so that an empty body is cut too.
    length = max(len(response.body), size + 1)
    return encode_head(response, ("Content-Length", str(length))) + response.body[:size]
