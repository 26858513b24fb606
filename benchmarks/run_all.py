"""Runs all benchmarks and shows one table and two drawings; takes a quarter of an hour.

`python benchmarks/run_all.py [folder of the drawings]`; without a folder, one is made.
`python benchmarks/run_all.py --quick [folder]` is too short for reliable figures; it is for tests.

Each ratio is our figure over theirs, both measured in turns by the script that the row names,
unless the row says otherwise. A busy machine changes times; ratios less, and counts not at all.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import bench_call
import bench_start
import uvloop
from drawing import bars

_HERE = Path(__file__).parent
_OURS = "ours, with a journal"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?=%?(?:\s|$))")


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table: what was measured, the comparison, and the aim."""

    what: str
    ours: str
    theirs: str
    ratio: float | None
    aim: float | None
    is_least: bool = False

    @property
    def verdict(self) -> str:
        """Whether the aim is met, as text."""
        if self.ratio is None:
            return "not run"
        if self.aim is None:
            return ""
        is_met = self.ratio >= self.aim if self.is_least else self.ratio <= self.aim
        return "met" if is_met else "NOT MET"


@attrs.frozen(kw_only=True)
class Sizes:
    """The sizes of the measurements."""

    calls: int = 300
    row_rounds: int = 15
    start_rounds: int = 7
    accounts: int = 2_000
    provision: tuple[str, ...] = ("10000", "1")
    costs: tuple[str, ...] = ("100", "1000", "10000", "100000")
    limiter: tuple[str, ...] = ("2", "2.5")
    is_whole: bool = True


QUICK = Sizes(
    calls=3,
    row_rounds=1,
    start_rounds=1,
    accounts=20,
    provision=("20", "1"),
    costs=("10", "20"),
    limiter=("1", "0.3"),
    is_whole=False,
)


def _run(*arguments: str) -> list[str]:
    """Run a benchmark, show its output, and return its lines; no lines if it failed."""
    print(f"\n$ python benchmarks/{' '.join(arguments)}", flush=True)
    process = subprocess.run(  # noqa: S603  # a script beside this one
        [sys.executable, *arguments],
        cwd=_HERE,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(process.stdout, end="", flush=True)
    return process.stdout.splitlines() if process.returncode == 0 else []


def _figures(lines: list[str], label: str) -> list[float] | None:
    """Return the numbers of the first line that starts with `label`."""
    for line in lines:
        if line.startswith(label):
            return [float(text.rstrip("%")) for text in _NUMBER.findall(line.removeprefix(label))]
    return None


def _calls(sizes: Sizes, _: Path) -> Iterator[Row]:
    figures = asyncio.run(bench_call.measure("create", sizes.calls))
    mine = f"{figures['ours'].cpu:.0f} µs"
    for whom, aim in (("aiohttp", 1.0), ("httpx", 0.2), ("niquests", 0.2)):
        theirs = figures[f"{whom} by hand"]
        yield Row(
            what="a typed create, CPU",
            ours=mine,
            theirs=f"{whom} by hand, {theirs.cpu:.0f} µs",
            ratio=theirs.cpu_ratio,
            aim=aim,
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(bench_call.measure("create", sizes.calls))
    theirs = figures["aiohttp by hand"]
    yield Row(
        what="the same on uvloop",
        ours=f"{figures['ours'].cpu:.0f} µs",
        theirs=f"aiohttp by hand, {theirs.cpu:.0f} µs",
        ratio=theirs.cpu_ratio,
        aim=1.0,
    )


def _rows(sizes: Sizes, _: Path) -> Iterator[Row]:
    lines = _run("bench_rows.py", str(sizes.row_rounds))
    for parser, aim in (("stdlib json", 0.5), ("speed", 0.35)):
        start = next((at for at, line in enumerate(lines) if line.startswith(parser)), len(lines))
        mine, theirs = (_figures(lines[start:], name) for name in ("ours", "pydantic"))
        # There are two columns for each of the sizes 1, 10, 100 and 1,000.
        for what, at in (("a row", 0), ("a row of 1,000", 6)):
            yield Row(
                what=f"{what} from bytes, {parser}",
                ours=f"{mine[at]:.0f} µs" if mine else "",
                theirs=f"pydantic, {theirs[at]:.0f} µs" if theirs else "pydantic",
                ratio=theirs[at + 1] if theirs else None,
                aim=aim,
            )


def _provisioning(sizes: Sizes, folder: Path) -> Iterator[Row]:
    lines = _run("bench_provision.py", *sizes.provision)
    bare = _figures(lines, "aiohttp + semaphore")
    for name, aim in (("ours, without", 1.15), (_OURS, 1.25)):
        # s, rows/s, ratio, CPU s, ratio, sockets, MiB
        mine = _figures(lines, name)
        yield Row(
            what=f"{sizes.provision[0]} accounts: {name.removeprefix('ours, ').rstrip()}"
            + (" a journal" if name.endswith("without") else ""),
            ours=f"{mine[0]:.1f} s" if mine else "",
            theirs="aiohttp + semaphore" + (f", {bare[0]:.1f} s" if bare else ""),
            ratio=mine[2] if mine else None,
            aim=aim,
        )
    price = _figures(lines, "the price of the journal: ")
    yield Row(
        what="the price of a journal, CPU",
        ours="with",
        theirs="without",
        ratio=price[1] if price else None,
        aim=1.25,
    )
    # s, rows/s, ratio, CPU s, ratio, sockets, MiB, for the more expensive run
    run = _figures(lines, _OURS)
    for what, at, unit, aim in (
        ("memory of that run above an idle manager", 6, "MiB", 60.0),
        ("sockets of it, the limit being 100", 5, "sockets", 110.0),
    ):
        yield Row(
            what=what,
            ours=f"{run[at]:.0f} {unit}" if run else "",
            theirs="aiohttp + semaphore" + (f", {bare[at]:.0f} {unit}" if bare else ""),
            ratio=run[at] if run else None,
            aim=aim,
        )
    lines = _run(
        "bench_provision.py", "cost", *sizes.costs, "--svg", str(folder / "cost_per_account.svg")
    )
    expensive = next((line for line in lines if line.startswith("CPU: the most expensive")), "")
    found = re.search(r"(\d+)%", expensive)
    yield Row(
        what=f"cost per account at {sizes.costs[0]} to {sizes.costs[-1]}",
        ours="the most expensive",
        theirs="the cheapest",
        ratio=1 + int(found[1]) / 100 if found else None,
        aim=1.15,
    )


def _limiter(sizes: Sizes, folder: Path) -> Iterator[Row]:
    lines = _run("bench_limiter.py", *sizes.limiter)
    shares: dict[str, dict[str, float]] = {}
    for window in ("fixed", "sliding", "token_bucket"):
        for name in ("ours", "aiolimiter", "pyrate-limiter", "not paced"):
            # answered, share, 429s
            if row := _figures(lines, f"{window:14}{name}"):
                shares.setdefault(name, {})[window] = row[1]
        mine, other = (_figures(lines, f"{window:14}{name}") for name in ("ours", "aiolimiter"))
        yield Row(
            what=f"780 a minute, {window.replace('_', ' ')}, of the allowed",
            ours=f"{mine[2]:.0f} answers of 429" if mine else "",
            theirs=f"aiolimiter, {other[2]:.0f} of 429" if other else "aiolimiter",
            ratio=mine[1] / 100 if mine and not mine[2] else 0.0 if mine else None,
            aim=0.99,
            is_least=True,
        )
    if shares:
        drawn = bars("Answered under each kind of limit, % of what it allows", shares)
        (folder / "throughput_under_the_limit.svg").write_text(drawn)


def _hosts(_: Sizes, __: Path) -> Iterator[Row]:
    lines = _run("bench_hosts.py", "250")
    for use, aim in (("service", 1.1), ("job", 1.05)):
        start = next((at for at, line in enumerate(lines) if line.startswith(use)), len(lines))
        # µs, ratio, /s, MiB, handshakes, sockets
        mine, theirs = (
            _figures(lines[start:], name) for name in ("  ours   ", "  aiohttp by hand   ")
        )
        yield Row(
            what=f"{use} over 250 TLS hosts, CPU",
            ours=f"{mine[0]:.0f} µs" if mine else "",
            theirs="aiohttp by hand" + (f", {theirs[0]:.0f} µs" if theirs else ""),
            ratio=mine[1] if mine else None,
            aim=aim,
        )


def _limiters(_: Sizes, __: Path) -> Iterator[Row]:
    # Not scaled: in a few seconds, learning the limiter would be most of the run.
    lines = _run("bench_limiters.py", "2")
    for name, aim in (
        ("nginx, burst 100, nodelay", 0.85),
        ("nginx, burst 10, nodelay", 0.7),
        ("haproxy, http_req_rate", 0.85),
        ("rack-attack, throttle", 0.85),
    ):
        # taken, share, 429s, errors; no figures if it is not installed
        mine = _figures(lines, name)
        if mine is not None and len(mine) > 1:
            yield Row(
                what=f"{name}, of what it takes",
                ours=f"{mine[2]:.0f} answers of 429",
                theirs="its own rate, 780 in 60 s",
                ratio=mine[1] / 100,
                aim=aim,
                is_least=True,
            )


def _stale(_: Sizes, __: Path) -> Iterator[Row]:
    lines = _run("bench_stale.py")
    # idle s, ms, tried, through, unknown, POSTs, most a serie, connections
    table = [[float(cell) for cell in line.split()] for line in lines[1:]]
    for what, at in (("creates lost to idle connections", 4), ("POSTs of one serie", 6)):
        yield Row(
            what=f"{what}, most of 24 servers",
            ours=f"of {table[0][2]:.0f} creates" if table else "",
            theirs="",
            ratio=max(row[at] for row in table) if table else None,
            aim=1.0,
        )


def _accounts(sizes: Sizes, _: Path) -> Iterator[Row]:
    lines = _run("bench_accounts.py", str(sizes.accounts))
    # s, ratio, CPU s, sockets, MiB, lag
    mine, bare = (_figures(lines, name) for name in ("ours", "bare aiohttp"))
    for what, at, unit, aim in (
        (f"memory of {sizes.accounts} accounts over TLS", 4, "MiB", 60.0),
        ("sockets of it, the limit being 100", 3, "sockets", 110.0),
    ):
        yield Row(
            what=what,
            ours=f"{mine[at]:.0f} {unit}" if mine else "",
            theirs=f"bare aiohttp, {bare[at]:.0f} {unit}" if bare else "bare aiohttp",
            ratio=mine[at] if mine else None,
            aim=aim,
        )


def _start(sizes: Sizes, _: Path) -> Iterator[Row]:
    figures = bench_start.measure(sizes.start_rounds)
    base = figures["import aiohttp, cattrs"]
    for name, aim in (("import alone", 1.05), ("import, to a first call", None)):
        yield Row(
            what=name,
            ours=f"{figures[name]:.0f} ms",
            theirs=f"import aiohttp, cattrs, {base:.0f} ms",
            ratio=figures[name] / base,
            aim=aim,
        )
    yield Row(
        what="invoicexpress --help, ms",
        ours=f"{figures['invoicexpress --help']:.0f} ms",
        theirs=f"python -c pass, {figures['python -c pass']:.0f} ms",
        ratio=figures["invoicexpress --help"],
        aim=150.0,
    )


_ALL: tuple[Callable[[Sizes, Path], Iterator[Row]], ...] = (
    _calls, _rows, _provisioning, _accounts, _limiter, _start,
)  # fmt: skip
_WHOLE: tuple[Callable[[Sizes, Path], Iterator[Row]], ...] = (_hosts, _limiters, _stale)
"""The benchmarks that have no quick form."""


def _table(rows: list[Row]) -> str:
    lines = [f"{'':44}{'ours':>20}  {'beside':34}{'ratio':>8}{'aim':>8}"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        aim = "" if row.aim is None else f"{'≥' if row.is_least else '≤'} {row.aim:g}"
        lines.append(
            f"{row.what:44}{row.ours:>20}  {row.theirs:34}{ratio:>8}{aim:>8}  {row.verdict}"
        )
    return "\n".join(lines)


def main(sizes: Sizes, folder: Path) -> None:
    """Run all benchmarks, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    parts = (*_ALL, *_WHOLE) if sizes.is_whole else _ALL
    rows = [row for part in parts for row in part(sizes, folder)]
    minutes = (time.monotonic() - started) / 60
    print(f"\n{_table(rows)}\n\n{minutes:.1f} minutes; drawings in {folder}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--quick", *given]:
            chosen = QUICK
        case [str(option), *_] if option.startswith("-"):
            sys.exit(f"usage: python {sys.argv[0]} [--quick] [FOLDER]")
        case given:
            chosen = Sizes()
    main(chosen, Path(given[0]) if given else Path(tempfile.mkdtemp(prefix="benchmarks-")))
