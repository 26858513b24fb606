"""A network that can be cut: a process with a separate way from each worker to each server.

While a way is cut nothing passes. Data wait, like packets that are retransmitted, and pass later or
are lost with the connection.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import attrs
from soak_server import CONTEXT

_PIECE_BYTES = 65_536
_SOCKET = ".s.PGSQL.5432"


@attrs.define(eq=False)
class _Way:
    """One listener, and its connections to the server behind it."""

    upstream: tuple[str, int] | str
    is_open: asyncio.Event = attrs.field(factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = attrs.field(factory=set[asyncio.StreamWriter])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            await self.is_open.wait()
            if isinstance(self.upstream, str):
                there = await asyncio.open_unix_connection(self.upstream)
            else:
                there = await asyncio.open_connection(*self.upstream)
            self.writers.add(there[1])
            try:
                await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))
            finally:
                there[1].close()
                self.writers.discard(there[1])
        except OSError:
            pass  # the server is down, or one side has left
        finally:
            writer.close()
            self.writers.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await self.is_open.wait()
            writer.write(piece)
            await writer.drain()
        writer.close()

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


async def _run(folder: Path, database: str, base_url: str, workers: int, pipe: Connection) -> None:
    ways: dict[str, _Way] = {}
    parts = urlsplit(base_url.replace("{account}", "x"))
    async with contextlib.AsyncExitStack() as stack:
        urls: list[tuple[str, str]] = []
        for number in range(workers):
            way = ways[f"database {number}"] = _Way(f"{database}/{_SOCKET}")
            place = folder / f"w{number}"
            place.mkdir()
            await stack.enter_async_context(
                await asyncio.start_unix_server(way.serve, place / _SOCKET)
            )
            way = ways[f"server {number}"] = _Way((str(parts.hostname), parts.port or 80))
            server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            port = server.sockets[0].getsockname()[1]
            urls.append((str(place), base_url.replace(f":{parts.port}", f":{port}")))
        for way in ways.values():
            way.is_open.set()
        pipe.send(urls)
        while (command := await asyncio.to_thread(pipe.recv)) is not None:
            what, name = command
            match what:
                case "cut":
                    ways[name].is_open.clear()
                case "heal":
                    ways[name].is_open.set()
                case _:
                    ways[name].reset()
                    ways[name].is_open.set()


def _run_network(
    folder: Path, database: str, base_url: str, workers: int, pipe: Connection
) -> None:
    asyncio.run(_run(folder, database, base_url, workers, pipe))


@attrs.define(kw_only=True)
class Network:
    """A network whose ways are named "database 0" or "server 0", with the worker's number.

    Attributes:
        databases: By worker: the address of its database.
        base_urls: By worker: the base URL of its server.
        namespaces: By worker: the network namespace of these addresses, if they have one.
        authority: The certificate authority that the workers trust, if there is a special one.
    """

    databases: list[str]
    base_urls: list[str]
    namespaces: list[str | None]
    authority: Path | None = None
    _pipe: Connection | None = None

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, folder: Path, database: str, base_url: str, workers: int
    ) -> Iterator["Network"]:
        """Run the network, to the folder of the database's socket and to the server."""
        here, there = CONTEXT.Pipe()
        arguments = (folder, database, base_url, workers, there)
        process = CONTEXT.Process(target=_run_network, args=arguments, daemon=True)
        process.start()
        urls: list[tuple[str, str]] = here.recv()
        try:
            yield cls(
                databases=[f"postgresql://ix@/postgres?host={one}" for one, _ in urls],
                base_urls=[one for _, one in urls],
                namespaces=[None] * workers,
                pipe=here,
            )
        finally:
            process.kill()
            process.join()

    def cut(self, way: str) -> None:
        """Cut a way."""
        self._report("cut", way)

    def heal(self, way: str, *, loses: bool) -> None:
        """Connect a way again; with `loses`, reset all of its connections."""
        self._report("reset" if loses else "heal", way)

    def _report(self, what: str, way: str) -> None:
        assert self._pipe is not None
        self._pipe.send((what, way))
