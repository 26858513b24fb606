"""A journal in PostgreSQL compared with SQLite: rows a second of one process and of workers.

The contestants run in turns, each in its own processes and on its own accounts, against one server
in another process. `sends` is the number of intents a second that the database makes durable, each
a claim and its outcome, without sending anything.

`python benchmarks/bench_machines.py [accounts] [rounds] [milliseconds of each response]`
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))  # the servers of the tests

from postgres_server import PostgresServer, find_binaries, new_schema

from invoicexpress_async import SessionManager
from invoicexpress_async.jobs.journal import Claim, Journal, JournalState
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    PostgresJournal,
    SqliteJournal,
    enter_plan,
    provision,
    slices_left,
    work_slice,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault

_KEY = "benchmark-key-0123456789"
_CONCURRENCY = 50
_SENDS = 4_000
_WORKERS = (1, 2, 4)
_SQLITE, _POSTGRES = "SQLite, one process", "PostgreSQL, one process"


async def _key_of(_: str) -> str:
    return _KEY


def _plan(prefix: str, accounts: int) -> Plan:
    names = (f"{prefix}-{number}" for number in range(accounts))
    return Plan(rows=[PlanRow(account=name, api_key=_key_of, serie="2027") for name in names])


async def _serve(prefixes: list[str], accounts: int, latency: float) -> None:
    names = (f"{prefix}-{number}" for prefix in prefixes for number in range(accounts))
    async with FaultServer(
        accounts=[SandboxAccount(name=one, api_key=_KEY) for one in names]
    ) as on:
        if latency:
            on.faults.randomly({make_fault("latency", seconds=latency): 1.0}, share=1.0)
        print(on.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _alone(base_url: str, place: str, schema: str, prefix: str, accounts: int) -> None:
    plan = _plan(prefix, accounts)
    journal = PostgresJournal(place, schema=schema) if "://" in place else SqliteJournal(place)
    async with journal as opened, SessionManager(base_url=base_url) as manager:
        started = time.perf_counter()
        report = await provision(manager, plan, journal=opened, concurrency=_CONCURRENCY)
        print(json.dumps(time.perf_counter() - started))
    assert report.created == accounts


async def _work(base_url: str, url: str, schema: str) -> None:
    async with (
        PostgresJournal(url, schema=schema) as journal,
        SessionManager(base_url=base_url) as manager,
    ):
        started = time.perf_counter()

        async def work(number: int) -> None:
            if (held := await journal.try_take(number)) is not None:
                report = await work_slice(manager, held, _key_of, concurrency=_CONCURRENCY // 4)
                await journal.release(held, due_seconds=report.due_seconds)

        while left := await slices_left(journal):
            for at in range(0, len(left), 4):
                await asyncio.gather(*(work(one.number) for one in left[at : at + 4]))
        print(json.dumps(time.perf_counter() - started))


async def _sends(journal: SqliteJournal | PostgresJournal) -> float:
    async with journal as opened:
        started = time.perf_counter()
        numbers = iter(range(_SENDS))
        await asyncio.gather(*(_send(opened, numbers) for _ in range(_CONCURRENCY)))
        return _SENDS / (time.perf_counter() - started)


async def _send(journal: Journal, numbers: Iterator[int]) -> None:
    for number in numbers:
        key = ("create", f"account-{number}", "2027")
        claim = Claim(key=key, token=f"{number}", intent="{}", claimed_at="[0.0, 0.0, '']")
        assert await journal.claim(claim) is None
        await journal.settle(claim, JournalState.DONE)


@contextlib.contextmanager
def _process(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(  # noqa: S603  # this file
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.communicate()


def _seconds(process: "subprocess.Popen[str]") -> float:
    assert process.stdout is not None
    return float(json.loads(process.stdout.readline()))


def _compare(server: PostgresServer, accounts: int, rounds: int, latency: float) -> None:
    kinds = [_SQLITE, _POSTGRES, *(f"PostgreSQL, {count} workers" for count in _WORKERS)]
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    prefixes = [f"r{turn}k{at}" for turn in range(rounds) for at in range(len(kinds))]
    with _process("serve", json.dumps(prefixes), accounts, latency) as serving:
        assert serving.stdout is not None
        base_url = serving.stdout.readline().strip()
        for turn in range(rounds):
            for at, kind in enumerate(kinds):
                prefix, schema = f"r{turn}k{at}", new_schema()
                with tempfile.TemporaryDirectory() as folder:
                    place = f"{folder}/job.db" if kind == _SQLITE else server.url
                    if at < len(kinds) - len(_WORKERS):
                        with _process("alone", base_url, place, schema, prefix, accounts) as one:
                            seconds = _seconds(one)
                    else:
                        asyncio.run(_enter(server, schema, prefix, accounts))
                        seconds = _crew(base_url, server.url, schema, _WORKERS[at - 2])
                rates[kind].append(accounts / seconds)
    print(
        f"{accounts} accounts, {latency * 1000:.0f} ms a response, {rounds} rounds, median rows/s:"
    )
    base = statistics.median(rates[_SQLITE])
    for kind, found in rates.items():
        print(f"  {kind:28} {statistics.median(found):8.0f}  {statistics.median(found) / base:.2f}")


async def _enter(server: PostgresServer, schema: str, prefix: str, accounts: int) -> None:
    async with server.journal(schema, slices=max(4, accounts // 40)) as journal:
        await enter_plan(journal, _plan(prefix, accounts))


def _crew(base_url: str, url: str, schema: str, count: int) -> float:
    with contextlib.ExitStack() as stack:
        crew = [stack.enter_context(_process("work", base_url, url, schema)) for _ in range(count)]
        return max(map(_seconds, crew))


def main() -> None:
    """Run the benchmark, or one of its processes."""
    match sys.argv[1:]:
        case ["serve", prefixes, accounts, latency]:
            asyncio.run(_serve(json.loads(prefixes), int(accounts), float(latency)))
        case ["alone", base_url, place, schema, prefix, accounts]:
            asyncio.run(_alone(base_url, place, schema, prefix, int(accounts)))
        case ["work", base_url, url, schema]:
            asyncio.run(_work(base_url, url, schema))
        case given:
            sizes = [*map(int, given), *(1_000, 3, 0)[len(given) :]]
            binaries = find_binaries()
            assert binaries is not None, "PostgreSQL is not on this machine"
            with PostgresServer.started(binaries) as server:
                server.ask("ALTER ROLE ix SET log_statement = 'none'")
                _compare(server, sizes[0], sizes[1], sizes[2] / 1000)
                with tempfile.TemporaryDirectory() as folder:
                    lite = asyncio.run(_sends(SqliteJournal(f"{folder}/sends.db")))
                post = asyncio.run(_sends(server.journal()))
                print(f"sends a second: SQLite {lite:.0f}, PostgreSQL {post:.0f}")


if __name__ == "__main__":
    main()
