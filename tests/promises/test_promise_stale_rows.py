"""A run that is behind another run on the same journal does not write over what that one knows."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import FakeClock
from job_process import ask
from test_row_claims import THEIRS

from invoicexpress_async import Intent, RetryPolicy, SessionManager, Timeouts
from invoicexpress_async.call.claims import ClaimEnd
from invoicexpress_async.call.realm import Process
from invoicexpress_async.provisioning import (
    JournalError,
    Plan,
    PlanRow,
    ProvisioningReport,
    RowState,
    RunSettings,
    SqliteJournal,
    enter_plan,
    provision,
)
from invoicexpress_async.provisioning.rows_table import ROWS, RowJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
_LATE_SECONDS = 1_000.0


@pytest.fixture
async def on(clock: FakeClock) -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name="acme", api_key=KEY)]
    async with FaultServer(accounts=accounts, clock=clock.now, sleep=clock.sleep) as server:
        yield server


def plan(key: str = KEY, *, is_default: bool = False) -> Plan:
    row = PlanRow(account="acme", api_key=key, serie="2027", is_default=is_default)
    return Plan(rows=[row])


async def run(on: FaultServer, clock: FakeClock, path: Path, of: Plan) -> ProvisioningReport:
    """Run a plan as a process of its own does, which looks up nothing after a lost response."""
    async with (
        SqliteJournal(path, shared=True) as journal,
        SessionManager(
            base_url=on.base_url,
            clock=clock,
            process=Process(),
            retry=RetryPolicy(attempts=1, read_after_seconds=()),
            timeouts=Timeouts(total_seconds=2 * _LATE_SECONDS),
        ) as manager,
    ):
        return await provision(manager, of, journal=journal)


async def begin_late(
    on: FaultServer, clock: FakeClock, path: Path, of: Plan
) -> "asyncio.Task[ProvisioningReport]":
    """Begin a run whose list is answered when the clock goes on."""
    on.faults.next("latency", operation="list", seconds=_LATE_SECONDS)
    running = asyncio.create_task(run(on, clock, path, of))
    async with asyncio.timeout(20):
        while not on.requests:  # noqa: ASYNC110  # of the server
            await asyncio.sleep(0)
    return running


def states(path: Path) -> list[tuple[object, ...]]:
    return ask(path, "SELECT state, error FROM rows")


@pytest.mark.fault(63)
async def test_a_run_with_a_wrong_key_does_not_end_a_row_that_another_has_sent(
    on: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "job.db"
    with clock.stopped():
        behind = await begin_late(on, clock, path, plan("canary-key-that-is-wrong"))
        on.faults.next("reset_peer", operation="create", commits=False)
        await run(on, clock, path, plan())
    (refused,) = (await behind).outcomes
    after = states(path)
    on.add_sequence("acme", "2027")  # it commits late
    (found,) = (await run(on, clock, path, plan())).outcomes

    assert (refused.state, after) == (RowState.REFUSED, [("unknown", "OutcomeUnknownError")])
    assert (found.state, found.is_recorded) == (RowState.DONE, False)
    assert on.oracle.posts("acme") == 1


@pytest.mark.fault(63)
async def test_what_an_older_plan_was_refused_is_tried_for_the_new_plan(
    on: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "job.db"
    accepted = RunSettings(accept_changes=True)
    with clock.stopped():
        older = plan("canary-key-that-is-wrong", is_default=True)
        behind = await begin_late(on, clock, path, older)
        async with SqliteJournal(path, shared=True) as journal:
            await enter_plan(journal, plan(), settings=accepted)
    (refused,) = (await behind).outcomes
    (made,) = (await run(on, clock, path, plan())).outcomes

    assert refused.state is RowState.REFUSED
    assert (made.state, made.is_recorded) == (RowState.DONE, False)


async def test_a_run_records_what_a_row_is_refused_after_an_earlier_send_was_withdrawn(
    on: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    path, of = tmp_path / "job.db", plan("canary-key-that-is-wrong")
    async with SqliteJournal(path) as journal:
        await enter_plan(journal, of)
        (row,) = of.rows
        claims = RowJournal(journal).claims(row, lambda: 0)
        await claims.claim(THEIRS)
        claims.end(THEIRS, ClaimEnd.NOT_SENT)

    await run(on, clock, path, of)

    assert states(path) == [("refused", "AuthenticationError")]


async def test_a_send_that_is_withdrawn_leaves_the_row_to_the_run_that_has_sent_for_it(
    tmp_path: Path,
) -> None:
    path, of = tmp_path / "job.db", plan()
    register: Intent = {**THEIRS, "operation": "register", "serie": None, "sequence_id": 100}
    async with SqliteJournal(path) as journal:
        await enter_plan(journal, of)
        rows = RowJournal(journal)
        (row,) = of.rows
        first, second = (rows.claims(row, lambda: 0) for _ in range(2))
        await first.claim(THEIRS)
        await second.claim(register)
        first.end(THEIRS, ClaimEnd.NOT_SENT)

    ((state, intent),) = ask(path, "SELECT state, intent FROM rows")
    assert state == "intent"
    assert json.loads(str(intent)) == register


@pytest.mark.fault(63)
async def test_a_plan_is_not_entered_over_another_that_came_between(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    accepted = {"accept_changes": False, "accept_added": False}
    async with SqliteJournal(path, shared=True) as one, SqliteJournal(path, shared=True) as other:
        first, second, same = RowJournal(one), RowJournal(other), RowJournal(other)
        for rows, account in ((first, "a"), (second, "b")):
            await rows.open()
            await rows.begin_plan()
            await rows.add_to_plan([(account, "2027", False)])
        compared = await other.compare_plan(ROWS)
        await first.enter_plan(**accepted)
        with pytest.raises(JournalError, match="Another plan was entered"):
            await other.enter_plan(ROWS)

        await same.begin_plan()
        await same.add_to_plan([("a", "2027", False)])
        await same.enter_plan(**accepted)

    assert compared.counts == {}
    assert ask(path, "SELECT account FROM rows WHERE is_in_plan") == [("a",)]
