"""CPU and wall time of a typed `create` and `list`, beside the same calls written by hand.

By hand means what people write: aiohttp's `session.post(params=…, json=…)` and
`response.json()`, and the like with httpx and niquests, one session each, kept alive. All run in
turns against one canned server in another process. `python benchmarks/bench_call.py [calls]`
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import httpx
import niquests
from canned_server import canned_server

from invoicexpress_async import SessionManager

_KEY = "benchmark-key-0123456789"
_SERIE = "2023"  # the one in the canned answer
_BODY = {"sequence": {"serie": _SERIE, "default_sequence": "1"}}
_ROUNDS = 7

Call = Callable[[], Awaitable[object]]


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

    paced = (limited.account(f"acme-{number // 700}", _KEY).sequences for number in range(10**9))
    return {
        "create": {
            "ours": lambda: ours.create(_SERIE, default=True),
            "ours, with the limiter": lambda: next(paced).create(_SERIE, default=True),
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


async def _measure(name: str, contestants: dict[str, Call], calls: int) -> None:
    rounds: dict[str, list[tuple[float, float]]] = {key: [] for key in contestants}
    for call in contestants.values():
        await _time(call, 20)
    for _ in range(_ROUNDS):
        for key, call in contestants.items():
            rounds[key].append(await _time(call, calls))
    print(f"\n{name}: {calls} calls in each of {_ROUNDS} rounds; ratios are ours / theirs")
    print(f"{'':24}{'CPU µs':>10}{'wall µs':>10}{'CPU ratio':>12}{'wall ratio':>12}")
    for key, figures in rounds.items():
        cpu, wall = (statistics.median(one[part] for one in figures) for part in (0, 1))
        ratios = [
            statistics.median(
                mine[part] / theirs[part]
                for mine, theirs in zip(rounds["ours"], figures, strict=True)
            )
            for part in (0, 1)
        ]
        print(f"{key:24}{cpu * 1e6:10.0f}{wall * 1e6:10.0f}{ratios[0]:12.2f}{ratios[1]:12.2f}")


async def main(calls: int) -> None:
    """Measure both verbs."""
    with canned_server() as port:
        async with AsyncExitStack() as stack:
            everybody = await _open_all(f"http://127.0.0.1:{port}/{{account}}", stack)
            for name, contestants in everybody.items():
                await _measure(name, contestants, calls)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
