"""Faults that are complete answers, of any status."""

from collections.abc import Iterable

import attrs

from invoicexpress_async.sandbox._answers import Answer
from invoicexpress_async.sandbox._fault import Exchange, ReadFault
from invoicexpress_async.sandbox._http import encode_answer

Headers = tuple[tuple[str, str], ...]


def as_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers)


def as_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


@attrs.frozen(kw_only=True)
class Status(ReadFault):
    """Answer with a status, headers and body of your own.

    Args:
        status: Any number.
        headers: Pairs of a name and a value.
        body: Bytes or text.
        retry_after: The text of a Retry-After, any nonsense; None for no such header.
        location: The target of a redirect; None for no such header.
    """

    status: int = 500
    headers: Headers = attrs.field(default=(), converter=as_headers)
    body: bytes = attrs.field(default=b"", converter=as_bytes)
    retry_after: str | None = None
    location: str | None = None

    async def play(self, exchange: Exchange) -> None:
        self.settle(exchange)
        optional = (("Retry-After", self.retry_after), ("Location", self.location))
        given = tuple((name, value) for name, value in optional if value is not None)
        answer = Answer(status=self.status, headers=(*self.headers, *given), body=self.body)
        await exchange.write(encode_answer(answer, is_last=exchange.head.is_last))
