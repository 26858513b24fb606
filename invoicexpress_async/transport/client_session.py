"""aiohttp's client session as this package needs it: no hidden features, no limits of its own."""

import asyncio
import contextlib
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final, cast

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from invoicexpress_async.config import Secret, Timeouts, check_type

# aiohttp's limits of 8,190 bytes and 128 headers are less than what proxies and trackers add.
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 256


class CleanConnector(aiohttp.TCPConnector):
    """A connector that refuses connections on which data arrived before anything was requested.

    aiohttp would take that data for the response to the next request, on new and on pooled
    connections.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own signature
    ) -> Connection:
        """Return a connection; raise ClientConnectionError if unrequested data has arrived."""
        connection = await super().connect(req, traces, timeout)
        if getattr(connection.protocol, "should_close", False):
            connection.close()
            raise aiohttp.ClientConnectionError
        return connection


def _of_type(kind: type[object]) -> Callable[[object, "attrs.Attribute[Any]", object], None]:
    """Check a type that aiohttp checks at the first call, or takes for "trust any server"."""

    def check(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
        values = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for one in values:
            if one is not None:
                check_type(field.name, one, kind)

    return check


@attrs.frozen(kw_only=True)
class TransportOptions:
    """The options of all connections."""

    timeouts: Timeouts
    user_agent: str
    ssl_context: SSLContext | None = attrs.field(default=None, validator=_of_type(SSLContext))
    proxy: Secret | None = None
    trace_configs: tuple[aiohttp.TraceConfig, ...] = attrs.field(
        default=(), validator=_of_type(aiohttp.TraceConfig)
    )
    resolver: AbstractResolver | None = attrs.field(
        default=None, validator=_of_type(AbstractResolver)
    )

    @property
    def proxy_url(self) -> str | None:
        """The URL of the proxy, with its password: for the call to aiohttp only."""
        return self.proxy.reveal() if self.proxy else None


def make_session(
    options: TransportOptions,
    middleware: aiohttp.ClientMiddlewareType | None = None,
    *,
    limit: int,
) -> aiohttp.ClientSession:
    """Return a session without cookies, redirects, environment or inflating.

    The middleware is the last to see each request. A limit of 0 allows any number of connections.
    """
    timeouts = options.timeouts
    return aiohttp.ClientSession(
        connector=CleanConnector(
            limit=limit, ssl=options.ssl_context or True, resolver=options.resolver
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": options.user_agent,
        },
        # The total time, which also ends a slow drip, is limited by the connection, at less cost.
        timeout=aiohttp.ClientTimeout(
            total=None, connect=timeouts.connect_seconds, sock_connect=None
        ),
        middlewares=() if middleware is None else (middleware,),
        trace_configs=[*options.trace_configs],
        trust_env=False,
        # This package inflates bodies itself, in pieces and with a cap.
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )


def abort_session(session: aiohttp.ClientSession) -> None:
    """Close the session's connections without waiting, and without aiohttp's own warnings."""
    connector = session.connector
    session.detach()
    if connector is not None:
        # The coroutine's first step closes the connections; the rest only waits.
        closing = connector.close().__await__()
        next(closing, None)
        closing.close()


_OPENED_AT_ONCE: Final = 16
_MAX_HELD_SECONDS: Final = 0.25


class ConnectLimiter:
    """Limits how many connections are opened at the same time.

    A handshake takes a millisecond of CPU: a hundred at the same time block the event loop for a
    tenth of a second. A server that hangs in its handshake keeps its permit for a short time only,
    so it does not delay others.
    """

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(_OPENED_AT_ONCE)

    async def acquire(self) -> contextlib.ExitStack:
        """Wait for a permit. It ends when it is closed, or by a timer, once."""
        await self._permits.acquire()
        permit = contextlib.ExitStack()
        permit.callback(self._permits.release)
        limit = asyncio.get_running_loop().call_later(_MAX_HELD_SECONDS, permit.close)
        permit.callback(limit.cancel)
        return permit
