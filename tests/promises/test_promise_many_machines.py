"""One POST for each intent, with the journal in PostgreSQL and the senders in processes.

The server accepts every create that it is sent: what keeps a second one away is the journal alone.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import attrs
import pytest
from job_process import KEY, Job, start
from postgres_server import PostgresServer, new_schema
from senders import (
    NAMES,
    QUICK,
    READ_AFTER_SECONDS,
    accepting,
    check,
    have_ended,
    plan,
    posts,
    prepare,
    states,
    until,
    until_the_leases_end,
)

from invoicexpress_async import SessionManager
from invoicexpress_async.call.realm import Process
from invoicexpress_async.clock import MonotonicClock
from invoicexpress_async.provisioning import (
    FencedError,
    Plan,
    PlanRow,
    PostgresJournal,
    RowState,
    enter_plan,
    work_slice,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    async with accepting() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, on: FaultServer, postgres: PostgresServer) -> Job:
    url = postgres.database()
    return prepare(tmp_path, on, url=url, read_after_seconds=READ_AFTER_SECONDS)


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
    assert frozen.reported().problem is None
    assert set(frozen.reported().states.values()) <= {"done", "absent"}


async def test_workers_divide_the_rows_and_do_each_once(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)

    running = [
        start(attrs.evolve(job, name=f"worker-{number}", lease_seconds=60.0)) for number in range(2)
    ]
    codes = await have_ended(*running)

    assert codes == [0, 0]
    assert [one.reported().problem for one in running] == [None, None]
    assert posts(on) == {1}
    check(on, postgres, job)


async def test_a_worker_that_is_alone_does_what_it_held_when_it_was_frozen(
    on: FaultServer, job: Job, postgres: PostgresServer
) -> None:
    await plan(job)
    alone = start(attrs.evolve(job, name="alone", lease_seconds=1.0))
    await until(lambda: on.oracle.posts("a0") > 0)
    os.kill(alone.pid, signal.SIGSTOP)
    await until_the_leases_end(postgres, job)

    os.kill(alone.pid, signal.SIGCONT)

    assert await alone.ended() == 0
    assert set(states(postgres, job).values()) == {"done"}
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
    assert running.reported().problem is None
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


@attrs.define
class Gate:
    """Keeps a request of the old holder back, just before its first byte."""

    is_shut: asyncio.Event = attrs.field(factory=asyncio.Event)
    opened: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def wait(self) -> None:
        self.is_shut.set()
        await self.opened.wait()

    async def wait_in_a_hook(
        self, _: object, __: object, sending: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if sending.method == "POST":
            await self.wait()


class GateClock(MonotonicClock):
    """A clock whose waits, such as that before a retry, end when a gate is opened."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def sleep(self, seconds: float) -> None:
        del seconds
        await self._gate.wait()


@pytest.mark.parametrize("waits", ["for a retry", "in a hook"])
async def test_what_an_old_hold_wanted_to_send_is_not_sent_though_the_process_holds_again(
    postgres: PostgresServer, waits: str
) -> None:
    """The study's row that was reported as absent and was there: its guard looked at the process.

    A create waits between its claim and its first byte. Its hold ends, another process takes the
    slice over, finds the row absent and releases, and the first process takes the slice again.
    """
    gate, schema, trace = Gate(), new_schema(), aiohttp.TraceConfig()
    on = FaultServer(accounts=[SandboxAccount(name="a0", api_key=KEY)])

    async def refuse(_: object, __: object, started: aiohttp.TraceRequestStartParams) -> None:
        if started.method == "POST" and not gate.is_shut.is_set():
            await on.go_down()

    if waits == "for a retry":
        trace.on_request_start.append(refuse)
    else:
        trace.on_request_headers_sent.append(gate.wait_in_a_hook)
    rows = [PlanRow(account="a0", api_key=_key, serie="2027")]
    async with (
        on,
        postgres.journal(schema, slices=1, window_seconds=0.01) as mine,
        postgres.journal(schema, slices=1, window_seconds=0.01) as theirs,
        SessionManager(
            base_url=on.base_url,
            clock=GateClock(gate),
            trace_configs=[trace],
        ) as old,
        SessionManager(base_url=on.base_url, retry=QUICK, process=Process()) as other,
    ):
        await enter_plan(mine, Plan(rows=rows))
        held = await mine.take(0)
        working = asyncio.create_task(work_slice(old, held, _key))
        await gate.is_shut.wait()
        await on.go_up()
        held.lose()  # as the clock does when the process is frozen
        postgres.ask("UPDATE slices SET until = now() - interval '1 s'", schema=schema)

        taken = await theirs.take(0)
        seen = await work_slice(other, taken, _key)
        await theirs.release(taken)
        again = await mine.take(0)
        gate.opened.set()
        report = await working

        assert again.is_held
        assert seen.counts[RowState.ABSENT] == 1
        assert isinstance(report.problem, FencedError)
        assert on.count("POST", "/sequences.json") == 0
    assert postgres.ask("SELECT state, sends FROM rows", schema=schema) == [("absent", 1)]


async def test_a_row_that_is_reported_absent_and_comes_late_is_found_and_never_sent_again(
    postgres: PostgresServer,
) -> None:
    """Absent is what was read, not what will be: the server may still be at it."""
    schema = new_schema()
    rows = [PlanRow(account="a0", api_key=_key, serie="2027")]
    async with (
        FaultServer(
            accounts=[SandboxAccount(name="a0", api_key=KEY)], is_name_check_atomic=False
        ) as on,
        postgres.journal(schema, slices=1, window_seconds=0.01) as journal,
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
    ):
        on.faults.next("reset_peer", operation="create", commits="late")
        await enter_plan(journal, Plan(rows=rows))
        counts = []
        for is_there in (False, False, True):
            if is_there:
                await on.commit_late()
            held = await journal.take(0)
            report = await work_slice(manager, held, _key)
            await journal.release(held)
            counts.append([state for state, count in report.counts.items() if count])

        assert counts == [[RowState.ABSENT], [RowState.ABSENT], [RowState.DONE]]
        assert on.oracle.posts("a0") == 1


async def _key(_: str) -> str:
    return KEY
