"""Sends one request and returns its exact response; nothing is repeated or hidden.

It uses `http.client` of the standard library: each request has a new connection and is sent once,
no redirect is followed, no cookie is kept, and no setting of the environment is read.
"""

import http.client
import socket
import ssl
from enum import StrEnum
from functools import cached_property
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs

from invoicexpress_async.config import BaseUrl, Secret
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.exchange import NotJsonError, dumps, loads

WRONG_KEY: Final = "live-check-wrong-key"
UNKNOWN_ACCOUNT: Final = "live-check-no-such-account"
_MAX_BODY_BYTES: Final = 8 * 1024 * 1024  # a listing of thousands of series has about 5 MB


class BodyKind(StrEnum):
    """The kind of a body, whatever its content type."""

    EMPTY = "empty"
    """Zero bytes or white space only."""
    JSON = "json"
    HTML = "html"
    TEXT = "text"


@attrs.frozen(kw_only=True)
class ProbeRequest:
    """A request in the terms of the description.

    Attributes:
        path: The path as in the description, with the name of the id in braces.
        identifier: The value of that id.
        query: The query string after the key.
        body: The JSON body, or None for no body.
        has_wrong_key: Send a made-up key instead of the account's key.
        is_to_unknown_account: Send the request to an account that does not exist.
    """

    method: str
    path: str
    identifier: int | None = None
    query: str = ""
    body: JsonValue = attrs.field(default=None, repr=False)
    has_wrong_key: bool = False
    is_to_unknown_account: bool = False

    @property
    def may_have_effect(self) -> bool:
        """Whether the request may change something on the server."""
        return self.method != "GET"


@attrs.frozen(kw_only=True, slots=False)
class Reply:
    """A complete response. Its repr shows no header and no body."""

    status: int
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @cached_property
    def kind(self) -> BodyKind:
        """The kind of the body."""
        stripped = self.body.strip()
        if not stripped:
            return BodyKind.EMPTY
        if self._parsed is not None:
            return BodyKind.JSON
        return BodyKind.HTML if stripped.startswith(b"<") else BodyKind.TEXT

    @property
    def document(self) -> JsonValue:
        """The parsed body; None when it is not JSON."""
        return None if self._parsed is None else self._parsed[0]

    @cached_property
    def _parsed(self) -> tuple[JsonValue] | None:
        try:
            return (loads(self.body),)
        except NotJsonError:
            return None

    def header(self, name: str) -> str | None:
        """Return the first header of that name, in lower case."""
        return next((value for one, value in self.headers if one.lower() == name), None)


class NoReplyError(Exception):
    """There is no complete response. The text contains no address."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.was_sent = was_sent


@attrs.frozen(kw_only=True)
class Probe:
    """Sends requests to one account."""

    base_url: BaseUrl
    account: str
    key: Secret
    timeout_seconds: float

    def send(self, request: ProbeRequest) -> Reply:
        """Send the request once; raise NoReplyError for a missing, cut or too large response."""
        account = UNKNOWN_ACCOUNT if request.is_to_unknown_account else self.account
        parts = urlsplit(self.base_url.for_account(account))
        connection = _connection(parts, self.timeout_seconds)
        try:
            if problem := _connect(connection):
                raise NoReplyError(problem, was_sent=False)
            reply = _exchange(connection, request, self._target(parts.path, request))
        finally:
            connection.close()
        if isinstance(reply, str):
            raise NoReplyError(reply, was_sent=True)
        return reply

    def host(self) -> str:
        """Return the account's own host, to compare a redirect with."""
        return urlsplit(self.base_url.for_account(self.account)).netloc

    def _target(self, prefix: str, request: ProbeRequest) -> Secret:
        is_own = not (request.has_wrong_key or request.is_to_unknown_account)
        key = self.key.quoted() if is_own else WRONG_KEY
        more = f"&{request.query}" if request.query else ""
        return Secret(f"{prefix}{_path(request)}?api_key={key}{more}")


def _path(request: ProbeRequest) -> str:
    before, brace, rest = request.path.partition("{")
    return f"{before}{request.identifier}{rest.partition('}')[2]}" if brace else before


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=seconds)


def _connect(connection: http.client.HTTPConnection) -> str:
    """Connect, and return what went wrong, or ""."""
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        return "the certificate is not trusted"
    except socket.gaierror:
        return "the name was not found"
    except OSError:
        return "no connection"
    return ""


def _exchange(
    connection: http.client.HTTPConnection, request: ProbeRequest, target: Secret
) -> Reply | str:
    """Return the response, or why there is none."""
    headers = {"Accept": "application/json"}
    body = None
    if request.body is not None:
        body = dumps(request.body)
        headers["Content-Type"] = "application/json"
    try:
        connection.request(request.method, target.reveal(), body=body, headers=headers)
        response = connection.getresponse()
        content = response.read(_MAX_BODY_BYTES + 1)
    except TimeoutError:
        return "no complete response in time"
    except (OSError, http.client.HTTPException) as error:
        # The class only: the text of such an error may hold the request line.
        return f"no complete response: {type(error).__name__}"
    if len(content) > _MAX_BODY_BYTES:
        return "the response is too large"
    if response.length:
        return "the response was cut"  # a limited read does not raise for it
    return Reply(status=response.status, headers=tuple(response.getheaders()), body=content)
