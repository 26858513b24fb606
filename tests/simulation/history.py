"""A history of one seed: the programs that run, the troubles, and the checks at the end."""

import asyncio
import contextlib
import gc
import itertools
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from simulation.disk import Disk, Storage, StorageInFile, memory
from simulation.loop import Machine, SimulatedLoop, StuckError
from simulation.network import Connection, Network
from simulation.oracle import Oracle
from simulation.programs import Programs
from simulation.server import Server
from simulation.sources import simulated
from simulation.trace import Trace
from simulation.troubles import MAX_LATE_SECONDS, Rates, Troubles

Program = Callable[[str], Coroutine[object, object, None]]

_MOST_STEPS: Final = 300_000
# A frozen process does harm only in rare situations, so one history in four is made for them.
_FREEZES_EVERY: Final = 4
_MOST_RUNS: Final = 4
_IN_FILE_EVERY: Final = 20
_AGAIN_SECONDS: Final = 900.0
CONTENDED: Final = 1_000_000_000
"""From this seed on, the jobs of a history have other wishes and wrong keys, and machines fail as
responses arrive."""


@attrs.frozen(kw_only=True)
class Scenario:
    """The initial conditions of a history."""

    wanted: list[tuple[str, str]]
    jobs: int
    services: int
    machines: int
    concurrency: int
    resend_absent_after: float | None
    is_default: bool
    may_stay_unregistered: float

    @classmethod
    def draw(cls, chance: random.Random) -> "Scenario":
        """Choose a scenario at random."""
        accounts = chance.randint(1, 3)
        series = ["2027", "2027B"][: chance.choice((1, 1, 2))]
        return cls(
            wanted=[(f"acme-{one}", serie) for one in range(accounts) for serie in series],
            jobs=chance.choice((1, 2, 2, 3)),
            services=chance.choice((0, 0, 1, 2)),
            machines=chance.choice((1, 1, 2)),
            concurrency=chance.randint(1, 4),
            resend_absent_after=chance.choice((None, _AGAIN_SECONDS, _AGAIN_SECONDS, 1200.0)),
            is_default=chance.random() < 0.3,
            may_stay_unregistered=chance.choice((0.0, 0.0, 0.3)),
        )


@attrs.frozen(kw_only=True)
class History:
    """The result of one seed."""

    seed: int
    violations: tuple[str, ...]
    lines: tuple[str, ...]
    digest: str
    sends: int
    troubles: Counter[str]

    def report(self) -> str:
        """Return a report of the whole history, for people."""
        end = f"seed {self.seed}, {self.digest}: {len(self.violations)} violations"
        return "\n".join((*self.lines, end, *self.violations))


class World:
    """All objects of one history."""

    def __init__(self, seed: int, storage: Storage) -> None:
        chance = random.Random(seed)
        self.scenario = scenario = Scenario.draw(chance)
        rates = Rates.draw(chance, may_set_clocks=scenario.machines == 1)
        if seed % _FREEZES_EVERY == 1:
            rates = Rates.freezing()
            self.scenario = attrs.evolve(scenario, jobs=2, resend_absent_after=_AGAIN_SECONDS)
        self.machines = [Machine(f"b{at}") for at in range(self.scenario.machines)]
        self.loop = loop = SimulatedLoop(chance)  # type: ignore[abstract]  # the rest is not used here
        self.trace = Trace(loop)
        is_contended = seed >= CONTENDED
        self.server = Server(
            chance=chance,
            trace=self.trace,
            may_stay_unregistered=self.scenario.may_stay_unregistered,
        )
        self.troubles = Troubles(
            chance=chance,
            loop=loop,
            trace=self.trace,
            rates=rates,
            strikes_responses=is_contended,
        )
        self.oracle = Oracle(loop=loop, server=self.server, trace=self.trace, storage=storage)
        network = Network(
            loop=loop,
            server=self.server,
            troubles=self.troubles,
            trace=self.trace,
            on_send=self.oracle.on_send,
            on_refused=self.oracle.on_refused,
            on_list=self.oracle.on_list,
        )
        loop.connect = network.connect
        loop.make_transport = lambda protocol: Connection(network, protocol)
        self._chance = chance
        self.programs = Programs(
            loop=loop,
            disk=Disk(loop=loop, troubles=self.troubles, storage=storage),
            oracle=self.oracle,
            trace=self.trace,
            chance=chance,
            wanted=self.scenario.wanted,
            is_default=self.scenario.is_default,
            concurrency=self.scenario.concurrency,
            is_contended=is_contended,
        )
        self.trace.note(f"{self.scenario} {self.troubles.rates}")

    async def run(self) -> None:
        """Run all programs through all troubles, then run the job twice more without any."""
        resend = self.scenario.resend_absent_after
        machines = itertools.cycle(self.machines)
        jobs = [f"job-{at}" for at in range(self.scenario.jobs)]
        services = [f"service-{at}" for at in range(self.scenario.services)]
        await asyncio.gather(
            *(self._supervise(one, next(machines), self._job(resend)) for one in jobs),
            *(self._supervise(one, next(machines), self.programs.service) for one in services),
        )
        self.troubles.is_calm = True
        self.trace.note("CALM")
        for name in ("last", "again"):
            main = partial(self._job(_AGAIN_SECONDS, is_last=True), name)
            await self.loop.run_process(name, self.machines[0], main)
            # A late effect may come after the run has ended its reads for it.
            await asyncio.sleep(MAX_LATE_SECONDS)
        self.oracle.at_the_end(self.scenario.wanted)

    def _job(self, resend: float | None, *, is_last: bool = False) -> Program:
        def main(name: str) -> Coroutine[object, object, None]:
            if resend is not None:
                self.oracle.may_resend.add(name)
            return self.programs.job(name, resend, is_last=is_last)

        return main

    async def _supervise(self, name: str, machine: Machine, program: Program) -> None:
        """Start a program again each time it is killed, at most three times."""
        for at in range(_MOST_RUNS):
            await asyncio.sleep(self._chance.choice((0.01, 5.0, 120.0)) * self._chance.random())
            process = f"{name}.{at}"
            if await self.loop.run_process(process, machine, partial(program, process)):
                break


def run_history(seed: int) -> History:
    """Run one history from its seed to its end."""
    with _storage(seed) as storage:
        world = World(seed, storage)
        with (
            simulated(world.loop, random.Random(f"sources {seed}")),
            _logged(world.oracle),
            _no_finalizers(),
        ):
            _run(world)
    return History(
        seed=seed,
        violations=tuple(world.oracle.violations),
        lines=tuple(world.trace.lines),
        digest=world.trace.digest(),
        sends=sum(map(len, world.oracle.sends.values())),
        troubles=world.trace.troubles,
    )


def _run(world: World) -> None:
    loop = world.loop
    main = loop.create_task(world.run())
    try:
        # After a first violation the rest is of no use, and may not end.
        loop.run_until(lambda: main.done() or bool(world.oracle.violations), steps=_MOST_STEPS)
        if main.done():
            main.result()
    except (StuckError, InvoiceXpressError) as error:
        world.oracle.complain(str(error))
    loop.end(steps=_MOST_STEPS)


@contextlib.contextmanager
def _no_finalizers() -> Generator[None]:
    """Switch garbage collection off: a finalizer would run at a moment that no seed decides."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def _logged(oracle: Oracle) -> Generator[None]:
    """Send the package's log to the oracle only."""
    logger, handler = logging.getLogger("invoicexpress_async"), _Handler(oracle)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


class _Handler(logging.Handler):
    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self._oracle = oracle

    def emit(self, record: logging.LogRecord) -> None:
        self._oracle.on_text(record.getMessage())


@contextlib.contextmanager
def _storage(seed: int) -> Generator[Storage]:
    """Yield a storage in memory; in one of twenty histories, a file as programs use."""
    with contextlib.ExitStack() as stack:
        storage: Storage = memory()
        if seed % _IN_FILE_EVERY == 0:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=_folder()))
            storage = StorageInFile(Path(folder) / "journal")
        stack.callback(storage.close)
        yield storage


def _folder() -> Path | None:
    # A file system in memory, if there is one: the sync of a commit costs nothing there.
    shared = Path("/dev/shm")  # noqa: S108  # a folder is made in it
    return shared if shared.is_dir() else None
