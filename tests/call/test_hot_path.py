"""The cost of one typed create in function calls: a count, which no busy machine can change.

`benchmarks/bench_call.py` measures the CPU time. This only stops a change that makes a create
much more expensive than the same call by hand.
"""

import importlib.util
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import aiohttp

from invoicexpress_async import SessionManager

HERE = Path(__file__).parents[1]
KEY = "hot-path-key-0123456789"
SERIE = "2023"  # the one in the canned answer
MOST_OVER_BY_HAND = 1.25  # 1.06 on Python 3.11


async def count(call: Callable[[], Awaitable[object]]) -> int:
    """Return how many function calls one run makes."""
    calls = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    for _ in range(3):  # what a first call loads, and the connection
        await call()
    runs: list[int] = []
    for _ in range(10):
        calls = 0
        sys.setprofile(note)
        try:
            await call()
        finally:
            sys.setprofile(None)
        runs.append(calls)
    return min(runs)  # the fewest: an answer that comes in two pieces is read twice


async def measure() -> float:
    """Return the calls of a typed create over those of one by hand."""
    path = HERE.parent / "benchmarks" / "canned_server.py"
    spec = importlib.util.spec_from_file_location("canned_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.canned_server() as port:
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        url, body = (
            base_url.format(account="acme"),
            {"sequence": {"serie": SERIE, "default_sequence": "1"}},
        )
        async with SessionManager(base_url=base_url) as manager, aiohttp.ClientSession() as session:
            sequences = manager.account("acme", KEY).sequences

            async def by_hand() -> object:
                target = f"{url}/sequences.json"
                async with session.post(target, params={"api_key": KEY}, json=body) as response:
                    return await response.json()

            return await count(lambda: sequences.create(SERIE, default=True)) / await count(by_hand)


async def test_a_typed_create_makes_about_as_many_calls_as_one_by_hand() -> None:
    assert await measure() < MOST_OVER_BY_HAND
