"""CPU and wall time of a typed `create` and `list`, compared with the same calls by hand.

"By hand" is what people usually write: aiohttp's `session.post(params=…, json=…)` and
`response.json()`, and the same with httpx and niquests, one session each, kept alive. All run in
turns against one canned server in another process; `create` also on uvloop. A service with a
journal, which claims each create on the disk before it is sent, is compared with one without.
`python benchmarks/bench_call.py [calls]`
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
import httpx
import niquests
import uvloop
from canned_server import canned_server

from invoicexpress_async import AccountSession, SessionManager
from invoicexpress_async.provisioning import SqliteJournal

_KEY = "benchmark-key-0123456789"
_SERIE = "2023"  # the serie in the canned response
_BODY = {"sequence": {"serie": _SERIE, "default_sequence": "1"}}
_ROUNDS = 7
_TOGETHER = 50
_WITHIN_THE_LIMIT = 300  # calls of one account, so that no call waits for the limiter

Call = Callable[[], Awaitable[object]]


class Figures(NamedTuple):
    """The microseconds of a call, and our microseconds divided by them."""

    cpu: float
    wall: float
    cpu_ratio: float
    wall_ratio: float


async def _open_all(base_url: str, stack: AsyncExitStack) -> dict[str, dict[str, Call]]:
    url = f"{base_url.format(account='acme')}/sequences.json"
    params = {"api_key": _KEY}
    manager = await stack.enter_async_context(SessionManager(base_url=base_url, rate_limit=None))
    limited = await stack.enter_async_context(SessionManager(base_url=base_url))
    ours = manager.account("acme", _KEY).sequences
    by_hand = await stack.enter_async_context(aiohttp.ClientSession())
    with_httpx = await stack.enter_async_context(httpx.AsyncClient())
    with_niquests = await stack.enter_async_context(niquests.AsyncSession())

    async def post_by_hand() -> object:
        async with by_hand.post(url, params=params, json=_BODY) as response:
            return await response.json()

    async def get_by_hand() -> object:
        async with by_hand.get(url, params=params) as response:
            return await response.json()

    async def post_with_httpx() -> object:
        return (await with_httpx.post(url, params=params, json=_BODY)).json()

    async def get_with_httpx() -> object:
        return (await with_httpx.get(url, params=params)).json()

    async def post_with_niquests() -> object:
        return (await with_niquests.post(url, params=params, json=_BODY)).json()

    async def get_with_niquests() -> object:
        return (await with_niquests.get(url, params=params)).json()

    def fresh() -> AccountSession:
        return limited.account(f"acme-{next(numbers) // _WITHIN_THE_LIMIT}", _KEY)

    numbers = itertools.count()
    paced = (kept for _ in itertools.count() for kept in [fresh()] * _WITHIN_THE_LIMIT)
    return {
        "create": {
            "ours": lambda: next(paced).sequences.create(_SERIE, default=True),
            "ours, a handle a call": lambda: fresh().sequences.create(_SERIE, default=True),
            "ours, without limiter": lambda: ours.create(_SERIE, default=True),
            "aiohttp by hand": post_by_hand,
            "httpx by hand": post_with_httpx,
            "niquests by hand": post_with_niquests,
        },
        "list": {
            "ours": ours.list,
            "aiohttp by hand": get_by_hand,
            "httpx by hand": get_with_httpx,
            "niquests by hand": get_with_niquests,
        },
    }


async def _time(call: Call, calls: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        await call()
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


async def _open_journaled(
    base_url: str, folder: Path, stack: AsyncExitStack
) -> dict[str, dict[str, Call]]:
    """Return calls that create on new accounts, for a service with a journal and one without."""
    journal = await stack.enter_async_context(SqliteJournal(folder / "service.db", shared=True))
    with_journal = SessionManager(base_url=base_url, journal=journal)
    without = SessionManager(base_url=base_url)
    numbers = itertools.count()

    async def create(manager: SessionManager) -> object:
        return await manager.account(f"acme-{next(numbers)}", _KEY).sequences.create(
            _SERIE, default=True
        )

    async def create_together(manager: SessionManager) -> object:
        return await asyncio.gather(*(create(manager) for _ in range(_TOGETHER)))

    for manager in (with_journal, without):
        await stack.enter_async_context(manager)
    return {
        "create": {
            "ours": lambda: create(with_journal),
            "without a journal": lambda: create(without),
        },
        "together": {
            "ours": lambda: create_together(with_journal),
            "without a journal": lambda: create_together(without),
        },
    }


async def _measure(contestants: dict[str, Call], calls: int) -> dict[str, Figures]:
    rounds: dict[str, list[tuple[float, float]]] = {key: [] for key in contestants}
    for call in contestants.values():
        await _time(call, 20)
    for _ in range(_ROUNDS):
        for key, call in contestants.items():
            rounds[key].append(await _time(call, calls))
    figures: dict[str, Figures] = {}
    for key, theirs in rounds.items():
        cpu, wall = (statistics.median(one[part] for one in theirs) * 1e6 for part in (0, 1))
        cpu_ratio, wall_ratio = (
            statistics.median(
                mine[part] / other[part] for mine, other in zip(rounds["ours"], theirs, strict=True)
            )
            for part in (0, 1)
        )
        figures[key] = Figures(cpu, wall, cpu_ratio, wall_ratio)
    return figures


async def measure(verb: str, calls: int) -> dict[str, Figures]:
    """Measure one verb, on the running event loop."""
    with canned_server() as port:
        async with AsyncExitStack() as stack:
            everybody = await _open_all(f"http://127.0.0.1:{port}/{{account}}", stack)
            return await _measure(everybody[verb], calls)


async def measure_journal(verb: str, calls: int) -> dict[str, Figures]:
    """Measure creates with a journal, one after the other or together."""
    with canned_server() as port, tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            base_url = f"http://127.0.0.1:{port}/{{account}}"
            everybody = await _open_journaled(base_url, Path(folder), stack)
            return await _measure(everybody[verb], calls)


def _print(name: str, figures: dict[str, Figures], calls: int) -> None:
    print(f"\n{name}: {calls} calls in each of {_ROUNDS} rounds; ratios are ours / theirs")
    print(f"{'':24}{'CPU µs':>10}{'wall µs':>10}{'CPU ratio':>12}{'wall ratio':>12}")
    for key, row in figures.items():
        print(f"{key:24}{row.cpu:10.0f}{row.wall:10.0f}{row.cpu_ratio:12.2f}{row.wall_ratio:12.2f}")


def main(calls: int) -> None:
    """Measure both verbs, and `create` on uvloop."""
    for verb in ("create", "list"):
        _print(verb, asyncio.run(measure(verb, calls)), calls)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        _print("create on uvloop", runner.run(measure("create", calls)), calls)
    name = "create with a journal, one after the other"
    _print(name, asyncio.run(measure_journal("create", calls)), calls)
    batches = max(1, calls // _TOGETHER)
    name = f"create with a journal, {_TOGETHER} at a time (of {_TOGETHER} calls)"
    _print(name, asyncio.run(measure_journal("together", batches)), batches)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
