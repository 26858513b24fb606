"""Faults in how a response is sent: cut, or not quite HTTP."""

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.fault import Exchange, altering, answering
from invoicexpress_async.sandbox.http import encode_answer, encode_head, status_line

_CHUNKED = ("Transfer-Encoding", "chunked")
_LAST = ("Connection", "close")


def _end(exchange: Exchange, *, resets: bool) -> None:
    if resets:
        exchange.reset()
    else:
        exchange.close()


@answering()
async def status_line_only(exchange: Exchange, answer: Answer, *, resets: bool = False) -> None:
    """Send the status line, and end.

    Args:
        resets: With a reset (RST) in place of a close.
    """
    await exchange.write(status_line(answer.status))
    _end(exchange, resets=resets)


@answering()
async def limit_data(
    exchange: Exchange, answer: Answer, *, size: int | None = None, resets: bool = False
) -> None:
    """Send less of the body than Content-Length says, and end.

    Args:
        size: How many bytes of it; None is half.
        resets: End with a reset (RST) in place of a close.
    """
    await exchange.write(_short(answer, size))
    _end(exchange, resets=resets)


@answering()
async def stall(
    exchange: Exchange, answer: Answer, *, size: int | None = None, seconds: float | None = None
) -> None:
    """Send less of the body than Content-Length says, and then nothing.

    Args:
        size: How many bytes of it; None is half.
        seconds: Then close; None waits until the peer leaves.
    """
    await exchange.write(_short(answer, size))
    if seconds is None:
        await exchange.hang()
    else:
        await exchange.sleep(seconds)
        exchange.close()


@answering()
async def cut_chunk(exchange: Exchange, answer: Answer, *, resets: bool = False) -> None:
    """Send a chunked body, and end in the middle of a chunk.

    Args:
        resets: End with a reset (RST) in place of a close.
    """
    chunk = f"{len(answer.body) + 1:x}\r\n".encode() + answer.body[: len(answer.body) // 2]
    await exchange.write(encode_head(answer, _CHUNKED) + chunk)
    _end(exchange, resets=resets)


@answering()
async def bad_chunk(exchange: Exchange, answer: Answer) -> None:
    """Send a chunk whose size is no number, and close."""
    await exchange.write(encode_head(answer, _CHUNKED) + b"zz\r\n" + answer.body)
    exchange.close()


@answering()
async def cut_without_length(exchange: Exchange, answer: Answer, *, resets: bool = False) -> None:
    """Send half of a body that has no length but ends with the connection, and end.

    Args:
        resets: End with a reset (RST) in place of a close.
    """
    await exchange.write(encode_head(answer, _LAST) + answer.body[: len(answer.body) // 2])
    _end(exchange, resets=resets)


@answering()
async def garbage(
    exchange: Exchange, _: Answer, *, data: bytes = b"\x00\xff\xfeSSH-2.0-nothing of HTTP\r\n\r\n"
) -> None:
    """Send bytes that are not HTTP, and close.

    Args:
        data: The bytes.
    """
    await exchange.write(data)
    exchange.close()


@altering()
def big_header(answer: Answer, *, size: int = 70_000) -> Answer:
    """Respond with one header that is longer than clients take.

    Args:
        size: Bytes of its value.
    """
    return answer.with_header("X-Big", "x" * size)


@altering()
def many_headers(answer: Answer, *, count: int = 300) -> Answer:
    """Respond with more headers than clients take.

    Args:
        count: How many.
    """
    more = tuple((f"X-Header-{number}", "x") for number in range(count))
    return attrs.evolve(answer, headers=(*answer.headers, *more))


@answering()
async def two_lengths(exchange: Exchange, answer: Answer) -> None:
    """Respond with two Content-Length that differ, and close."""
    wrong = ("Content-Length", str(len(answer.body) + 1))
    await exchange.write(encode_answer(answer.with_header(*wrong)))
    exchange.close()


def _short(answer: Answer, size: int | None) -> bytes:
    size = len(answer.body) // 2 if size is None else size
    # One more than there is, so that an empty body is cut as well.
    length = max(len(answer.body), size + 1)
    return encode_head(answer, ("Content-Length", str(length))) + answer.body[:size]
