"""An aiohttp connection that is kept for many requests, and used without aiohttp's client.

aiohttp opens the connection (names, TLS, proxies) and parses the responses. Its client between the
two costs three quarters of a whole call: a request object, a response object, headers, cookies,
timers and a pool. Here a connection has one request at a time, always the same headers and its own
deadline. It sends what the client would send, byte for byte; a test compares them.
"""

import asyncio
import functools
import select
from collections.abc import Callable, Mapping
from typing import Final, Self, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from invoicexpress_async.config import Secret
from invoicexpress_async.protocol.exchange import Request
from invoicexpress_async.transport.attempt import Attempt, read_response
from invoicexpress_async.transport.client_session import MAX_HEADER_BYTES, MAX_HEADERS

T = TypeVar("T")

_OF_A_BODY: Final = frozenset({"content-type", "content-length"})
# As in aiohttp's client: after 101 another protocol begins, so 101 is a final response.
_INTERIM: Final = frozenset({100, *range(102, 200)})
# Every system accepts this much of a write at once.
_SURELY_SENT_BYTES: Final = 4_096
# asyncio closes a socket one loop iteration after the abort, or two under TLS.
_PASSES_TO_CLOSE: Final = 2
_UNDOCUMENTED: Final = ("set_response_params", "read", "is_connected", "should_close", "transport")


class RawConnection:
    """One connection, for one request at a time."""

    __slots__ = ("_connection", "_has_arrived", "_headers", "_loop", "_protocol")

    def __init__(
        self, connection: Connection, protocol: ResponseHandler, headers: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._has_arrived: Callable[[], object] | None = None
        self._headers = "".join(
            f"{name}: {value}\r\n"
            for name, value in headers.items()
            if name.lower() not in _OF_A_BODY
        )

    @classmethod
    def wrap(cls, connection: Connection, headers: Mapping[str, str]) -> Self | None:
        """Wrap an open aiohttp connection, with the headers that aiohttp's client would send.

        Returns None when this version of aiohttp lacks a needed attribute.
        """
        protocol = connection.protocol
        if protocol is None or not all(hasattr(protocol, name) for name in _UNDOCUMENTED):
            return None
        return cls(connection, protocol, headers)

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open, and nothing unrequested has arrived."""
        return self._protocol.is_connected() and not self._protocol.should_close

    def is_silent(self) -> bool:
        """Whether nothing unread has arrived, such as the end of the connection."""
        if self._has_arrived is None:
            transport = self._protocol.transport
            channel = None if transport is None else transport.get_extra_info("socket")
            if channel is None:
                return True  # not known; `is_usable` shows what the event loop has read
            self._has_arrived = watch(channel.fileno())
        return not self._has_arrived()

    def close(self) -> None:
        """Close it at once, without a closing handshake: none is needed, and a peer may hang."""
        transport = self._protocol.transport
        if transport is not None and not self._loop.is_closed():
            transport.abort()
        self._connection.close()

    async def wait_closed(self) -> None:
        """Close the connection, and wait until its socket is closed."""
        self.close()
        for _ in range(_PASSES_TO_CLOSE):
            await asyncio.sleep(0)

    async def exchange(
        self, request: Request[T], target: Secret, key: Secret, attempt: Attempt
    ) -> None:
        """Send a request and read its response into `attempt`; aiohttp's errors pass through.

        Afterwards the connection is usable, or closed.
        """
        protocol, transport = self._protocol, self._protocol.transport
        if transport is None:
            raise aiohttp.ClientConnectionError
        try:
            # A new parser, so that the rest of an unrequested response is not used.
            protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
                max_headers=MAX_HEADERS,
            )
            text = self._message(request, target)
            attempt.note_sending()
            transport.write(text)
            message, content = await protocol.read()
            attempt.is_unanswered = False
            while message.code in _INTERIM:
                message, content = await protocol.read()
            attempt.response = await read_response(message.code, message.headers, content, key)
        except BaseException:
            self.close()
            raise
        if len(request.body) > _SURELY_SENT_BYTES:
            self.close()  # the server may have responded before reading all: send nothing after it
        elif attempt.response.problem is not None or protocol.should_close:
            self.close()

    def _message(self, request: Request[T], target: Secret) -> bytes:
        head = f"{request.method} {target.reveal()} HTTP/1.1\r\n{self._headers}"
        if not request.is_with_body:
            return f"{head}\r\n".encode()
        return (
            f"{head}Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n\r\n"
        ).encode() + request.body


def is_client_genuine() -> bool:
    """Whether aiohttp's client is unmodified: a mock or a wrapper must see each request."""
    return getattr(aiohttp.ClientSession, _REPLACED_BY_MOCKS) is _ORIGINAL_REQUEST


def _as_aiohttp_made_it(method: object) -> object | None:
    is_wrapped = hasattr(method, "__wrapped__")
    is_its_own = getattr(method, "__module__", "") == "aiohttp.client"
    return method if is_its_own and not is_wrapped else None


_REPLACED_BY_MOCKS: Final = "_request"
_ORIGINAL_REQUEST: Final = _as_aiohttp_made_it(getattr(aiohttp.ClientSession, _REPLACED_BY_MOCKS))


def watch(descriptor: int) -> Callable[[], object]:
    """Return a callable that reports at once whether a read would give data, the end or an error.

    Its result is truthy or falsy. It may be called as long as the socket is open.
    """
    if hasattr(select, "poll"):
        # Unlike select(), poll() has no highest descriptor.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return functools.partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows has no poll
