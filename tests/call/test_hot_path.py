"""The cost of one typed create in function calls: a count, which no busy machine can change.

`benchmarks/bench_call.py` measures the CPU time. This only stops a change that makes a create
much more expensive than the same call by hand.
"""

import runpy
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

from invoicexpress_async import SessionManager

CANNED_SERVER = Path(__file__).parents[2] / "benchmarks" / "canned_server.py"
KEY = "hot-path-key-0123456789"
SERIE = "2023"  # the one in the canned answer
MOST_CALLS = 500  # 460 on Python 3.11, 452 on 3.12; by hand 392 and 327


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


async def measure() -> int:
    """Return the calls of one typed create on a connection that is open."""
    canned_server = runpy.run_path(str(CANNED_SERVER))["canned_server"]
    with canned_server() as port:
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        async with SessionManager(base_url=base_url) as manager:
            sequences = manager.account("acme", KEY).sequences
            return await count(lambda: sequences.create(SERIE, default=True))


async def test_a_typed_create_makes_few_function_calls() -> None:
    assert await measure() <= MOST_CALLS
