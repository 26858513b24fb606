"""One attempt of a request: its address, its state at any moment, and its response."""

import contextlib
import re
import zlib
from collections.abc import AsyncIterable, Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import (
    MAX_BODY_BYTES,
    NotJsonError,
    Request,
    Response,
    dumps,
    loads,
)

# The first byte of a zlib stream names the method "deflate" (8) in its low half; raw streams,
# which some servers send under the same name, do not.
_ZLIB_METHOD: Final = 8
_LOW_HALF: Final = 0x0F
OVERSIZED: Final = f"it is over {MAX_BODY_BYTES // 1024**2} MiB"
"""The problem of a body that is longer than `MAX_BODY_BYTES`."""

_PLAIN: Final = frozenset({"", "identity"})
_ENCODINGS: Final = _PLAIN | {"gzip", "x-gzip", "deflate"}


async def read_body(
    chunks: AsyncIterable[bytes], *, length: int | None, encoding: str
) -> tuple[bytes, str | None]:
    """Read a body in pieces, inflate it, and stop at the cap.

    Returns the body, and the reason why it must not be used, or None. `length` is the
    Content-Length, if there is one.
    """
    if (length or 0) > MAX_BODY_BYTES:
        return b"", OVERSIZED
    encoding = encoding.strip().lower()
    if encoding not in _ENCODINGS:
        return b"", "its Content-Encoding was not requested"
    stream = None
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        piece = chunk
        if chunk and encoding not in _PLAIN:
            stream = stream or zlib.decompressobj(wbits=_window_bits(encoding, chunk))
            try:
                # One byte more than allowed shows that the cap is passed.
                piece = b"" if stream.eof else stream.decompress(chunk, MAX_BODY_BYTES - size + 1)
            except zlib.error:
                return b"", "its compression is broken"
        size += len(piece)
        if size > MAX_BODY_BYTES:
            return b"", OVERSIZED
        pieces.append(piece)
    if stream is not None and not stream.eof:
        return b"", "its compressed body was cut"
    return b"".join(pieces), None


def _window_bits(encoding: str, chunk: bytes) -> int:
    if encoding != "deflate":
        return zlib.MAX_WBITS | 16
    return zlib.MAX_WBITS if chunk[0] & _LOW_HALF == _ZLIB_METHOD else -zlib.MAX_WBITS


T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Address:
    """The address of one account.

    Attributes:
        base: The account's URL without a trailing slash.
        origin: Scheme, host and port.
        path: The part of `base` after the origin.
    """

    account: str
    base: str
    origin: str
    path: str

    @classmethod
    def of(cls, account: str, base: str) -> "Address":
        """Split the account's URL, which has been checked."""
        # Split by hand: `urlsplit` is expensive, and a bulk job has one account for each row.
        slash = base.find("/", base.index("://") + len("://"))
        ends = len(base) if slash < 0 else slash
        return cls(account=account, base=base, origin=base[:ends], path=base[ends:])

    def request_target(self, request: Request[T], key: Secret) -> Secret:
        """Return the path and query to send. The key arrives byte for byte."""
        more = f"&{request.query}" if request.query else ""
        return Secret(f"{self.path}{request.path}?api_key={key.quoted()}{more}")


@attrs.define
class Attempt:
    """The state of one request, updated as it proceeds, so that it is known after a cancellation.

    Attributes:
        is_begun: Whether a connection was requested.
        is_sent: Whether a byte of the request may have left: true before the first is written.
        is_unanswered: Whether no part of a response is known to have come.
        is_untrusted: Whether the server's certificate or TLS was wrong, or a proxy requires a
            login: trying again cannot help.
        failure: Why there is no complete response, without a URL; None when there is one.
        permit: The permit to open a connection, to be closed when the request is sent.
        on_sent: Called before `is_sent` becomes true; if it raises, nothing is sent.
        has_secrets: Whether the body contains secrets, which no hook of a user may see.
    """

    is_begun: bool = False
    is_sent: bool = False
    is_unanswered: bool = True
    is_untrusted: bool = False
    failure: str | None = None
    response: Response | None = None
    permit: contextlib.ExitStack | None = None
    on_sent: Callable[[], None] | None = None
    has_secrets: bool = False

    def note_sending(self) -> None:
        """Note that the first byte is about to be written, over a connection that is open."""
        if self.on_sent is not None:
            self.on_sent()  # it may raise: then nothing is sent
        self.is_sent = True
        if self.permit is not None:
            self.permit.close()

    def fail(self, error: Exception) -> None:
        """Record a failure. The text of the error is dropped, because it may contain the URL."""
        self.is_untrusted = not self.is_sent and (
            isinstance(error, _TLS_ERRORS) or _wants_a_password(error)
        )
        self.failure = self._describe(error)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return _of_proxy(error)
        if self.is_untrusted:
            return "its TLS or certificate is wrong"
        if isinstance(error, TimeoutError):
            return "no response came in time" if self.is_sent else "no connection was made in time"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return "its name was not found"
        if not self.is_sent:
            cause = getattr(error, "os_error", error)
            return f"no connection could be made ({type(cause).__name__})"
        return f"the connection broke before a complete response ({type(error).__name__})"

    def __deepcopy__(self, memo: object) -> "Attempt":
        # Mocks of aiohttp copy the arguments of a request; a copy of this would copy the loop too.
        return self


_TLS_ERRORS: Final = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientConnectorSSLError,
)


def _wants_a_password(error: Exception) -> bool:
    return (
        isinstance(error, aiohttp.ClientHttpProxyError)
        and error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    )


def _of_proxy(error: aiohttp.ClientHttpProxyError) -> str:
    if _wants_a_password(error):
        return "the proxy wants a user and a password (HTTP 407): give them in the proxy's URL"
    return f"the proxy would not connect to it (HTTP {error.status})"


_PLAIN_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})


async def read_response(
    status: int, headers: Mapping[str, str], content: aiohttp.StreamReader, key: Secret
) -> Response:
    """Read the body up to the cap, and redact the key in everything that is kept.

    After a response with a `problem`, the connection must be closed: the rest was not read.
    """
    problem: str | None = None
    if content.is_eof() and "Content-Encoding" not in headers:
        # The body came together with its headers, as for one row: there is nothing to wait for.
        body = content.read_nowait()
        if len(body) > MAX_BODY_BYTES:
            body, problem = b"", OVERSIZED
    else:
        body, problem = await read_body(
            content.iter_any(),
            length=_length(headers),
            encoding=headers.get("Content-Encoding", ""),
        )
    content_type = headers.get("Content-Type", "")
    return Response(
        status=status,
        body=redact_json(body, key),
        content_type=content_type if content_type in _PLAIN_JSON else _redact(content_type, key),
        retry_after=_redacted_header(headers, "Retry-After", key),
        location=_redacted_header(headers, "Location", key),
        problem=problem,
    )


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None


def _redacted_header(headers: Mapping[str, str], name: str, key: Secret) -> str | None:
    text = headers.get(name)
    return None if text is None else _redact(text, key)


def _redact(text: str, key: Secret) -> str:
    return key.redact(text.encode(errors="replace")).decode()


def redact_json(body: bytes, key: Secret) -> bytes:
    """Redact the key, also when it is written with JSON escapes that no list of forms covers."""
    redacted = key.redact(body)
    if b"\\" not in redacted:
        return redacted
    try:
        plain = dumps(loads(redacted))
    except NotJsonError:
        # Invalid JSON is shown to people, who could read the escapes.
        plain = _ESCAPE.sub(_unescaped, redacted)
    return redacted if key.redact(plain) == plain else key.redact(plain)


_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code, character = escape.groups()
    return character if code is None else chr(int(code, 16)).encode(errors="replace")
