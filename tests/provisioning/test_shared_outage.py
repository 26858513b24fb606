"""A server that fails for every account, and workers that know it from each other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from conftest import API_KEY, account_of
from fakes import FakeClock
from postgres_server import PostgresServer, new_schema

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.call.realm import Process
from invoicexpress_async.jobs.postgres.outage import SharedOutage
from invoicexpress_async.jobs.shared_breaker import SharedBreaker
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    PostgresJournal,
    Progress,
    RowState,
    RunSettings,
    RunStop,
    enter_plan,
    provision,
    run_worker,
    work_free_slice,
    work_slice,
)
from invoicexpress_async.sandbox import FaultServer

NAMES = tuple(f"a{number}" for number in range(12))
FIVE = NAMES[:5]  # as many as are taken for the server as a whole


@pytest.fixture
async def journals(
    postgres: PostgresServer,
) -> AsyncIterator[tuple[PostgresJournal, PostgresJournal]]:
    schema = new_schema()
    async with (
        postgres.journal(schema, slices=2) as first,
        postgres.journal(schema, slices=2) as second,
    ):
        yield first, second


class HearingJournal(PostgresJournal):
    """Counts how often the others were looked for."""

    heard = 0

    async def share_outage(self, *args: Any, **kwargs: Any) -> SharedOutage:
        outage = await super().share_outage(*args, **kwargs)
        self.heard += 1
        return outage


def breaker_of(journal: PostgresJournal, clock: FakeClock) -> SharedBreaker:
    breaker = SharedBreaker(clock, journal)
    breaker.add_item_check(lambda: True)
    return breaker


def fail(breaker: SharedBreaker) -> None:
    for name in FIVE:
        breaker.record_failure(name)


async def test_an_outage_is_known_to_all_and_one_of_them_tries_the_server(
    postgres: PostgresServer, journals: tuple[PostgresJournal, PostgresJournal], clock: FakeClock
) -> None:
    first, second = (breaker_of(one, clock) for one in journals)
    schema = journals[0].schema

    def let_pass(column: str) -> None:
        query = f"UPDATE outage SET {column} = now() - interval '1 s'"  # noqa: S608  # a constant
        postgres.ask(query, schema=schema)

    fail(first)
    await first.exchange()
    await second.exchange()
    assert (first.allows(), second.is_open, second.allows()) == (False, True, False)

    let_pass("probe_at")
    await second.exchange()
    await first.exchange()
    assert (first.allows(), second.allows()) == (False, True)

    assert second.on_start()
    second.record_failure(NAMES[0])
    await second.exchange()
    await first.exchange()
    assert (first.allows(), second.allows()) == (False, False)
    assert postgres.ask("SELECT pause FROM outage", schema=schema) == [(2.0,)]

    let_pass("probe_at")
    await second.exchange()  # and then it dies
    let_pass("token_until")
    await first.exchange()
    await second.exchange()
    assert (first.allows(), second.allows()) == (True, False)

    assert first.on_start()
    first.record_success()
    await first.exchange()
    await second.exchange()
    assert (first.is_open, second.is_open, second.allows()) == (False, False, True)


async def test_what_is_seen_while_the_database_is_away_is_said_later(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    schema = new_schema()
    async with postgres.journal(schema, patience_seconds=0.01) as journal:
        breaker = breaker_of(journal, clock)
        fail(breaker)
        postgres.ask("ALTER TABLE outage RENAME TO away", schema=schema)
        await breaker.exchange()
        postgres.ask("ALTER TABLE away RENAME TO outage", schema=schema)
        assert not breaker.allows()

        await breaker.exchange()

    assert postgres.ask("SELECT since IS NULL FROM outage", schema=schema) == [(False,)]


async def test_a_worker_that_cannot_hear_the_others_ends(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    class DeafJournal(PostgresJournal):
        async def share_outage(self, *_: object, **__: object) -> NoReturn:
            raise RuntimeError("can't start new thread")

    async with (
        SessionManager(clock=clock) as manager,
        DeafJournal(postgres.url, schema=new_schema()) as journal,
    ):
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="new thread")):
            await run_worker(manager, journal, _no_keys)


async def _no_keys(account: str) -> NoReturn:
    raise LookupError(account)


async def test_a_worker_whose_rows_only_wait_leaves_the_probe_to_another(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    class StillClock(FakeClock):
        async def _tick(self) -> None:
            """Let time pass only on request."""

    async def key(_: str) -> str:
        return API_KEY

    def ask(query: str) -> list[tuple[object, ...]]:
        return postgres.ask(query, schema=schema)

    schema, still, stop = new_schema(), StillClock(), RunStop()
    retry = RetryPolicy(attempts=1, read_after_seconds=(150.0,))
    async with (
        FaultServer(accounts=[account_of(NAMES[0])]) as on,
        HearingJournal(postgres.url, schema=schema, slices=1) as journal,
        postgres.journal(schema) as another,
        SessionManager(base_url=on.base_url, retry=retry, clock=still) as manager,
    ):
        rows = [PlanRow(account=NAMES[0], api_key=key, serie="2027")]
        await enter_plan(journal, Plan(rows=rows))
        on.faults.next("reset_peer", operation="create", commits=False)
        working = asyncio.create_task(run_worker(manager, journal, key, stop=stop))
        while ask("SELECT state FROM rows") != [("unknown",)]:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        able = breaker_of(another, clock)
        fail(able)
        await able.exchange()
        ask("UPDATE outage SET probe_at = now()")
        for count in range(journal.heard + 1, journal.heard + 4):
            still.advance(2.0)
            while journal.heard < count:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.01)

        await able.exchange()

        assert able.allows()
        stop.request()
        await working


async def test_a_job_of_a_queue_sends_nothing_while_another_tries_the_server(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    async def key(_: str) -> str:
        return API_KEY

    schema = new_schema()
    async with (
        FaultServer(accounts=[account_of(NAMES[0])]) as on,
        HearingJournal(postgres.url, schema=schema, slices=1) as journal,
        postgres.journal(schema) as another,
        SessionManager(base_url=on.base_url, clock=clock) as manager,
    ):
        await enter_plan(journal, Plan(rows=[PlanRow(account=NAMES[0], api_key=key, serie="2027")]))
        probing = breaker_of(another, clock)
        fail(probing)
        await probing.exchange()
        postgres.ask("UPDATE outage SET probe_at = now()", schema=schema)
        await probing.exchange()
        assert probing.allows()
        working = asyncio.create_task(work_free_slice(manager, journal, 0, key))
        while journal.heard < 4 and not working.done():  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        sent = len(on.requests)
        probing.record_success()
        await probing.exchange()
        report = await working

    assert sent == 0
    assert report is not None
    assert report.counts[RowState.DONE] == 1


async def test_accounts_that_failed_before_another_has_seen_the_server_work_are_forgotten(
    journals: tuple[PostgresJournal, PostgresJournal], clock: FakeClock
) -> None:
    first, second = (breaker_of(one, clock) for one in journals)
    fail(first)
    await first.exchange()
    await second.exchange()
    second.record_success()
    await second.exchange()
    await first.exchange()
    assert not first.is_open

    first.record_failure(NAMES[5])

    assert not first.is_open


async def test_a_run_and_a_worker_pause_together_and_do_all_when_the_server_works_again(
    postgres: PostgresServer, journals: tuple[PostgresJournal, PostgresJournal], clock: FakeClock
) -> None:
    async def keys(_: str) -> str:
        return API_KEY

    def ask(query: str) -> list[tuple[object, ...]]:
        return postgres.ask(query, schema=journals[0].schema)

    plan = Plan(rows=[PlanRow(account=name, api_key=keys, serie="2027") for name in NAMES])
    stop, pauses = RunStop(), set[bool]()
    # The database's time is real, and hours pass on this clock meanwhile.
    patient = RunSettings(outage_patience_seconds=10_000_000)
    async with (
        FaultServer(accounts=[account_of(one) for one in NAMES]) as on,
        process_of(on, clock) as planner,
        process_of(on, clock) as worker,
    ):
        on.faults.next("status", status=503, times=None)
        await enter_plan(journals[0], plan)
        working = asyncio.create_task(
            run_worker(worker, journals[1], keys, stop=stop, settings=patient)
        )
        running = asyncio.create_task(
            provision(
                planner,
                plan,
                journal=journals[0],
                settings=patient,
                on_progress=lambda one: pauses.add(one.is_paused),
            )
        )
        while ask("SELECT since FROM outage") == [(None,)]:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        while True not in pauses:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        on.faults.clear()
        ask("UPDATE outage SET probe_at = now()")
        report = await running
        stop.request()
        await working

        assert len(on.requests) < 10 * len(NAMES)
        assert report.is_complete
        assert [on.oracle.posts(name) for name in NAMES] == [1] * len(NAMES)
    assert pauses == {False, True}
    assert ask("SELECT since FROM outage") == [(None,)]


class SlowJournal(PostgresJournal):
    """Once it is slow, an exchange about an outage takes until the caller gives it up, once."""

    is_slow = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_waiting = asyncio.Event()

    async def share_outage(self, *args: Any, **options: Any) -> SharedOutage:
        if self.is_slow and not self.is_waiting.is_set():
            self.is_waiting.set()
            await asyncio.Event().wait()
        return await super().share_outage(*args, **options)


async def test_a_run_ends_with_what_others_have_found_out_of_the_server(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    async def key(_: str) -> str:
        return API_KEY

    schema, pauses = new_schema(), list[bool]()
    plan = Plan(rows=[PlanRow(account=NAMES[0], api_key=key, serie="2027")])
    async with (
        FaultServer(accounts=[account_of(NAMES[0])]) as on,
        SlowJournal(postgres.url, schema=schema, slices=1) as journal,
        postgres.journal(schema) as another,
        process_of(on, clock) as planner,
        process_of(on, clock) as worker,
    ):
        await enter_plan(journal, plan)
        held = await another.take(0)
        working = breaker_of(another, clock)
        fail(working)
        await working.exchange()
        running = asyncio.create_task(
            provision(
                planner, plan, journal=journal, on_progress=lambda one: pauses.append(one.is_paused)
            )
        )
        while True not in pauses:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
        journal.is_slow = True
        await journal.is_waiting.wait()

        working.record_success()
        await working.exchange()
        await work_slice(worker, held, key)
        await another.release(held)
        report = await running

    assert report.is_complete
    assert pauses[-1] is False


async def test_a_run_that_ends_when_the_server_works_again_reports_it_to_the_others(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    async def key(_: str) -> str:
        return API_KEY

    def note(progress: Progress) -> None:
        pauses.append(progress.is_paused)
        journal.is_slow |= pauses[-2:] == [True, False]

    schema, pauses = new_schema(), list[bool]()
    plan = Plan(rows=[PlanRow(account=NAMES[0], api_key=key, serie="2027")])
    async with (
        FaultServer(accounts=[account_of(NAMES[0])]) as on,
        SlowJournal(postgres.url, schema=schema, slices=1) as journal,
        postgres.journal(schema) as another,
        process_of(on, clock) as manager,
    ):
        await enter_plan(journal, plan)
        failing = breaker_of(another, clock)
        fail(failing)
        await failing.exchange()
        postgres.ask("UPDATE outage SET probe_at = now()", schema=schema)
        report = await provision(manager, plan, journal=journal, on_progress=note)
        found = postgres.ask("SELECT since FROM outage", schema=schema)

    assert report.is_complete
    assert journal.is_waiting.is_set()
    assert found == [(None,)]


def process_of(on: FaultServer, clock: FakeClock) -> SessionManager:
    """Return a manager as another process would have it."""
    retry = RetryPolicy(attempts=1)
    return SessionManager(base_url=on.base_url, retry=retry, clock=clock, process=Process())
