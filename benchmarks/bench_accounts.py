"""Many callers on as many accounts over TLS: time, sockets, memory and event-loop lag.

Every account is its own host, `NAME.app.invoicexpress.com`, resolved to this machine. Our manager
is compared with the same calls through one bare aiohttp session, and through one behind a
semaphore. Each contestant runs in its own process, against a server in another process.
`python benchmarks/bench_accounts.py [accounts]`
"""

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import aiohttp
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from invoicexpress_async import SessionManager, Timeouts
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

_KEY = "benchmark-key-0123456789"
_CONNECTIONS = 100
_CONTESTANTS = ("ours", "bare aiohttp", "aiohttp + semaphore")

Call = Callable[[str], Coroutine[object, object, object]]


class LoopbackResolver(AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return this machine's address."""
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0,
                              flags=socket.AI_NUMERICHOST)]  # fmt: skip

    async def close(self) -> None:
        """Do nothing: no resource is held."""


async def _serve(folder: Path, accounts: int) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("*.app.invoicexpress.com").configure_cert(context)
    names = [SandboxAccount(name=f"account-{number}", api_key=_KEY) for number in range(accounts)]
    async with FaultServer(accounts=names, ssl_context=context) as server:
        print(server.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def _caller(kind: str, base_url: str, trust: ssl.SSLContext) -> AsyncIterator[Call]:
    if kind == "ours":
        async with SessionManager(
            base_url=base_url,
            ssl_context=trust,
            resolver=LoopbackResolver(),
            max_connections=_CONNECTIONS,
            timeouts=Timeouts(total_seconds=600),
        ) as manager:
            yield lambda name: manager.account(name, _KEY).sequences.list()
        return
    connector = aiohttp.TCPConnector(ssl=trust, resolver=LoopbackResolver(), limit=_CONNECTIONS)
    semaphore = asyncio.Semaphore(_CONNECTIONS if "semaphore" in kind else 10**9)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def call(name: str) -> object:
            url = f"{base_url.format(account=name)}/sequences.json"
            async with semaphore, session.get(url, params={"api_key": _KEY}) as response:
                return await response.json()

        yield call


async def _watch(lags: list[float], sockets: list[int]) -> None:
    turn = 0
    while True:
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - started - 0.01)
        turn += 1
        if turn % 20 == 0:  # reading /proc takes longer than the lag that is measured
            sockets.append(_count_sockets())


def _count_sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor was closed meanwhile
            count += str(entry.readlink()).startswith("socket:")
    return count


async def _contest(kind: str, base_url: str, folder: Path, accounts: int) -> None:
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    lags: list[float] = []
    sockets: list[int] = []
    async with _caller(kind, base_url, trust) as call:
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        watcher = asyncio.create_task(_watch(lags, sockets))
        started, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(accounts):
                group.create_task(call(f"account-{number}"))
        figures = {
            "seconds": time.perf_counter() - started,
            "cpu": time.process_time() - cpu,
            "sockets": max(sockets, default=0),
            "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024,
            "lag": sorted(lags)[int(len(lags) * 0.99)] * 1e3,
        }
        watcher.cancel()
    print(json.dumps(figures))


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # this very file
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main(accounts: int) -> None:
    """Run every contestant against a fresh server and print a table."""
    print(f"{accounts} callers on {accounts} accounts over TLS, {_CONNECTIONS} connections")
    print(f"{'':22}{'s':>7}{'ratio':>7}{'CPU s':>7}{'sockets':>9}{'+MiB':>7}{'lag p99 ms':>12}")
    ours = 0.0
    for kind in _CONTESTANTS:
        with (
            tempfile.TemporaryDirectory() as folder,
            _start("serve", folder, str(accounts)) as server,
        ):
            assert server.stdout is not None
            assert server.stdin is not None
            base_url = server.stdout.readline().strip()
            with _start("contest", folder, str(accounts), kind, base_url) as contestant:
                output, _ = contestant.communicate()
            server.stdin.close()
            row = json.loads(output)
            ours = ours or row["seconds"]
            print(
                f"{kind:22}{row['seconds']:7.1f}{ours / row['seconds']:7.2f}{row['cpu']:7.1f}"
                f"{row['sockets']:9}{row['memory']:7.0f}{row['lag']:12.0f}"
            )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder, accounts]:
            asyncio.run(_serve(Path(folder), int(accounts)))
        case ["contest", folder, accounts, kind, base_url]:
            asyncio.run(_contest(kind, base_url, Path(folder), int(accounts)))
        case arguments:
            main(int(arguments[0]) if arguments else 10_000)
