"""Provisioning many accounts: rows a second, memory, sockets, and the cost of a row.

Compares a run with a journal and one without with the same requests (a list and a create for each
account) by a bare aiohttp script with a semaphore. That is what people write first, and it loses
everything when it is killed. Each runs in its own process, in turns, against a new server in
another process.

`python benchmarks/bench_provision.py [accounts] [rounds] [milliseconds of each answer]`
`python benchmarks/bench_provision.py cost [sizes ...] [--svg FILE]`: the cost of a row
`python benchmarks/bench_provision.py plan [rows]`: a file checked, read and entered into a journal
"""

import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from drawing import lines

from invoicexpress_async import SessionManager
from invoicexpress_async.provisioning import (
    Plan,
    RunSettings,
    RunStop,
    SqliteJournal,
    provision,
)
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault

_KEY = "benchmark-key-0123456789"
_SERIE = "2027"
_CONCURRENCY = 50
_OURS = "ours, with a journal"
_BARE = "aiohttp + semaphore"
_WITHOUT = "ours, without"
_CONTESTANTS = (_OURS, _WITHOUT, _BARE)
_SIZES = (100, 1_000, 10_000, 100_000)
# The rows measured for each size, in as many jobs as needed; a larger size gets one job.
_ROWS_PER_SIZE = 10_000
_MOST_JOBS = 20
_MAX_WARM_UP_ROWS = 500

Figures = dict[str, float]


async def _serve(accounts: int, latency: float) -> None:
    names = [SandboxAccount(name=f"account-{number}", api_key=_KEY) for number in range(accounts)]
    async with FaultServer(accounts=names) as server:
        if latency:
            server.faults.randomly({make_fault("latency", seconds=latency): 1.0}, share=1.0)
        print(server.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        rows = sum(len(server.sequences(name)) for name in server.accounts)
        print(json.dumps({"rows": rows, "sockets": server.oracle.connections_peak}), flush=True)


def _write_plan(path: Path, first: int, accounts: int) -> Path:
    with path.open("w") as file:
        file.write("account;api_key;serie\n")
        numbers = range(first, first + accounts)
        file.writelines(f"account-{number};{_KEY};{_SERIE}\n" for number in numbers)
    return path


async def _ours(manager: SessionManager, plan: Plan, journal: Path | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        opened = None
        if journal is not None:
            opened = await stack.enter_async_context(SqliteJournal(journal))
        report = await provision(
            manager, plan, journal=opened, concurrency=_CONCURRENCY, keep_done=False
        )
    assert report.is_complete, report.counts
    assert report.created == len(plan.rows)


async def _bare(base_url: str, accounts: int) -> None:
    connector = aiohttp.TCPConnector(limit=100)
    semaphore = asyncio.Semaphore(_CONCURRENCY)
    body = {"sequence": {"serie": _SERIE, "default_sequence": "0"}}
    params = {"api_key": _KEY}
    async with aiohttp.ClientSession(connector=connector) as session:

        async def create(name: str) -> None:
            url = f"{base_url.format(account=name)}/sequences.json"
            async with semaphore:
                async with session.get(url, params=params) as response:
                    listed = await response.json()
                if any(one["serie"] == _SERIE for one in listed["sequences"]):
                    return
                async with session.post(url, params=params, json=body) as response:
                    created = await response.json()
                assert created["sequences"]["serie"] == _SERIE

        await asyncio.gather(*(create(f"account-{number}") for number in range(accounts)))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _given_url() -> str:
    # From a pipe, since the server starts at the same time as this process.
    return sys.stdin.readline().strip()


async def _contest(kind: str, folder: Path, accounts: int) -> None:
    base_url = _given_url()
    plan = Plan.from_csv(_write_plan(folder / "plan.csv", 0, accounts))
    before, started, cpu = _peak_mib(), time.perf_counter(), time.process_time()
    if kind == _BARE:
        await _bare(base_url, accounts)
    else:
        async with SessionManager(base_url=base_url) as manager:
            await _ours(manager, plan, folder / "job.db" if kind == _OURS else None)
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "memory": _peak_mib() - before,
    }
    print(json.dumps(figures))


def _warm_up(size: int) -> int:
    return min(_MAX_WARM_UP_ROWS, 5 * size)


async def _cost(folder: Path, size: int, jobs: int) -> None:
    """Run some jobs of one size, each on its own accounts and with its own journal."""
    base_url = _given_url()
    figures: list[Figures] = []
    async with SessionManager(base_url=base_url) as manager:
        sizes = [_warm_up(size), *([size] * jobs)]
        first = 0
        for number, rows in enumerate(sizes):
            plan = Plan.from_csv(_write_plan(folder / "plan.csv", first, rows))
            started, cpu = time.perf_counter(), time.process_time()
            await _ours(manager, plan, folder / f"job-{number}.db")
            figures.append(
                {
                    "wall": (time.perf_counter() - started) / rows * 1e6,
                    "cpu": (time.process_time() - cpu) / rows * 1e6,
                }
            )
            first += rows
    measured = figures[1:]
    medians = {key: statistics.median(one[key] for one in measured) for key in ("wall", "cpu")}
    print(json.dumps({**medians, "peak": _peak_mib()}))


async def _enter(path: Path, folder: Path) -> None:
    marks = [(time.process_time(), _peak_mib())]
    plan = Plan.from_csv(path)
    marks.append((time.process_time(), _peak_mib()))
    assert sum(1 for _ in plan.rows) == len(plan.rows)
    marks.append((time.process_time(), _peak_mib()))
    async with SqliteJournal(folder / "job.db") as journal:
        for _ in range(2):
            await sync_plan(RowJournal(journal), plan, RunSettings(), stop=RunStop())
            marks.append((time.process_time(), _peak_mib()))
    names = ("check the file", "read it again", "enter it into a journal", "the same at a resume")
    for name, (before, _), (after, peak) in zip(names, marks, marks[1:], strict=False):
        print(f"{name:26}{after - before:8.1f} s of CPU{peak - marks[0][1]:+8.1f} MiB in all")


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # this very file
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def _against(accounts: int, latency: float, seen: Figures) -> Iterator[str]:
    """Yield the URL of a new server; afterwards `seen` has the server's counts."""
    with _start("serve", str(accounts), str(latency)) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()
            seen.update(json.loads(server.stdout.readline() or "{}"))


def _run(accounts: int, latency: float, *arguments: str) -> Figures:
    seen: Figures = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        _start(*arguments, folder) as contestant,
        _against(accounts, latency, seen) as base_url,
    ):
        output, _ = contestant.communicate(f"{base_url}\n")
        figures: Figures = json.loads(output)
    assert seen["rows"] == accounts, seen
    return figures | seen


def contest(accounts: int, rounds: int, latency_ms: int) -> None:
    """Run the contestants in turns, and print their medians."""
    print(
        f"{accounts} accounts, {_CONCURRENCY} at a time, each answer after {latency_ms} ms; "
        f"medians of {rounds} rounds in turns"
    )
    runs: dict[str, list[Figures]] = {kind: [] for kind in _CONTESTANTS}
    for _ in range(rounds):
        for kind in _CONTESTANTS:
            runs[kind].append(_run(accounts, latency_ms / 1e3, "contest", kind, str(accounts)))
    print(
        f"{'':22}{'s':>7}{'rows/s':>8}{'ratio':>7}{'CPU s':>7}{'ratio':>7}{'sockets':>9}{'+MiB':>7}"
    )
    for kind, figures in runs.items():
        row = {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        ratio, cpu = (
            statistics.median(
                one[key] / bare[key] for one, bare in zip(figures, runs[_BARE], strict=True)
            )
            for key in ("seconds", "cpu")
        )
        print(
            f"{kind:22}{row['seconds']:7.1f}{accounts / row['seconds']:8.0f}{ratio:7.2f}"
            f"{row['cpu']:7.1f}{cpu:7.2f}{row['sockets']:9.0f}{row['memory']:7.0f}"
        )
    wall, cpu = (
        statistics.median(
            one[key] / other[key] for one, other in zip(runs[_OURS], runs[_WITHOUT], strict=True)
        )
        for key in ("seconds", "cpu")
    )
    print(f"the price of the journal: {wall:.2f} of the wall time without it, {cpu:.2f} of the CPU")


def cost(sizes: list[int], svg: Path | None) -> None:
    """Print the cost of a row at each size, and draw it."""
    print(
        f"{'rows':>8}{'jobs':>6}{'wall µs/row':>13}{'CPU µs/row':>12}{'peak MiB':>10}{'sockets':>9}"
    )
    points: dict[int, Figures] = {}
    for size in sizes:
        jobs = max(1, min(_MOST_JOBS, _ROWS_PER_SIZE // size))
        accounts = _warm_up(size) + jobs * size
        points[size] = row = _run(accounts, 0.0, "cost-of", str(size), str(jobs))
        print(
            f"{size:8}{jobs:6}{row['wall']:13.0f}{row['cpu']:12.0f}{row['peak']:10.0f}"
            f"{row['sockets']:9.0f}"
        )
    for key, label in (("wall", "wall"), ("cpu", "CPU")):
        costs = [row[key] for row in points.values()]
        print(
            f"{label}: the most expensive is {max(costs) / min(costs) - 1:.0%} above the cheapest"
        )
    if svg is not None:
        svg.write_text(_drawing(points))


def _drawing(points: dict[int, Figures]) -> str:
    places = [f"{size:,} rows" for size in points]
    series = {
        label: dict(zip(places, (row[key] for row in points.values()), strict=True))
        for key, label in (("wall", "wall clock"), ("cpu", "CPU"))
    }
    return lines("Cost of a row with a journal, µs", series)


def plan(rows: int) -> None:
    """Show that the memory for a plan does not grow with its length."""
    with tempfile.TemporaryDirectory() as name:
        path = _write_plan(Path(name) / "plan.csv", 0, rows)
        print(f"{rows} rows, {path.stat().st_size / 1e6:.0f} MB")
        asyncio.run(_enter(path, Path(name)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", accounts, latency]:
            asyncio.run(_serve(int(accounts), float(latency)))
        case ["contest", kind, accounts, folder]:
            asyncio.run(_contest(kind, Path(folder), int(accounts)))
        case ["cost-of", size, jobs, folder]:
            asyncio.run(_cost(Path(folder), int(size), int(jobs)))
        case ["cost", *sizes, "--svg", file]:
            cost([int(one) for one in sizes] or list(_SIZES), Path(file))
        case ["cost", *sizes]:
            cost([int(one) for one in sizes] or list(_SIZES), None)
        case ["plan", *rows]:
            plan(int(rows[0]) if rows else 1_000_000)
        case arguments:
            given = [int(one) for one in arguments]
            contest(*(given + [10_000, 3, 0][len(given) :]))
