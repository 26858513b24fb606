"""A server that closes idle connections without notice, over a line with latency."""

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any, Self

import attrs
from scripted import row_of

from invoicexpress_async.clock import Clock


@attrs.define(eq=False)
class ClosingServer:
    """Responds to creates and lists, and loses requests on a connection that it has closed.

    The line is modelled with the clock. For a request that the client sends `d` seconds after a
    response arrived, the server has been idle for `d` plus two latencies; the request is lost if
    that is `idle_seconds` or more. The client sees the end of the connection once `d` is that long.

    Attributes:
        idle_seconds: The idle time after which the server closes a connection.
        latency_seconds: The latency of one way.
        clock: The clock, shared with the client.
        posts: How many creates were carried out, by serie.
        lost: How many creates reached a connection that was already closed.
        connections: How many connections were opened.
    """

    idle_seconds: float
    latency_seconds: float
    clock: Clock
    posts: Counter[str] = attrs.field(factory=Counter)
    lost: int = 0
    connections: int = 0
    _tasks: set["asyncio.Task[None]"] = attrs.field(factory=set)
    _server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{{account}}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.create_task(self._connection(reader, writer)))
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        answered_at: float | None = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await self._next(reader, answered_at)
                if answered_at is not None:
                    idle = self.clock.now() - answered_at + 2 * self.latency_seconds
                    if idle >= self.idle_seconds:
                        self.lost += head.startswith("POST")
                        break
                writer.write(self._response(head, body))
                answered_at = self.clock.now()
        writer.close()

    async def _next(
        self, reader: asyncio.StreamReader, answered_at: float | None
    ) -> tuple[str, bytes]:
        """Return a request, or raise once the client can see that the connection has ended."""
        read = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        try:
            while not read.done() and (  # noqa: ASYNC110  # a fake clock has no event
                answered_at is None or self.clock.now() - answered_at < self.idle_seconds
            ):
                await asyncio.sleep(0)  # the fake clock has no event to wait for
            if not read.done():
                raise ConnectionError
            head = read.result().decode()
        finally:
            read.cancel()
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0
        )
        return head, await reader.readexactly(length)

    def _response(self, head: str, body: bytes) -> bytes:
        document: dict[str, Any]
        if head.startswith("POST"):
            serie = json.loads(body)["sequence"]["serie"]
            self.posts[serie] += 1
            status, document = "201 Created", {"sequence": row_of(len(self.posts), serie)}
        else:
            rows = [row_of(number, serie) for number, serie in enumerate(self.posts, 1)]
            status, document = "200 OK", {"sequences": rows}
        text = json.dumps(document).encode()
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        ).encode() + text
