"""Sends through aiohttp's own client, so that trace hooks and mocks see each request."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import aiohttp
import attrs
from frozenlist import FrozenList
from yarl import URL

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.attempt import Address, Attempt, read_response
from invoicexpress_async.transport.client_session import (
    ConnectLimiter,
    TransportOptions,
    abort_session,
    make_session,
)

T = TypeVar("T")

_JSON_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_NO_HEADERS: Final[Mapping[str, str]] = {}
# The event loop needs two iterations to read that a connection has ended, and three with TLS.
_PASSES_TO_SEE_AN_END: Final = 3
# aiohttp warns about a body of more than 1 MiB that is given as bytes.
_LARGE_BYTES: Final = 1 << 20


async def see_what_has_arrived() -> None:
    """Let the event loop read, so that it detects a connection that the server has closed."""
    for _ in range(_PASSES_TO_SEE_AN_END):
        await asyncio.sleep(0)


class AttemptFailedError(Exception):
    """Replaces aiohttp's errors inside the session, which sends nothing again after this error."""


class SecretUrl:
    """A URL that shows the key on the wire only, and reports when it is sent.

    aiohttp reads the request line from `raw_path_qs`, once, when it has a connection and before
    it writes a byte. Everything that people see (trace hooks, spans, `response.url`,
    `request_info`, aiohttp's error texts) comes from other attributes or later reads. Only the
    first read of `raw_path_qs` returns the key; all else is the clean URL. A request that was sent
    without this read had no key in it, and so no effect. This is as good evidence as the trace hook
    for sent headers, and costs nothing, while trace hooks cost a tenth of the whole call.

    Args:
        clean: The URL without the key.
        target: The path and query to send.
        on_sending: Called at the first read.
    """

    __slots__ = ("_clean", "_on_sending", "_target")

    def __init__(self, clean: URL, target: Secret, on_sending: Callable[[], None]) -> None:
        self._clean = clean
        self._on_sending = on_sending
        self._target: Secret | None = target

    @property
    def raw_path_qs(self) -> str:
        """The path and query: with the key at the first read, without it afterwards."""
        target, self._target = self._target, None
        if target is None:
            return self._clean.raw_path_qs
        self._on_sending()
        return target.reveal()

    def __getattr__(self, name: str) -> object:
        return getattr(self._clean, name)

    def __str__(self) -> str:
        return str(self._clean)

    def __repr__(self) -> str:
        return repr(self._clean)

    def __eq__(self, other: object) -> bool:
        return self._clean == (other._clean if isinstance(other, SecretUrl) else other)

    def __hash__(self) -> int:
        return hash(self._clean)


@attrs.define
class _InFlight:
    """The request that the session is sending."""

    url: URL
    target: Secret
    attempt: Attempt


class SessionSender:
    """An aiohttp session with one connection, for one `HttpConnection`."""

    def __init__(
        self, origin: str, options: TransportOptions, connect_limiter: ConnectLimiter
    ) -> None:
        self._options = options
        self._connect_limiter = connect_limiter
        self._sending = self._idle = _InFlight(URL(origin), Secret(""), Attempt())
        self._session = make_session(options, self._send, limit=1)
        self.has_connection: bool = False
        """Whether the last response left the connection open, as far as its headers say."""

    async def close(self) -> None:
        """Close the session with its connection."""
        await self._session.close()

    def abort(self) -> None:
        """Close the session without waiting."""
        abort_session(self._session)

    async def exchange(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Send a request and read its response into `attempt`."""
        attempt.has_secrets = bool(request.secrets)
        url = URL(address.base + request.path, encoded=True)
        self._sending = _InFlight(url, address.request_target(request, key), attempt)
        if not self.has_connection and attempt.permit is None:
            attempt.permit = await self._connect_limiter.acquire()
        self.has_connection = False
        body = request.body
        try:
            response = await self._session.request(
                request.method,
                url,
                data=io.BytesIO(body) if len(body) > _LARGE_BYTES else body or None,
                headers=_JSON_HEADERS if request.is_with_body else _NO_HEADERS,
                allow_redirects=False,
                proxy=self._options.proxy_url,
                trace_request_ctx=attempt,
            )
            attempt.is_sent = True  # a mock responds to requests that were never sent
            try:
                attempt.response = await read_response(
                    response.status, response.headers, response.content, key
                )
            except BaseException:
                response.close()
                raise
            if attempt.response.problem is not None:
                response.close()
            else:
                self.has_connection = "Connection" not in response.headers
        finally:
            # An idle connection must not keep a reference to its last call.
            self._sending = self._idle

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add the key, for the expected URL only, and let no error of aiohttp out."""
        sending = self._sending
        try:
            if request.url is not sending.url and request.url != sending.url:
                sending.attempt.failure = "another URL was requested than the intended one"
            else:
                request.url = SecretUrl(request.url, sending.target, sending.attempt.note_sending)  # type: ignore[assignment]  # stands in for a yarl URL, which cannot be subclassed
                return await handler(request)
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            sending.attempt.fail(error)
        raise AttemptFailedError


_LOGGER: Final = logging.getLogger("invoicexpress_async")
_CHUNKS: Final = (aiohttp.TraceRequestChunkSentParams, aiohttp.TraceResponseChunkReceivedParams)
_Hook = Callable[..., Awaitable[None]]


def shield_hooks(trace: aiohttp.TraceConfig) -> aiohttp.TraceConfig:
    """Wrap a user's hooks: their exceptions are logged, and do not change a request's outcome."""
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
        if isinstance(params, aiohttp.TraceRequestHeadersSentParams):
            # This hook runs before the first byte, and may have waited for long.
            attempt = getattr(context, "trace_request_ctx", None)
            if isinstance(attempt, Attempt):
                attempt.note_sending()


def _may_have_secrets(context: object) -> bool:
    # A context that the user has created may not contain the attempt.
    attempt = getattr(context, "trace_request_ctx", None)
    return not isinstance(attempt, Attempt) or attempt.has_secrets
