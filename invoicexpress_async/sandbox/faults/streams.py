"""Faults of pace and of size."""

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.answers import AnswerFault
from invoicexpress_async.sandbox.faults.fault import Exchange
from invoicexpress_async.sandbox.http import encode_answer, encode_head

_PIECE = b" " * 65_536
_CHUNKED = ("Transfer-Encoding", "chunked")

_positive = attrs.validators.gt(0)


@attrs.frozen(kw_only=True)
class Latency(AnswerFault):
    """Respond late; what takes effect does so before the wait.

    Args:
        seconds: How late.
    """

    seconds: float = 1.0

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.sleep(self.seconds)
        await super().transmit(exchange, answer)


@attrs.frozen(kw_only=True)
class Slicer(AnswerFault):
    """Send the response, its head too, in small slices.

    Args:
        size: Bytes of a slice.
        seconds: Between two slices.
    """

    size: int = attrs.field(default=1, validator=_positive)
    seconds: float = 0.05

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        data = encode_answer(answer, is_last=exchange.head.is_last)
        for start in range(0, len(data), self.size):
            if start:
                await exchange.sleep(self.seconds)
            await exchange.write(data[start : start + self.size])


@attrs.frozen(kw_only=True)
class Bandwidth(AnswerFault):
    """Send the response, its head too, at a slow and even rate.

    Args:
        bytes_per_second: The rate, in ten pieces a second.
    """

    bytes_per_second: int = attrs.field(default=1024, validator=_positive)

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        size = max(1, self.bytes_per_second // 10)
        data = encode_answer(answer, is_last=exchange.head.is_last)
        for start in range(0, len(data), size):
            await exchange.sleep(size / self.bytes_per_second)
            await exchange.write(data[start : start + size])


@attrs.frozen(kw_only=True)
class SlowClose(AnswerFault):
    """Send a whole body that has no length, and close only after a while.

    Args:
        seconds: That while.
    """

    seconds: float = 1.0

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_head(answer, ("Connection", "close")) + answer.body)
        await exchange.sleep(self.seconds)
        exchange.close()


@attrs.frozen(kw_only=True)
class BigBody(AnswerFault):
    """Send the true response with spaces behind it: valid JSON, and far too long.

    Args:
        size: Bytes of the whole body.
    """

    size: int = 100_000_000

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        size = max(self.size, len(answer.body))
        await exchange.write(encode_head(answer, ("Content-Length", str(size))) + answer.body)
        await _pad(exchange, size - len(answer.body))


@attrs.frozen(kw_only=True)
class HugeLength(AnswerFault):
    """Say a length beyond all memory, send the true response and spaces, and close at a limit.

    Args:
        length: What Content-Length says.
        size: How many bytes are really sent.
    """

    length: int = 10_000_000_000
    size: int = 100_000_000

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        head = encode_head(answer, ("Content-Length", str(self.length)))
        await exchange.write(head + answer.body)
        await _pad(exchange, self.size - len(answer.body))
        exchange.close()


@attrs.frozen(kw_only=True)
class EndlessChunks(AnswerFault):
    """Send the true response, then chunks of spaces without an end, and close at a limit.

    Args:
        size: The limit, in bytes; the client should leave before.
    """

    size: int = 256_000_000

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_head(answer, _CHUNKED) + _chunk(answer.body or b" "))
        for _ in range(self.size // len(_PIECE)):
            await exchange.write(_chunk(_PIECE))
        exchange.close()


@attrs.frozen(kw_only=True)
class EndlessHead(AnswerFault):
    """Send headers without an end, and close at a limit.

    Args:
        size: The limit, in bytes; the client should leave before.
    """

    size: int = 16_000_000

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        lines = b"X-More: and more\r\n" * 1000
        await exchange.write(encode_head(answer).removesuffix(b"\r\n"))
        for _ in range(self.size // len(lines)):
            await exchange.write(lines)
        exchange.close()


async def _pad(exchange: Exchange, size: int) -> None:
    for left in range(size, 0, -len(_PIECE)):
        await exchange.write(_PIECE[:left])


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
