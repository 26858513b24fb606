"""Replaces the sources of time and randomness of a program for one history."""

import asyncio
import contextlib
import functools
import itertools
import os
import random
import time
from collections.abc import Generator
from typing import Any, Final

import aiohappyeyeballs
import cattrs

from invoicexpress_async import session
from invoicexpress_async.jobs import claims, timestamps
from invoicexpress_async.protocol.sequences import make_converter
from simulation.loop import SimulatedLoop

_TOKENS: Final = itertools.count()
_EPOCH: Final = 1_798_700_000.0  # in the last days of 2026


class SimulatedClock:
    """The package's `Clock`, on a simulated loop."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def uptime(self) -> float:
        return self._loop.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(seconds)


@functools.cache
def _converter() -> cattrs.Converter:
    return make_converter()


@contextlib.contextmanager
def simulated(loop: SimulatedLoop, chance: random.Random) -> Generator[None]:
    """Take `time`, `os.urandom` and `random.Random` from the loop and the seed for the block.

    Each machine has its own clocks. `clock_gettime` is the clock that includes time asleep.
    """

    class Seeded(random.Random):
        def __init__(self, x: Any = None) -> None:
            super().__init__(chance.getrandbits(64) if x is None else x)

    replaced: tuple[tuple[Any, str, object], ...] = (
        (time, "monotonic", loop.time),
        (time, "time", lambda: _EPOCH + loop.now + loop.process.machine.wall_offset),
        (time, "clock_gettime", lambda _: loop.now),
        (os, "urandom", chance.randbytes),
        (random, "_urandom", chance.randbytes),
        (random, "Random", Seeded),
        # A token of each claim, without a draw of the seed's randomness.
        (claims, "new_token", lambda: f"token-{next(_TOKENS)}"),
        # The loop sets it to the boot of the simulated machine that runs.
        (timestamps, "BOOT_ID", ""),
        # A converter never changes, and making one takes a tenth of a history.
        (session, "make_converter", _converter),
        # aiohttp would open a real socket with it.
        (aiohappyeyeballs, "start_connection", loop.start_connection),
    )
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)
    loop.on_switch = lambda process: vars(timestamps).update(BOOT_ID=process.machine.boot)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
