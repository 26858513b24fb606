"""A server that is down in the middle of a job, and accounts with faults of their own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from fakes import FakeClock
from job_process import ask

from invoicexpress_async import SessionManager
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    Progress,
    ProvisioningReport,
    RowState,
    RunSettings,
    SqliteJournal,
    provision,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
NAMES = [f"a{number}" for number in range(300)]
TEN_MINUTES = 600.0


def account(name: str, **settings: bool) -> SandboxAccount:
    return SandboxAccount(name=name, api_key=KEY, **settings)  # type: ignore[arg-type]  # a test's


@pytest.fixture
async def on(clock: FakeClock) -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    async with FaultServer(accounts=accounts, clock=clock.now, sleep=clock.sleep) as server:
        yield server


def plan(*series: str) -> Plan:
    return Plan(
        rows=[PlanRow(account=one, api_key=KEY, serie=two) for one in NAMES for two in series]
    )


@attrs.define
class Attempts:
    """Counts what is sent, whether a server is there to count it or not."""

    is_counting: bool = False
    count: int = 0

    def trace(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._note)
        return config

    async def _note(self, *_: Any) -> None:
        self.count += self.is_counting


Change = Callable[[FaultServer], Coroutine[None, None, None]]


async def refuses(on: FaultServer) -> None:
    await on.go_down()


async def listens(on: FaultServer) -> None:
    await on.go_up()


async def fails(on: FaultServer) -> None:
    on.faults.next("status", status=503, commits=False, times=None)


async def fails_creates(on: FaultServer) -> None:
    on.faults.next("status", status=500, commits=False, times=None, operation="create")


async def works(on: FaultServer) -> None:
    on.faults.clear()


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    ("breaks", "heals"),
    [
        pytest.param(refuses, listens, id="refuses connections"),
        pytest.param(fails, works, id="answers 503"),
        pytest.param(fails_creates, works, id="lists, and fails all creates"),
    ],
)
async def test_a_job_pauses_while_the_server_is_down_and_goes_on_by_itself(
    on: FaultServer, clock: FakeClock, tmp_path: Path, breaks: Change, heals: Change
) -> None:
    attempts, pauses = Attempts(), list[bool]()
    outage: list[asyncio.Task[None]] = []

    async def be_down() -> None:
        await breaks(on)
        attempts.is_counting = True
        await clock.sleep(TEN_MINUTES)
        attempts.is_counting = False
        await heals(on)

    def note(progress: Progress) -> None:
        pauses.append(progress.is_paused)
        if progress.ended >= 100 and not outage:
            outage.append(asyncio.create_task(be_down()))

    async with (
        SessionManager(
            base_url=on.base_url, clock=clock, trace_configs=[attempts.trace()]
        ) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        report = await provision(
            manager, plan("2027"), journal=journal, concurrency=20, on_progress=note
        )

    counts = {state: count for state, count in report.counts.items() if count}
    assert report.problem is None
    # Creates that the server dropped before it read them are absent: they are not sent again.
    assert set(counts) <= {RowState.DONE, RowState.ABSENT}
    assert counts[RowState.DONE] >= 260
    assert counts[RowState.DONE] == sum(map(on.oracle.commits, NAMES))
    assert max(map(on.oracle.posts, NAMES)) == 1
    assert on.oracle.duplicates() == ()
    assert any(pauses)
    assert not pauses[-1]
    assert attempts.count < 120
    await asyncio.gather(*outage)


@pytest.mark.fault(52)
async def test_a_server_that_stays_down_ends_the_job_after_its_patience(
    on: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "job.db"
    await on.go_down()
    async with (
        SessionManager(base_url=on.base_url, clock=clock) as manager,
        SqliteJournal(path) as journal,
    ):
        settings = RunSettings(outage_patience_seconds=TEN_MINUTES)
        report = await provision(manager, plan("2027"), journal=journal, settings=settings)
        await on.go_up()
        again = await provision(manager, plan("2027"), journal=journal, settings=settings)

    assert "failed for every account" in str(report.problem)
    assert report.not_started + sum(report.counts.values()) == len(NAMES)
    assert report.counts[RowState.FAILED] < 100
    assert again.is_complete
    assert 600.0 < clock.now() - 1_000.0 < 800.0


def codes(report: ProvisioningReport) -> Counter[tuple[str, int | None, str | None]]:
    return Counter((one.state.value, one.status, one.code) for one in report.outcomes)


@pytest.mark.fault(53)
async def test_accounts_with_faults_of_their_own_are_set_aside_and_the_others_are_done(
    on: FaultServer, clock: FakeClock, tmp_path: Path
) -> None:
    wrong = [
        *(SandboxAccount(name=name, api_key="another-key-123") for name in NAMES[10:20]),
        *(account(name, has_at_credentials=False) for name in NAMES[120:130]),
        *(account(name, has_open_activity=False) for name in NAMES[220:230]),
    ]
    for one in wrong:
        on.update_account(one)
    path = tmp_path / "job.db"
    async with (
        SessionManager(base_url=on.base_url, clock=clock) as manager,
        SqliteJournal(path) as journal,
    ):
        report = await provision(manager, plan("2027", "2028"), journal=journal)
        requests = len(on.requests)
        again = await provision(manager, plan("2027", "2028"), journal=journal)

    assert (
        codes(report)
        == codes(again)
        == {
            ("done", None, None): 540,
            ("refused", 401, None): 20,
            ("refused", 422, "004"): 20,
            ("refused", 422, "005"): 20,
        }
    )
    assert report.problem is None
    assert len(on.requests) == requests
    by_account = Counter(one.account for one in on.requests)
    assert {by_account[name] for name in NAMES[10:20]} == {1}
    assert {on.oracle.posts(name, "2027") for name in NAMES[120:130]} == {1}
    assert {on.oracle.posts(name, "2028") for name in NAMES[120:130]} == {0}
    assert {on.oracle.posts(name, "2028") for name in NAMES[220:230]} == {0}
    refused = [one for one in report.outcomes if one.state is RowState.REFUSED]
    assert all(one.cure and one.error and one.row.serie in str(one.error) for one in refused)
    assert ask(path, "SELECT state, count(*) FROM rows GROUP BY state ORDER BY state") == [
        ("done", 540),
        ("refused", 60),
    ]
