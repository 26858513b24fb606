"""What one typed create costs, in function calls: a count, which no busy machine can change.

It fails when a change makes it more than a tenth dearer than what `data/hot_path.json` has on
record for this version of Python. When that is meant: `python tests/test_hot_path.py` records
anew, under the Python that it is run with.
"""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import aiohttp
import pytest

import invoicexpress_async
from invoicexpress_async import SessionManager

HERE = Path(__file__).parent
RECORD = HERE / "data" / "hot_path.json"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGE = str(Path(invoicexpress_async.__file__).parent)
GENERATED = "<attrs generated methods invoicexpress_async"
KEY = "hot-path-key-0123456789"
SERIE = "2023"  # the one in the canned answer
MOST_OF_RECORD = 1.10


def is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((PACKAGE, GENERATED))


async def count(call: Callable[[], Awaitable[object]]) -> tuple[int, int]:
    """Return the calls of one run that are made in this package, and all."""
    own = every = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal own, every
        if event in {"call", "c_call"}:
            every += 1
            own += is_ours(frame)

    for _ in range(300):  # until the shape of the answer is known
        await call()
    runs: list[tuple[int, int]] = []
    for _ in range(10):
        own = every = 0
        sys.setprofile(note)
        try:
            await call()
        finally:
            sys.setprofile(None)
        runs.append((own, every))
    # The fewest: an answer that comes in two pieces is read twice.
    return min(runs, key=lambda run: run[1])


async def measure() -> dict[str, float]:
    path = HERE.parent / "benchmarks" / "canned_server.py"
    spec = importlib.util.spec_from_file_location("canned_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.canned_server() as port:
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        url, body = base_url.format(account="acme"), {"sequence": {"serie": SERIE}}
        async with SessionManager(base_url=base_url) as manager, aiohttp.ClientSession() as session:
            sequences = manager.account("acme", KEY).sequences

            async def by_hand() -> object:
                target = f"{url}/sequences.json"
                async with session.post(target, params={"api_key": KEY}, json=body) as response:
                    return await response.json()

            own, every = await count(lambda: sequences.create(SERIE))
            _, every_by_hand = await count(by_hand)
    return {"own_calls": own, "all_over_by_hand": round(every / every_by_hand, 3)}


async def test_a_typed_create_makes_no_more_calls_than_are_on_record() -> None:
    recorded: dict[str, dict[str, float]] = json.loads(RECORD.read_text())
    if VERSION not in recorded:
        pytest.skip(f"nothing is on record for Python {VERSION}")

    measured = await measure()

    for name, most in recorded[VERSION].items():
        assert measured[name] <= most * MOST_OF_RECORD, f"{name}: {measured[name]}, was {most}"


if __name__ == "__main__":
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record[VERSION] = asyncio.run(measure())
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=2) + "\n")
