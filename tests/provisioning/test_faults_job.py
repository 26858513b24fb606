"""Processes that are killed, stopped, doubled or misled in the middle of a job."""

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from job_process import KEY, Job, Running, age, ask, shared_offset, start
from senders import prepare, until

from invoicexpress_async.provisioning import RunSettings
from invoicexpress_async.sandbox import FaultServer, SandboxAccount, make_fault
from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import (
    Exchange,
    early,
    on_arrival,
    responding,
    silent,
)
from invoicexpress_async.sandbox.http import encode_response

AGAIN = RunSettings(resend_absent_after=900.0)


def server(*names: str) -> FaultServer:
    return FaultServer(accounts=[SandboxAccount(name=one, api_key=KEY) for one in names])


def states(job: Job) -> dict[str, str]:
    try:
        found = ask(job.journal, "SELECT account, state FROM rows")
    except sqlite3.OperationalError:
        return {}  # it is being made
    return {str(name): str(state) for name, state in found}


async def a_request(on: FaultServer) -> None:
    seen = len(on.requests)
    await until(lambda: len(on.requests) > seen)


async def run_to_its_end(job: Job) -> dict[str, str]:
    running = start(job)
    assert await running.ended() == 0
    reported = running.reported()
    assert (reported.problem, reported.not_started) == (None, 0)
    return reported.states


async def resend(job: Job) -> dict[str, str]:
    """Let the two lists and the time between them come about that sending again needs."""
    age(job.journal, 2_000.0)
    ask(
        job.journal,
        "UPDATE rows SET absent_since = intended_at WHERE state IN ('absent', 'intent')",
    )
    return await run_to_its_end(attrs.evolve(job, settings=AGAIN))


@attrs.define
class Killer:
    """Kills the process of a job, at the point that it is given."""

    process: Running | None = None
    done: asyncio.Event = attrs.field(factory=asyncio.Event)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.done.set()


def at_accept(on: FaultServer, killer: Killer) -> None:
    @on_arrival()
    async def kill(exchange: Exchange) -> None:
        killer.kill()
        exchange.close()

    @responding()
    async def last_of_its_connection(exchange: Exchange, response: Response) -> None:
        # The next request needs a connection of its own.
        on.faults.next(kill.make({}))
        await exchange.write(encode_response(response, is_last=True))
        exchange.close()

    on.faults.next(last_of_its_connection.make({}), operation="list")


def at_head(on: FaultServer, killer: Killer) -> None:
    @early()
    async def kill(exchange: Exchange) -> None:
        killer.kill()
        exchange.close()

    on.faults.next(kill.make({}), operation="create")


def once_read(on: FaultServer, killer: Killer, *, commits: bool = False) -> None:
    @silent()
    async def kill(exchange: Exchange) -> None:
        killer.kill()
        exchange.close()

    on.faults.next(kill.make({"commits": commits}), operation="create")


def once_committed(on: FaultServer, killer: Killer) -> None:
    once_read(on, killer, commits=True)


def once_answered(on: FaultServer, killer: Killer) -> None:
    """With the journal held meanwhile: the response comes, and DONE cannot be written."""

    @responding()
    async def kill(exchange: Exchange, response: Response) -> None:
        assert killer.process is not None
        holder = sqlite3.connect(killer.process.job.journal, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await exchange.write(encode_response(response))
        await asyncio.sleep(0.2)  # the process has read it, and waits for the journal
        killer.kill()
        holder.close()

    on.faults.next(kill.make({}), operation="create")


@pytest.mark.fault(46)
@pytest.mark.parametrize(
    ("point", "posts", "rows"),
    [
        pytest.param(at_accept, 0, 0, id="intent, not sent"),
        pytest.param(at_head, 0, 0, id="sent in part"),
        pytest.param(once_read, 1, 0, id="sent, not committed"),
        pytest.param(once_committed, 1, 1, id="committed, not answered"),
        pytest.param(once_answered, 1, 1, id="answered, not done"),
    ],
)
async def test_a_job_killed_at_an_exact_point_is_resumed_without_a_second_send(
    tmp_path: Path, point: Callable[[FaultServer, Killer], None], posts: int, rows: int
) -> None:
    killer = Killer()
    async with server("acme") as on:
        job = prepare(tmp_path, on)
        point(on, killer)
        killer.process = start(job)
        await killer.done.wait()
        code = await killer.process.ended()
        left = states(job)
        (intent,) = ask(job.journal, "SELECT intent IS NOT NULL FROM rows")

        assert (code, left, intent) == (-signal.SIGKILL, {"acme": "intent"}, (1,))
        assert (on.oracle.posts("acme"), on.oracle.commits("acme")) == (posts, rows)
        on.faults.clear()
        resumed = await run_to_its_end(job)

        assert resumed == {"acme": "done" if rows else "absent"}
        assert on.oracle.posts("acme") == posts
        last = await resend(job)

        assert last == {"acme": "done"}
        assert (on.oracle.posts("acme"), on.oracle.commits("acme")) == (posts + (not rows), 1)
        assert on.oracle.duplicates() == ()


@pytest.mark.fault(46, 50)
async def test_a_job_killed_at_random_instants_has_no_duplicate_and_nothing_lost(
    tmp_path: Path,
) -> None:
    dice, names = random.Random(46), [f"a{number}" for number in range(240)]
    async with server(*names) as on:
        job = prepare(tmp_path, on)
        kills, begun = 0, 0
        # How many rows one run gets through is the machine's affair: 30 kills, or fewer.
        while kills < 30 and begun < len(names):
            running = start(job)
            await a_request(on)
            await asyncio.sleep(dice.uniform(0.0, 0.05))
            running.kill()
            kills += await running.ended() == -signal.SIGKILL
            begun = sum(state != "planned" for state in states(job).values())
        resumed = await run_to_its_end(job)

        on_server = {name for name in names if on.sequences(name)}
        assert on_server == {name for name, state in resumed.items() if state == "done"}
        assert set(resumed.values()) <= {"done", "absent"}
        assert max(on.oracle.posts(name) for name in names) == 1
        assert on.oracle.duplicates() == ()
        assert kills
        last = await resend(job)

        assert set(last.values()) == {"done"}
        assert {on.oracle.commits(name) for name in names} == {1}


async def seconds_to_end(running: Running, number: signal.Signals) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    os.kill(running.pid, number)
    assert await running.ended() == 0
    return loop.time() - started


@pytest.mark.fault(47)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
async def test_a_signal_ends_the_job_in_time_and_the_journal_knows_what_was_sent(
    tmp_path: Path, number: signal.Signals
) -> None:
    names = [f"a{one}" for one in range(60)]
    async with server(*names) as on:
        job = prepare(tmp_path, on)
        for one in names[5:9]:  # committed, and never answered
            on.faults.next("timeout", account=one, operation="create")
        running = start(job)
        await until(lambda: sum(map(on.oracle.posts, names[:9])) == 9)

        seconds = await seconds_to_end(running, number)

        reported, left = running.reported(), states(job)
        assert seconds < job.drain_seconds + 2.0
        assert {reported.states[one] for one in names[5:9]} == {"unknown"}
        assert {left[one] for one in names[5:9]} == {"unknown"}
        assert reported.not_started == 60 - len(reported.states) > 0
        posted = {one for one in names if on.oracle.posts(one)}
        assert posted == {one for one, state in left.items() if state in {"done", "unknown"}}
        on.faults.clear()
        assert set((await run_to_its_end(job)).values()) == {"done"}
        assert {on.oracle.posts(one) for one in names} == {1}


@pytest.mark.fault(47)
async def test_a_signal_ends_a_job_that_waits_for_a_server_that_is_down(tmp_path: Path) -> None:
    names = [f"a{one}" for one in range(60)]
    async with server(*names) as on:
        job = prepare(tmp_path, on)
        running = start(job)
        await until(lambda: sum(map(on.oracle.posts, names)) > 5)
        await on.go_down()
        await asyncio.sleep(1.5)  # the first pauses are of 1 and 2 seconds

        seconds = await seconds_to_end(running, signal.SIGTERM)

        assert seconds < job.drain_seconds + 2.0
        assert running.reported().problem is None
        await on.go_up()
        # Those that were dropped before they were read are absent, and not sent again.
        assert set((await run_to_its_end(job)).values()) <= {"done", "absent"}
        assert max(on.oracle.posts(one) for one in names) == 1


@pytest.mark.fault(50)
async def test_a_job_has_one_process_and_another_takes_over_when_that_is_killed(
    tmp_path: Path,
) -> None:
    names = [f"a{one}" for one in range(30)]
    async with server(*names) as on:
        job = prepare(tmp_path, on)
        on.faults.next("timeout", account="a29", operation="create")
        holder = start(job)
        await until(lambda: Counter(states(job).values())["done"] == 29)
        requests = len(on.requests)
        second = start(job)
        await second.ended()

        assert f"in use by process {holder.pid}" in (second.reported().problem or "")
        assert len(on.requests) == requests
        holder.kill()
        await holder.ended()
        on.faults.clear()

        assert set((await run_to_its_end(job)).values()) == {"done"}
        assert {on.oracle.posts(one) for one in names} == {1}


@pytest.mark.fault(51)
async def test_a_wall_clock_that_jumps_neither_stalls_a_job_nor_makes_it_send_again(
    tmp_path: Path,
) -> None:
    names = [f"a{one}" for one in range(60)]
    offset = shared_offset()
    async with server(*names) as on:
        job = attrs.evolve(prepare(tmp_path, on), settings=AGAIN, total_seconds=1.0)
        on.faults.next(make_fault("reset_peer", commits=False), account="a7", operation="create")
        on.faults.next("timeout", account="a8", operation="create")  # until the deadline
        running = start(job, wall_offset=offset)
        await until(lambda: sum(map(on.oracle.posts, names)) > 10)
        offset.value = -3_600.0
        await until(lambda: Counter(states(job).values())["done"] == 59)
        assert states(job)["a7"] == "absent"
        offset.value = 86_400.0
        await asyncio.sleep(0.3)
        assert await seconds_to_end(running, signal.SIGTERM) < job.drain_seconds + 2.0

        resumed = start(job, wall_offset=offset)  # a day on, says the wall: it is no proof
        await until(lambda: len([one for one in on.requests if one.account == "a7"]) > 6)
        assert await seconds_to_end(resumed, signal.SIGTERM) < job.drain_seconds + 2.0

        assert {on.oracle.posts(one) for one in names} == {1}
        assert max(on.oracle.max_in_window(one, 60.0) for one in names) < 12
        assert await resend(job) == dict.fromkeys(names, "done")
        assert {on.oracle.commits(one) for one in names} == {1}
