"""The modules that a create passes through: what a stranger has to read, and no more.

`python tests/call/test_way_of_a_create.py` prints the functions that are entered in each module.
"""

import asyncio
import runpy
import sys
from pathlib import Path
from types import FrameType

import attrs

import invoicexpress_async
from invoicexpress_async import SequenceService, SessionManager

PACKAGE = Path(invoicexpress_async.__file__).parent
CANNED_SERVER = Path(__file__).parents[2] / "benchmarks" / "canned_server.py"
KEY = "way-of-a-create-key-0123456789"
SERIE = "2023"  # the one in the canned answer

# From the top down: as a reader meets them.
WAY = [
    "services/sequences.py",
    "services/sequence_flows.py",
    "call/execute.py",
    "call/context.py",
    "call/realm.py",
    "call/limiter.py",
    "transport/pool.py",
    "transport/connection.py",
    "transport/raw_connection.py",
    "transport/attempt.py",
    "protocol/sequences.py",
    "protocol/exchange.py",
    "models/sequence.py",
    "config/settings.py",
]
# The first create of a manager opens a connection.
OPENING = ["transport/client_session.py", "transport/opener.py"]
# The first time that a process meets a serie; it is remembered, also from another test.
NAMING = "config/serie_names.py"
# Each file is returned to while the call comes back up; a callback or a pass-through adds two.
MOST_MOVES = 70  # 62 on Python 3.11


@attrs.define
class Way:
    """The modules of the package that are entered, and how often the way goes to another one."""

    functions: dict[str, list[str]] = attrs.field(factory=dict[str, list[str]])
    moves: int = 0
    _last: str = ""

    def note(self, frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(PACKAGE):
            return
        module = path.relative_to(PACKAGE).as_posix()
        self.functions.setdefault(module, []).append(frame.f_code.co_name)
        self.moves += module != self._last
        self._last = module


async def trace(sequences: SequenceService) -> Way:
    way = Way()
    sys.setprofile(way.note)
    try:
        await sequences.create(SERIE, default=True)
    finally:
        sys.setprofile(None)
    return way


async def first_and_warm() -> tuple[Way, Way]:
    """Return the way of the first create of a manager, and the shortest of some after it."""
    canned_server = runpy.run_path(str(CANNED_SERVER))["canned_server"]
    with canned_server() as port:
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        async with SessionManager(base_url=base_url) as manager:
            sequences = manager.account("acme", KEY).sequences
            first, *warm = [await trace(sequences) for _ in range(6)]
    # A response that comes in two pieces is read twice, and its file may be another one.
    return first, min(warm, key=lambda way: (len(way.functions), way.moves))


async def test_a_create_enters_these_modules_and_no_other() -> None:
    first, warm = await first_and_warm()

    assert sorted(warm.functions) == sorted(WAY)
    assert sorted({*first.functions} - {NAMING}) == sorted([*WAY, *OPENING])
    assert warm.moves <= MOST_MOVES


def main() -> None:
    for name, way in zip(("first", "warm"), asyncio.run(first_and_warm()), strict=True):
        calls = sum(map(len, way.functions.values()))
        print(f"{name}: {len(way.functions)} modules, {calls} calls, {way.moves} moves")  # noqa: T201  # its figures
        for module, functions in way.functions.items():
            print(f"  {module}: {', '.join(dict.fromkeys(functions))}")  # noqa: T201  # as above


if __name__ == "__main__":
    main()
