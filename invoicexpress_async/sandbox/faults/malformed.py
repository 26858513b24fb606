"""Faults in how a response is sent: cut, or not quite HTTP."""

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.answers import AnswerFault
from invoicexpress_async.sandbox.faults.fault import Exchange
from invoicexpress_async.sandbox.http import encode_answer, encode_head, status_line

_CHUNKED = ("Transfer-Encoding", "chunked")
_LAST = ("Connection", "close")


@attrs.frozen(kw_only=True)
class _CutFault(AnswerFault):
    """Ends in the middle: with a close, or with a reset (RST)."""

    resets: bool = False

    def end(self, exchange: Exchange) -> None:
        if self.resets:
            exchange.reset()
        else:
            exchange.close()


@attrs.frozen(kw_only=True)
class StatusLineOnly(_CutFault):
    """Send the status line, and end.

    Args:
        resets: With a reset (RST) in place of a close.
    """

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(status_line(answer.status))
        self.end(exchange)


@attrs.frozen(kw_only=True)
class LimitData(_CutFault):
    """Send less of the body than Content-Length says, and end.

    Args:
        size: How many bytes of it; None is half.
        resets: End with a reset (RST) in place of a close.
    """

    size: int | None = None

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(_short(answer, self.size))
        self.end(exchange)


@attrs.frozen(kw_only=True)
class Stall(AnswerFault):
    """Send less of the body than Content-Length says, and then nothing.

    Args:
        size: How many bytes of it; None is half.
        seconds: Then close; None waits until the peer leaves.
    """

    size: int | None = None
    seconds: float | None = None

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(_short(answer, self.size))
        if self.seconds is None:
            await exchange.hang()
        else:
            await exchange.sleep(self.seconds)
            exchange.close()


@attrs.frozen(kw_only=True)
class CutChunk(_CutFault):
    """Send a chunked body, and end in the middle of a chunk.

    Args:
        resets: End with a reset (RST) in place of a close.
    """

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        chunk = f"{len(answer.body) + 1:x}\r\n".encode() + answer.body[: len(answer.body) // 2]
        await exchange.write(encode_head(answer, _CHUNKED) + chunk)
        self.end(exchange)


@attrs.frozen(kw_only=True)
class BadChunk(AnswerFault):
    """Send a chunk whose size is no number, and close."""

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_head(answer, _CHUNKED) + b"zz\r\n" + answer.body)
        exchange.close()


@attrs.frozen(kw_only=True)
class CutWithoutLength(_CutFault):
    """Send half of a body that has no length but ends with the connection, and end.

    Args:
        resets: End with a reset (RST) in place of a close.
    """

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_head(answer, _LAST) + answer.body[: len(answer.body) // 2])
        self.end(exchange)


@attrs.frozen(kw_only=True)
class Garbage(AnswerFault):
    """Send bytes that are not HTTP, and close.

    Args:
        data: The bytes.
    """

    data: bytes = b"\x00\xff\xfeSSH-2.0-nothing of HTTP\r\n\r\n"

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        del answer
        await exchange.write(self.data)
        exchange.close()


@attrs.frozen(kw_only=True)
class BigHeader(AnswerFault):
    """Respond with one header that is longer than clients take.

    Args:
        size: Bytes of its value.
    """

    size: int = 70_000

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        return answer.with_header("X-Big", "x" * self.size)


@attrs.frozen(kw_only=True)
class ManyHeaders(AnswerFault):
    """Respond with more headers than clients take.

    Args:
        count: How many.
    """

    count: int = 300

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        more = tuple((f"X-Header-{number}", "x") for number in range(self.count))
        return attrs.evolve(answer, headers=(*answer.headers, *more))


@attrs.frozen(kw_only=True)
class TwoLengths(AnswerFault):
    """Respond with two Content-Length that differ, and close."""

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        wrong = ("Content-Length", str(len(answer.body) + 1))
        await exchange.write(encode_answer(answer.with_header(*wrong)))
        exchange.close()


def _short(answer: Answer, size: int | None) -> bytes:
    size = len(answer.body) // 2 if size is None else size
    # One more than there is, so that an empty body is cut as well.
    length = max(len(answer.body), size + 1)
    return encode_head(answer, ("Content-Length", str(length))) + answer.body[:size]
