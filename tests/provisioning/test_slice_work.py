"""Slices of a shared journal: one speaker for each account, and what its successor knows."""

import asyncio
import datetime as dt
from bisect import bisect_left
from collections.abc import AsyncIterator

import attrs
import pytest
from conftest import API_KEY, account_of
from fakes import FakeClock
from postgres_server import PostgresServer

from invoicexpress_async import OutcomeUnknownError, RateLimit, RetryPolicy, SessionManager
from invoicexpress_async.call.realm import Process
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.postgres import slice_of
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning import (
    FencedError,
    HeldSlice,
    JournalError,
    Plan,
    PlanRow,
    PostgresJournal,
    RowOutcome,
    RowState,
    RunSettings,
    enter_plan,
    run_worker,
    slices_left,
    work_slice,
)
from invoicexpress_async.provisioning.job import sync_plan
from invoicexpress_async.provisioning.rows_table import ROWS, RowJournal
from invoicexpress_async.sandbox import FaultServer

NAMES = tuple(f"a{number}" for number in range(12))
QUICK = RetryPolicy(read_after_seconds=(0.05, 0.1, 0.2))
SLICES = 2


async def keys(_: str) -> str:
    return API_KEY


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    async with FaultServer(
        accounts=[account_of(one) for one in NAMES], is_name_check_atomic=False
    ) as server:
        yield server


@pytest.fixture
async def manager(on: FaultServer) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=on.base_url, retry=QUICK) as opened:
        yield opened


@pytest.fixture
async def journal(postgres: PostgresServer) -> AsyncIterator[PostgresJournal]:
    async with postgres.journal(slices=SLICES, window_seconds=0.01) as opened:
        await enter(opened)
        yield opened


async def enter(journal: PostgresJournal, names: tuple[str, ...] = NAMES) -> None:
    rows = [PlanRow(account=name, api_key=keys, serie="2027") for name in names]
    settings = RunSettings(accept_changes=True)
    await sync_plan(RowJournal(journal), Plan(rows=rows), settings, stop=RunStop())


def of(held: HeldSlice) -> list[str]:
    return [name for name in NAMES if slice_of(name, SLICES) == held.number]


def posts(on: FaultServer) -> dict[str, int]:
    return {name: on.oracle.posts(name) for name in NAMES if on.oracle.posts(name)}


async def test_the_rows_of_a_slice_are_done_and_those_of_no_other(
    on: FaultServer, manager: SessionManager, journal: PostgresJournal
) -> None:
    held = await journal.take(1)
    report = await work_slice(manager, held, keys)
    await journal.release(held, due_seconds=report.due_seconds)

    assert posts(on) == dict.fromkeys(of(held), 1)
    assert report.counts[RowState.DONE] == sum(report.counts.values()) == len(of(held))
    assert (report.left, report.due_seconds, report.is_fenced, report.problem) == (
        0, None, False, None,
    )  # fmt: skip
    left = await slices_left(journal)
    assert [(one.number, one.rows) for one in left] == [(0, len(NAMES) - len(of(held)))]


async def test_a_slice_has_one_holder_and_an_epoch_that_grows(journal: PostgresJournal) -> None:
    first = await journal.take(0)

    assert await journal.try_take(0) is None
    assert first.is_held
    await journal.release(first)
    second = await journal.take(0)

    assert not first.is_held
    assert second.epoch == first.epoch + 1


async def test_a_slice_that_was_taken_over_writes_nothing_and_sends_nothing(
    on: FaultServer, manager: SessionManager, journal: PostgresJournal, postgres: PostgresServer
) -> None:
    held = await journal.take(0)
    postgres.ask("UPDATE slices SET epoch = epoch + 1", schema=journal.schema)

    report = await work_slice(manager, held, keys)

    assert isinstance(report.problem, FencedError)
    assert report.is_fenced
    assert posts(on) == {}
    states = postgres.ask("SELECT DISTINCT state FROM rows", schema=journal.schema)
    assert states == [("planned",)]
    assert postgres.ask("SELECT * FROM intents", schema=journal.schema) == []


async def test_nothing_at_all_is_sent_once_the_lease_has_run_out(
    on: FaultServer, manager: SessionManager, journal: PostgresJournal
) -> None:
    held = await journal.take(0)
    held.lose()

    report = await work_slice(manager, held, keys)

    assert isinstance(report.problem, FencedError)
    assert on.requests == []
    assert (report.left, report.due_seconds) == (len(of(held)), None)


async def test_a_renewal_that_goes_wrong_is_logged_and_the_next_one_is_made(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    class FailingClock(FakeClock):
        fails = False

        def uptime(self) -> float:
            if self.fails:
                self.fails = False
                raise RuntimeError("can't start new thread")
            return super().uptime()

    clock = FailingClock()
    async with postgres.journal(slices=SLICES, lease_seconds=10, clock=clock) as journal:
        held = await journal.take(0)
        clock.fails = True
        async with asyncio.timeout(30):
            while clock.now() < 1_000 + 30:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.001)
        assert held.is_held

    assert [record.message for record in caplog.records] == [
        "The slices that are held were not renewed."
    ]


async def test_a_row_without_a_key_is_tried_later_and_the_others_are_done(
    on: FaultServer, journal: PostgresJournal, clock: FakeClock
) -> None:
    held = await journal.take(0)
    poor = of(held)[0]

    async def some_keys(account: str) -> str:
        if account == poor:
            raise LookupError(account)
        return API_KEY

    async with SessionManager(base_url=on.base_url, clock=clock) as manager:
        report = await work_slice(manager, held, some_keys)

    assert report.left == 1
    assert report.due_seconds is not None
    assert report.due_seconds > 60
    assert set(posts(on)) == {*of(held)} - {poor}


async def test_no_window_sees_more_than_the_limit_when_a_slice_changes_hands(
    journal: PostgresJournal, clock: FakeClock
) -> None:
    """Two holders in one minute: what the second may send is what the first has left of 780."""
    names = heavy, _ = [name for name in NAMES if slice_of(name, SLICES) == 0][:2]
    rows = [
        PlanRow(account=name, api_key=keys, serie=str(serie))
        for name in names
        for serie in range(2027, 2047)
    ]
    await sync_plan(
        RowJournal(journal), Plan(rows=rows), RunSettings(accept_changes=True), stop=RunStop()
    )
    # Both managers and the server have one clock; each manager is a process of its own.
    async with FaultServer(
        accounts=[account_of(name) for name in names],
        clock=clock.now,
        sleep=clock.sleep,
        requests_per_minute=None,
    ) as server:

        def manager_of_a_process() -> SessionManager:
            return SessionManager(base_url=server.base_url, clock=clock, process=Process())

        async with manager_of_a_process() as first:
            held, stop = await journal.take(0), RunStop()
            await list_often(first, heavy)
            on_outcome = Countdown(20, stop).count
            await work_slice(first, held, keys, concurrency=4, stop=stop, on_outcome=on_outcome)
            await journal.release(held)
        clock.advance(5.0)  # in mid-minute
        handed_over_at = clock.now()
        async with manager_of_a_process() as second:
            held = await journal.take(0)
            report = await work_slice(second, held, keys, concurrency=4)
            await list_often(second, heavy)
            await journal.release(held)
        times = {
            name: [one.received_at for one in server.requests if one.account == name]
            for name in names
        }

    assert report.problem is None
    assert {server.oracle.posts(row.account, str(row.serie)) for row in rows} == {1}
    assert len(times[heavy]) >= 840
    assert times[heavy][0] + 30 > handed_over_at
    for one in times.values():
        assert max(bisect_left(one, start + 60) - at for at, start in enumerate(one)) <= 780


async def list_often(manager: SessionManager, name: str) -> None:
    sequences = manager.account(name, API_KEY).sequences
    await asyncio.gather(*(sequences.list() for _ in range(400)))


@attrs.define
class Countdown:
    """Stops a run after so many outcomes."""

    left: int
    stop: RunStop

    def count(self, _: RowOutcome) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.request()


async def test_a_process_that_takes_its_slice_again_counts_what_it_sent_once(
    on: FaultServer, postgres: PostgresServer
) -> None:
    async with (
        postgres.journal(slices=1, window_seconds=0.01) as journal,
        SessionManager(base_url=on.base_url, retry=QUICK, rate_limit=RateLimit(20)) as manager,
    ):
        await enter(journal, NAMES[:1])
        for _ in range(4):
            held = await journal.take(0)
            await work_slice(manager, held, keys)
            used = manager.recent_requests.of([NAMES[0]])
            await journal.release(held)

    assert sum(used[NAMES[0]].values()) == len(on.requests)


async def test_no_row_leaves_the_plan_while_a_worker_may_be_about_to_send_it(
    postgres: PostgresServer,
) -> None:
    async with postgres.journal(slices=1, window_seconds=0.01) as journal:
        await enter(journal, NAMES[:2])
        held = await journal.take(0)
        await enter(journal, NAMES[:3])  # more rows do no harm

        with pytest.raises(JournalError, match=r"1 slices .* stop the workers first"):
            await enter(journal, NAMES[:1])
        await journal.release(held)
        await enter(journal, NAMES[:1])

        assert [one.rows for one in await slices_left(journal)] == [1]


async def test_a_row_that_left_the_plan_is_not_sent_by_who_read_it_before(
    postgres: PostgresServer,
) -> None:
    async with postgres.journal(slices=1, window_seconds=0.01) as journal:
        await enter(journal, NAMES[:2])
        held = await journal.take(0)
        first, second = await held.open_entries(ROWS, frozenset({JournalState.PLANNED}))
        postgres.ask("UPDATE rows SET is_in_plan = 0 WHERE account = 'a1'", schema=journal.schema)
        postgres.ask("UPDATE rows SET is_default = 1 WHERE account = 'a0'", schema=journal.schema)

        with pytest.raises(JournalError, match="was changed"):
            await held.admit(ROWS, first)
        with pytest.raises(JournalError, match="has no entry"):
            await held.admit(ROWS, second)
        await journal.release(held)


async def test_a_row_that_comes_while_its_slice_is_held_does_not_wait_with_the_others(
    journal: PostgresJournal,
) -> None:
    async def is_due() -> bool:
        (left,) = [one for one in await slices_left(journal) if one.number == 0]
        return left.is_due

    rows = RowJournal(journal)
    known, *late = (
        PlanRow(account=name, api_key=keys, serie="2027") for name in ("a3", "late0", "late1")
    )
    assert {slice_of(one.account, SLICES) for one in (known, *late)} == {0}

    held = await journal.take(0)
    await journal.release(held, due_seconds=900)
    await rows.admit(known)
    assert not await is_due()
    await rows.admit(late[0])
    assert await is_due()

    all_names = (*NAMES, "late0", "late1")
    for enter_more in (rows.admit(late[1]), enter(journal, all_names)):
        held = await journal.take(0)
        await enter_more
        await journal.release(held, due_seconds=900)
        assert await is_due()
    held = await journal.take(0)
    await journal.release(held, due_seconds=900)
    assert not await is_due()


async def test_what_is_opened_again_while_its_slice_is_held_does_not_wait_with_the_others(
    journal: PostgresJournal, postgres: PostgresServer
) -> None:
    held = await journal.take(0)
    postgres.ask("UPDATE rows SET state = 'refused'", schema=journal.schema)
    await journal.reset_to_planned(ROWS, frozenset({JournalState.REFUSED}))
    await journal.release(held, due_seconds=900)

    assert [one.is_due for one in await slices_left(journal)] == [True, True]


async def test_who_lets_a_slice_go_unused_hands_on_what_was_sent_before(
    manager: SessionManager, journal: PostgresJournal
) -> None:
    held = await journal.take(0)
    await work_slice(manager, held, keys)
    await journal.release(held)

    second = await journal.take(0)
    await journal.release(second)
    third = await journal.take(0)

    assert {*second.recently.slots} == {*of(held)}
    assert third.recently.slots == second.recently.slots
    assert third.recently.seconds_ago >= second.recently.seconds_ago


async def test_a_worker_that_is_to_open_refused_rows_may_start_before_the_first_plan(
    manager: SessionManager, postgres: PostgresServer
) -> None:
    async with postgres.journal() as journal:
        settings = RunSettings(retry_refused=True)
        await run_worker(manager, journal, keys, settings=settings, until_done=True)

        assert await slices_left(journal) == []


async def test_credentials_that_are_refused_are_tried_once_though_the_rows_have_two_days(
    postgres: PostgresServer,
) -> None:
    rows = [
        PlanRow(account="a0", api_key=keys, serie=serie, is_default=serie == "2027")
        for serie in ("2027", "2027-B")
    ]
    settings = RunSettings(default_not_before=dt.date(2026, 1, 1))
    account = attrs.evolve(account_of("a0"), has_at_credentials=False)
    async with (
        FaultServer(accounts=[account]) as server,
        SessionManager(base_url=server.base_url, retry=QUICK) as manager,
        postgres.journal(slices=1) as journal,
    ):
        await enter_plan(journal, Plan(rows=rows), settings=settings)
        held = await journal.take(0)
        report = await work_slice(manager, held, keys)
        await journal.release(held)

        assert report.counts[RowState.REFUSED] == 2
        assert server.oracle.posts("a0") == 1


async def test_what_another_sender_has_made_is_not_counted_as_made_by_the_job(
    on: FaultServer, manager: SessionManager, postgres: PostgresServer
) -> None:
    outcomes = list[RowOutcome]()
    async with (
        postgres.journal(slices=1) as journal,
        SessionManager(
            base_url=on.base_url, retry=QUICK, journal=journal, process=Process()
        ) as service,
    ):
        await enter(journal, NAMES[:1])
        on.faults.next("reset_peer", operation="create", commits=False)
        with pytest.raises(OutcomeUnknownError):
            await service.account("a0", API_KEY).sequences.ensure("2027")
        for is_there in (False, True):
            if is_there:  # it commits late
                on.add_sequence("a0", "2027", is_registered=True)
            held = await journal.take(0)
            await work_slice(manager, held, keys, on_outcome=outcomes.append)
            await journal.release(held)
        created = postgres.ask("SELECT is_created FROM rows", schema=journal.schema)

    assert [(one.state, one.created) for one in outcomes] == [
        (RowState.ABSENT, None),
        (RowState.DONE, False),
    ]
    assert created == [(0,)]
    assert posts(on) == {"a0": 1}
