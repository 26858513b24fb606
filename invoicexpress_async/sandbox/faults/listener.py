"""The listening port, which goes down and up again."""

import asyncio
import ssl

import attrs

from invoicexpress_async.sandbox.faults.backend import Backend
from invoicexpress_async.sandbox.faults.connection import Connection

_BACKLOG = 1024
_TURNS = 10


@attrs.define(eq=False)
class Listener:
    """Listens without TLS: each connection does its handshake, as a fault may come before it."""

    _backend: Backend
    _ssl_context: ssl.SSLContext | None
    _host: str
    _server: asyncio.Server | None = attrs.field(default=None, init=False)
    _port: int = attrs.field(default=0, init=False)
    _connections: set[Connection] = attrs.field(factory=set[Connection], init=False)

    async def bind(self, port: int) -> int:
        """Hold a port without listening on it, so that connections are refused."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._backend, self._connections, self._ssl_context),
            self._host,
            port,
            backlog=_BACKLOG,
            start_serving=False,
        )
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self._port

    async def go_up(self) -> None:
        if self._server is not None:
            await self._server.start_serving()

    async def go_down(self, *, drops_connections: bool) -> None:
        """Refuse connections; the port stays reserved."""
        await self._release(drops_connections=drops_connections)
        await self.bind(self._port)

    async def close(self) -> None:
        """Release the port and end every connection."""
        await self._release(drops_connections=True)

    async def _release(self, *, drops_connections: bool) -> None:
        if self._server is not None:
            self._server.close()
        # A connection may have been accepted a moment ago, and a transport that is aborted closes
        # its socket later: both take a few iterations of the loop.
        for _ in range(_TURNS if drops_connections else 0):
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.sleep(0)
