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
    """Return the headers that are not None, with a hyphen for each `_` in a name."""
    pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
    return tuple((name, value) for name, value in pairs if value is not None)


@early(body=as_bytes)
async def early_answer(
    exchange: Exchange, *, status: int = 503, retry_after: str | None = None, body: bytes = b""
) -> None:
    """Respond when the head arrives; discard the body, and close.

    Args:
        status: The status of the response.
        retry_after: The text of a Retry-After; None for no such header.
        body: The body of the response.
    """
    response = Response(status=status, headers=_optional(Retry_After=retry_after), body=body)
    await exchange.write(encode_response(response, is_last=True))
    # A close with unread bytes sends a reset, which may overtake the response.
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
    """Respond with the given status, headers and body.

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
        count: How many interim responses.
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
        body: The body of the second response.
    """
    second = attrs.evolve(response, status=200, body=body)
    await exchange.write(encode_response(response) + encode_response(second))


@altering()
def shared_cookie(
    response: Response,
    *,
    cookie: str = "stolen=1; domain=.app.invoicexpress.com; path=/; Max-Age=86400",
) -> Response:
    """Respond, with a cookie for the domain that all accounts share.

    Args:
        cookie: The whole value of Set-Cookie.
    """
    return response.with_header("Set-Cookie", cookie)


@responding(where=_place)
async def echo_key(
    exchange: Exchange, response: Response, *, where: str = "body", status: int | None = None
) -> None:
    """Respond with the request's key in the response.

    Args:
        where: In the "body" of a 500, in a "header", or in the "location" of a 302.
        status: The status, instead of 500, the true one or 302.
    """
    # In headers, encoded as in the URL: a decoded key could hold a line break.
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
