"""The journal by itself: what it refuses, what it keeps, who may hold it."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from invoicexpress_async import Registration, SessionManager
from invoicexpress_async.jobs.journal import DAMAGED, NEWER
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.provisioning import (
    JournalDifferenceError,
    JournalError,
    Plan,
    PlanRow,
    RowState,
    RunSettings,
    SqliteJournal,
    provision,
)
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"


def account(name: str, **settings: object) -> SandboxAccount:
    return SandboxAccount(name=name, api_key=KEY, **settings)  # type: ignore[arg-type]  # a test's


def plan(*names: str, serie: str = "2027", default: bool = True) -> Plan:
    rows = [PlanRow(account=one, api_key=KEY, serie=serie, is_default=default) for one in names]
    return Plan(rows=rows)


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(query).fetchall()
        connection.commit()
    finally:
        connection.close()
    return rows


def look(folder: Path) -> tuple[dict[str, int], bytes]:
    """The mode of each file, and all that is in them."""
    files = list(folder.iterdir())
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in files}
    return modes, b"".join(one.read_bytes() for one in files)


async def test_a_finished_job_run_again_sends_nothing_at_all(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(30)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        async with SqliteJournal(tmp_path / "job.db") as journal:
            first = await provision(manager, plan(*names), journal=journal)
        requests = len(sandbox.requests)
        async with SqliteJournal(tmp_path / "job.db") as journal:
            second = await provision(manager, plan(*names), journal=journal)

        assert len(sandbox.requests) == requests

    assert first.is_complete
    assert second.is_complete
    assert all(one.is_recorded for one in second.outcomes)
    assert second.created == 0


async def test_the_journal_is_private_durable_and_holds_no_key(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(path) as journal,
    ):
        await provision(manager, plan("acme"), journal=journal)
        modes, everything = look(tmp_path)

    assert set(modes) >= {"job.db", "job.db-wal", "job.db-lease"}
    assert set(modes.values()) == {0o600}
    assert KEY.encode() not in everything
    assert b"acme" in everything
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]


async def test_a_journal_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    async with SqliteJournal(path):
        pass
    path.chmod(0o644)

    async with SqliteJournal(path):
        mode = stat.S_IMODE(path.stat().st_mode)

    assert mode == 0o600


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(6_000)


def overwritten(path: Path) -> None:
    path.write_bytes(b"account,api_key\nacme,secret\n" * 400)


def newer(path: Path) -> None:
    ask(path, "PRAGMA user_version = 99")


def older(path: Path) -> None:
    ask(path, "PRAGMA user_version = 0")


def another(path: Path) -> None:
    ask(path, "PRAGMA application_id = 1")


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    ("harm", "reported", "cure"),
    [
        pytest.param(truncated, "malformed|damaged", DAMAGED, id="truncated"),
        pytest.param(overwritten, "not a database", DAMAGED, id="overwritten"),
        pytest.param(newer, "newer version", NEWER, id="newer"),
        pytest.param(older, "unknown schema", JournalError.cure, id="older"),
        pytest.param(another, "not a journal", JournalError.cure, id="another program's"),
    ],
)
async def test_a_journal_that_is_not_whole_is_refused_and_nothing_is_sent(
    tmp_path: Path, harm: Callable[[Path], None], reported: str, cure: str
) -> None:
    path = tmp_path / "job.db"
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        async with SqliteJournal(path) as journal:
            await provision(manager, plan("acme"), journal=journal)
        harm(path)
        before, requests = path.read_bytes(), len(sandbox.requests)

        with pytest.raises(JournalError, match=reported) as caught:
            await provision(manager, plan("acme"), journal=await SqliteJournal(path).__aenter__())

        assert len(sandbox.requests) == requests
    assert path.read_bytes() == before
    assert caught.value.cure == cure


@pytest.mark.fault(49)
async def test_a_journal_that_somebody_locks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    async with SqliteJournal(path):
        pass
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(JournalError, match="locked"):
            await SqliteJournal(path).__aenter__()
    finally:
        holder.close()

    async with SqliteJournal(path) as journal:
        assert journal.writer.failure is None


@pytest.mark.fault(49)
async def test_a_journal_where_none_can_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        await SqliteJournal(Path("/proc/job.db")).__aenter__()
    with pytest.raises(JournalError, match="not a file"):
        await SqliteJournal(tmp_path).__aenter__()
    with pytest.raises(JournalError, match="folder"):
        await SqliteJournal(tmp_path / "nowhere" / "job.db").__aenter__()


async def test_an_opening_that_is_cancelled_leaves_no_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opening = asyncio.create_task(SqliteJournal(tmp_path / "job.db").__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    async with SqliteJournal(tmp_path / "job.db"):
        assert caplog.text == ""


async def test_a_journal_that_is_not_open_sends_nothing(tmp_path: Path) -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        with pytest.raises(JournalError, match="not open"):
            await provision(manager, plan("acme"), journal=SqliteJournal(tmp_path / "job.db"))

        assert sandbox.requests == []


@pytest.mark.fault(50)
async def test_a_second_run_on_the_same_journal_is_refused_and_names_the_holder(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.db"
    async with SqliteJournal(path):
        with pytest.raises(JournalError, match=f"in use by process {os.getpid()}") as caught:
            await SqliteJournal(path, shared=True).__aenter__()
    assert "--shared-journal, a program with SqliteJournal(path, shared=True)" in str(caught.value)

    async with SqliteJournal(path) as again:
        assert again.writer.failure is None


_HOLDER = """
import asyncio, sys
from invoicexpress_async.provisioning import SqliteJournal

async def main():
    async with SqliteJournal(sys.argv[1]):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.fault(50)
async def test_the_lease_of_another_process_is_respected_until_it_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.db"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, path, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(JournalError, match=f"in use by process {holder.pid}"):
            await SqliteJournal(path).__aenter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.communicate()

    async with SqliteJournal(path) as taken_over:
        assert taken_over.writer.failure is None


async def test_another_plan_is_refused_with_its_differences(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    async with (
        Sandbox(accounts=map(account, ("acme", "beta", "gama"))) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        async with SqliteJournal(path) as journal:
            await provision(manager, plan("acme", "beta"), journal=journal)
        requests = len(sandbox.requests)
        changed = Plan(
            rows=[
                PlanRow(account="acme", api_key=KEY, serie="2027", is_default=False),
                PlanRow(account="gama", api_key=KEY, serie="2027", is_default=True),
            ]
        )

        async with SqliteJournal(path) as journal:
            with pytest.raises(JournalDifferenceError, match="3 rows differ") as caught:
                await provision(manager, changed, journal=journal)
            assert len(sandbox.requests) == requests
            accepted = await provision(
                manager, changed, journal=journal, settings=RunSettings(accept_changes=True)
            )
            again = await provision(manager, changed, journal=journal)

    reported = {(one.kind, one.account, one.state) for one in caught.value.differences}
    assert reported == {
        ("added", "gama", None),
        ("removed", "beta", "done"),
        ("changed", "acme", "done"),
    }
    assert (caught.value.count, len(accepted.differences), again.differences) == (3, 3, ())
    assert accepted.is_complete
    assert again.is_complete


async def test_a_refused_row_is_reported_again_and_tried_again_only_on_request(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.db"
    async with (
        Sandbox(accounts=[account("acme", has_at_credentials=False)]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(path) as journal,
    ):
        first = await provision(manager, plan("acme"), journal=journal)
        again = await provision(manager, plan("acme"), journal=journal)
        posts = sandbox.count("POST", "/sequences.json")
        cured = await provision(
            manager, plan("acme"), journal=journal, settings=RunSettings(retry_refused=True)
        )

    assert posts == 1
    reported = [(one.state, one.code, one.error_name) for one in (*first.outcomes, *again.outcomes)]
    assert reported == [(RowState.REFUSED, "004", "TaxAuthorityCredentialsError")] * 2
    assert again.outcomes[0].is_recorded
    assert not cured.outcomes[0].is_recorded
    assert sandbox.count("POST", "/sequences.json") == 2


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    ("wall", "steady", "boots", "passed"),
    [
        pytest.param(1000, 1000, ("a", "a"), 1000, id="no jump"),
        pytest.param(-3600, 1000, ("a", "a"), -3600, id="an hour back"),
        pytest.param(86_400, 1000, ("a", "a"), 1000, id="a day on"),
        pytest.param(
            86_400, 1000, ("a", "b"), 86_400, id="after a restart only the wall clock counts"
        ),
        pytest.param(500, 1000, ("", ""), 500, id="a system that names no boot"),
    ],
)
def test_no_more_time_is_believed_to_have_passed_than_the_clocks_agree_on(
    wall: float, steady: float, boots: tuple[str, str], passed: float
) -> None:
    then = Timestamp(wall=1e9, steady=50.0, boot=boots[0])
    now = Timestamp(wall=1e9 + wall, steady=50.0 + steady, boot=boots[1])

    assert then.seconds_until(now) == passed
    assert Timestamp.parse(then.dump()) == then


def test_the_present_is_a_moment() -> None:
    first = Timestamp.now()

    assert 0 <= first.seconds_until(Timestamp.now()) < 60


def test_a_journal_is_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="open it in the process"):
        SqliteJournal(tmp_path / "job.db").__reduce__()


async def test_the_second_run_reports_what_the_first_has_seen(tmp_path: Path) -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        first = await provision(manager, plan("acme"), journal=journal)
        requests = len(sandbox.requests)
        second = await provision(manager, plan("acme"), journal=journal)
        assert len(sandbox.requests) == requests

    (seen,), (kept,) = first.outcomes, second.outcomes
    assert kept.is_recorded
    assert seen.sequence is not None
    assert kept.sequence is not None
    assert (kept.sequence.id, kept.sequence.serie) == (seen.sequence.id, "2027")
    assert kept.sequence.documents["invoice"] == seen.sequence.documents["invoice"]
    assert kept.sequence.registration is Registration.REGISTERED
