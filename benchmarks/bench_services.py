"""A web service under load: 1,000 requests in flight on 500 accounts; a fifth are cancelled.

The service of `tests/examples/aiohttp_service.py` is compared with the same service written by hand
with aiohttp. Each runs in its own process, with a server that loses, cuts or garbles a tenth of its
responses. "own" is the CPU time of the code of one request, without waiting; "lies" are responses
that a create had no effect although its series exists; "posts" is the highest number of POSTs for
one series.
`python benchmarks/bench_services.py [requests in flight] [turns]`
"""

import asyncio
import contextlib
import functools
import gc
import importlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import aiohttp
import attrs
from aiohttp import web
from aiohttp.typedefs import Handler
from service_by_hand import make_app

from invoicexpress_async import SessionManager
from invoicexpress_async.testing import SandboxThread

T = TypeVar("T")

_EXAMPLES = Path(__file__).parents[1] / "tests" / "examples"
_CONNECTIONS = 100
_DEADLINE = "10"
_FAULTS = {"close_after_read": 1.0, "reset_peer": 1.0, "truncated_json": 1.0, "login_page": 1.0}
_FAULTY_SHARE = 0.1
_HUNG_UP_SHARE = 0.2


@attrs.define
class _Spent:
    """The CPU seconds of one request."""

    seconds: float = 0.0


@attrs.define(eq=False)
class _Ledger:
    """The times of the requests, and the lag of the event loop."""

    own: list[float] = attrs.field(factory=list)
    lags: list[float] = attrs.field(factory=list)

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            self.lags.append(time.perf_counter() - began - 0.01)

    def figures(self) -> dict[str, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {
            "own_p50": _percentile(self.own, 0.5),
            "own_p99": _percentile(self.own, 0.99),
            "lag_p99": _percentile(self.lags, 0.99),
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "sockets": _count_sockets(),
            "tasks": len(asyncio.all_tasks()),
        }


_SPENT: ContextVar[_Spent | None] = ContextVar("spent", default=None)
_LEDGER = _Ledger()


async def _timed(work: Awaitable[T], spent: _Spent) -> T:
    return await _steps(work, spent)


@types.coroutine
def _steps(awaitable: Awaitable[T], spent: _Spent) -> Generator[Any, Any, T]:
    """Run a coroutine, and count the time it runs, without the time it waits."""
    work = cast("Coroutine[Any, Any, T]", awaitable)
    step = functools.partial(work.send, None)
    while True:
        began = time.thread_time()
        try:
            awaited = step()
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            spent.seconds += time.thread_time() - began
        try:
            yield awaited
            step = functools.partial(work.send, None)
        except BaseException as error:  # noqa: BLE001  # thrown into the work
            step = functools.partial(work.throw, error)


def _timed_task(
    loop: asyncio.AbstractEventLoop,
    work: Any,  # noqa: ANN401  # as asyncio has it
    **options: Any,  # noqa: ANN401  # as asyncio has it
) -> asyncio.Task[Any]:
    """Create a task whose time counts for the request that started it."""
    spent = _SPENT.get()
    return asyncio.Task(_timed(work, spent) if spent else work, loop=loop, **options)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] * 1e3 if values else 0.0


def _count_sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            count += str(entry.readlink()).startswith("socket:")
    return count


class _Measured(SessionManager):
    @classmethod
    def from_env(cls, **settings: Any) -> Self:  # noqa: ANN401  # as a manager takes them
        return cls(max_connections=_CONNECTIONS, **settings)


class _Memory:
    """Replaces the example's store, whose disk time is not that of the package."""

    async def keep(self, intent: object) -> None: ...
    async def settle(self, account: str, sequence: object) -> None: ...
    async def close(self) -> None: ...


def _ours() -> web.Application:
    sys.path.insert(0, str(_EXAMPLES))
    service: Any = importlib.import_module("aiohttp_service")
    service.SessionManager, service.IntentStore = _Measured, _Memory
    app: web.Application = service.make_app()
    return app


@web.middleware
async def _accounting(request: web.Request, handler: Handler) -> web.StreamResponse:
    spent = _Spent()
    token = _SPENT.set(spent)
    try:
        return await _timed(handler(request), spent)
    finally:
        _SPENT.reset(token)
        _LEDGER.own.append(spent.seconds)


async def _figures(_: web.Request) -> web.Response:
    return web.json_response(_LEDGER.figures())


async def _watching(_: web.Application) -> AsyncIterator[None]:
    asyncio.get_running_loop().set_task_factory(_timed_task)
    watcher = asyncio.create_task(_LEDGER.watch())
    yield
    watcher.cancel()


def _serve(kind: str, port: int) -> None:
    app = (
        _ours()
        if kind == "ours"
        else make_app(connections=_CONNECTIONS, deadline_seconds=float(_DEADLINE))
    )
    app.middlewares.insert(0, _accounting)
    app.cleanup_ctx.append(_watching)
    app.router.add_get("/figures", _figures)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        backlog=2048,
        print=None,
        access_log=None,
        handler_cancellation=True,
    )


@attrs.define(eq=False)
class _Load:
    """Clients that each send the next request after a response or after hanging up."""

    url: str
    accounts: list[str]
    size: int
    rounds: int
    dice: random.Random = attrs.field(factory=lambda: random.Random(6))
    statuses: Counter[int] = attrs.field(factory=Counter)
    seconds: list[float] = attrs.field(factory=list)
    history: list[dict[str, float]] = attrs.field(factory=list)
    reported_failed: list[tuple[str, str]] = attrs.field(factory=list)
    hung_up: int = 0

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(self.size)))
        await asyncio.sleep(0.5)
        await self._look()

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        account = self.accounts[number % len(self.accounts)]
        for turn in range(self.rounds):
            serie = f"S{turn}" if number < len(self.accounts) else None
            waiting = asyncio.ensure_future(self._request(session, account, serie))
            hangs_up = self.dice.random() < _HUNG_UP_SHARE
            await asyncio.wait([waiting], timeout=self.dice.random() if hangs_up else None)
            self.hung_up += waiting.cancel()
            if number == 0:
                await self._look()

    async def _look(self) -> None:
        async with aiohttp.request("GET", f"{self.url}/figures") as answer:
            self.history.append(await answer.json())

    async def _request(
        self, session: aiohttp.ClientSession, account: str, serie: str | None
    ) -> None:
        began = time.perf_counter()
        async with session.request(
            "GET" if serie is None else "POST",
            f"{self.url}/companies/{account}/sequences",
            json=None if serie is None else {"serie": serie},
            headers={"X-Deadline-Seconds": _DEADLINE},
        ) as answer:
            body = await answer.text()
        self.statuses[answer.status] += 1
        self.seconds.append(time.perf_counter() - began)
        if serie is not None and answer.status >= 400 and "may have" not in body:  # noqa: PLR2004  # HTTP's
            self.reported_failed.append((account, serie))


@contextlib.contextmanager
def _service(kind: str, sandbox: SandboxThread, keys: Mapping[str, str]) -> Iterator[str]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        companies = Path(folder) / "companies.json"
        companies.write_text(json.dumps(dict(keys)))
        environment = {**os.environ, **sandbox.environment, "COMPANIES_FILE": str(companies)}
        command = [sys.executable, __file__, "serve", kind, str(port)]
        with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # this file
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


async def _contest(kind: str, size: int, rounds: int) -> None:
    with SandboxThread() as sandbox:
        names = [f"account-{number}" for number in range(max(size // 2, 1))]
        keys = {name: sandbox.add_account(name).api_key for name in names}
        sandbox.fail_randomly(_FAULTS, share=_FAULTY_SHARE)
        with _service(kind, sandbox, keys) as url:
            load = _Load(url, names, size, rounds)
            await load.run()
        _show(kind, load, sandbox)


def _show(kind: str, load: _Load, sandbox: SandboxThread) -> None:
    last, requests = load.history[-1], load.size * load.rounds
    lies = sandbox.call(
        lambda server: sum(server.oracle.rows(*failed) > 0 for failed in load.reported_failed)
    )
    names = [(name, f"S{turn}") for name in load.accounts for turn in range(load.rounds)]
    posts = sandbox.call(lambda server: max(server.oracle.posts(*name) for name in names))
    assert sandbox.duplicates() == ()
    print(
        f"{kind:9}{last['own_p50']:8.2f}{last['own_p99']:8.2f}"
        f"{last['cpu'] / requests * 1e3:8.2f}{last['lag_p99']:8.0f}"
        f"{_percentile(load.seconds, 0.5):8.0f}{_percentile(load.seconds, 0.99):8.0f}"
        f"{last['tasks']:7.0f}{last['sockets']:9.0f}"
        f"{posts:7}{lies:6}"
    )
    memory = " ".join(f"{one['memory']:.0f}" for one in load.history)
    print(f"{'':9}answers {dict(sorted(load.statuses.items()))}, {load.hung_up} hung up")
    print(f"{'':9}MiB {memory}")


def main(size: int, rounds: int) -> None:
    """Run both and print a table."""
    print(f"{size} requests in flight over {max(size // 2, 1)} accounts, {rounds} times")
    print(
        f"{'ms':9}{'own p50':>8}{'p99':>8}{'CPU':>8}{'lag p99':>8}{'ans. p50':>8}{'p99':>8}"
        f"{'tasks':>7}{'sockets':>9}{'posts':>7}{'lies':>6}"
    )
    for kind in ("ours", "by hand"):
        asyncio.run(_contest(kind, size, rounds))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", kind, port]:
            _serve(kind, int(port))
        case arguments:
            size, rounds = (*map(int, arguments), *(1_000, 10)[len(arguments) :])
            main(size, rounds)
