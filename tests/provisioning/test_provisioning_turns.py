"""The turns of a row: what is kept of it between them, and what a run makes of a late one."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
from fakes import FakeClock
from job_process import ask
from senders import until

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.provisioning import (
    AccountKeys,
    KeyUnavailableError,
    Plan,
    PlanRow,
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
    RunSettings,
    RunStop,
    SqliteJournal,
    iter_outcomes,
    provision,
    read_status,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
QUICK = RetryPolicy(attempts=1, read_after_seconds=(0.02,))
STATES = "SELECT account, state FROM rows"


def row(
    name: str, serie: str = "2027", key: str | AccountKeys = KEY, *, default: bool = False
) -> PlanRow:
    return PlanRow(account=name, api_key=key, serie=serie, is_default=default)


def plan(*names: str, default: bool = False) -> Plan:
    return Plan(rows=[row(name, default=default) for name in names])


def reported(report: ProvisioningReport) -> dict[str, RowState]:
    return {one.row.account: one.state for one in report.outcomes}


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=f"a{number}", api_key=KEY) for number in range(20)]
    async with FaultServer(accounts=accounts) as server:
        yield server


@pytest.fixture
async def manager(on: FaultServer) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=on.base_url, retry=QUICK) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


async def leave_unresolved(on: FaultServer, path: Path, *names: str) -> None:
    """A run whose creates were lost on the way."""
    for name in names:
        on.faults.next("reset_peer", commits=False, account=name, operation="create")
    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        report = await provision(manager, plan(*names), journal=journal)
    assert set(reported(report).values()) == {RowState.ABSENT}


async def test_what_is_unresolved_stays_so_when_not_even_a_read_can_be_begun(
    on: FaultServer, path: Path
) -> None:
    await leave_unresolved(on, path, "a0", "a1")
    closed = SessionManager(base_url=on.base_url, retry=QUICK)
    await closed.close()

    async with SqliteJournal(path) as journal:
        report = await provision(closed, plan("a0", "a1"), journal=journal)

    assert reported(report) == {"a0": RowState.UNKNOWN, "a1": RowState.UNKNOWN}
    assert all(one.intent is not None for one in report.outcomes)
    assert ask(path, "SELECT count(*) FROM rows WHERE intent IS NOT NULL") == [(2,)]


async def test_a_row_that_waits_behind_one_of_its_account_does_not_begin_after_a_stop(
    on: FaultServer, manager: SessionManager
) -> None:
    stop = RunStop()
    on.faults.next("timeout", operation="list", account="a0")
    two = Plan(rows=[row("a0", "2027"), row("a0", "2028")])
    run = asyncio.create_task(provision(manager, two, stop=stop))
    while not on.requests:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.001)
    stop.request(drain_seconds=0.1)
    report = await run

    assert [one.row.serie for one in report.outcomes] == ["2027"]
    assert report.not_started == 1
    assert len(on.requests) == 1


async def test_a_stop_while_a_long_plan_is_compared_ends_the_run_before_it_is_entered(
    manager: SessionManager, path: Path
) -> None:
    stop = RunStop()
    long = Plan(rows=[row(f"b{number}") for number in range(2_000)])
    async with SqliteJournal(path) as journal:
        run = asyncio.create_task(provision(manager, long, journal=journal, stop=stop))
        await asyncio.sleep(0)
        stop.request()
        report = await run

    assert (report.outcomes, report.not_started, report.problem) == ((), 2_000, None)
    assert ask(path, STATES) == []


class Rows:
    """A stream that gives what it has, and then waits for more."""

    def __init__(self, *rows: PlanRow) -> None:
        self._rows = iter(rows)
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[PlanRow]:
        try:
            for one in self._rows:
                yield one
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def test_a_stop_ends_a_run_whose_stream_is_silent(
    on: FaultServer, manager: SessionManager
) -> None:
    stop, rows = RunStop(), Rows(row("a0"))
    stream = Plan.from_async(rows)

    def note(_: RowOutcome) -> None:
        stop.request(drain_seconds=0.5)

    async with asyncio.timeout(5.0):
        report = await provision(manager, stream, stop=stop, on_outcome=note)

    assert reported(report) == {"a0": RowState.DONE}
    assert rows.is_closed
    assert on.oracle.posts("a0") == 1


async def test_an_unresolved_row_is_read_for_while_the_stream_is_silent(
    on: FaultServer, manager: SessionManager
) -> None:
    on.faults.next("reset_peer", account="a0", operation="create")
    stop, seen = RunStop(), list[RowOutcome]()

    async with asyncio.timeout(5.0):
        async for outcome in iter_outcomes(manager, Plan.from_async(Rows(row("a0"))), stop=stop):
            seen.append(outcome)
            stop.request(drain_seconds=0.5)

    assert [(one.state, one.created) for one in seen] == [(RowState.DONE, True)]


async def test_a_stream_is_run_once_and_a_row_that_clashes_is_refused_alone(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async def rows() -> AsyncIterator[PlanRow]:
        for one in (row("a0"), row("a1"), row("a0"), row("a2")):
            yield one

    async with SqliteJournal(path) as journal:
        report = await provision(manager, Plan.from_async(rows()), journal=journal)

    by_state = [(one.row.account, one.state) for one in report.outcomes]
    assert sorted(by_state) == [
        ("a0", RowState.DONE),
        ("a0", RowState.REFUSED),
        ("a1", RowState.DONE),
        ("a2", RowState.DONE),
    ]
    assert ask(path, "SELECT DISTINCT state FROM rows") == [("done",)]
    assert on.oracle.posts("a0") == 1


async def test_an_exception_of_a_stream_is_raised_once_the_rows_in_flight_have_ended(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async def rows() -> AsyncIterator[PlanRow]:
        yield row("a0")
        await until(lambda: on.oracle.posts("a0") == 1)
        raise LookupError("the database is gone")

    seen: list[RowOutcome] = []
    async with SqliteJournal(path) as journal:
        with pytest.raises(LookupError, match="the database is gone"):
            await provision(
                manager, Plan.from_async(rows()), journal=journal, on_outcome=seen.append
            )

    assert [one.state for one in seen] == [RowState.DONE]
    assert ask(path, STATES) == [("a0", "done")]
    assert not manager.unresolved()


async def test_a_stream_continues_what_an_earlier_run_left(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    await leave_unresolved(on, path, "a1")

    async def rows() -> AsyncIterator[PlanRow]:
        for name in ("a0", "a1"):
            yield row(name)

    async with SqliteJournal(path) as journal:
        report = await provision(manager, Plan.from_async(rows()), journal=journal)

    assert reported(report) == {"a0": RowState.DONE, "a1": RowState.ABSENT}
    assert on.oracle.posts("a1") == 1


@pytest.mark.fault(45)
async def test_what_a_progress_callback_raises_is_reported_apart_and_harms_nothing(
    manager: SessionManager, path: Path
) -> None:
    calls = 0

    def fail(_: Progress) -> None:
        nonlocal calls
        calls += 1
        raise LookupError(f"call {calls}")

    names = [f"a{number}" for number in range(20)]
    async with SqliteJournal(path) as journal:
        report = await provision(manager, plan(*names), journal=journal, on_progress=fail)

    assert report.is_complete
    assert calls == 20
    assert repr(report.callback_error) == "LookupError('call 1')"
    assert ask(path, "SELECT state, count(*) FROM rows GROUP BY state") == [("done", 20)]


@pytest.mark.fault(45)
async def test_what_the_outcome_callback_raises_ends_the_run_and_the_journal_has_the_outcome(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    def note(_: RowOutcome) -> None:
        raise BrokenPipeError

    async with SqliteJournal(path) as journal:
        with pytest.raises(BrokenPipeError):
            await provision(manager, plan("a0"), journal=journal, on_outcome=note)
        again = await provision(manager, plan("a0"), journal=journal)

    assert again.outcomes[0].is_recorded
    assert on.oracle.posts("a0") == 1


async def test_a_vault_is_called_for_each_account_at_its_turn(manager: SessionManager) -> None:
    requested: list[str] = []

    async def vault(account: str) -> str:
        requested.append(account)
        await asyncio.sleep(0)
        return KEY

    rows = [row("a0", key=vault), row("a1", key=vault), row("a1", "2028", key=vault)]
    report = await provision(manager, Plan(rows=rows), concurrency=1)

    assert report.is_complete
    assert set(requested) == {"a0", "a1"}


@pytest.mark.fault(45)
async def test_a_vault_that_raises_fails_its_rows_without_a_request_and_without_its_words(
    on: FaultServer, clock: FakeClock, path: Path
) -> None:
    async def vault(account: str) -> str:
        await asyncio.sleep(0)
        if account != "a9":
            raise LookupError(f"no {KEY} here")
        return KEY

    names = [f"a{number}" for number in range(10)]
    async with (
        SessionManager(base_url=on.base_url, clock=clock) as manager,
        SqliteJournal(path) as journal,
    ):
        rows = Plan(rows=[row(name, key=vault) for name in names])
        report = await provision(manager, rows, journal=journal)

    failed = [one for one in report.outcomes if one.state is RowState.FAILED]
    assert len(failed) == 9
    assert all(isinstance(one.error, KeyUnavailableError) for one in failed)
    assert KEY not in repr(failed) + "".join(str(one.error) for one in failed)
    assert {one.account for one in on.requests} == {"a9"}
    assert report.outcomes[9].state is RowState.DONE


@pytest.mark.fault(41)
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
async def test_a_run_cancelled_at_any_turn_leaves_a_journal_that_the_next_run_ends(
    on: FaultServer, path: Path, turns: int
) -> None:
    names = [f"a{number}" for number in range(20)]
    async with SessionManager(base_url=on.base_url, retry=QUICK) as manager:
        async with SqliteJournal(path) as journal:
            run = asyncio.create_task(provision(manager, plan(*names), journal=journal))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = not run.cancel()  # on a slow machine it may have ended by then
            await asyncio.wait({run})
            assert run.cancelled() is not is_over
            assert manager.health()["calls_in_flight"] == 0
        known = {name for name, state in ask(path, STATES) if state in {"intent", "done"}}
        posted = {name for name in names if on.oracle.posts(name)}
        assert posted <= known

    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        report = await provision(manager, plan(*names), journal=journal)
    assert set(reported(report).values()) <= {RowState.DONE, RowState.ABSENT}
    assert posted <= {name for name, state in reported(report).items() if state is RowState.DONE}
    assert max(map(on.oracle.posts, names)) <= 1  # 0, if all were being written


@pytest.mark.fault(41)
async def test_a_run_cancelled_while_its_intent_is_written_has_sent_nothing(
    on: FaultServer, manager: SessionManager, path: Path
) -> None:
    async with SqliteJournal(path) as journal:
        run = asyncio.create_task(provision(manager, plan("a0"), journal=journal))
        while not on.requests:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)
        busy = sqlite3.connect(path, isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(0.1)  # the list has come, and the intent waits for the journal
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        busy.close()
        (written,) = await journal.writer.run(lambda one: one.execute(STATES).fetchall())

    assert written == ("a0", "planned")
    assert on.oracle.posts("a0") == 0


async def test_a_file_that_is_changed_in_the_middle_of_a_run_ends_it_with_its_report(
    manager: SessionManager, tmp_path: Path, path: Path
) -> None:
    file = tmp_path / "plan.csv"
    file.write_text("account,api_key\n" + "".join(f"a{n},{KEY}\n" for n in range(20)))
    rows = Plan.from_csv(file, serie="2027")

    def change(outcome: RowOutcome) -> None:
        if outcome.row.account == "a0":
            file.write_text("account,api_key\na0,other\n")

    async with SqliteJournal(path) as journal:
        report = await provision(manager, rows, journal=journal, concurrency=2, on_outcome=change)

    assert [one.row.line for one in report.outcomes] == list(range(2, 22))
    assert {one.state for one in report.outcomes} == {RowState.DONE}


@pytest.mark.parametrize("is_lost", [False, True], ids=["answered", "found later"])
async def test_what_a_run_has_created_is_so_however_a_later_step_ends(
    on: FaultServer, manager: SessionManager, path: Path, *, is_lost: bool
) -> None:
    settings = RunSettings(is_staged=True)
    reports = []
    if is_lost:
        on.faults.next("reset_peer", operation="create")
    on.faults.next("status", operation="set_current", status=422, times=1, commits=False)
    for again in (False, True):
        settings = attrs.evolve(settings, retry_refused=again)
        async with SqliteJournal(path) as journal:
            reports.append(
                await provision(
                    manager, plan("a0", default=True), journal=journal, settings=settings
                )
            )

    outcomes = [report.outcomes[0] for report in reports]
    assert [(one.state, one.created) for one in outcomes] == [
        (RowState.REFUSED, True),
        (RowState.DONE, False),
    ]
    assert read_status(path).created == 1
    assert on.oracle.posts("a0") == 1


async def test_a_step_that_is_tried_again_leaves_the_row_created_by_this_run(
    on: FaultServer, manager: SessionManager
) -> None:
    on.faults.next("status", operation="set_current", status=503, times=1, commits=False)

    report = await provision(
        manager, plan("a0", default=True), settings=RunSettings(is_staged=True)
    )

    assert [(one.state, one.created) for one in report.outcomes] == [(RowState.DONE, True)]
