"""HTTP/1.1 as bytes: reading the head of a request, writing a response."""

import functools
import http
from collections.abc import Mapping

import attrs

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.requests import Request, split_account
from invoicexpress_async.sandbox.routes import Command, find_command

MAX_HEAD_BYTES = 65_536
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# Decoded keys may hold any byte, and headers may be echoed: no byte must be lost.
_ENCODING = "utf-8"
_ERRORS = "surrogateescape"


class BadRequestError(Exception):
    """The bytes that arrived are not a request that this server can read."""


@attrs.frozen(kw_only=True)
class Head(Request):
    """A request whose body has not arrived; `command` lacks the form that is in the body."""

    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    content_length: int
    is_last: bool
    command: Command | None


def parse_head(data: bytes) -> Head:
    """Return the head of a request, from its bytes up to the blank line. Chunked is refused."""
    lines = data.decode(_ENCODING, _ERRORS).split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise BadRequestError("not a request line")
    headers = dict(map(_header, lines[1:]))
    target, _, query = parts[1].partition("?")
    account, path = split_account(headers.get("host", ""), target)
    return Head(
        method=parts[0],
        target=target,
        query=query,
        headers=headers,
        content_length=_content_length(headers),
        is_last=_is_last(parts[2], headers.get("connection", "")),
        account=account,
        path=path,
        command=find_command(parts[0], path),
        content_type=headers.get("content-type", ""),
        has_cookie="cookie" in headers,
    )


def encode(text: str) -> bytes:
    return text.encode(_ENCODING, _ERRORS)


@functools.cache
def status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def encode_head(response: Response, *extra: tuple[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*response.headers, *extra))
    return status_line(response.status) + encode(lines) + b"\r\n"


def encode_response(response: Response, *, is_last: bool = False) -> bytes:
    length = ("Content-Length", str(len(response.body)))
    if is_last:
        return encode_head(response, length, ("Connection", "close")) + response.body
    return encode_head(response, length) + response.body


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequestError("not a header")
    return name.lower(), value.strip()


def _content_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequestError("a chunked body: send Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError("not a length")
    return int(length)


def _is_last(version: str, connection: str) -> bool:
    if version == "HTTP/1.0":
        return connection.lower() != "keep-alive"
    return connection.lower() == "close"
