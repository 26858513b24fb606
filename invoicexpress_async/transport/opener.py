"""Opens the connections of one manager: aiohttp does the names, the TLS and the proxy."""

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

_ANY_NUMBER: Final = 0  # the pool of connections has the limit


class ConnectionOpener:
    """One session for all connections: its connector opens them, and it sends nothing itself.

    When a user's trace hooks or a mock are to see the requests, none is opened here: each
    connection then sends through a session of its own.
    """

    def __init__(self, options: TransportOptions) -> None:
        self.options: TransportOptions = options
        self.connect_limiter: ConnectLimiter = ConnectLimiter()
        self._proxy = None if options.proxy_url is None else URL(options.proxy_url)
        self._session: aiohttp.ClientSession | None = None
        self._may_open = True

    def may_open(self) -> bool:
        """Whether connections are opened here, and kept without aiohttp's client."""
        if self._session is None:
            # Made at the first call: it belongs to the running event loop.
            self._session = make_session(self.options, limit=_ANY_NUMBER)
            # Instrumentation gives every session its hooks.
            self._may_open = not self._session.trace_configs
        return self._may_open and is_client_genuine()

    async def open(self, origin: URL, attempt: Attempt) -> RawConnection | None:
        """Open a connection; None if that failed (see `attempt`) or aiohttp does not support it."""
        session = self._session
        if session is None or (request := self._request(session, origin)) is None:
            return None
        attempt.permit = await self.connect_limiter.acquire()
        try:
            if session.connector is None:
                raise aiohttp.ClientConnectionError  # noqa: TRY301  # reported as any other failure
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
        """Return what the connector connects for, as the session would make it."""
        # By hand: through the session, with a middleware that stops the request there, a
        # connection costs 100 microseconds more, which is 4 % of an account over TLS.
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
            self._may_open = False  # an aiohttp that makes it otherwise: its session sends
            return None

    async def close(self) -> None:
        """Close the session; the connections have closed their connections."""
        if self._session is not None:
            await self._session.close()

    def abort(self) -> None:
        """Close it without waiting."""
        if self._session is not None:
            abort_session(self._session)


# One TLS record holds no more. asyncio takes 256 KiB for each connection.
_BUFFER_BYTES: Final = 16 * 1024
_NEEDED: Final = ("max_size", "_ssl_buffer", "_ssl_buffer_view")


def shrink_read_buffer(transport: asyncio.BaseTransport | None) -> None:
    """Shrink the buffer of a connection that was just made, between two reads."""
    if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return  # another loop may be reading into it at this moment, or has none
    protocol = getattr(transport, "_ssl_protocol", None)
    if all(hasattr(protocol, name) for name in _NEEDED):
        buffer = bytearray(_BUFFER_BYTES)
        protocol.max_size = _BUFFER_BYTES  # type: ignore[union-attr]  # of asyncio's sslproto
        protocol._ssl_buffer = buffer  # type: ignore[union-attr]  # noqa: SLF001  # see above
        protocol._ssl_buffer_view = memoryview(buffer)  # type: ignore[union-attr]  # noqa: SLF001  # see above
