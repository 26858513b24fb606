"""A connection of aiohttp's that is kept over many requests, and spoken to without its client.

aiohttp makes the connection (names, TLS, proxies) and parses the responses. Its client between the
two costs three quarters of a whole call: a request object, a response object, headers, cookies,
timers and a pool, where a connection has one request at a time, always the same headers and its own
deadline. What is sent is what the client would send, byte for byte; a test compares them.
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
# As aiohttp's client has it: after 101 another protocol begins, and so it is a response.
_INTERIM: Final = frozenset({100, *range(102, 200)})
# Any system takes that much of a write at once.
_SURELY_SENT_BYTES: Final = 4_096
# asyncio closes a socket one pass after the abort, under TLS two.
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
        """Keep an open connection of aiohttp's, with the headers that its client would send.

        None when this aiohttp does not have what is needed.
        """
        protocol = connection.protocol
        if protocol is None or not all(hasattr(protocol, name) for name in _UNDOCUMENTED):
            return None
        return cls(connection, protocol, headers)

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and nothing unrequested has arrived."""
        return self._protocol.is_connected() and not self._protocol.should_close

    def is_silent(self) -> bool:
        """Whether nothing has arrived that the event loop has not read yet, such as its end."""
        if self._has_arrived is None:
            transport = self._protocol.transport
            channel = None if transport is None else transport.get_extra_info("socket")
            if channel is None:
                return True  # it does not say; what its loop has read is known anyway
            self._has_arrived = watch(channel.fileno())
        return not self._has_arrived()

    def close(self) -> None:
        """Close it at once: what is read to its end needs no goodbye, and a peer may hang."""
        transport = self._protocol.transport
        if transport is not None and not self._loop.is_closed():
            transport.abort()
        self._connection.close()

    async def wait_closed(self) -> None:
        """Close it, and wait until its socket is closed."""
        self.close()
        for _ in range(_PASSES_TO_CLOSE):
            await asyncio.sleep(0)

    async def exchange(
        self, request: Request[T], target: Secret, key: Secret, attempt: Attempt
    ) -> None:
        """Send a request and read its response into `attempt`; whatever aiohttp raises is raised.

        The connection is usable after it, or closed.
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
            self.close()  # the response may have come before all was read: nothing may follow it
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
    """Whether aiohttp's client is its own: a mock, or who watches it, must see each request."""
    return getattr(aiohttp.ClientSession, _REPLACED_BY_MOCKS) is _ORIGINAL_REQUEST


def _as_aiohttp_made_it(method: object) -> object | None:
    is_wrapped = hasattr(method, "__wrapped__")
    is_its_own = getattr(method, "__module__", "") == "aiohttp.client"
    return method if is_its_own and not is_wrapped else None


_REPLACED_BY_MOCKS: Final = "_request"
_ORIGINAL_REQUEST: Final = _as_aiohttp_made_it(getattr(aiohttp.ClientSession, _REPLACED_BY_MOCKS))


def watch(descriptor: int) -> Callable[[], object]:
    """Return what says at once whether a read would give something: data, the end, or an error.

    What it returns is true or false, and holds for as long as the socket is open.
    """
    if hasattr(select, "poll"):
        # Unlike select(), it knows no highest descriptor.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return functools.partial(poll.poll, 0)
    return lambda: select.select([descriptor], [], [], 0)[0]  # Windows has no poll
