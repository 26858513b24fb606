"""Opens the connections of one manager: aiohttp handles names, TLS and the proxy."""

import asyncio
from typing import Final

import aiohttp
from yarl import URL

from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import (
    ConnectLimiter,
    TransportOptions,
    abort_session,
    make_session,
)
from invoicexpress_async.transport.raw_connection import RawConnection, is_client_genuine

_ANY_NUMBER: Final = 0  # the connection pool has the limit


class ConnectionOpener:
    """One session for all connections: its connector opens them, and it sends nothing itself.

    When a user's trace hooks or a mock must see the requests, no connection is opened here: each
    `HttpConnection` then sends through its own session.
    """

    def __init__(self, options: TransportOptions) -> None:
        self.options: TransportOptions = options
        self.connect_limiter: ConnectLimiter = ConnectLimiter()
        self._proxy = None if options.proxy_url is None else URL(options.proxy_url)
        self._session: aiohttp.ClientSession | None = None
        self._may_open = True

    def may_open(self) -> bool:
        """Whether connections are opened here, and used without aiohttp's client."""
        if self._session is None:
            # Created at the first call, because it belongs to the running event loop.
            self._session = make_session(self.options, limit=_ANY_NUMBER)
            # Instrumentation libraries add their hooks to every session.
            self._may_open = not self._session.trace_configs
        return self._may_open and is_client_genuine()

    async def open(self, origin: URL, attempt: Attempt) -> RawConnection | None:
        """Open a connection; None if that fails (see `attempt`) or this aiohttp cannot do it."""
        session = self._session
        if session is None or (request := self._request(session, origin)) is None:
            return None
        attempt.permit = await self.connect_limiter.acquire()
        try:
            if session.connector is None:
                raise aiohttp.ClientConnectionError  # noqa: TRY301  # reported like other failures
            connection = await session.connector.connect(
                request, traces=[], timeout=session.timeout
            )
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
            return None
        shrink_read_buffer(connection.transport)
        raw = RawConnection.wrap(connection, request.headers)
        if raw is None:
            connection.close()
            self._may_open = False
        return raw

    def _request(self, session: aiohttp.ClientSession, origin: URL) -> aiohttp.ClientRequest | None:
        """Return the request for which the connector connects, as the session would build it."""
        # Built by hand: through the session, with a middleware that stops the request there, a
        # connection costs 100 microseconds more, which is 4 % of the cost of an account over TLS.
        try:
            return aiohttp.ClientRequest(
                "GET",
                origin,
                headers=session.headers,
                loop=asyncio.get_running_loop(),
                session=session,
                proxy=self._proxy,
            )
        except TypeError:
            self._may_open = False  # another version of aiohttp: its session sends instead
            return None

    async def close(self) -> None:
        """Close the session, and with it all connections that it has opened."""
        if self._session is not None:
            await self._session.close()

    def abort(self) -> None:
        """Close the session without waiting."""
        if self._session is not None:
            abort_session(self._session)


# A TLS record is not longer. asyncio takes 256 KiB for each connection.
_BUFFER_BYTES: Final = 16 * 1024
_NEEDED: Final = ("max_size", "_ssl_buffer", "_ssl_buffer_view")


def shrink_read_buffer(transport: asyncio.BaseTransport | None) -> None:
    """Shrink the read buffer of a new connection, between two reads."""
    if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return  # another kind of loop may be reading into the buffer right now, or has none
    protocol = getattr(transport, "_ssl_protocol", None)
    if all(hasattr(protocol, name) for name in _NEEDED):
        buffer = bytearray(_BUFFER_BYTES)
        protocol.max_size = _BUFFER_BYTES  # type: ignore[union-attr]  # of asyncio's sslproto
        protocol._ssl_buffer = buffer  # type: ignore[union-attr]  # noqa: SLF001  # see above
        protocol._ssl_buffer_view = memoryview(buffer)  # type: ignore[union-attr]  # noqa: SLF001  # see above
