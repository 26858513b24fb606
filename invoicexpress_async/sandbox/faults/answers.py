"""Faults that are well-formed responses, only not those that were due."""

from collections.abc import Iterable
from typing import ClassVar, Literal

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.fault import Exchange, ExchangeFault, ReadFault
from invoicexpress_async.sandbox.http import CONTINUE, encode_answer
from invoicexpress_async.sandbox.routes import query_key

Headers = tuple[tuple[str, str], ...]

_ELSEWHERE = "https://elsewhere.invalid/"


def _as_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers)


def _as_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


@attrs.frozen(kw_only=True)
class AnswerFault(ReadFault):
    """Sends the true response, altered by `alter`, in the way of `transmit`.

    Args:
        status: In place of the true response's; None leaves that.
    """

    status: int | None = None

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        return answer

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_answer(answer, is_last=exchange.head.is_last))

    async def play(self, exchange: Exchange) -> None:
        answer = self.settle(exchange)
        if self.status is not None:
            answer = attrs.evolve(answer, status=self.status)
        await self.transmit(exchange, self.alter(exchange, answer))


@attrs.frozen(kw_only=True)
class Status(AnswerFault):
    """Respond with a status, headers and body of your own.

    Args:
        status: Any number.
        headers: Pairs of a name and a value.
        body: Bytes or text.
        retry_after: The text of a Retry-After, any nonsense; None for no such header.
        location: The target of a redirect; None for no such header.
    """

    status: int | None = 500
    headers: Headers = attrs.field(default=(), converter=_as_headers)
    body: bytes = attrs.field(default=b"", converter=_as_bytes)
    retry_after: str | None = None
    location: str | None = None

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        optional = (("Retry-After", self.retry_after), ("Location", self.location))
        given = tuple((name, value) for name, value in optional if value is not None)
        return Answer(status=answer.status, headers=(*self.headers, *given), body=self.body)


@attrs.frozen(kw_only=True)
class EarlyAnswer(ExchangeFault):
    """Respond as the head arrives; swallow the body, and close.

    Args:
        status: Of that response.
        retry_after: The text of a Retry-After; None for no such header.
        body: Of that response.
    """

    is_early: ClassVar[bool] = True
    status: int = 503
    retry_after: str | None = None
    body: bytes = attrs.field(default=b"", converter=_as_bytes)

    async def play(self, exchange: Exchange) -> None:
        answer = Answer(status=self.status, headers=(), body=self.body)
        if self.retry_after is not None:
            answer = answer.with_header("Retry-After", self.retry_after)
        await exchange.write(encode_answer(answer, is_last=True))
        # Closing with bytes unread resets, and a reset may overtake the response.
        await exchange.body_arrives(exchange.head.content_length)
        exchange.close()


@attrs.frozen(kw_only=True)
class Interim(AnswerFault):
    """Send interim responses (100 Continue) that were not requested, then the true one.

    Args:
        count: How many.
    """

    count: int = 1

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(CONTINUE * self.count)
        await super().transmit(exchange, answer)


@attrs.frozen(kw_only=True)
class CloseAfterAnswer(AnswerFault):
    """Respond as if the connection stayed open, then close it."""

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        await exchange.write(encode_answer(answer))
        exchange.close()


@attrs.frozen(kw_only=True)
class TrailingAnswer(AnswerFault):
    """Respond, then send a second response that was not requested.

    Args:
        body: Of the second one.
    """

    body: bytes = attrs.field(default=b'{"sequences":[]}', converter=_as_bytes)

    async def transmit(self, exchange: Exchange, answer: Answer) -> None:
        second = attrs.evolve(answer, status=200, body=self.body)
        await exchange.write(encode_answer(answer) + encode_answer(second))


@attrs.frozen(kw_only=True)
class SharedCookie(AnswerFault):
    """Respond, and set a cookie for the domain that all accounts share.

    Args:
        cookie: The whole header.
    """

    cookie: str = "stolen=1; domain=.app.invoicexpress.com; path=/; Max-Age=86400"

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        return answer.with_header("Set-Cookie", self.cookie)


@attrs.frozen(kw_only=True)
class EchoKey(AnswerFault):
    """Respond with the request's own key in it.

    Args:
        where: In the body of a 500, in a header, or in the Location of a 302.
    """

    where: Literal["body", "header", "location"] = attrs.field(
        default="body", validator=attrs.validators.in_(("body", "header", "location"))
    )

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        # In headers as it stood in the URL: once decoded it could hold a line break.
        query = exchange.head.query
        match self.where:
            case "header":
                return answer.with_header("X-Request-Query", query)
            case "location":
                headers = (("Location", f"{_ELSEWHERE}?{query}"),)
                return Answer(status=self.status or 302, headers=headers, body=b"")
            case "body":
                headers = (("Content-Type", "text/plain; charset=utf-8"),)
                body = b"failed for the key " + query_key(query)
                return Answer(status=self.status or 500, headers=headers, body=body)
