"""A short run of each soak and benchmark: what it counts must hold at any size."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import find_binaries

pytestmark = pytest.mark.one_python

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


async def run(*arguments: str, timeout_seconds: float = 170) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *arguments],
        cwd=BENCHMARKS,
        # Without coverage: what only a benchmark runs is not tested.
        env={name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def read_all(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.fault(9, 10, 11, 18, 31)
async def test_a_short_soak_has_no_duplicate_none_lost_and_no_false_success() -> None:
    process = await run("soak_faults.py", "2000", "7")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = [line.split() for line in process.stdout.splitlines() if line.startswith("  ")]
    for name in ("duplicates", "posted_twice", "lost", "false_successes"):
        assert [value for key, value in counts if key == name] == ["0", "0"]
    faulty = [float(value.rstrip("%")) for key, value in counts if key == "faulty"]
    assert min(faulty) >= 10
    assert all(int(value) > 0 for key, value in counts if key in {"unknown", "resumed"})


async def test_onboarding_creates_as_fast_as_the_partners_limit_allows() -> None:
    process = await run("bench_onboarding.py", "30", "15", "3")

    assert process.returncode == 0, process.stdout + process.stderr
    reported = dict(line.split(maxsplit=1) for line in process.stdout.splitlines()[1:])
    assert reported["429s"] == "0"
    assert reported["keys"] == "30 delivered of 30 created"
    # Of the real window the same delays are a twentieth; a loaded machine may add to them.
    assert float(reported["share"]) >= 0.8


async def test_a_short_soak_of_onboarding_loses_no_company_and_makes_none_twice() -> None:
    process = await run("soak_onboarding.py", "20", "3", "3")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[2].isalpha())
    assert int(counts["kills"]) > 0
    assert int(counts["done"]) > 0


@pytest.mark.fault(46)
async def test_a_short_soak_of_kills_has_no_duplicate_and_nothing_lost() -> None:
    process = await run("soak_kill.py", "120", "8", "7")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[:2] == "  ")
    for name in ("duplicates", "posted_twice", "lost", "false_done", "not_done_at_last"):
        assert counts[name] == "0"
    assert int(counts["kills"]) >= 1  # how many fall into the job is the machine's affair
    assert int(counts["creates"]) >= 60


@pytest.mark.fault(63, 64)
async def test_a_short_soak_of_runs_that_share_a_journal_sends_each_create_once() -> None:
    process = await run("soak_kill.py", "120", "8", "7", "2")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[:2] == "  ")
    for name in ("duplicates", "posted_twice", "lost", "false_done", "not_done_at_last"):
        assert counts[name] == "0"
    assert int(counts["kills"]) >= 1
    assert int(counts["freezes"]) >= 1
    assert int(counts["creates"]) >= 60


@pytest.mark.fault(63)
async def test_a_short_soak_of_a_service_and_a_job_on_one_journal_sends_each_create_once() -> None:
    process = await run("soak_service.py", "200", "40", "2", "1", "7")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[:2] == "  ")
    for name in ("posted_twice", "duplicates", "false_done", "not_done_at_last"):
        assert counts[name] == "0"
    assert counts["posts"] == "40"
    assert counts["kills"] == "1"


async def test_a_plan_is_checked_read_and_entered() -> None:
    process = await run("bench_provision.py", "plan", "500")

    assert process.returncode == 0, process.stderr
    assert "at a resume" in process.stdout


@pytest.mark.timeout(240)  # a dozen processes, one after the other
async def test_all_benchmarks_come_to_one_table_and_two_drawings(tmp_path: Path) -> None:
    process = await run("run_all.py", "--quick", str(tmp_path), timeout_seconds=230)

    assert process.returncode == 0, process.stderr
    table = process.stdout.rpartition("beside")[2]
    assert "not run" not in table
    assert "invoicexpress --help" in table
    drawings = read_all(tmp_path)
    assert set(drawings) == {"cost_per_account.svg", "throughput_under_the_limit.svg"}
    assert all(drawing.rstrip().endswith("</svg>") for drawing in drawings.values())


@pytest.mark.parametrize("on_hosts", ["0", "1"], ids=["proxies", "hosts"])
async def test_a_short_soak_of_machines_sends_each_create_once(on_hosts: str) -> None:
    if find_binaries() is None and not os.environ.get("REQUIRE_POSTGRES"):
        pytest.skip("PostgreSQL's server is not on this machine")
    if on_hosts == "1" and os.geteuid() != 0:
        pytest.skip("network namespaces are for root")
    process = await run("soak_machines.py", "150", "3", "1", "2", "1", "7", "3", on_hosts)

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[:2] == "  ")
    for name in ("duplicates", "posted_twice", "lost", "false_done", "not_done_at_last"):
        assert counts[name] == "0"
    assert (counts["kills"], counts["kills_of_the_postmaster"]) == ("3", "1")
    assert int(counts["creates"]) >= 75


async def test_a_short_soak_of_onboarding_with_workers_delivers_each_key_once() -> None:
    if find_binaries() is None and not os.environ.get("REQUIRE_POSTGRES"):
        pytest.skip("PostgreSQL's server is not on this machine")
    process = await run("soak_onboarding_machines.py", "20", "2", "3")

    assert process.returncode == 0, process.stdout + process.stderr
    counts = dict(line.split()[:2] for line in process.stdout.splitlines() if line[:2] == "  ")
    for name in ("rivals_not_refused", "keys_delivered_twice", "secrets_in_the_database"):
        assert counts[name] == "0"
    assert counts["done"] == "20"
