"""What is taken for a server that fails, and what a run does until it works again."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from fakes import FakeClock

from invoicexpress_async import (
    SessionManager,
)
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.scheduler import Scheduler
from invoicexpress_async.provisioning import Plan, PlanRow, RowState, RunStop, provision
from invoicexpress_async.provisioning.task import RowTask
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
LIST = '{"sequences": []}'
NAMES = [f"a{number}" for number in range(30)]
FIVE = NAMES[:5]  # as many as are taken for the server as a whole


class StillClock:
    """Time stands still: a sleep never ends."""

    def __init__(self) -> None:
        self.sleeps = 0

    def now(self) -> float:
        return 1_000.0

    def uptime(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await (asyncio.sleep(0) if seconds <= 0 else asyncio.Event().wait())

    def timeout(self, seconds: float) -> asyncio.Timeout:
        del seconds
        return asyncio.timeout(None)


def row(name: str, key: str = KEY) -> PlanRow:
    return PlanRow(account=name, api_key=key, serie="2027")


def plan(names: Iterable[str]) -> Plan:
    return Plan(rows=[row(name) for name in names])


@pytest.fixture
async def on(clock: FakeClock) -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    async with FaultServer(accounts=accounts, clock=clock.now, sleep=clock.sleep) as server:
        yield server


@pytest.fixture
async def manager(on: FaultServer, clock: FakeClock) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=on.base_url, clock=clock) as opened:
        yield opened


async def nothing() -> AsyncIterator[RowTask]:
    for task in list[RowTask]():
        yield task


def down(clock: StillClock | FakeClock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock)
    for name in FIVE:
        breaker.record_failure(name)
    assert breaker.is_open
    return breaker


async def test_accounts_with_unresolved_rows_that_get_401_are_not_a_server_that_is_down(
    on: FaultServer, manager: SessionManager
) -> None:
    for name in FIVE:
        on.faults.next("reset_peer", commits=False, account=name, operation="create")
        on.faults.next("status", status=200, account=name, operation="list", body=LIST)
    for name in FIVE:
        on.faults.next("status", status=401, account=name, operation="list", times=None)

    report = await provision(manager, plan(NAMES), concurrency=5)

    assert report.problem is None
    assert report.counts[RowState.DONE] == len(NAMES) - len(FIVE)
    assert {one.row.account for one in report.outcomes if one.intent} == set(FIVE)


async def test_unresolved_registrations_are_not_a_server_that_is_down(
    on: FaultServer, manager: SessionManager
) -> None:
    for name in FIVE:
        on.add_sequence(name, "2027", is_registered=False)
        on.faults.next("reset_peer", commits=False, account=name, operation="register")

    report = await provision(manager, plan(NAMES), concurrency=5)

    assert report.problem is None
    assert report.counts[RowState.DONE] == len(NAMES) - len(FIVE)
    assert report.counts[RowState.UNKNOWN] == len(FIVE)


async def test_a_probe_that_sends_nothing_to_the_server_does_not_end_all_probes() -> None:
    clock = FakeClock()
    breaker = down(clock)
    clock.advance(2.0)
    scheduler = Scheduler(nothing(), clock=clock, stop=RunStop(), breaker=breaker)
    scheduler.reschedule(RowTask(row=row("a0")), clock.now())
    scheduler.reschedule(RowTask(row=row("a1")), clock.now())

    assert await scheduler.take() is not None  # refused with its account: no answer, and no failure
    scheduler.task_done()

    assert await asyncio.wait_for(scheduler.take(), timeout=1.0) is not None


async def test_whoever_waits_for_a_probe_sleeps_meanwhile() -> None:
    clock = StillClock()
    breaker = down(clock)
    scheduler = Scheduler(nothing(), clock=clock, stop=RunStop(), breaker=breaker)
    scheduler.reschedule(RowTask(row=row("a0")), clock.now())
    breaker.probe_at = clock.now()
    assert await scheduler.take() is not None

    waiting = asyncio.create_task(scheduler.take())
    for _ in range(200):
        await asyncio.sleep(0)
    waiting.cancel()

    assert clock.sleeps < 5


async def test_a_stop_ends_a_pause() -> None:
    clock, stop = StillClock(), RunStop()
    scheduler = Scheduler(nothing(), clock=clock, stop=stop, breaker=down(clock))
    scheduler.reschedule(RowTask(row=row("a0")), clock.now())
    waiting = asyncio.create_task(scheduler.take())
    await asyncio.sleep(0)

    stop.request(drain_seconds=0.05)

    assert await asyncio.wait_for(waiting, timeout=1.0) is None
