"""What is sent again, and what becomes the default, only in a later run."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
from job_process import age, ask

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    ProvisioningReport,
    RowState,
    RunSettings,
    RunStop,
    SqliteJournal,
    provision,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
QUICK = RetryPolicy(attempts=1, read_after_seconds=(0.02,))
AGAIN = RunSettings(resend_absent_after=900.0)
LATER = RunSettings(default_not_before=dt.date(2999, 1, 1))


def plan(*names: str, default: bool = False) -> Plan:
    rows = [PlanRow(account=one, api_key=KEY, serie="2027", is_default=default) for one in names]
    return Plan(rows=rows)


def reported(report: ProvisioningReport) -> dict[str, RowState]:
    return {one.row.account: one.state for one in report.outcomes}


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    async with FaultServer(
        accounts=[SandboxAccount(name=one, api_key=KEY) for one in ("a0", "a1")]
    ) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


async def run(
    on: FaultServer, path: Path, settings: RunSettings, stop: RunStop | None = None
) -> RowState:
    """Give `a0` a run by a process of its own, as far as the library sees."""
    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        report = await provision(manager, plan("a0"), journal=journal, settings=settings, stop=stop)
    return reported(report)["a0"]


async def until_first_absence(on: FaultServer, path: Path) -> RowState:
    """Run until the first list that counts is on the disk; the second is due much later."""
    stop = RunStop()
    running = asyncio.create_task(run(on, path, AGAIN, stop))
    while ask(path, "SELECT absent_since FROM rows") == [(None,)]:  # noqa: ASYNC110 - of a file
        await asyncio.sleep(0.005)
    stop.request(drain_seconds=1.0)
    return await running


async def test_what_is_absent_is_sent_again_only_after_two_lists_far_apart(
    on: FaultServer, path: Path
) -> None:
    on.faults.next("reset_peer", commits=False, operation="create")
    states = [await run(on, path, RunSettings())]
    age(path, 1_000.0)
    states.append(await until_first_absence(on, path))
    age(path, 2_000.0)
    states.append(await run(on, path, RunSettings()))
    posts = on.oracle.posts("a0")
    states.append(await run(on, path, AGAIN))

    assert states == [RowState.ABSENT] * 3 + [RowState.DONE]
    assert (posts, on.oracle.posts("a0"), on.oracle.commits("a0")) == (1, 2, 1)


async def test_what_has_come_late_is_found_and_not_sent_again(on: FaultServer, path: Path) -> None:
    on.faults.next("reset_peer", commits="late", operation="create")
    await run(on, path, RunSettings())
    age(path, 1_000.0)
    await until_first_absence(on, path)
    age(path, 2_000.0)
    await on.commit_late()

    state = await run(on, path, AGAIN)

    assert state is RowState.DONE
    assert (on.oracle.posts("a0"), on.oracle.commits("a0")) == (1, 1)


async def test_a_send_that_is_lost_again_starts_its_time_anew(on: FaultServer, path: Path) -> None:
    on.faults.next("reset_peer", commits=False, operation="create", times=2)
    await run(on, path, RunSettings())
    age(path, 1_000.0)
    await until_first_absence(on, path)
    age(path, 2_000.0)
    stop = RunStop()
    running = asyncio.create_task(run(on, path, AGAIN, stop))
    while on.oracle.posts("a0") < 2:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)  # more than the whole schedule
    stop.request(drain_seconds=1.0)

    assert await running is RowState.ABSENT
    assert on.oracle.posts("a0") == 2
    assert ask(path, "SELECT absent_since, sends FROM rows") == [(None, 2)]


@pytest.mark.parametrize("was_absent", [False, True])
async def test_lists_that_can_never_be_believed_end_the_row_as_unknown_and_say_so(
    on: FaultServer, path: Path, was_absent: bool
) -> None:
    on.faults.next("reset_peer", commits=False, operation="create")
    await run(on, path, RunSettings())
    age(path, 1_000.0)
    if was_absent:
        await until_first_absence(on, path)
        age(path, 2_000.0)
    on.faults.next("truncated_json", operation="list", times=1_000)

    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        report = await provision(manager, plan("a0"), journal=journal, settings=AGAIN)

    (outcome,) = report.outcomes
    assert outcome.state is RowState.UNKNOWN
    assert "20 lists in a row could not be believed" in str(outcome.error)
    assert on.oracle.posts("a0") == 1


async def test_an_unresolved_registration_is_never_sent_again(on: FaultServer, path: Path) -> None:
    on.add_sequence("a0", "2027", is_registered=False)
    on.faults.next("reset_peer", commits=False, operation="register")
    await run(on, path, RunSettings())
    age(path, 1_000_000.0)

    state = await run(on, path, AGAIN)

    assert state is RowState.UNKNOWN
    assert on.oracle.puts("a0", on.sequences("a0")[0].id, "register") == 1


@pytest.mark.parametrize("is_staged", [True, False])
async def test_nothing_becomes_the_default_before_its_day_and_a_later_run_ends_it(
    on: FaultServer, path: Path, is_staged: bool
) -> None:
    settings = attrs.evolve(LATER, is_staged=is_staged)
    on.update_account(
        SandboxAccount(name="a1", api_key=KEY, refused_document_types=("devolution",))
    )
    async with (
        SessionManager(base_url=on.base_url) as manager,
        SqliteJournal(path) as journal,
    ):
        early = await provision(
            manager, plan("a0", "a1", default=True), journal=journal, settings=settings
        )
        before = {name: on.sequences(name)[0].is_default for name in ("a0", "a1")}
        later = await provision(
            manager,
            plan("a0", "a1", default=True),
            journal=journal,
            settings=RunSettings(
                is_staged=is_staged,
                default_not_before=dt.date(2020, 1, 1),
                accept_changes=True,  # another day is another plan
            ),
        )

    assert reported(early) == {"a0": RowState.PREPARED, "a1": RowState.PARTIAL}
    assert before == {"a0": False, "a1": False}
    assert reported(later) == {"a0": RowState.DONE, "a1": RowState.PARTIAL}
    assert {name: on.sequences(name)[0].is_default for name in before} == {"a0": True, "a1": False}
    assert {on.oracle.posts(name) for name in before} == {1}


async def test_a_refused_key_ends_the_wait_for_what_is_unresolved(
    on: FaultServer, path: Path
) -> None:
    on.faults.next("reset_peer", commits=False, operation="create")
    assert await run(on, path, RunSettings()) is RowState.ABSENT
    age(path, 1_000.0)
    on.update_account(SandboxAccount(name="a0", api_key="another-key-9b1d22"))

    assert await run(on, path, AGAIN) is RowState.UNKNOWN

    assert on.oracle.posts("a0") == 1


async def test_a_second_send_that_did_not_come_about_leaves_the_first_unresolved(
    on: FaultServer, path: Path
) -> None:
    on.faults.next("reset_peer", commits=False, operation="create")
    await run(on, path, RunSettings())
    age(path, 1_000.0)
    await until_first_absence(on, path)
    age(path, 2_000.0)
    on.faults.next("latency", seconds=0.0, operation="list")  # the second list, which counts
    on.faults.next("status", status=403, operation="list", times=99)  # before the second send

    assert await run(on, path, AGAIN) is RowState.UNKNOWN

    assert on.oracle.posts("a0") == 1
    assert ask(path, "SELECT state, intent IS NOT NULL FROM rows") == [("unknown", 1)]
    on.faults.clear()
    assert await run(on, path, RunSettings()) is RowState.ABSENT
