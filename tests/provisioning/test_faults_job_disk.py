"""Journals on a disk that is full, or that may only be read."""

import asyncio
import os
import re
import resource
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import pytest
from job_process import ask, start_opening

from invoicexpress_async import ConfigurationError, RetryPolicy, SessionManager
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PlanRow,
    ProvisioningReport,
    RowState,
    RunSettings,
    RunStop,
    SqliteJournal,
    provision,
)
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount
from invoicexpress_async.sandbox.domain.accounts import Operation
from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import Exchange, Fault, responding
from invoicexpress_async.sandbox.http import encode_response

KEY = "canary-key-7f3a9c"
NAMES = [f"a{number}" for number in range(200)]
NOBODY = 65534
QUICK = RetryPolicy(attempts=1, read_after_seconds=(0.02,))


def plan(*names: str) -> Plan:
    return Plan(rows=[PlanRow(account=one, api_key=KEY, serie="2027") for one in names])


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    async with FaultServer(accounts=accounts) as server:
        yield server


@pytest.fixture
async def manager(on: FaultServer) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=on.base_url, retry=QUICK) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


def states(path: Path) -> Counter[object]:
    return Counter(state for (state,) in ask(path, "SELECT state FROM rows"))


async def fill(journal: SqliteJournal) -> None:
    """Let the file have no further page: SQLite says then that the disk is full."""

    def work(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await journal.writer.run(work)


async def again(manager: SessionManager, path: Path, *names: str) -> ProvisioningReport:
    async with SqliteJournal(path) as journal:
        return await provision(manager, plan(*names), journal=journal)


@pytest.mark.fault(48)
async def test_a_disk_that_is_full_before_the_first_row_sends_nothing(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async with SqliteJournal(path) as journal:
        await fill(journal)
        with pytest.raises(JournalError, match="full"):
            await provision(manager, plan(*NAMES), journal=journal)

    assert on.requests == []
    assert (await again(manager, path, *NAMES)).is_complete


@pytest.mark.fault(48)
async def test_a_disk_that_fills_up_in_the_middle_sends_nothing_that_it_does_not_hold(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async with SqliteJournal(path) as journal:
        await sync_plan(RowJournal(journal), plan(*NAMES), RunSettings(), stop=RunStop())
        await fill(journal)
        report = await provision(manager, plan(*NAMES), journal=journal, concurrency=10)
        requests = len(on.requests)
        with pytest.raises(JournalError, match="full"):
            await provision(manager, plan(*NAMES), journal=journal)
        assert len(on.requests) == requests

    posted = {one for one in NAMES if on.oracle.posts(one)}
    held = {name for (name,) in ask(path, "SELECT account FROM rows WHERE state <> 'planned'")}
    assert "full" in str(report.problem)
    assert isinstance(report.problem, JournalError)
    assert not report.is_complete
    assert 0 < len(posted) < len(NAMES)
    assert posted <= held
    assert posted == {one.row.account for one in report.outcomes if one.state is RowState.DONE}
    assert len(report.outcomes) + report.not_started == len(NAMES)
    assert not [one for one in report.outcomes if one.error and one.error.may_have_been_processed]
    ended = await again(manager, path, *NAMES)
    assert ended.is_complete
    assert {on.oracle.posts(one) for one in NAMES} == {1}


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("operation", "state"),
    [
        pytest.param("list", RowState.FAILED, id="before INTENT"),
        pytest.param("create", RowState.DONE, id="before DONE"),
    ],
)
async def test_a_write_that_the_system_refuses_loses_no_result_and_sends_nothing_blindly(
    on: FaultServer, manager: SessionManager, path: Path, operation: Operation, state: RowState
) -> None:
    posts = int(state is RowState.DONE)
    with no_limit() as limit:
        async with SqliteJournal(path) as journal:
            on.faults.next(fill_disk(limit), operation=operation)
            report = await provision(manager, plan("a0", "a1"), journal=journal, concurrency=1)
            limit.lift()

    outcome, *others = report.outcomes
    # The next one may have begun to look, and sends nothing.
    assert {other.state for other in others} <= {RowState.FAILED}
    assert isinstance(report.problem, JournalError)
    assert "cannot be written" in str(report.problem)
    assert (outcome.state, outcome.created or False) == (state, bool(posts))
    assert report.not_started + len(others) == 1
    assert (on.oracle.posts("a0"), on.oracle.posts("a1")) == (posts, 0)
    assert states(path) == {"intent" if posts else "planned": 1, "planned": 2 - posts}
    ended = await again(manager, path, "a0", "a1")
    assert ended.is_complete
    assert {on.oracle.posts(one) for one in ("a0", "a1")} == {1}


async def until_requested(on: FaultServer, count: int) -> None:
    async with asyncio.timeout(60):
        while len(on.requests) < count:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.001)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep everybody else from writing, as a backup tool does for a moment."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


@pytest.mark.fault(41)
async def test_a_row_cut_off_before_its_intent_was_written_is_not_kept_as_sent(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    stop, names = RunStop(), ("nobody", "no-one", "none", "a0")
    async with SqliteJournal(path) as journal:
        rows = plan(*names)
        run = provision(manager, rows, journal=journal, concurrency=1, stop=stop)
        on.faults.next("latency", seconds=0.3)  # no answer, and so no intent, before the lock
        running = asyncio.create_task(run)
        await until_requested(on, 1)
        with held(path):
            # An end is on its way to the disk; another one waits for that, and then the intent.
            await until_requested(on, 4)
            await asyncio.sleep(0.1)
            stop.cut_off()
            await asyncio.sleep(0.1)
        report = await running

    reported = {(one.row.account, one.state) for one in report.outcomes}
    assert reported == set(ask(path, "SELECT account, state FROM rows"))
    assert on.oracle.posts("a0") == 0
    await again(manager, path, *names)
    assert on.oracle.posts("a0") == 1


async def test_a_journal_that_is_closed_under_a_run_ends_it(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async with SqliteJournal(path) as journal:
        run = provision(manager, plan(*NAMES), journal=journal, concurrency=5)
        running = asyncio.create_task(run)
        await until_requested(on, 20)
    async with asyncio.timeout(60):
        report = await running

    assert isinstance(report.problem, JournalError)
    assert "it was closed" in str(report.problem)
    assert len(report.outcomes) + report.not_started == len(NAMES)
    assert (await again(manager, path, *NAMES)).is_complete
    assert {on.oracle.posts(one) for one in NAMES} == {1}


@attrs.define
class Limit:
    """What the system lets a file of this process grow to: a full disk, for any user."""

    soft: int
    hard: int

    def impose(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self.hard))

    def lift(self) -> None:
        self.impose(self.soft)


@contextmanager
def no_limit() -> Iterator[Limit]:
    limit = Limit(*resource.getrlimit(resource.RLIMIT_FSIZE))
    try:
        yield limit
    finally:
        limit.lift()


def fill_disk(limit: Limit) -> Fault:
    """Let the disk be full, then respond truly."""

    @responding()
    async def fill(exchange: Exchange, response: Response) -> None:
        limit.impose(1024)  # not one page of the log, which begins anew after a checkpoint
        await exchange.write(encode_response(response))

    return fill.make({})


@contextmanager
def a_folder_for(user: int | None) -> Iterator[Path]:
    """Make a folder that another user reaches, unlike those of the tests."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        if user is not None:
            os.chown(folder, user, -1)
        yield folder
    finally:
        shutil.rmtree(folder)


def read_only(folder: Path) -> None:
    (folder / "job.db").chmod(0o400)


def read_only_lease(folder: Path) -> None:
    (folder / "job.db-lease").chmod(0o400)


def not_to_be_entered(folder: Path) -> None:
    folder.chmod(0o600)


@pytest.mark.fault(49)
@pytest.mark.parametrize("harm", [read_only, read_only_lease, not_to_be_entered])
async def test_a_journal_that_may_not_be_written_is_refused(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    user = NOBODY if os.geteuid() == 0 else None  # to root, modes mean nothing
    reported = tmp_path / "reported"
    with a_folder_for(user) as folder:
        path = folder / "job.db"
        async with SqliteJournal(path):
            pass
        for file in folder.iterdir():
            os.chown(file, -1 if user is None else user, -1)
        harm(folder)

        code = await start_opening(path, reported, user=user).ended()
        folder.chmod(0o700)

    assert code == 0
    assert re.search(r"(ermission|readonly).*Nothing was sent\.", reported.read_text())


@pytest.mark.fault(48)
def test_a_full_temporary_folder_is_reported_before_anything_is_sent() -> None:
    with no_limit() as limit:
        limit.impose(0)

        with pytest.raises(ConfigurationError, match="Make room"):
            plan(*(f"account-{number}" for number in range(150_000)))


@pytest.mark.fault(41)
async def test_a_run_cancelled_while_an_intent_is_written_has_sent_nothing_and_says_so(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async with SqliteJournal(path) as journal:
        run = provision(manager, plan("nobody", "a0"), journal=journal, concurrency=1)
        on.faults.next("latency", seconds=0.3)  # no answer, and so no intent, before the lock
        running = asyncio.create_task(run)
        await until_requested(on, 1)
        with held(path):
            await until_requested(on, 2)
            await asyncio.sleep(0.1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    kept = ask(path, "SELECT state, intent, sends FROM rows WHERE account = 'a0'")
    assert kept == [("planned", None, 0)]
    await again(manager, path, "nobody", "a0")
    assert on.oracle.posts("a0") == 1
