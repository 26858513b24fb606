"""Several workers on one journal in PostgreSQL, as on several machines, with every trouble.

Workers are killed with -9, and started again like by systemd; the postmaster is killed with -9;
workers are frozen for longer than they hold a slice; the way of a worker to the database or to the
API is cut, each by its own proxy, and data in flight arrive late or never. The server loses one
response in thirty, and commits at once, late or never. It accepts every create: it has no check of
names. After all troubles, the workers continue until nothing is left; then once more with absent
rows sent again, for which the journal's times are moved back.

`python benchmarks/soak_machines.py [accounts] [kills] [postmaster kills] [freezes] [cuts] [seed]
[workers] [hosts]` exits 1 on a violation. It needs the binaries of PostgreSQL. With 1 for hosts,
each worker is in a network namespace with TLS, and its cables are cut instead of proxies; that
needs root.
"""

import asyncio
import contextlib
import json
import multiprocessing.process
import os
import random
import shutil
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import attrs
import psycopg

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))
from hosts import Namespace, enter
from postgres_server import PostgresServer, find_binaries
from soak_hosts import HostNetwork, listen
from soak_network import Network
from soak_server import CONTEXT, KEY, LATE_SECONDS, ask, name_of, serving
from soak_tally import AGAIN_SECONDS, JobTally, long_ago, report, spread

from invoicexpress_async import RetryPolicy, SessionManager, Timeouts
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PlanRow,
    PostgresJournal,
    RunSettings,
    RunStop,
    enter_plan,
    run_worker,
)

_LEASE_SECONDS = 2.0
_WINDOW_SECONDS = 0.5
_FREEZE_SECONDS = (0.5, 2.5 * _LEASE_SECONDS)
_CUT_SECONDS = (0.5, 2.5 * _LEASE_SECONDS)
_PATIENCE_SECONDS = 5.0
_CONCURRENCY = 10
_MAX_SLICES = 256
_POLL_SECONDS = 0.01
# If no create comes in this time, since all workers are frozen or cut off, the next event follows.
_LONGEST_WAIT_SECONDS = 5.0
_LONGEST_END_SECONDS = 600.0

Process = multiprocessing.process.BaseProcess


@attrs.define
class Tally(JobTally):
    """The counts of the whole soak."""

    kills: int = 0
    kills_of_the_postmaster: int = 0
    freezes: int = 0
    cuts_from_the_database: int = 0
    cuts_from_the_server: int = 0
    takeovers: int = 0
    seconds_of_work: float = 0.0
    known_after_seconds: list[float] = attrs.field(factory=list[float])


@attrs.frozen(kw_only=True)
class _Place:
    """The settings of a worker process."""

    url: str
    base_url: str
    slices: int
    settings: RunSettings = attrs.field(factory=RunSettings)
    until_done: bool = False
    log: Path = Path(os.devnull)
    namespace: str | None = None
    authority: Path | None = None

    def note(self, what: object) -> None:
        """Write down what a worker reports, to explain a violation."""
        with self.log.open("a") as log:
            print(f"{time.time():.3f} {os.getpid()} {what}", file=log)


def _journal(place: _Place) -> PostgresJournal:
    return PostgresJournal(
        place.url,
        slices=place.slices,
        lease_seconds=_LEASE_SECONDS,
        window_seconds=_WINDOW_SECONDS,
        patience_seconds=_PATIENCE_SECONDS,
    )


def _manager(place: _Place) -> SessionManager:
    return SessionManager(
        base_url=place.base_url,
        ssl_context=ssl.create_default_context(cafile=place.authority) if place.authority else None,
        retry=RetryPolicy(read_after_seconds=(0.05, 0.2, 2 * LATE_SECONDS)),
        timeouts=Timeouts(total_seconds=20.0, attempt_seconds=5.0, connect_seconds=2.0),
    )


async def _keys(_: str) -> str:
    return KEY


async def _work(place: _Place) -> None:
    stop = RunStop()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: stop.request(drain_seconds=3.0)
    )
    while not stop.is_requested:
        try:
            async with _manager(place) as manager, _journal(place) as journal:
                await run_worker(
                    manager,
                    journal,
                    _keys,
                    concurrency=_CONCURRENCY,
                    settings=place.settings,
                    until_done=place.until_done,
                    stop=stop,
                    sweep_seconds=0.5,
                    on_slice=place.note,
                    on_problem=place.note,
                )
                place.note("ended")
                return
        except JournalError as error:
            place.note(error)
            await asyncio.sleep(0.2)  # then start again, like systemd


def _run_worker(place: _Place) -> None:
    if place.namespace is not None:
        enter(place.namespace)
    asyncio.run(_work(place))


async def _enter(place: _Place, accounts: int) -> None:
    rows = [PlanRow(account=name_of(one), api_key=_keys, serie="2027") for one in range(accounts)]
    async with _journal(place) as journal:
        await enter_plan(journal, Plan(rows=rows))


@attrs.define
class _Soak:
    database: PostgresServer
    server: Connection
    network: Network
    folder: Path
    dice: random.Random
    accounts: int
    slices: int
    tally: Tally = attrs.field(factory=Tally)
    _workers: list[Process | None] = attrs.field(factory=list["Process | None"])
    _undo: list[tuple[float, Callable[[], None]]] = attrs.field(
        factory=list[tuple[float, Callable[[], None]]]
    )

    def run(self, events: list[str], workers: int) -> None:
        """Let the workers work, and inject the events."""
        self._workers = [None] * workers
        began = time.monotonic()
        for left, event in zip(range(len(events), 0, -1), events, strict=True):
            self._wait_for_creates((self.accounts - self.creates()) // (left + 1))
            self._do(event)
        for _, undo in self._undo:
            undo()
        self._undo.clear()
        self._wait_for_the_end()
        self.tally.seconds_of_work = time.monotonic() - began
        for worker in self._workers:
            if worker is not None:
                worker.terminate()
        for worker in self._workers:
            if worker is not None:
                worker.join(60)
                # It was killed by this soak, or stopped before it had begun.
                assert worker.exitcode in {0, -signal.SIGTERM, -signal.SIGKILL}, (
                    f"a worker ended with {worker.exitcode}"
                )

    def finish(self, settings: RunSettings | None = None) -> dict[str, str]:
        """Let one worker do the rest, and return the states."""
        self.query("UPDATE invoicexpress.slices SET due = NULL")
        process = self._start(self._place(0, settings or RunSettings(), until_done=True))
        process.join(_LONGEST_END_SECONDS)
        assert process.exitcode == 0, f"the last worker ended with {process.exitcode}"
        rows = self.query("SELECT account, state FROM invoicexpress.rows")
        return {str(account): str(state) for account, state in rows}

    def age(self) -> None:
        """Move the times of unresolved rows far into the past."""
        moment = long_ago()
        self.query(
            "UPDATE invoicexpress.rows SET intended_at = %s, absent_since = %s "
            "WHERE state IN ('intent', 'unknown', 'absent')",
            moment,
            moment,
        )

    def measure(self) -> None:
        """Read from the database how often slices changed hands, and when rows were settled."""
        ((self.tally.takeovers,),) = self.query("SELECT sum(epoch)::int FROM invoicexpress.slices")
        times = self.query(
            "SELECT updated_at - (intended_at::json ->> 0)::double precision "
            "FROM invoicexpress.rows WHERE intended_at IS NOT NULL AND state = 'done'"
        )
        self.tally.known_after_seconds = [float(one) for (one,) in times]

    def creates(self) -> int:
        """Return how many creates the server has received."""
        return cast("int", ask(self.server, "creates"))

    def query(self, text: str, *values: str) -> list[Any]:
        """Run a query on the database."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def _place(self, number: int, settings: RunSettings, *, until_done: bool) -> _Place:
        return _Place(
            url=self.network.databases[number],
            base_url=self.network.base_urls[number],
            namespace=self.network.namespaces[number],
            authority=self.network.authority,
            slices=self.slices,
            settings=settings,
            until_done=until_done,
            log=self.folder / f"worker-{number}.log",
        )

    def keep(self) -> Path:
        """Save all that can explain a violation, and return the folder."""
        kept = Path(tempfile.mkdtemp(prefix="soak-machines-"))
        for log in self.folder.glob("*.log"):
            shutil.copy(log, kept)
        (kept / "database").write_text(self.database.dump(self.database.url))
        requested = {question: ask(self.server, question) for question in ("rows", "posts")}
        (kept / "server.json").write_text(json.dumps(requested))
        return kept

    def _start(self, place: _Place) -> Process:
        process = CONTEXT.Process(target=_run_worker, args=(place,), daemon=True)
        process.start()
        return process

    def _wait_for_creates(self, share: int) -> None:
        wanted = self.creates() + self.dice.randint(0, 2 * max(0, share))
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while time.monotonic() < until:
            self._keep_running()
            if self.creates() >= wanted:
                break
            time.sleep(_POLL_SECONDS)
        time.sleep(self.dice.uniform(0.0, 0.05))

    def _keep_running(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker is not None and worker.is_alive():
                continue
            if worker is not None:
                assert worker.exitcode == -signal.SIGKILL, f"one failed: {worker.exitcode}"
            self._workers[number] = self._start(
                self._place(number, RunSettings(), until_done=False)
            )
        now = time.monotonic()
        for due, undo in [one for one in self._undo if one[0] <= now]:
            self._undo.remove((due, undo))
            undo()

    def _wait_for_the_end(self) -> None:
        until = time.monotonic() + _LONGEST_END_SECONDS
        query = "SELECT count(*) FROM invoicexpress.rows WHERE state IN ('planned', 'intent')"
        while self.query(query) != [(0,)]:
            assert time.monotonic() < until, "the workers do not come to an end"
            # As if a plan were entered again: rows that wait for a later try are tried now.
            self.query("UPDATE invoicexpress.slices SET due = NULL WHERE due IS NOT NULL")
            self._keep_running()
            time.sleep(0.2)

    def _do(self, event: str) -> None:
        number = self.dice.randrange(len(self._workers))
        worker = self._workers[number]
        assert worker is not None
        assert worker.pid is not None
        match event:
            case "kill":
                worker.kill()
                worker.join()
                self.tally.kills += 1
            case "postmaster":
                self._kill_the_postmaster()
                self.tally.kills_of_the_postmaster += 1
            case "freeze":
                if worker.is_alive():
                    os.kill(worker.pid, signal.SIGSTOP)
                    self._later(_FREEZE_SECONDS, lambda: _wake(worker))
                    self.tally.freezes += 1
            case "cut database":
                self._cut(f"database {number}")
                self.tally.cuts_from_the_database += 1
            case _:
                self._cut(f"server {number}")
                self.tally.cuts_from_the_server += 1

    def _cut(self, way: str) -> None:
        self.network.cut(way)
        loses = self.dice.random() < 1 / 2
        self._later(_CUT_SECONDS, lambda: self.network.heal(way, loses=loses))

    def _later(self, between: tuple[float, float], undo: Callable[[], None]) -> None:
        self._undo.append((time.monotonic() + self.dice.uniform(*between), undo))

    def _kill_the_postmaster(self) -> None:
        number = int((self.database.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(number, signal.SIGKILL)
        self.database.kill()
        for _ in range(100):
            try:
                self.database.start()
            except AssertionError:
                time.sleep(0.1)  # a child of the dead postmaster has not ended yet
            else:
                return
        raise AssertionError(self.database.log.read_text()[-2000:])


def _wake(worker: Process) -> None:
    if worker.is_alive() and worker.pid is not None:
        os.kill(worker.pid, signal.SIGCONT)


def soak(  # of a command line
    accounts: int, events: list[str], seed: int, workers: int, on_hosts: int
) -> Tally:
    """Run the soak, then check the result."""
    binaries = find_binaries()
    assert binaries is not None, "PostgreSQL is not on this machine: apt-get install postgresql"
    centre = Namespace.made() if on_hosts else None
    assert centre or not on_hosts, "hosts need root and iproute2"
    dice = random.Random(seed)
    dice.shuffle(events)
    slices = max(4, min(_MAX_SLICES, accounts // 40))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(PostgresServer.started(binaries, centre))
        if centre:
            ways = HostNetwork.connected(folder, centre, database, workers)
            network: Network = stack.enter_context(ways)
            listening = partial(listen, centre.path, folder / "server.pem")
            server = stack.enter_context(serving(accounts, seed, listening))
            server.recv()
        else:
            server = stack.enter_context(serving(accounts, seed))
            base_url = cast("str", server.recv())
            started = Network.started(folder, str(database.folder), base_url, workers)
            network = stack.enter_context(started)
        direct = _Place(url=database.url, base_url=network.base_urls[0], slices=slices)
        asyncio.run(_enter(direct, accounts))
        run = _Soak(database, server, network, folder, dice, accounts, slices)
        run.run(events, workers)
        run.tally.lost_answers = cast("int", ask(server, "heal"))
        run.tally.judge(server, run.finish())
        run.measure()
        run.age()
        again = RunSettings(resend_absent_after=AGAIN_SECONDS)
        run.tally.judge_the_last_run(server, run.finish(again))
        if run.tally.violations:
            print(f"kept in {run.keep()}")
        return run.tally


def main(  # noqa: PLR0913, PLR0917  # of a command line
    accounts: int,
    kills: int,
    postmaster: int,
    freezes: int,
    cuts: int,
    seed: int,
    workers: int,
    on_hosts: int,
) -> int:
    """Run the soak, and print the counts."""
    events = ["kill"] * kills + ["postmaster"] * postmaster + ["freeze"] * freezes
    events += ["cut database"] * cuts + ["cut server"] * cuts
    started = time.perf_counter()
    tally = soak(accounts, events, seed, workers, on_hosts)
    seconds = time.perf_counter() - started
    title = f"{accounts} accounts, {workers} workers, seed {seed}; {seconds:.0f} s"
    return report(title, tally, seconds_from_intent_to_known=spread(tally.known_after_seconds))


if __name__ == "__main__":
    CONTEXT.set_forkserver_preload(
        ["invoicexpress_async.provisioning", "invoicexpress_async.sandbox"]
    )
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [10_000, 100, 20, 40, 20, 1, 4, 0][len(given) :])))
