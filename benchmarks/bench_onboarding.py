"""Throughput of onboarding as a share of the partner's limit, which binds only the creates.

The server counts in windows of a minute, with a clock scaled so that a window takes
`window_seconds`; the manager has the same limit. Each is in its own process. A slot is used again
at the earliest one window after its last use. So the share is one window divided by the time from
a create to the create that comes `limit` later, over all full windows. Calls of the new accounts
count towards their own limits; if they counted towards the partner's, the share would be a
quarter.

`python benchmarks/bench_onboarding.py [companies] [limit] [window_seconds]`
"""

import asyncio
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from soak_onboarding import companies

from invoicexpress_async import RateLimit, SessionManager
from invoicexpress_async.onboarding import CsvSink, KeySpool, onboard
from invoicexpress_async.provisioning import SqliteJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

_KEY = "benchmark-partner-key"
_WINDOW_OF_SERVER = 60.0
_CREATE = "/api/accounts/create.json"
# Above this share of CPU, a process cannot be faster.
_BUSY = 0.9


async def _serve(limit: int, window: float) -> None:
    started, scale = time.monotonic(), _WINDOW_OF_SERVER / window
    partner = SandboxAccount(name="partner", api_key=_KEY, is_partner=True)
    async with FaultServer(
        accounts=[partner],
        requests_per_minute=limit,
        clock=lambda: (time.monotonic() - started) * scale,
    ) as server:
        print(server.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        requests = server.requests
        creates = [one.received_at / scale for one in requests if one.path == _CREATE]
        reported = {
            "creates": creates,
            "of_partner": sum(one.account == "partner" for one in requests),
            "requests": len(requests),
            "refused": sum(one.status == 429 for one in requests),  # noqa: PLR2004  # the status
            "keys": {one.fiscal_id: one.api_key for one in server.accounts.values()},
            "duplicates": len(server.oracle.accounts.duplicates()),
            "cpu": time.process_time(),
        }
        print(json.dumps(reported), flush=True)


async def _onboard(base_url: str, folder: Path, count: int, limit: RateLimit) -> float:
    async with (
        SqliteJournal(folder / "onboarding.db") as journal,
        SessionManager(base_url=base_url, rate_limit=limit) as manager,
    ):
        started = time.perf_counter()
        await onboard(
            manager,
            manager.account("partner", _KEY),
            companies(count),
            journal=journal,
            key_spool=KeySpool(folder / "keys.spool"),
            secret_sink=CsvSink(folder / "keys.csv"),
        )
        return time.perf_counter() - started


def share_of(creates: list[float], limit: int, window: float) -> float | None:
    """Return the share of the allowed rate that was reached, or None without a full window."""
    turns = [later - earlier for earlier, later in zip(creates, creates[limit:], strict=False)]
    return window / statistics.fmean(turns) if turns else None


def main(count: int, limit: int, window: float) -> int:
    """Run the benchmark, print the figures, and return 1 if a promise is broken."""
    serve = [sys.executable, __file__, "serve", str(limit), str(window)]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,  # noqa: S603  # this very file
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        base_url, folder = server.stdout.readline().strip(), Path(name)
        cpu, wanted = time.process_time(), RateLimit(limit, per_seconds=window)
        seconds = asyncio.run(_onboard(base_url, folder, count, wanted))
        cpu = time.process_time() - cpu
        server.stdin.close()
        reported = json.loads(server.stdout.readline())
        with (folder / "keys.csv").open(newline="") as file:
            delivered = {row["fiscal_id"]: row["api_key"] for row in csv.DictReader(file)}
    reported |= {"seconds": seconds, "cpu_here": cpu}
    reported["delivered"] = sum(
        reported["keys"].get(key) == value for key, value in delivered.items()
    )
    print(f"{count} companies, {limit} creates in each {window:g} s")
    _print(reported, share_of(reported["creates"], limit, window))
    is_kept = (
        not reported["refused"] and not reported["duplicates"] and len(reported["creates"]) == count
    )
    return 0 if is_kept and reported["delivered"] == count else 1


def _print(reported: dict[str, Any], share: float | None) -> None:
    seconds, here, there = reported["seconds"], reported["cpu_here"], reported["cpu"]
    print(f"  share    {'no full window' if share is None else format(share, '.4f')}")
    print(f"  seconds  {seconds:.1f}, CPU {here:.1f} here and {there:.1f} in the server")
    print(f"  429s     {reported['refused']}")
    print(f"  keys     {reported['delivered']} delivered of {len(reported['creates'])} created")
    print(f"  requests {reported['requests']}, {reported['of_partner']} of the partner's")
    if max(here, there) > _BUSY * seconds:
        print("  bound by CPU: the share says how fast this machine is, not the limit")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", limit_of_server, window_of_server]:
            asyncio.run(_serve(int(limit_of_server), float(window_of_server)))
        case given:
            numbers = [float(one) for one in given] + [600, 150, 20][len(given) :]
            sys.exit(main(int(numbers[0]), int(numbers[1]), numbers[2]))
