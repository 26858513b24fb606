"""`provision` on a journal that others share: it is a worker for its own plan."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from conftest import API_KEY, account_of
from fakes import FakeClock
from postgres_server import PostgresServer

from invoicexpress_async import RateLimit, SessionManager
from invoicexpress_async.call.realm import Process
from invoicexpress_async.jobs.postgres import slice_of
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PlanRow,
    PostgresJournal,
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    RunSettings,
    RunStop,
    enter_plan,
    iter_outcomes,
    provision,
    slices_left,
    work_slice,
)
from invoicexpress_async.sandbox import FaultServer

SLICES = 2
NAMES = tuple(f"a{number}" for number in range(6))
FIRST = next(one for one in NAMES if slice_of(one, SLICES) == 0)
SECOND = next(one for one in NAMES if slice_of(one, SLICES) == 1)


async def keys(_: str) -> str:
    return API_KEY


def rows_of(*names: str, series: int = 1, key: str = API_KEY) -> list[PlanRow]:
    return [
        PlanRow(account=name, api_key=key, serie=f"20{27 + number}")
        for name in names
        for number in range(series)
    ]


@pytest.fixture
async def on(clock: FakeClock) -> AsyncIterator[FaultServer]:
    accounts = [account_of(one) for one in NAMES]
    async with FaultServer(
        accounts=accounts, clock=clock.now, sleep=clock.sleep, requests_per_minute=None
    ) as server:
        yield server


@pytest.fixture
async def manager(on: FaultServer, clock: FakeClock) -> AsyncIterator[SessionManager]:
    async with process_of(on, clock) as opened:
        yield opened


def process_of(on: FaultServer, clock: FakeClock, **options: object) -> SessionManager:
    """Return a manager as another process, or machine, would have it."""
    process = Process()
    return SessionManager(base_url=on.base_url, clock=clock, process=process, **options)  # type: ignore[arg-type]


@pytest.fixture
async def journal(postgres: PostgresServer) -> AsyncIterator[PostgresJournal]:
    async with postgres.journal(slices=SLICES, window_seconds=0.01) as opened:
        yield opened


def done_of(report: ProvisioningReport) -> Counter[str]:
    return Counter(one.row.account for one in report.outcomes if one.state is RowState.DONE)


async def test_beside_a_worker_each_row_is_sent_once_within_the_limit_and_all_are_reported(
    on: FaultServer, journal: PostgresJournal, postgres: PostgresServer, clock: FakeClock
) -> None:
    limit = RateLimit(20, per_seconds=60)
    plan = Plan(rows=rows_of(FIRST, SECOND, series=20))
    await enter_plan(journal, plan)
    stop, seen = RunStop(), list[RowOutcome]()

    def stop_after_some(outcome: RowOutcome) -> None:
        seen.append(outcome)
        if len(seen) == 7:
            stop.request()

    async with (
        postgres.journal(journal.schema) as other,
        process_of(on, clock, rate_limit=limit) as worker,
        process_of(on, clock, rate_limit=limit) as planner,
    ):
        held = await other.take(0)
        running = asyncio.create_task(provision(planner, plan, journal=journal))
        while on.oracle.commits(SECOND) < 20:
            assert not on.oracle.commits(FIRST)
            await asyncio.sleep(0.01)
        await work_slice(worker, held, keys, concurrency=4, stop=stop, on_outcome=stop_after_some)
        assert not running.done()
        await other.release(held)
        report = await running

    assert report.is_complete
    assert done_of(report) == {FIRST: 20, SECOND: 20}
    assert report.created == 40
    assert [one.row for one in report.outcomes] == [*plan.rows]
    assert 7 <= len(seen) < 20
    for name in (FIRST, SECOND):
        assert on.oracle.max_in_window(name, 60) == 20
        assert {on.oracle.posts(name, f"20{27 + one}") for one in range(20)} == {1}


async def test_what_is_settled_is_not_sent_again_and_a_refusal_only_on_request(
    on: FaultServer, manager: SessionManager, journal: PostgresJournal
) -> None:
    plan = Plan(rows=rows_of(FIRST, SECOND))
    strange = Plan(rows=[*rows_of(FIRST), *rows_of(SECOND, key="another-key-0123456789")])
    again = RunSettings(retry_refused=True)

    first = await provision(manager, strange, journal=journal)
    sent = len(on.requests)
    recorded = await provision(manager, plan, journal=journal)
    unsent = len(on.requests)
    one = await provision(manager, plan.only({FIRST}), journal=journal, settings=again)
    both = await provision(manager, plan, journal=journal, settings=again)

    states = [[one.state for one in run.outcomes] for run in (first, recorded, one, both)]
    assert states == [["done", "refused"], ["done", "refused"], ["done"], ["done", "done"]]
    assert (sent, unsent) == (unsent, sent)
    assert [one.is_recorded for one in (*recorded.outcomes, *both.outcomes)] == [1, 1, 1, 0]
    assert recorded.outcomes[1].status == 401
    assert [one.created for one in (first, recorded, both)] == [1, 0, 1]
    assert [on.oracle.posts(name) for name in (FIRST, SECOND)] == [1, 1]


async def test_what_another_had_without_success_is_reported_as_it_left_it(
    on: FaultServer,
    manager: SessionManager,
    journal: PostgresJournal,
    postgres: PostgresServer,
    clock: FakeClock,
) -> None:
    plan = Plan(rows=rows_of(FIRST, SECOND))
    await enter_plan(journal, plan)
    on.faults.next("status", status=503, times=None, account=FIRST)

    held = await journal.take(0)
    running = asyncio.create_task(provision(manager, plan, journal=journal))
    async with process_of(on, clock) as other:
        while on.oracle.commits(SECOND) < 1:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        # The plan was entered. Had it been before the slice was taken, this is how it would be.
        postgres.ask("UPDATE slices SET due = NULL", schema=journal.schema)
        report = await work_slice(other, held, keys)
    sent = len([one for one in on.requests if one.account == FIRST])
    await journal.release(held, due_seconds=report.due_seconds)
    ended = await running

    first, second = ended.outcomes
    assert (first.state, second.state) == (RowState.FAILED, RowState.DONE)
    assert (first.error_name, first.status) == ("ServerError", 503)
    assert "Another process" in str(first.error)
    assert not ended.is_complete
    assert len([one for one in on.requests if one.account == FIRST]) == sent


async def test_a_stop_lets_the_slices_go_and_says_what_was_not_started(
    on: FaultServer, manager: SessionManager, journal: PostgresJournal
) -> None:
    stop, progress = RunStop(), list[Progress]()

    report = await provision(
        manager,
        Plan(rows=rows_of(FIRST, SECOND, series=10)),
        journal=journal,
        concurrency=2,
        stop=stop,
        on_outcome=lambda _: stop.request(),
        on_progress=progress.append,
    )

    count = len(report.outcomes)
    assert 0 < count < 20
    assert (report.not_started, report.problem) == (20 - count, None)
    assert progress[-1].counts[RowState.DONE] == count
    assert all(one.is_due and one.holder is None for one in await slices_left(journal))
    assert sum(on.oracle.posts(name) for name in NAMES) == count


async def test_a_reader_that_leaves_early_lets_the_slices_go(
    manager: SessionManager, journal: PostgresJournal
) -> None:
    plan = Plan(rows=rows_of(FIRST, SECOND, series=10))

    async with contextlib.aclosing(iter_outcomes(manager, plan, journal=journal)) as stream:
        async for _ in stream:
            break

    assert [one.holder for one in await slices_left(journal)] == [None, None]


@pytest.mark.parametrize("column", ["is_default = 1", "is_in_plan = 0"])
async def test_a_plan_that_another_has_changed_ends_the_run(
    on: FaultServer,
    manager: SessionManager,
    journal: PostgresJournal,
    postgres: PostgresServer,
    column: str,
) -> None:
    plan = Plan(rows=rows_of(FIRST, SECOND))
    held = await journal.take(0)
    running = asyncio.create_task(provision(manager, plan, journal=journal))
    while on.oracle.commits(SECOND) < 1:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0.01)
    query = f"UPDATE rows SET {column} WHERE account = %s"  # noqa: S608  # a constant
    postgres.ask(query, FIRST, schema=journal.schema)
    await journal.release(held)

    async with asyncio.timeout(30):
        report = await running

    assert isinstance(report.problem, JournalError)
    assert "Another plan was entered" in str(report.problem)
    assert (len(report.outcomes), report.not_started) == (1, 1)
    assert on.oracle.posts(FIRST) == 0


async def test_what_another_did_is_reported_though_its_slice_has_open_rows_of_others(
    on: FaultServer, journal: PostgresJournal, postgres: PostgresServer, clock: FakeClock
) -> None:
    mine, of_others, *_ = (one for one in NAMES if slice_of(one, SLICES) == 0)
    plan = Plan(rows=rows_of(mine, of_others))

    async def one_key(account: str) -> str:
        if account == of_others:
            raise LookupError(account)
        return API_KEY

    async with (
        postgres.journal(journal.schema) as other,
        process_of(on, clock) as worker,
        process_of(on, clock) as planner,
    ):
        held = await other.take(0)
        running = asyncio.create_task(provision(planner, plan.only({mine}), journal=journal))
        while 1.0 not in clock.slept:  # noqa: ASYNC110  # it waits for the slice
            await asyncio.sleep(0.01)
        await work_slice(worker, held, one_key)
        await other.release(held)  # for another worker, which has the key, at once
        async with asyncio.timeout(60):
            report = await running

    assert report.is_complete
    assert [on.oracle.posts(name) for name in (mine, of_others)] == [1, 0]


@pytest.mark.parametrize("seconds", [-30, 30])
async def test_what_failed_is_tried_again_whatever_the_clock_of_this_machine_says(
    on: FaultServer, manager: SessionManager, postgres: PostgresServer, seconds: int
) -> None:
    url = postgres.database()
    (name,) = re.findall(r"/(t_\w+)", url)
    postgres.ask("CREATE SCHEMA apart", at=url)
    postgres.ask(
        "CREATE FUNCTION apart.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        f"$$ SELECT pg_catalog.clock_timestamp() + interval '{seconds} s' $$",
        at=url,
    )
    postgres.ask(f"ALTER DATABASE {name} SET search_path = apart, pg_catalog", at=url)
    plan = Plan(rows=rows_of(FIRST))

    async with PostgresJournal(url, slices=SLICES) as journal:
        on.faults.next("status", status=503, times=None)
        failed = await provision(manager, plan, journal=journal)
        on.faults.clear()
        done = await provision(manager, plan, journal=journal)

    assert [one.counts[RowState.FAILED] for one in (failed, done)] == [1, 0]
    assert done.is_complete


async def test_a_row_that_another_has_no_key_for_is_not_given_up_by_who_has_it(
    on: FaultServer,
    manager: SessionManager,
    journal: PostgresJournal,
    postgres: PostgresServer,
    clock: FakeClock,
) -> None:
    async def no_key(account: str) -> str:
        raise LookupError(account)

    held = await journal.take(0)
    running = asyncio.create_task(provision(manager, Plan(rows=rows_of(FIRST)), journal=journal))
    while 1.0 not in clock.slept:  # noqa: ASYNC110  # it waits for the slice
        await asyncio.sleep(0.01)
    async with process_of(on, clock) as other:
        await work_slice(other, held, no_key)
    postgres.ask("UPDATE slices SET due = NULL", schema=journal.schema)
    await journal.release(held, due_seconds=60)
    sweeps = clock.slept.count(1.0)
    while clock.slept.count(1.0) < sweeps + 3 and not running.done():  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.01)
    postgres.ask("UPDATE slices SET due = NULL", schema=journal.schema)
    report = await running

    assert report.is_complete
    assert on.oracle.posts(FIRST) == 1
