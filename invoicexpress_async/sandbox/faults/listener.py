"""The listening port: accepts connections, does TLS handshakes, goes down and up again."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine

import attrs

from invoicexpress_async.sandbox.faults.backend import Backend
from invoicexpress_async.sandbox.faults.connection import Connection, reset_on_close

_BACKLOG = 1024
_HANDSHAKE_SECONDS = 60.0
_CLOSE_NOTIFY_SECONDS = 1.0
_BREATH_SECONDS = 0.01
_TURNS = 10


class _Sink(asyncio.Protocol):
    """Discards all data, like a server that never responds."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.lost.done():
            self.lost.set_result(None)


@attrs.define(eq=False)
class _RawArrival:
    _socket: socket.socket
    _backend: Backend

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        reset_on_close(self._socket)
        self._socket.close()

    async def hang(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        transport, sink = await loop.connect_accepted_socket(_Sink, self._socket)
        closing = None if seconds is None else self._backend.spawn(self._abort(transport, seconds))
        try:
            await sink.lost
        finally:
            transport.abort()
            if closing is not None:
                closing.cancel()

    async def _abort(self, transport: asyncio.Transport, seconds: float) -> None:
        await self._backend.sleep(seconds)
        transport.abort()


@attrs.define(eq=False)
class Listener:
    """Accepts connections without asyncio's server: a fault may come before the TLS handshake."""

    _backend: Backend
    _ssl_context: ssl.SSLContext | None
    _socket: socket.socket | None = attrs.field(default=None, init=False)
    _is_accepting: bool = attrs.field(default=False, init=False)
    _arriving: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)
    _connections: set[Connection] = attrs.field(factory=set[Connection], init=False)

    async def bind(self, host: str, port: int) -> int:
        """Hold a port without listening on it, so that connections are refused."""
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        row, kind, protocol, _, address = infos[0]
        bound = socket.socket(row, kind, protocol)
        bound.setblocking(False)  # noqa: FBT003 - the socket's own signature
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
        except OSError:
            bound.close()
            raise
        self._socket = bound
        return int(bound.getsockname()[1])

    def listen(self) -> None:
        if self._socket is not None and not self._is_accepting:
            self._socket.listen(_BACKLOG)
            self._accept_from(self._socket)

    async def release(self) -> None:
        """Release the port; open connections stay open."""
        if self._socket is not None:
            if self._is_accepting:
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket, self._is_accepting = None, False

    async def drop_connections(self) -> None:
        """End every connection, including those in a handshake and those that hang."""
        for arriving in tuple(self._arriving):
            arriving.cancel()
        for connection in tuple(self._connections):
            connection.abort()
        # An aborted transport closes its socket in one of the loop's next iterations.
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _accept_from(self, listening: socket.socket) -> None:
        # A callback, not a task: a cancelled task would lose the connection it just accepted.
        if self._socket is listening:
            self._is_accepting = True
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # No file descriptor is free, or the peer left before the accept.
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_BREATH_SECONDS, self._accept_from, listening)
            return
        accepted.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._admit(accepted)

    def _admit(self, accepted: socket.socket) -> None:
        self._backend.oracle.note_connected()
        fault = self._backend.plan.for_arrival()
        if fault is not None:
            self._backend.oracle.note_fault(fault.name)
            work = fault.meet(_RawArrival(accepted, self._backend))
            self._start(work, lambda: self._forget(accepted))
        else:
            connection = Connection(self._backend, self._connections)
            work = self._serve(connection, accepted)
            self._start(work, lambda: self._served(connection, accepted))

    def _start(self, work: Coroutine[object, object, None], end: Callable[[], None]) -> None:
        arriving = self._backend.spawn(work)
        self._arriving.add(arriving)
        arriving.add_done_callback(self._arriving.discard)
        # Not in a `finally` of the work: a task cancelled before its start runs none.
        arriving.add_done_callback(lambda _: end())

    def _served(self, connection: Connection, accepted: socket.socket) -> None:
        if not connection.is_made:
            self._forget(accepted)

    def _forget(self, accepted: socket.socket) -> None:
        accepted.close()
        self._backend.oracle.note_disconnected()

    async def _serve(self, connection: Connection, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._ssl_context is None:
            await loop.connect_accepted_socket(lambda: connection, accepted)
            return
        try:
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._ssl_context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_CLOSE_NOTIFY_SECONDS,
            )
        except OSError:
            self._backend.oracle.handshake_failures += 1
