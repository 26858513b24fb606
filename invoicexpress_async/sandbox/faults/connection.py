"""A connection: reads requests, sends responses, and runs the fault that is planned for one."""

import asyncio
import contextlib
import socket
import ssl
import struct
from asyncio.sslproto import SSLProtocol
from typing import TYPE_CHECKING, cast

import attrs

from invoicexpress_async.sandbox.admin import PREFIX
from invoicexpress_async.sandbox.domain.responses import Response, json_response
from invoicexpress_async.sandbox.faults.backend import Backend
from invoicexpress_async.sandbox.faults.fault import (
    ArrivalFault,
    Commits,
    ExchangeFault,
    Fault,
)
from invoicexpress_async.sandbox.http import (
    CONTINUE,
    END_OF_HEAD,
    MAX_HEAD_BYTES,
    BadRequestError,
    Head,
    encode_response,
    parse_head,
)

if TYPE_CHECKING:
    from invoicexpress_async.sandbox.domain.engine import Pending

_HANDSHAKE_SECONDS = 60
_CLOSE_NOTIFY_SECONDS = 1
# SO_LINGER with a timeout of 0: a close then sends RST, and drops what was not sent yet.
_RESETTING = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """Serves one connection, and is the `Exchange` of a fault that runs on it.

    A request without a fault gets its response in the callback in which it arrives, without a task,
    since a soak test sends a hundred thousand of them.
    """

    def __init__(
        self,
        backend: Backend,
        connections: set["Connection"],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._backend = backend
        self._connections = connections
        self._ssl_context = ssl_context
        self._buffer = bytearray()
        self._head: Head | None = None
        self._head_size = 0
        self._head_at = 0.0
        self._pending: Pending | None = None
        self._served = 0
        self._arrival: ArrivalFault | None = None
        self._fault: ExchangeFault | None = None
        self._playing: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._expected: tuple[int, asyncio.Future[None]] | None = None
        self._is_closing = False
        self._is_noted = False

    @property
    def head(self) -> Head:
        if self._head is None:
            raise RuntimeError("no request is being served")
        return self._head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self in self._connections:
            return  # the handshake has ended: this is the transport over TLS
        self._connections.add(self)
        self._backend.oracle.note_connected()
        self._arrival = self._backend.plan.for_arrival()
        if self._arrival is not None:
            self._begin(self._arrival)
        elif self._ssl_context is not None:
            self._secure(self._ssl_context)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._note_unread()
        self._is_closing = True
        if self._playing is not None:
            self._playing.cancel()
        self._forget()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._arrival is not None:
            return
        self._backend.oracle.bytes_received += len(data)
        self._buffer += data
        if self._playing is None:
            self._serve()
        elif self._expected is not None and len(self._buffer) >= self._expected[0]:
            _, arrived = self._expected
            self._expected = None
            arrived.set_result(None)

    async def write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    async def hang(self, seconds: float | None = None) -> None:
        if seconds is not None:
            await self.sleep(seconds)
            self.close()
            return
        self._note_unread()
        # `connection_lost` cancels the tasks that wait here.
        await asyncio.get_running_loop().create_future()

    async def body_arrives(self, length: int) -> None:
        if len(self._buffer) < length:
            arrived = asyncio.get_running_loop().create_future()
            self._expected = length, arrived
            await arrived

    def settle(self, commits: Commits, *, late_seconds: float | None) -> Response:
        if self._pending is None:
            raise RuntimeError("the request was not read")
        return self._backend.settle(self._pending, commits, late_seconds=late_seconds)

    def close(self) -> None:
        self._note_unread()
        self._is_closing = True
        self._transport.close()

    def reset(self) -> None:
        reset_on_close(self._transport.get_extra_info("socket"))
        self.abort()

    def abort(self) -> None:
        self._note_unread()
        self._is_closing = True
        self._transport.abort()

    def _serve(self) -> None:
        """Serve the requests that have arrived, until more data is needed or a fault has begun."""
        try:
            while not self._is_closing and self._playing is None and self._has_head():
                head = self.head
                if self._fault is not None and self._fault.is_early:
                    self._begin(self._fault)
                elif len(self._buffer) < head.content_length:
                    return
                else:
                    self._receive(head, self._take(head.content_length))
        except BadRequestError as error:
            refusal = json_response(400, {"error": str(error)})
            self._transport.write(encode_response(refusal, is_last=True))
            self.close()

    def _has_head(self) -> bool:
        if self._head is not None:
            return True
        end = self._buffer.find(END_OF_HEAD)
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequestError("its head has no end")
            return False
        head = parse_head(self._take(end + len(END_OF_HEAD))[:end])
        self._head, self._head_size = head, end + len(END_OF_HEAD)
        self._head_at = self._backend.engine.clock()
        if not head.target.startswith(PREFIX):
            self._fault = self._backend.plan.for_request(head, is_reused=self._served > 0)
        may_continue = self._fault is None or not self._fault.is_early
        if may_continue and "expect" in head.headers:
            self._transport.write(CONTINUE)
        return True

    def _receive(self, head: Head, body: bytes) -> None:
        if head.target.startswith(PREFIX):
            self._respond(head, self._backend.respond_to_admin(head, body, remote=self._remote()))
            return
        self._pending = self._backend.receive(attrs.evolve(head, body=body))
        if self._fault is not None:
            self._begin(self._fault)
        else:
            self._respond(head, self._backend.commit(self._pending))

    def _respond(self, head: Head, response: Response) -> None:
        self._transport.write(encode_response(response, is_last=head.is_last))
        self._end(head)

    def _end(self, head: Head) -> None:
        self._head = self._pending = self._fault = None
        self._served += 1
        if head.is_last:
            self.close()

    def _begin(self, fault: Fault) -> None:
        self._backend.oracle.note_fault(fault.name)
        self._playing = self._backend.spawn(fault.play(self))
        self._playing.add_done_callback(self._played)

    def _played(self, playing: asyncio.Task[None]) -> None:
        self._playing = None
        if playing.cancelled():
            self.abort()
        elif (error := playing.exception()) is not None:
            self.abort()
            fault = self._arrival or self._fault
            context = {"message": f"a fault went wrong: {fault}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        elif self._arrival is not None:
            self.close()
        elif not self._is_closing:
            self._end(self.head)
            self._serve()

    def _secure(self, context: ssl.SSLContext) -> None:
        """Begin the handshake at once: `start_tls` is a coroutine, and uvloop reads before it."""
        loop, raw = asyncio.get_running_loop(), self._transport
        ended: asyncio.Future[None] = loop.create_future()
        ended.add_done_callback(lambda _: self._secured(ended, raw))
        handshake = SSLProtocol(
            loop,
            self,
            context,
            ended,
            server_side=True,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=_CLOSE_NOTIFY_SECONDS,
        )
        raw.set_protocol(handshake)
        handshake.connection_made(raw)

    def _secured(self, ended: asyncio.Future[None], raw: asyncio.Transport) -> None:
        if ended.exception() is not None:
            self._backend.oracle.handshake_failures += 1
        if self._transport is raw:  # it was lost before there was a transport over TLS
            self._is_closing = True
            self._forget()

    def _forget(self) -> None:
        if self in self._connections:
            self._connections.discard(self)
            self._backend.oracle.note_disconnected()

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _note_unread(self) -> None:
        """Report to the oracle, once, the bytes that have arrived and will never be read."""
        oracle = self._backend.oracle
        if self._is_noted:
            return
        self._is_noted = True
        if self._head is not None and self._pending is None:
            oracle.note_partial(self._head, at=self._head_at, received=len(self._buffer))
            oracle.bytes_unread += self._head_size
        elif self._buffer:
            oracle.note_partial(None, at=self._backend.engine.clock(), received=len(self._buffer))
        oracle.bytes_unread += len(self._buffer)

    def _remote(self) -> str:
        peer = cast("tuple[str, int] | None", self._transport.get_extra_info("peername"))
        return peer[0] if peer else ""


def reset_on_close(connection: socket.socket) -> None:
    # The peer may have reset the connection already.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
