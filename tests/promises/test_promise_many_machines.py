"""One POST for each intent, with the journal in PostgreSQL and the senders in processes.

The server accepts every create that it is sent: what keeps a second one away is the journal alone.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
from job_process import KEY, Job, start
from postgres_server import PostgresServer
from test_faults_job import until
from test_promise_many_senders import NAMES, have_ended, posts

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.provisioning import PostgresJournal, enter_plan
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

QUICK = RetryPolicy(read_after_seconds=(0.05, 0.1, 0.2, 0.4, 0.8))


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=one, api_key=KEY) for one in NAMES]
    async with FaultServer(accounts=accounts, is_name_check_atomic=False) as server:
        server.faults.next("latency", operation="create", seconds=0.3, times=None)
        yield server


@pytest.fixture
def job(tmp_path: Path, on: FaultServer, postgres: PostgresServer) -> Job:
    job = Job(
        base_url=on.base_url,
        folder=tmp_path,
        read_after_seconds=(0.1, 0.3, 0.6),
        url=postgres.database(),
    )
    job.write_plan(list(NAMES))
    return job


async def plan(job: Job) -> None:
    assert job.url is not None
    async with PostgresJournal(job.url, slices=8) as journal:
        await enter_plan(journal, Plan.from_csv(job.plan))


def states(postgres: PostgresServer, job: Job) -> dict[str, str]:
    assert job.url is not None
    with postgres.connect(job.url) as connection:
        rows = connection.execute("SELECT account, state FROM invoicexpress.rows").fetchall()
    return {str(account): str(state) for account, state in rows}


def check(on: FaultServer, postgres: PostgresServer, job: Job) -> None:
    """One POST for each row; only of one that was claimed and never sent there is none."""
    for account, state in states(postgres, job).items():
        assert (state, on.oracle.posts(account)) in {("done", 1), ("absent", 0)}, account


async def test_runs_that_share_a_database_do_each_row_once(on: FaultServer, job: Job) -> None:
    running = [start(attrs.evolve(job, name=f"job-{number}")) for number in range(3)]

    codes = await have_ended(*running)

    assert codes == [0, 0, 0]
    assert posts(on) == {1}
    for one in running:
        told = one.told()
        assert (told.problem, set(told.states.values())) == (None, {"done"})


async def test_a_run_that_was_frozen_and_wakes_sends_nothing_that_others_have(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    job = attrs.evolve(job, hold_seconds=1.0)
    frozen = start(attrs.evolve(job, concurrency=4))
    await until(lambda: len(on.requests) > 8)
    os.kill(frozen.pid, signal.SIGSTOP)
    second = start(attrs.evolve(job, name="second"))
    await second.ended()

    os.kill(frozen.pid, signal.SIGCONT)
    await frozen.ended()

    check(on, postgres, job)
    assert frozen.told().problem is None
    assert set(frozen.told().states.values()) <= {"done", "absent"}


async def test_workers_divide_the_rows_and_do_each_once(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)

    running = [
        start(attrs.evolve(job, name=f"worker-{number}", lease_seconds=60.0)) for number in range(2)
    ]
    codes = await have_ended(*running)

    assert codes == [0, 0]
    assert [one.told().problem for one in running] == [None, None]
    assert posts(on) == {1}
    check(on, postgres, job)


async def test_a_worker_that_is_frozen_for_longer_than_its_lease_sends_nothing_when_it_wakes(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)
    worker = attrs.evolve(job, concurrency=2, lease_seconds=1.0)
    frozen = start(attrs.evolve(worker, name="frozen"))
    await until(lambda: len(on.requests) > 3)
    os.kill(frozen.pid, signal.SIGSTOP)
    second = start(attrs.evolve(worker, name="second"))
    await second.ended()
    requests = len(on.requests)

    os.kill(frozen.pid, signal.SIGCONT)
    code = await frozen.ended()

    assert (code, len(on.requests)) == (0, requests)
    assert frozen.told().problem is not None
    check(on, postgres, job)


async def test_a_worker_that_is_killed_is_followed_by_another(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)
    worker = attrs.evolve(job, lease_seconds=0.5)
    killed = start(attrs.evolve(worker, name="killed"))
    await until(lambda: len(on.requests) > 6)
    killed.kill()

    second = start(attrs.evolve(worker, name="second"))

    assert await second.ended() == 0
    check(on, postgres, job)


async def test_workers_go_on_when_the_database_crashes_and_comes_back(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)
    running = start(attrs.evolve(job, name="worker", concurrency=4, lease_seconds=60.0))
    await until(lambda: len(on.requests) > 6)
    postgres.kill()
    postgres.start()

    assert await running.ended() == 0
    assert running.told().problem is None
    assert posts(on) == {1}
    check(on, postgres, job)


async def test_services_that_share_a_database_send_once(
    on: FaultServer, postgres: PostgresServer
) -> None:
    url = postgres.database()
    async with (
        PostgresJournal(url) as one,
        PostgresJournal(url) as other,
        SessionManager(base_url=on.base_url, retry=QUICK, journal=one) as first,
        SessionManager(base_url=on.base_url, retry=QUICK, journal=other) as second,
    ):
        ids = {
            name: {
                found.sequence.id
                for found in await asyncio.gather(
                    *(
                        manager.account(name, KEY).sequences.ensure("2027")
                        for manager in (first, second)
                    )
                )
            }
            for name in NAMES[:6]
        }
        left = await first.read_unresolved()

    assert {len(one) for one in ids.values()} == {1}
    assert [on.oracle.posts(name) for name in NAMES[:6]] == [1] * 6
    assert left == ()
