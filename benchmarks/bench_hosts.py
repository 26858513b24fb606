"""The real work: a TLS host for each account. Measures the CPU of a call and of an account.

`service`: creates on the hosts in turn, with the default settings. `job`: a list and a create for
each account, without a journal and with one. Compared with aiohttp by hand, a floor of raw asyncio
that parses nothing, and clients written in Rust, if they are installed
(`pip install ry pyreqwest wreq`). Each contestant runs in its own process. One TLS context is made
and all modules are loaded before the measurement; the CPU is that of the whole process, including
its threads.

In a job, a single aiohttp session leaves a socket for each account, with asyncio's buffer of 256
KiB; a session for each account closes its socket, as ours does. In a service, a create for an
account that had no request in the last second makes a new connection. `handshakes` is the most of
any round: do not compare a round that has some with a round that has none.

`python benchmarks/bench_hosts.py [hosts ...]`
"""

import asyncio
import contextlib
import functools
import gc
import importlib.util
import json
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from bench_accounts import LoopbackResolver
from hosts_server import DOMAIN, HostsServer, hosts_server
from rust_clients import RUST

from invoicexpress_async import SessionManager
from invoicexpress_async.provisioning import Plan, PlanRow, SqliteJournal, provision

_KEY: Final = "benchmark-key-0123456789"
_SERIE: Final = "2023"  # the serie in the canned response
_BODY: Final = {"sequence": {"serie": _SERIE, "default_sequence": "1"}}
_AT_ONCE: Final = 50
_ROUNDS: Final = 5
_BARE: Final = "aiohttp by hand"
_SESSIONS: Final = "aiohttp, session each"
_JOURNAL: Final = "ours, with a journal"
_KINDS: Final = ("ours", _JOURNAL, "ours, uvloop", _BARE, "aiohttp by hand, uvloop", _SESSIONS,
                 f"{_SESSIONS}, uvloop", "raw asyncio", *RUST)  # fmt: skip

Call = Callable[[str], Coroutine[object, object, object]]
Figures = dict[str, float]


@contextlib.asynccontextmanager
async def _opened(
    kind: str, port: int, names: list[str], folder: Path
) -> AsyncIterator[tuple[Call, Call]]:
    """Yield two calls, which list and create for an account by name."""
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if kind.startswith("ours"):
        async with _manager(port, trust) as manager:
            yield (
                lambda name: manager.account(name, _KEY).sequences.list(),
                lambda name: manager.account(name, _KEY).sequences.create(_SERIE, default=True),
            )
    elif kind.startswith(_BARE):
        async with _session(trust) as session:
            yield _by_hand(session, port)
    elif kind == "raw asyncio":
        raw = _Raw(port, trust)
        yield (lambda name: raw.call(name, b""), lambda name: raw.call(name, _RAW_BODY))
        raw.close()
    else:
        client = RUST[kind](port, names, folder)
        yield (
            lambda name: client(_url(port, name), None),
            lambda name: client(_url(port, name), _BODY),
        )


def _manager(port: int, trust: ssl.SSLContext) -> SessionManager:
    return SessionManager(
        base_url=f"https://{{account}}.{DOMAIN}:{port}",
        ssl_context=trust,
        resolver=LoopbackResolver(),
        rate_limit=None,
    )


def _url(port: int, name: str) -> str:
    return f"https://{name}.{DOMAIN}:{port}/sequences.json?api_key={_KEY}"


def _session(trust: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=trust, resolver=LoopbackResolver(), limit=0)
    return aiohttp.ClientSession(connector=connector)


def _by_hand(session: aiohttp.ClientSession, port: int) -> tuple[Call, Call]:
    async def listed(name: str) -> object:
        async with session.get(_url(port, name)) as response:
            return await response.json()

    async def created(name: str) -> object:
        async with session.post(_url(port, name), json=_BODY) as response:
            return await response.json()

    return listed, created


_RAW_BODY: Final = json.dumps(_BODY).encode()


class _Raw:
    """Connections by host, without parsing: the lower bound for any client on asyncio."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._port, self._trust = port, trust
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def call(self, name: str, body: bytes) -> bytes:
        host = f"{name}.{DOMAIN}"
        if name not in self._open:
            self._open[name] = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._trust, server_hostname=host
            )
        reader, writer = self._open[name]
        head = f"{'POST' if body else 'GET'} /sequences.json?api_key={_KEY} HTTP/1.1\r\n"
        length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Host: {host}\r\n{length if body else ''}\r\n".encode() + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        size = int(answered.rpartition(b": ")[2])
        return await reader.readexactly(size)

    def close(self) -> None:
        for _, writer in self._open.values():
            writer.transport.abort()


async def _all(calls: Sequence[Callable[[], Coroutine[object, object, object]]]) -> None:
    pending = iter(calls)

    async def work() -> None:
        for call in pending:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())


async def _service(kind: str, port: int, hosts: int, folder: Path) -> None:
    names = [f"account-{number}" for number in range(hosts)]
    async with _opened(kind, port, names, folder) as (listed, create):
        # Warm up the handshakes, the imports of a first call, and connections that are used again.
        # With reads, since a create after over a second idle takes a new connection, by design.
        for call in (listed, listed, listed, create):
            await _all([functools.partial(call, name) for name in names])
        turn = [functools.partial(create, name) for name in names]
        turns = max(1, 4_000 // hosts)
        clock = _Clock()
        clock.start()
        await _all(turn * turns)
        clock.stop()
        clock.end(calls=hosts * turns)


async def _job(kind: str, port: int, hosts: int, folder: Path) -> None:
    names = [f"account-{number}" for number in range(hosts)]
    clock = _Clock()
    if kind.startswith("ours"):
        trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        async with _manager(port, trust) as manager, _journals(kind, folder) as (warm, journal):
            await provision(manager, _plan(["warm"]), journal=warm)
            plan = _plan(names)
            clock.start()
            await provision(manager, plan, journal=journal)
            clock.stop()
    else:
        async with _rows(kind, port, ["warm", *names], folder) as row:
            await row("warm")
            clock.start()
            await _all([functools.partial(row, name) for name in names])
            clock.stop()
    clock.end(calls=hosts)  # closing the connections is part of a job


@contextlib.asynccontextmanager
async def _rows(kind: str, port: int, names: list[str], folder: Path) -> AsyncIterator[Call]:
    """Yield what lists and creates for an account."""

    async def row(calls: tuple[Call, Call], name: str) -> None:
        listed, create = calls
        await listed(name)
        await create(name)

    if kind.startswith(_SESSIONS):
        trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))

        async def row_of_a_session(name: str) -> None:
            async with _session(trust) as session:
                await row(_by_hand(session, port), name)

        yield row_of_a_session
    else:
        async with _opened(kind, port, names, folder) as calls:
            yield functools.partial(row, calls)


@contextlib.asynccontextmanager
async def _journals(kind: str, folder: Path) -> AsyncIterator[tuple[SqliteJournal | None, ...]]:
    if kind != _JOURNAL:
        yield None, None
        return
    with tempfile.TemporaryDirectory(dir=folder) as own:
        files = [Path(own) / name for name in ("warm.db", "job.db")]
        async with SqliteJournal(files[0]) as warm, SqliteJournal(files[1]) as journal:
            yield warm, journal


def _plan(names: list[str]) -> Plan:
    return Plan(
        rows=[PlanRow(account=name, api_key=_KEY, serie=_SERIE, is_default=True) for name in names]
    )


class _Clock:
    """Measures CPU and time between `start` and `stop`, and the CPU until `end`."""

    def start(self) -> None:
        print("warm", flush=True)
        sys.stdin.readline()
        gc.collect()
        self._started, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        self._seconds = time.perf_counter() - self._started
        print("done", flush=True)
        sys.stdin.readline()  # wait until the connections of the server are counted

    def end(self, *, calls: int) -> None:
        figures = {
            "us": (time.process_time() - self._cpu) / calls * 1e6,
            "rate": calls / self._seconds,
            "memory": _resident_mib(),
        }
        print(json.dumps(figures), flush=True)


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _contest(kind: str, use: str, hosts: int, folder: Path, server: HostsServer) -> Figures:
    with subprocess.Popen(  # noqa: S603  # this very file
        [sys.executable, __file__, use, kind, str(server.port), str(hosts), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "warm", kind
        before, _ = server.counts()
        print(file=process.stdin, flush=True)
        assert process.stdout.readline().strip() == "done", kind
        made, opened = server.counts()
        print(file=process.stdin, flush=True)
        figures: Figures = json.loads(process.stdout.readline())
    return {**figures, "handshakes": made - before, "sockets": opened}


def _is_installed(kind: str) -> bool:
    return kind not in RUST or importlib.util.find_spec(kind) is not None


def measure(use: str, hosts: int, folder: Path) -> dict[str, Figures]:
    """Return the median figures of all contestants, run in turns; the ratios are of each turn."""
    kinds = [kind for kind in _KINDS if _is_installed(kind)]
    # A service with a journal sends a create of the same serie only once.
    only_job = (_JOURNAL, _SESSIONS, f"{_SESSIONS}, uvloop")
    runs: dict[str, list[Figures]] = {
        kind: [] for kind in kinds if use == "job" or kind not in only_job
    }
    with hosts_server(folder) as server:
        for _ in range(_ROUNDS):
            for kind, figures in runs.items():
                figures.append(_contest(kind, use, hosts, folder, server))
            for figures in runs.values():
                figures[-1]["ratio"] = figures[-1]["us"] / runs[_BARE][-1]["us"]
    return {kind: _medians(figures) for kind, figures in runs.items()}


def _medians(figures: list[Figures]) -> Figures:
    medians = {name: statistics.median(one[name] for one in figures) for name in figures[0]}
    return {**medians, "handshakes": max(one["handshakes"] for one in figures)}


def main(sizes: list[int]) -> None:
    """Print a table for each use and size."""
    for kind in _KINDS:
        if not _is_installed(kind):
            print(f"{kind} is not installed: left out")
    with tempfile.TemporaryDirectory() as folder:
        for use in ("service", "job"):
            for hosts in sizes:
                _print(use, hosts, measure(use, hosts, Path(folder)))


def _print(use: str, hosts: int, table: dict[str, Figures]) -> None:
    unit = "a create" if use == "service" else "an account (list and create)"
    print(f"{use}: {hosts} TLS hosts, CPU of {unit}")
    print(f"  {'':30}{'µs':>7}{'ratio':>7}{'/s':>7}{'MiB':>6}{'handshakes':>12}{'sockets':>9}")
    for kind, row in table.items():
        print(
            f"  {kind:30}{row['us']:7.0f}{row['ratio']:7.2f}{row['rate']:7.0f}{row['memory']:6.0f}"
            f"{row['handshakes']:12.0f}{row['sockets']:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["service" | "job" as use, kind, port, hosts, folder]:
            run = uvloop.run if "uvloop" in kind else asyncio.run
            contest = _service if use == "service" else _job
            run(contest(kind, int(port), int(hosts), Path(folder)))
        case sizes:
            counts = [int(size) for size in sizes] or [250, 1_000]
            if min(counts) < 2 * _AT_ONCE:
                sys.exit(f"Give {2 * _AT_ONCE} hosts or more: {_AT_ONCE} calls are made at a time.")
            main(counts)
