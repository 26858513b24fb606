"""One attempt and its evidence. The only importer of aiohttp's client.

aiohttp's own conveniences that would break a promise are off: cookies, redirects, environment
proxies, the hidden second send of a GET or PUT, unbounded bodies.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from ssl import SSLContext
from typing import Final, TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver
from frozenlist import FrozenList
from yarl import URL

from invoicexpress_async._address import Address, KeyedUrl
from invoicexpress_async._body import OVERSIZED, read_body, redact_json
from invoicexpress_async._clock import Clock
from invoicexpress_async._deadlines import Deadline, Deadlines
from invoicexpress_async._lanes import LanePool
from invoicexpress_async._openings import Opening, Openings
from invoicexpress_async._wire import MOST_BODY_BYTES, Answer, Request
from invoicexpress_async.config import Secret, Timeouts

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("invoicexpress_async")
_JSON_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_PLAIN_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})
# Servers keep idle connections for longer than this, as a rule.
_SURELY_OPEN_SECONDS: Final = 5.0
_NO_HEADERS: Final[Mapping[str, str]] = {}


@attrs.define
class Attempt:
    """What became of one request. Written as it goes, so that a cancelled one tells too.

    Attributes:
        is_begun: Whether a connection was asked for.
        is_sent: Whether a byte of it may have left: true before the first one is written.
        is_untrusted: Whether the server's certificate or TLS was wrong.
        failure: Why there is no complete answer, without a URL; None when there is one.
        answer: The complete answer.
        opening: The turn to open a connection, until its request is sent.
        on_sent: Called as `is_sent` becomes true.
        has_secrets: Whether the body holds some, which no hook of a user's may be shown.
    """

    is_begun: bool = False
    is_sent: bool = False
    is_untrusted: bool = False
    failure: str | None = None
    answer: Answer | None = None
    opening: Opening | None = None
    on_sent: Callable[[], None] | None = None
    has_secrets: bool = False

    def note_sending(self) -> None:
        """Note that the first byte is about to be written, over a connection that is open."""
        self.is_sent = True
        if self.on_sent is not None:
            self.on_sent()
        if self.opening is not None:
            self.opening.end()

    def __deepcopy__(self, memo: object) -> "Attempt":
        # Mocks of aiohttp copy what a request was made with; a copy of this would reach the loop.
        return self


class _AttemptFailedError(Exception):
    """Stands in for aiohttp's errors below the session: it sends nothing again for this one."""


@attrs.frozen(kw_only=True)
class TransportOptions:
    """What every lane is made with."""

    timeouts: Timeouts
    user_agent: str
    ssl_context: SSLContext | None = None
    proxy: Secret | None = None
    trace_configs: tuple[aiohttp.TraceConfig, ...] = ()
    resolver: AbstractResolver | None = None


_Hook = Callable[..., Awaitable[None]]


def shield_hooks(trace: aiohttp.TraceConfig) -> aiohttp.TraceConfig:
    """Let no exception of a user's hook change the outcome of a request: it is logged apart."""
    for name in dir(trace):
        signal: FrozenList[_Hook] = getattr(trace, name) if name.startswith("on_") else FrozenList()
        for index, hook in enumerate(signal):
            if not isinstance(hook, _ShieldedHook) and not signal.frozen:
                signal[index] = _ShieldedHook(hook)
    return trace


class _ShieldedHook:
    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    async def __call__(self, session: object, context: object, params: object) -> None:
        if isinstance(params, _CHUNKS) and _may_have_secrets(context):
            params = type(params)(params.method, params.url, b"*" * len(params.chunk))
        try:
            await self._hook(session, context, params)
        except Exception:
            _LOGGER.exception("A trace hook raised; the request goes on without it.")


_CHUNKS: Final = (aiohttp.TraceRequestChunkSentParams, aiohttp.TraceResponseChunkReceivedParams)


def _may_have_secrets(context: object) -> bool:
    # A context of the user's own making may not carry the attempt.
    attempt = getattr(context, "trace_request_ctx", None)
    return not isinstance(attempt, Attempt) or attempt.has_secrets


@attrs.define
class _Sending:
    """What a lane is sending."""

    url: URL
    target: Secret
    attempt: Attempt


class HttpLane:
    """One connection to one origin, through a session and a connector of its own."""

    def __init__(
        self, origin: str, options: TransportOptions, openings: Openings, deadlines: Deadlines
    ) -> None:
        self.origin = origin
        self._options = options
        self._openings = openings
        self._deadlines = deadlines
        self._open_until = float("-inf")
        self._sending = self._nothing = _Sending(URL(origin), Secret(""), Attempt())
        timeouts = options.timeouts
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1,
                ssl=options.ssl_context or True,
                resolver=options.resolver,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": options.user_agent,
            },
            # The total, which a slow drip cannot defeat, is watched over here, for less.
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=timeouts.connect_seconds,
                sock_connect=timeouts.connect_seconds,
            ),
            middlewares=(self._send,),
            trace_configs=[*options.trace_configs],
            trust_env=False,
            # Inflated here, in pieces and with a cap.
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    def abandon(self) -> None:
        """Close the connection without waiting, and without aiohttp's own warnings."""
        connector = self._session.connector
        self._session.detach()
        if connector is not None:
            # Its first step closes the connection; all that follows is waiting.
            closing = connector.close().__await__()
            next(closing, None)
            closing.close()

    async def exchange(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Send one request and read its answer into `attempt`. Raises nothing but cancellation."""
        url = URL(address.base + request.path, encoded=True)
        self._sending = _Sending(url, address.target(request, key), attempt)
        attempt.is_begun = True
        attempt.has_secrets = bool(request.secrets)
        cancelled: tuple[object, ...] | None = None
        try:
            started = time.monotonic()
            with Deadline(self._deadlines, started + self._options.timeouts.attempt_seconds):
                if started > self._open_until:
                    attempt.opening = await self._openings.begin()
                self._open_until = float("-inf")
                response = await self._session.request(
                    request.method,
                    url,
                    data=request.body or None,
                    headers=_NO_HEADERS if request.method == "GET" else _JSON_HEADERS,
                    allow_redirects=False,
                    proxy=self._options.proxy.reveal() if self._options.proxy else None,
                    trace_request_ctx=attempt,
                )
                attempt.answer = await _read(response, key)
            if "Connection" not in response.headers:
                self._open_until = started + _SURELY_OPEN_SECONDS
        except _AttemptFailedError:
            pass  # `_send` has written what it was
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation.args
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            _record(attempt, error)
        finally:
            # An idle lane holds on to nothing of its last call.
            self._sending = self._nothing
            if attempt.opening is not None:
                attempt.opening.end()
        if cancelled is not None:
            # Raised anew: the frames that it came through hold the request line, key and all.
            raise asyncio.CancelledError(*cancelled)

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add the key, for the URL that was asked for only, and keep aiohttp's errors down here."""
        sending = self._sending
        if request.url is not sending.url and request.url != sending.url:
            sending.attempt.failure = "another URL came up than the one to be asked"
            raise _AttemptFailedError
        request.url = KeyedUrl(request.url, sending.target, sending.attempt.note_sending)  # type: ignore[assignment]  # stands in for a yarl URL, which cannot be subclassed
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001  # as in exchange
            _record(sending.attempt, error)
        raise _AttemptFailedError


def _record(attempt: Attempt, error: Exception) -> None:
    """Keep what the error says of the attempt; its text may hold the URL and is dropped."""
    attempt.is_untrusted = not attempt.is_sent and isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError
    )
    attempt.failure = _describe(attempt, error)


def _describe(attempt: Attempt, error: Exception) -> str:
    if attempt.is_untrusted:
        return "its TLS or certificate is wrong"
    if isinstance(error, TimeoutError):
        return "no answer came in time" if attempt.is_sent else "no connection was made in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name was not found"
    if not attempt.is_sent:
        cause = getattr(error, "os_error", error)
        return f"no connection could be made ({type(cause).__name__})"
    return f"the connection broke before a complete answer ({type(error).__name__})"


async def _read(response: aiohttp.ClientResponse, key: Secret) -> Answer:
    """Read the body up to the cap, and redact the key in all that is kept."""
    content, headers = response.content, response.headers
    problem: str | None = None
    try:
        if content.is_eof() and "Content-Encoding" not in headers:
            # It came in one piece with its headers, as a row does: nothing is left to wait for.
            body = content.read_nowait()
            if len(body) > MOST_BODY_BYTES:
                body, problem = b"", OVERSIZED
        else:
            body, problem = await read_body(
                content.iter_any(),
                length=response.content_length,
                encoding=headers.get("Content-Encoding", ""),
            )
    except BaseException:
        response.close()
        raise
    if problem is not None:
        response.close()  # the rest is not wanted, nor is the connection
    content_type = headers.get("Content-Type", "")
    return Answer(
        status=response.status,
        body=redact_json(body, key),
        content_type=content_type if content_type in _PLAIN_JSON else _redact(content_type, key),
        retry_after=_redacted_header(response, "Retry-After", key),
        location=_redacted_header(response, "Location", key),
        problem=problem,
    )


def _redacted_header(response: aiohttp.ClientResponse, name: str, key: Secret) -> str | None:
    text = response.headers.get(name)
    return None if text is None else _redact(text, key)


def _redact(text: str, key: Secret) -> str:
    return key.redact(text.encode(errors="replace")).decode()


class Transport:
    """The connections of one manager."""

    def __init__(self, options: TransportOptions, *, max_connections: int, clock: Clock) -> None:
        openings, deadlines = Openings(), Deadlines()
        self._lanes = LanePool(
            lambda origin: HttpLane(origin, options, openings, deadlines),
            size=max_connections,
            clock=clock,
        )

    @property
    def connection_count(self) -> int:
        """The connections there are at the most, busy or idle."""
        return self._lanes.count

    async def attempt(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Make one attempt, recorded in `attempt`. Raises nothing but cancellation."""
        lane = self._lanes.take_at_once(address.origin)
        if lane is None:
            lane = await self._lanes.take(address.origin, address.account)
        try:
            await lane.exchange(address, request, key, attempt)
        finally:
            self._lanes.give(lane)

    def abandon(self) -> None:
        """Let go of the idle connections without waiting."""
        self._lanes.abandon()

    async def close(self) -> None:
        """Close all connections; every attempt must have ended."""
        await self._lanes.close()
