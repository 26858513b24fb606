"""Opens the connections of one manager: aiohttp does the names, the TLS and the proxy."""

import asyncio
import contextlib
import functools
from typing import Final

import aiohttp
from yarl import URL

from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import (
    ConnectLimiter,
    TransportOptions,
    abandon_session,
    make_session,
)
from invoicexpress_async.transport.raw_connection import RawConnection, is_client_genuine

_ANY_NUMBER: Final = 0  # the pool of connections has the limit


class _NothingSentError(Exception):
    """Ends a request of the session in its middleware: aiohttp sends nothing again for it."""


class ConnectionOpener:
    """One session for all connections: it opens them, and sends nothing over them.

    When a user's trace hooks or a mock are to see the requests, none is opened here: each
    connection then sends through a session of its own.
    """

    def __init__(self, options: TransportOptions, connect_limiter: ConnectLimiter) -> None:
        self._options = options
        self._connect_limiter = connect_limiter
        self._session: aiohttp.ClientSession | None = None
        self._may_open = True

    def may_open(self) -> bool:
        """Whether connections are opened here, and kept without aiohttp's client."""
        if self._session is None:
            # Made at the first call: it belongs to the running event loop.
            self._session = make_session(self._options, _send_nothing, limit=_ANY_NUMBER)
            # Instrumentation gives every session its hooks.
            self._may_open = not self._session.trace_configs
        return self._may_open and is_client_genuine()

    async def open(self, origin: URL, attempt: Attempt) -> RawConnection | None:
        """Open a connection; None if that failed, as `attempt` then says, or is not to be had."""
        if self._session is None:
            return None
        attempt.permit = await self._connect_limiter.begin()
        opened: list[RawConnection] = []
        with contextlib.suppress(_NothingSentError):  # as always
            await self._session.get(
                origin,
                proxy=self._options.proxy_url,
                middlewares=(functools.partial(self._keep, attempt, opened),),
            )
        return opened[0] if opened else None

    async def _keep(
        self,
        attempt: Attempt,
        opened: list[RawConnection],
        request: aiohttp.ClientRequest,
        _: aiohttp.ClientHandlerType,
    ) -> aiohttp.ClientResponse:
        session = self._session
        try:
            if session is None or session.connector is None:
                raise aiohttp.ClientConnectionError  # noqa: TRY301  # reported as any other failure
            connection = await session.connector.connect(
                request, traces=[], timeout=session.timeout
            )
            shrink_read_buffer(connection.transport)
            raw = RawConnection.of(connection, request.headers)
            if raw is None:
                connection.close()
                self._may_open = False
            else:
                opened.append(raw)
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
        raise _NothingSentError

    async def close(self) -> None:
        """Close the session; the connections have closed their connections."""
        if self._session is not None:
            await self._session.close()

    def abandon(self) -> None:
        """Close it without waiting."""
        if self._session is not None:
            abandon_session(self._session)


async def _send_nothing(
    _: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    raise _NothingSentError


# The most that one TLS record can hold.
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
