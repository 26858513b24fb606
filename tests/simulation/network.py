"""A network without sockets, between aiohttp's protocol and the model of the server."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

from simulation.loop import Process, SimulatedLoop
from simulation.server import KEY, Message, Server, response
from simulation.trace import Trace
from simulation.troubles import LATE, LOST, Fate, Troubles

_ADDRESS: Final = "203.0.113.1"  # of the block TEST-NET-3, reserved for documentation
_IDLE_SECONDS: Final = (0.5, 4.0, 60.0)


class Resolver(AbstractResolver):
    """Resolves every name to one address."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=_ADDRESS, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Do nothing: no resource is held."""


@attrs.define(kw_only=True, eq=False)
class Network:
    """Carries requests to the server, and applies the fate that the seed decides for each.

    Attributes:
        on_send: Called with each request when its first byte leaves.
        on_refused: Called with a request when the client gets a refusal without any effect.
        on_list: Called when a complete list is delivered, with its account, its payload and the
            time at which the server made it.
    """

    loop: SimulatedLoop
    server: Server
    troubles: Troubles
    trace: Trace
    on_send: Callable[[Message], None]
    on_refused: Callable[[Message], None]
    on_list: Callable[[str, Any, float], None]

    async def connect(self) -> None:
        """Open a connection, or raise ConnectionRefusedError."""
        fails, process = self.troubles.connect_fails(), self.loop.process
        await asyncio.sleep(self.troubles.latency())
        if fails or not process.is_alive:
            raise ConnectionRefusedError(111, "refused")

    def send(self, connection: "Connection", data: bytes) -> None:
        """Take a request from a client, and decide whether and how it reaches the server."""
        request = Message.parse(data)
        self.troubles.strike("the first byte of a request leaves")
        if not self.loop.process.is_alive:
            return
        fate = self.troubles.fate()
        if connection.is_stale:
            fate = Fate.LOST_RESET
        self.trace.note(f"-> {request.label} [{fate}]")
        self.trace.troubles[f"{'read' if request.method == 'GET' else 'write'}: {fate}"] += 1
        self.on_send(request)
        if fate in LOST:
            if fate is Fate.LOST_RESET:
                self.loop.in_world(self.troubles.latency(), connection.reset)
            return
        self.loop.in_world(self.troubles.latency(), self._arrive, connection, request, fate)

    def _arrive(self, connection: "Connection", request: Message, fate: Fate) -> None:
        takes = self.troubles.latency()
        if request.key != KEY:
            self.loop.in_world(takes, connection.receive, response(401, " "))
        elif fate is Fate.FAILED_5XX:
            self.loop.in_world(takes, connection.receive, response(503, " "))
        elif fate is Fate.REFUSED_429:
            self.loop.in_world(takes, self._refuse, connection, request)
        elif fate in LATE and request.method != "GET":
            self.loop.in_world(self.troubles.late_seconds(), self.server.apply, request)
            if fate is Fate.LATE_504:
                self.loop.in_world(takes, connection.receive, response(504, " "))
        else:
            self.loop.in_world(takes, self._apply, connection, request, fate)

    def _apply(self, connection: "Connection", request: Message, fate: Fate) -> None:
        status, payload = self.server.apply(request)
        data, takes = response(status, payload), self.troubles.latency()
        if fate is Fate.ANSWERED:
            if request.method == "GET" and request.path == "/sequences.json":
                made = partial(self.on_list, request.account, payload, self.loop.now)
                self.loop.in_world(takes, self._deliver_list, connection, made, data)
            else:
                self.loop.in_world(takes, connection.receive, data)
        elif fate is Fate.DONE_RESET:
            self.loop.in_world(takes, connection.reset)
        elif fate is Fate.DONE_CUT:
            self.loop.in_world(takes, connection.receive, data[: len(data) * 2 // 3])
            self.loop.in_world(takes + 0.1, connection.reset)
        elif fate is Fate.DONE_5XX:
            self.loop.in_world(takes, connection.receive, response(502, "<html>"))
        elif fate is Fate.DONE_GARBLED:
            self.loop.in_world(takes, connection.receive, response(status, '{"sequence'))

    def _refuse(self, connection: "Connection", request: Message) -> None:
        if connection.receive(response(429, " ")):
            self.on_refused(request)

    def _deliver_list(
        self, connection: "Connection", on_list: Callable[[], None], data: bytes
    ) -> None:
        if connection.receive(data):
            on_list()


class Connection(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, network: Network, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._network = network
        self._loop = network.loop
        self._process: Process = network.loop.process
        self._protocol = protocol
        self._is_closing = False
        self._used = 0
        self._idle_seconds = network.troubles.chance.choice(_IDLE_SECONDS)
        self.is_stale = False

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if self._process.is_alive and not self._is_closing:
            self._used += 1
            self._network.send(self, bytes(data))

    def receive(self, data: bytes) -> bool:
        """Deliver data to the client; return whether the client still receives it."""
        if self._is_closing or not self._process.is_alive:
            return False
        self._call(self._arrive, data)
        self._loop.in_world(self._idle_seconds, self._end_idle, self._used)
        return True

    def _arrive(self, data: bytes) -> None:
        if self._network.troubles.strikes_responses:
            self._network.troubles.strike("a response arrives")
        self._protocol.data_received(data)

    def reset(self) -> None:
        """Reset the connection."""
        if not self._is_closing and self._process.is_alive:
            self._lose(ConnectionResetError(104, "reset"))

    def _end_idle(self, used: int) -> None:
        # The server closes the connection. The client sees it a moment later, and may write before.
        if used == self._used and not self._is_closing and not self._network.troubles.is_calm:
            self.is_stale = True
            self._loop.in_world(0.03, self._hang_up)

    def _hang_up(self) -> None:
        if not self._is_closing and self._process.is_alive:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        self._is_closing = True
        self._call(self._protocol.connection_lost, error)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        self._loop.call_in(self._process, callback, *args)

    def close(self) -> None:
        if not self._is_closing:
            self._lose(None)

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002  # there is no such information
        return default

    def pause_reading(self) -> None:
        """Do nothing: data do not come in pieces."""

    def resume_reading(self) -> None:
        """Do nothing: data do not come in pieces."""
