"""Faults that are well-formed responses, but not the expected ones."""

from collections.abc import Iterable

import attrs

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import (
    Exchange,
    altering,
    as_bytes,
    early,
    respond,
    responding,
)
from invoicexpress_async.sandbox.http import CONTINUE, encode_response
from invoicexpress_async.sandbox.routes import query_key

Headers = tuple[tuple[str, str], ...]

_ELSEWHERE = "https://elsewhere.invalid/"
_PLACES = ("body", "header", "location")


def _headers(headers: Iterable[tuple[str, str]]) -> Headers:
    return tuple((name, value) for name, value in headers)


def _place(where: str) -> str:
    if where not in _PLACES:
        raise ValueError(f"where must be one of {', '.join(_PLACES)}, not {where!r}")
    return where


def _optional(**headers: str | None) -> Headers:
    """Return the headers that are given, `_` in their names for a hyphen."""
    pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
    return tuple((name, value) for name, value in pairs if value is not None)


@early(body=as_bytes)
async def early_answer(
    exchange: Exchange, *, status: int = 503, retry_after: str | None = None, body: bytes = b""
) -> None:
    """Respond as the head arrives; swallow the body, and close.

    Args:
        status: Of that response.
        retry_after: The text of a Retry-After; None for no such header.
        body: Of that response.
    """
    response = Response(status=status, headers=_optional(Retry_After=retry_after), body=body)
    await exchange.write(encode_response(response, is_last=True))
    # Closing with bytes unread resets, and a reset may overtake the response.
    await exchange.body_arrives(exchange.head.content_length)
    exchange.close()


@altering(headers=_headers, body=as_bytes)
def status(
    _: Response,
    *,
    status: int = 500,
    headers: Headers = (),
    body: bytes = b"",
    retry_after: str | None = None,
    location: str | None = None,
) -> Response:
    """Respond with a status, headers and body of your own.

    Args:
        status: Any number.
        headers: Pairs of a name and a value.
        body: Bytes or text.
        retry_after: The text of a Retry-After, any nonsense; None for no such header.
        location: The target of a redirect; None for no such header.
    """
    given = _optional(Retry_After=retry_after, Location=location)
    return Response(status=status, headers=(*headers, *given), body=body)


@responding()
async def interim_answer(exchange: Exchange, response: Response, *, count: int = 1) -> None:
    """Send interim responses (100 Continue) that were not requested, then the true one.

    Args:
        count: How many.
    """
    await exchange.write(CONTINUE * count)
    await respond(exchange, response)


@responding()
async def close_after_answer(exchange: Exchange, response: Response) -> None:
    """Respond as if the connection stayed open, then close it."""
    await exchange.write(encode_response(response))
    exchange.close()


@responding(body=as_bytes)
async def trailing_answer(
    exchange: Exchange, response: Response, *, body: bytes = b'{"sequences":[]}'
) -> None:
    """Respond, then send a second response that was not requested.

    Args:
        body: Of the second one.
    """
    second = attrs.evolve(response, status=200, body=body)
    await exchange.write(encode_response(response) + encode_response(second))


@altering()
def shared_cookie(
    response: Response,
    *,
    cookie: str = "stolen=1; domain=.app.invoicexpress.com; path=/; Max-Age=86400",
) -> Response:
    """Respond, and set a cookie for the domain that all accounts share.

    Args:
        cookie: The whole header.
    """
    return response.with_header("Set-Cookie", cookie)


@responding(where=_place)
async def echo_key(
    exchange: Exchange, response: Response, *, where: str = "body", status: int | None = None
) -> None:
    """Respond with the request's own key in it.

    Args:
        where: In the "body" of a 500, in a "header", or in the "location" of a 302.
        status: In place of that.
    """
    # In headers as it stood in the URL: once decoded it could hold a line break.
    query = exchange.head.query
    match where:
        case "header":
            echo = attrs.evolve(response, status=status or response.status)
            echo = echo.with_header("X-Request-Query", query)
        case "location":
            headers = (("Location", f"{_ELSEWHERE}?{query}"),)
            echo = Response(status=status or 302, headers=headers, body=b"")
        case _:
            headers = (("Content-Type", "text/plain; charset=utf-8"),)
            text = b"failed for the key " + query_key(query)
            echo = Response(status=status or 500, headers=headers, body=text)
    await respond(exchange, echo)
