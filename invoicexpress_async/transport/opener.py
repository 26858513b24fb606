"""Opens the connections of one manager: aiohttp does the names, the TLS and the proxy."""

import contextlib
import functools
from typing import Final

import aiohttp
from yarl import URL

from invoicexpress_async.transport.attempt import Attempt
from invoicexpress_async.transport.client_session import (
    TransportOptions,
    abandon_session,
    make_session,
)
from invoicexpress_async.transport.openings import Openings
from invoicexpress_async.transport.raw_connection import KeptConnection, is_client_genuine
from invoicexpress_async.transport.tls_buffer import shrink_read_buffer

_ANY_NUMBER: Final = 0  # the pool of lanes has the limit


class _NothingSentError(Exception):
    """Ends a request of the session in its middleware: aiohttp sends nothing again for it."""


class ConnectionOpener:
    """One session for all connections: it opens them, and sends nothing over them.

    When a user's trace hooks or a mock are to see the requests, none is opened here: each lane
    then sends through a session of its own.
    """

    def __init__(self, options: TransportOptions, openings: Openings) -> None:
        self._options = options
        self._openings = openings
        self._session: aiohttp.ClientSession | None = None
        self._may_keep = True

    def may_keep(self) -> bool:
        """Whether connections are opened here, and kept without aiohttp's client."""
        if self._session is None:
            # Made at the first call: it belongs to the running event loop.
            self._session = make_session(self._options, _send_nothing, limit=_ANY_NUMBER)
            # Instrumentation gives every session its hooks.
            self._may_keep = not self._session.trace_configs
        return self._may_keep and is_client_genuine()

    async def open(self, origin: URL, attempt: Attempt) -> KeptConnection | None:
        """Open a connection; None if that failed, as `attempt` then says, or is not to be had."""
        if self._session is None:
            return None
        attempt.opening = await self._openings.begin()
        opened: list[KeptConnection] = []
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
        opened: list[KeptConnection],
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
            kept = KeptConnection.of(connection, request.headers)
            if kept is None:
                connection.close()
                self._may_keep = False
            else:
                opened.append(kept)
        except Exception as error:  # noqa: BLE001  # whatever a broken peer makes aiohttp raise
            attempt.fail(error)
        raise _NothingSentError

    async def close(self) -> None:
        """Close the session; the lanes have closed their connections."""
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
