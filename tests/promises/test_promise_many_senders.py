"""One POST for each intent, from any of the processes, threads and managers of a journal.

The server accepts every create that it is sent: what keeps a second one away is the journal alone.
"""

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import attrs
import pytest
from fakes import FakeClock
from job_process import KEY, Job, ask, start
from senders import NAMES, QUICK, READ_AFTER_SECONDS, accepting, have_ended, posts, prepare, until

from invoicexpress_async import (
    DeadlineExceededError,
    OutcomeUnknownError,
    RetryPolicy,
    SessionManager,
)
from invoicexpress_async.jobs.claimers import is_dead, new_token
from invoicexpress_async.jobs.sqlite.reader import JournalFile
from invoicexpress_async.provisioning import JournalError, SqliteJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    async with accepting() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, on: FaultServer) -> Job:
    return prepare(tmp_path, on, read_after_seconds=READ_AFTER_SECONDS)


@pytest.mark.fault(63)
@pytest.mark.parametrize("store", ["SQLite", "PostgreSQL"])
async def test_runs_that_share_a_journal_do_each_row_once(
    on: FaultServer, job: Job, store: str, request: pytest.FixtureRequest
) -> None:
    if store == "PostgreSQL":
        job = attrs.evolve(job, url=request.getfixturevalue("postgres").database())
    jobs = [attrs.evolve(job, name=f"job-{number}", is_shared=True) for number in range(3)]

    running = [start(one) for one in jobs]
    codes = await have_ended(*running)

    assert codes == [0, 0, 0]
    assert posts(on) == {1}
    for one in running:
        reported = one.reported()
        assert (reported.problem, set(reported.states.values())) == (None, {"done"})


@pytest.mark.fault(60)
async def test_a_symbolic_link_is_the_same_journal(on: FaultServer, job: Job) -> None:
    holder = start(job)
    await until(lambda: len(on.requests) > 0)
    (job.folder / "link.db").symlink_to("job.db")
    second = start(attrs.evolve(job, name="second", journal_name="link.db"))

    await have_ended(second, holder)

    assert "in use by process" in (second.reported().problem or "")
    assert set(holder.reported().states.values()) == {"done"}
    assert posts(on) == {1}


@pytest.mark.fault(60)
async def test_a_journal_with_a_hard_link_is_refused(on: FaultServer, job: Job) -> None:
    async with SqliteJournal(job.journal):
        pass
    os.link(job.journal, job.folder / "link.db")

    for name in ("job.db", "link.db"):
        with pytest.raises(JournalError, match="2 names"):
            async with SqliteJournal(job.folder / name):
                pass
    assert on.requests == []


@pytest.mark.fault(60)
async def test_a_name_that_looks_like_a_uri_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async with SqliteJournal("file:job.db?mode=memory"):
        pass

    made = tmp_path / "file:job.db?mode=memory"
    assert made.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "job.db").exists()


@pytest.mark.fault(60)
async def test_a_lock_file_that_is_deleted_lets_no_row_be_sent_twice(
    on: FaultServer, job: Job
) -> None:
    first = start(job)
    await until(lambda: len(on.requests) > 0)
    (job.folder / "job.db-lease").unlink()
    second = start(attrs.evolve(job, name="second"))

    assert await have_ended(first, second) == [0, 0]

    assert posts(on) == {1}
    for one in (first, second):
        assert set(one.reported().states.values()) == {"done"}


@pytest.mark.fault(60)
async def test_a_thread_that_copies_the_files_lets_no_lock_go(on: FaultServer, job: Job) -> None:
    stop = threading.Event()

    def back_up() -> None:
        while not stop.wait(0.005):
            for path in job.folder.glob("job.db*"):
                shutil.copyfile(path, job.folder / f"backup-{path.name}")

    async with SqliteJournal(job.journal):
        copying = threading.Thread(target=back_up)
        copying.start()
        await asyncio.sleep(0.05)
        second = start(job)
        await second.ended()
        stop.set()
        copying.join()

    assert "in use by process" in (second.reported().problem or "")
    assert on.requests == []


@pytest.mark.fault(60, 64)
async def test_a_holder_that_was_frozen_and_wakes_sends_nothing_that_others_have(
    on: FaultServer, job: Job
) -> None:
    frozen = start(attrs.evolve(job, concurrency=4))
    await until(lambda: len(on.requests) > 8)
    os.kill(frozen.pid, signal.SIGSTOP)
    (job.folder / "job.db-lease").unlink()
    second = start(attrs.evolve(job, name="second"))
    await second.ended()

    os.kill(frozen.pid, signal.SIGCONT)
    await frozen.ended()

    assert posts(on) == {1}
    assert set(frozen.reported().states.values()) == {"done"}


@pytest.mark.fault(61)
async def test_a_journal_without_its_log_is_refused_and_never_taken_for_empty(
    on: FaultServer, job: Job
) -> None:
    killed = start(job)
    await until(lambda: sum(on.oracle.posts(name) for name in NAMES) > 3)
    killed.kill()
    await killed.ended()
    moved = job.folder / "moved"
    moved.mkdir()
    (job.folder / "job.db").rename(moved / "job.db")

    with pytest.raises(JournalError, match=r"job\.db-wal, which is not beside it"):
        async with SqliteJournal(moved / "job.db"):
            pass

    (job.folder / "job.db-wal").rename(moved / "job.db-wal")
    async with SqliteJournal(moved / "job.db"):
        pass
    states = {str(state) for (state,) in ask(moved / "job.db", "SELECT state FROM rows")}
    assert states & {"intent", "done"}


async def kill_in_a_checkpoint(path: Path) -> None:
    """Make a journal, and kill its run between the two writes of a checkpoint."""
    async with SqliteJournal(path):
        pass
    killed = (
        "import os, sys; from pathlib import Path;"
        "from invoicexpress_async.jobs.sqlite import file;"
        "connection = file.connect(Path(sys.argv[1]));"
        "connection.set_trace_callback("
        "lambda text: os._exit(9) if \"VALUES ('last entries', 'here')\" in text else None);"
        "file.checkpoint(connection)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", killed, str(path))
    assert await process.wait() == 9


@pytest.mark.fault(61)
async def test_a_run_that_was_killed_between_a_checkpoint_and_its_end_lost_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.db"
    await kill_in_a_checkpoint(path)

    with JournalFile(path):  # as `status` does; it closes the file as the last one
        pass

    assert not path.with_name("job.db-wal").exists()
    async with SqliteJournal(path):
        pass


@pytest.mark.fault(61)
async def test_after_another_program_has_closed_such_a_journal_the_refusal_names_the_repair(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job of 2027.db"
    await kill_in_a_checkpoint(path)
    other = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute(sys.argv[2]).fetchall(); connection.close()"
    )
    sqlite = [sys.executable, "-c", other]
    look = await asyncio.create_subprocess_exec(*sqlite, str(path), "SELECT * FROM job")
    assert await look.wait() == 0
    assert not path.with_name(f"{path.name}-wal").exists()

    with pytest.raises(JournalError, match="neither moved nor copied") as refused:
        async with SqliteJournal(path):
            pass
    program, *arguments = shlex.split(str(refused.value).split("`")[1])
    repair = await asyncio.create_subprocess_exec(*sqlite, *arguments)
    assert (program, await repair.wait()) == ("sqlite3", 0)

    async with SqliteJournal(path):
        pass


@pytest.mark.fault(62)
async def test_managers_that_share_a_journal_make_one_post(on: FaultServer, tmp_path: Path) -> None:
    async with (
        SqliteJournal(tmp_path / "job.db") as journal,
        SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as first,
        SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as second,
    ):
        calls = [
            manager.account(name, KEY).sequences.ensure("2027")
            for name in NAMES
            for manager in (first, second)
        ]
        ensured = await asyncio.gather(*calls)
        left = await first.read_unresolved()

    assert posts(on) == {1}
    pairs = zip(ensured[::2], ensured[1::2], strict=True)
    assert all(one.sequence.id == other.sequence.id for one, other in pairs)
    assert [one.created for one in ensured].count(True) == len(NAMES)
    assert left == ()


@pytest.mark.fault(62)
async def test_threads_with_a_loop_each_make_one_post(on: FaultServer, tmp_path: Path) -> None:
    async def ensure_all() -> list[int]:
        async with (
            SqliteJournal(tmp_path / "job.db", shared=True) as journal,
            SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as manager,
        ):
            calls = [manager.account(name, KEY).sequences.ensure("2027") for name in NAMES]
            return [one.sequence.id for one in await asyncio.gather(*calls)]

    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()
        runs = [loop.run_in_executor(pool, lambda: asyncio.run(ensure_all())) for _ in range(4)]
        ids = await asyncio.gather(*runs)

    assert posts(on) == {1}
    assert ids[0] == ids[1] == ids[2] == ids[3]


@pytest.mark.fault(63)
async def test_a_send_that_was_lost_is_read_for_by_another_manager(
    on: FaultServer, tmp_path: Path
) -> None:
    on.faults.clear()
    on.faults.next("reset_peer", operation="create", account="a0", commits=False)
    async with SqliteJournal(tmp_path / "job.db") as journal:
        async with SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as manager:
            with pytest.raises(OutcomeUnknownError):
                await manager.account("a0", KEY).sequences.ensure("2027")
        async with SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as another:
            (intent,) = await another.read_unresolved()
            with pytest.raises(OutcomeUnknownError) as unknown:
                await another.account("a0", KEY).sequences.ensure("2027")
            on.add_sequence("a0", "2027", is_registered=True)  # it commits late
            found = await another.account("a0", KEY).sequences.resume(intent)
            left = await another.read_unresolved()

    assert unknown.value.intent == intent
    assert (found.serie, left) == ("2027", ())
    assert on.oracle.posts("a0") == 1


@pytest.mark.fault(63)
@pytest.mark.parametrize("operation", ["create", "register"])
async def test_an_ensure_that_finds_what_was_sent_ends_its_intent_in_the_journal(
    on: FaultServer, tmp_path: Path, operation: Literal["create", "register"]
) -> None:
    on.faults.clear()
    on.faults.next("reset_peer", operation=operation, account="a0", commits="late")
    if operation == "register":
        on.add_sequence("a0", "2027", is_registered=False)
    async with SqliteJournal(tmp_path / "job.db") as journal:
        async with SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as manager:
            with pytest.raises(OutcomeUnknownError):
                await manager.account("a0", KEY).sequences.ensure("2027")
            unknown = await manager.read_unresolved()
        await on.commit_late()
        async with SessionManager(base_url=on.base_url, retry=QUICK, journal=journal) as another:
            ensured = await another.account("a0", KEY).sequences.ensure("2027")
            left = await another.read_unresolved()

    assert [one["operation"] for one in unknown] == [operation]
    assert (ensured.created, left) == (False, ())
    assert on.oracle.posts("a0") == (operation == "create")


@pytest.mark.fault(64)
async def test_an_intent_that_waited_for_a_minute_is_withdrawn_and_not_sent(
    on: FaultServer, tmp_path: Path, clock: FakeClock
) -> None:
    async def freeze(_: object) -> None:
        clock.advance(61.0)

    async with (
        SqliteJournal(tmp_path / "job.db") as journal,
        SessionManager(base_url=on.base_url, clock=clock, journal=journal) as manager,
    ):
        sequences = manager.account("a0", KEY).sequences
        with pytest.raises(DeadlineExceededError, match="It was not sent") as withdrawn:
            await sequences.create("2027", on_intent=freeze, timeout_seconds=300)
        left = await manager.read_unresolved()
        states = ask(journal.path, "SELECT state FROM intents")
        sent = on.oracle.posts("a0")
        await sequences.create("2027", timeout_seconds=300)

    assert not withdrawn.value.may_have_been_processed
    assert (left, states, sent) == ((), [("planned",)], 0)
    assert on.oracle.posts("a0") == 1


def test_the_tokens_of_two_copies_of_a_process_differ() -> None:
    first, second = (new_token().rpartition("/")[2] for _ in range(2))

    # Nothing that a copy of the memory has too, such as a count, makes the difference.
    assert len(first) == len(second) >= 24
    assert sum(one != other for one, other in zip(first, second, strict=True)) > 8


@pytest.mark.skipif(not shutil.which("unshare"), reason="there is no unshare")
def test_a_claimer_in_another_container_is_not_taken_for_dead() -> None:
    token = new_token()
    code = "import sys; from invoicexpress_async.jobs.claimers import is_dead as dead; "
    code += "print(dead(sys.argv[1]))"
    # An ordinary user gets a namespace of users first; root in a chroot can have none.
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    container = ("unshare", *user, "--pid", "--fork", "--propagation", "unchanged", "--mount-proc")

    seen = subprocess.run(  # noqa: S603  # our own code
        [*container, sys.executable, "-c", code, token], capture_output=True, text=True, check=True
    )

    assert not is_dead(token)
    assert seen.stdout == "False\n"


async def test_an_old_create_that_has_documents_by_now_is_found_and_not_sent_again() -> None:
    never = RetryPolicy(read_after_seconds=())
    async with (
        FaultServer(
            accounts=[SandboxAccount(name="acme", api_key=KEY)], is_name_check_atomic=False
        ) as on,
        SessionManager(base_url=on.base_url, retry=never) as manager,
    ):
        sequences = manager.account("acme", KEY).sequences
        on.faults.next("reset_peer", commits=True, operation="create")
        with pytest.raises(OutcomeUnknownError) as unknown:
            await sequences.create("2027")
        assert unknown.value.intent is not None
        row = {"id": 1, "serie": "2027", "current_invoice_number": 1}
        row["current_invoice_sequence_id"] = 1
        body = json.dumps({"sequences": [row]}).encode()
        on.faults.next("status", status=200, body=body, operation="list", commits=False)

        found = await sequences.resume(unknown.value.intent)

        assert found.id == 1
        assert sequences.unresolved() == ()
        assert on.oracle.posts("acme", "2027") == 1
