"""A journal that another program, a process of its own, holds locked for a while."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from invoicexpress_async import DeadlineExceededError, SessionManager
from invoicexpress_async.jobs.journal import INTENTS, Change
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PlanRow,
    RunStop,
    SqliteJournal,
    provision,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
NAMES = ("a0", "a1", "a2")
PLAN = Plan(rows=[PlanRow(account=name, api_key=KEY, serie="2027") for name in NAMES])
HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    async with FaultServer(accounts=accounts) as server:
        yield server


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(tmp_path / "job.db") as opened:
        # SQLite's own patience of two seconds would only make these tests longer.
        await opened.writer.run(lambda one: one.execute("PRAGMA busy_timeout = 20"))
        yield opened


@contextlib.contextmanager
def locked(journal: SqliteJournal) -> Iterator[None]:
    """Let another process hold the file until the end of the block."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", HOLDER, str(journal.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate(b"\n")


async def until_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    while "is locked by another program" not in caplog.text:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)


@pytest.mark.fault(49)
async def test_a_job_waits_for_a_locked_journal_and_goes_on(
    on: FaultServer, journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    async with SessionManager(base_url=on.base_url) as manager:
        with locked(journal):
            running = asyncio.create_task(provision(manager, PLAN, journal=journal))
            await until_it_waits(caplog)
            assert on.requests == []

        report = await running

    assert report.is_complete
    assert [on.oracle.posts(name) for name in NAMES] == [1, 1, 1]


@pytest.mark.fault(49)
async def test_a_call_waits_as_long_as_its_deadline_allows_and_sends_nothing(
    on: FaultServer, journal: SqliteJournal
) -> None:
    async with SessionManager(base_url=on.base_url, journal=journal) as manager:
        sequences = manager.account("a0", KEY).sequences
        with locked(journal):
            with pytest.raises(DeadlineExceededError, match="before its intent was in the journal"):
                await sequences.create("2027", timeout_seconds=0.3)
            posted = on.oracle.posts("a0")

        await sequences.create("2027")

    assert (posted, on.oracle.posts("a0")) == (0, 1)


@pytest.mark.fault(47)
async def test_a_stopped_run_does_not_wait_for_a_locked_journal(
    on: FaultServer, journal: SqliteJournal
) -> None:
    stop, locks = RunStop(), contextlib.ExitStack()
    with locks:
        async with SessionManager(base_url=on.base_url) as manager:
            on.faults.next("latency", seconds=60.0, operation="create")
            running = asyncio.create_task(
                provision(manager, PLAN.only(["a0"]), journal=journal, stop=stop)
            )
            while not on.oracle.posts("a0"):  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.005)
            locks.enter_context(locked(journal))
            stop.request(drain_seconds=0.05)

            report = await running

    assert isinstance(report.problem, JournalError)
    assert on.oracle.posts("a0") == 1


@pytest.mark.fault(49)
async def test_a_journal_that_is_closed_while_it_is_locked_says_what_was_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = SqliteJournal(tmp_path / "job.db")
    with contextlib.ExitStack() as locks:
        async with journal:
            await journal.writer.run(lambda one: one.execute("PRAGMA busy_timeout = 20"))
            locks.enter_context(locked(journal))
            commit = journal.write(Change(INTENTS, ("create", "a0", "2027"), {"state": "done"}))
            await until_it_waits(caplog)

        with pytest.raises(JournalError, match="locked"):
            await commit
