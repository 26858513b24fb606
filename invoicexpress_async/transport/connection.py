"""A lane: one connection to one origin, and the two ways to send over it."""

import asyncio
import time
from collections.abc import Mapping
from ssl import SSLContext
from typing import Final, TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from invoicexpress_async.config import Secret, Timeouts
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.address import Address, KeyedUrl
from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.openings import Openings
from invoicexpress_async.transport.raw_connection import KeptConnection, is_client_genuine
from invoicexpress_async.transport.response import read_answer

T = TypeVar("T")

_JSON_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}
_NO_HEADERS: Final[Mapping[str, str]] = {}
# Servers keep idle connections for longer than this, as a rule.
_SURELY_OPEN_SECONDS: Final = 5.0
# As aiohttp's own pool: what has been idle for longer is not trusted with a request.
_LONGEST_IDLE_SECONDS: Final = 15.0


class _AttemptFailedError(Exception):
    """Stands in for aiohttp's errors below the session: it sends nothing again for this one."""


class _QuietConnector(aiohttp.TCPConnector):
    """Lends no connection on which something has come before anything was asked.

    aiohttp takes that for the answer to the next request, be the connection new or from its pool.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if getattr(connection.protocol, "should_close", False):
            connection.close()
            raise aiohttp.ClientConnectionError
        return connection


@attrs.frozen(kw_only=True)
class TransportOptions:
    """What every lane is made with."""

    timeouts: Timeouts
    user_agent: str
    ssl_context: SSLContext | None = None
    proxy: Secret | None = None
    trace_configs: tuple[aiohttp.TraceConfig, ...] = ()
    resolver: AbstractResolver | None = None


@attrs.define
class _Sending:
    """What the session of a lane is at."""

    url: URL
    target: Secret
    attempt: Attempt
    is_opening: bool = False


class HttpLane:
    """One connection to one origin, through a session and a connector of its own.

    The session opens it; then it is kept, and spoken to without the session. When a user's trace
    hooks are to see the requests, or a mock to answer them, the session sends them instead.
    """

    def __init__(self, origin: str, options: TransportOptions, openings: Openings) -> None:
        self.origin = origin
        self._options = options
        self._openings = openings
        self._kept: KeptConnection | None = None
        self._used_at = self._open_until = float("-inf")
        self._sending = self._nothing = _Sending(URL(origin), Secret(""), Attempt())
        timeouts = options.timeouts
        self._session = aiohttp.ClientSession(
            connector=_QuietConnector(
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
        # Instrumentation gives every session its hooks.
        self._may_keep = not self._session.trace_configs

    async def close(self) -> None:
        """Close the connection."""
        try:
            # It closes the kept connection too, and waits until that is done.
            await self._session.close()
        finally:
            self._close_kept()

    def abandon(self) -> None:
        """Close the connection without waiting, and without aiohttp's own warnings."""
        connector = self._session.connector
        self._session.detach()
        if connector is not None:
            # Its first step closes the connection; all that follows is waiting.
            closing = connector.close().__await__()
            next(closing, None)
            closing.close()
        self._close_kept()

    async def exchange(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        """Send one request and read its answer into `attempt`. Raises nothing but cancellation."""
        attempt.is_begun = True
        cancelled: tuple[object, ...] | None = None
        now = time.monotonic()
        try:
            async with asyncio.timeout(self._options.timeouts.attempt_seconds):
                kept = None
                if self._may_keep and is_client_genuine():
                    kept = await self._connection(now, attempt)
                if kept is not None:
                    await kept.exchange(request, address.target(request, key), key, attempt)
                    self._used_at = time.monotonic()
                elif attempt.failure is None:
                    self._close_kept()  # the session has no room for a second connection
                    await self._send_by_session(address, request, key, attempt)
        except _AttemptFailedError:
            pass  # `_send` has written what it was
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation.args
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
        finally:
            if attempt.opening is not None:
                attempt.opening.end()
        if cancelled is not None:
            # Raised anew: the frames that it came through hold the request line, key and all.
            raise asyncio.CancelledError(*cancelled)

    async def _connection(self, now: float, attempt: Attempt) -> KeptConnection | None:
        """Return the kept connection, opened if need be; None if it failed or is not to be had."""
        if self._kept is not None:
            if self._kept.is_usable and now - self._used_at < _LONGEST_IDLE_SECONDS:
                return self._kept
            self._close_kept()
        attempt.opening = await self._openings.begin()
        self._sending = _Sending(URL(self.origin), Secret(""), attempt, is_opening=True)
        try:
            await self._session.get(self._sending.url, proxy=self._proxy())
        except _AttemptFailedError:
            pass  # as always: the session itself sends nothing
        finally:
            self._sending = self._nothing
        return self._kept

    async def _send_by_session(
        self, address: Address, request: Request[T], key: Secret, attempt: Attempt
    ) -> None:
        attempt.has_secrets = bool(request.secrets)
        url = URL(address.base + request.path, encoded=True)
        self._sending = _Sending(url, address.target(request, key), attempt)
        now = time.monotonic()
        if now > self._open_until and attempt.opening is None:
            attempt.opening = await self._openings.begin()
        self._open_until = float("-inf")
        try:
            response = await self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=_JSON_HEADERS if request.is_with_body else _NO_HEADERS,
                allow_redirects=False,
                proxy=self._proxy(),
                trace_request_ctx=attempt,
            )
            attempt.is_sent = True  # a mock answers what never went out
            try:
                attempt.answer = await read_answer(
                    response.status, response.headers, response.content, key
                )
            except BaseException:
                response.close()
                raise
            if attempt.answer.problem is not None:
                response.close()
            elif "Connection" not in response.headers:
                self._open_until = now + _SURELY_OPEN_SECONDS
        finally:
            # An idle lane holds on to nothing of its last call.
            self._sending = self._nothing

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add the key, for the URL that was asked for only, and keep aiohttp's errors down here."""
        sending = self._sending
        try:
            if sending.is_opening:
                await self._keep(request)
            elif request.url is not sending.url and request.url != sending.url:
                sending.attempt.failure = "another URL came up than the one to be asked"
            else:
                request.url = KeyedUrl(request.url, sending.target, sending.attempt.note_sending)  # type: ignore[assignment]  # stands in for a yarl URL, which cannot be subclassed
                return await handler(request)
        except Exception as error:  # noqa: BLE001  # as in exchange
            sending.attempt.fail(error)
        raise _AttemptFailedError

    async def _keep(self, request: aiohttp.ClientRequest) -> None:
        connector = self._session.connector
        if connector is None:
            raise aiohttp.ClientConnectionError
        connection = await connector.connect(request, traces=[], timeout=self._session.timeout)
        self._kept = KeptConnection.of(connection, request.headers)
        if self._kept is None:
            connection.release()
            self._may_keep = False

    def _close_kept(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _proxy(self) -> str | None:
        return self._options.proxy.reveal() if self._options.proxy else None
