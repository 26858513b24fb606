"""What the claim of another sender means for a row, and a claim that comes too late."""

import asyncio
from pathlib import Path

import attrs
import pytest
from fakes import FakeClock
from job_process import ask

from invoicexpress_async import (
    DeadlineExceededError,
    OutcomeUnknownError,
    PartialRegistrationError,
    RetryPolicy,
    SessionManager,
)
from invoicexpress_async.call.claims import ClaimEnd, Claims
from invoicexpress_async.call.realm import Process
from invoicexpress_async.jobs.claims import JournalClaims
from invoicexpress_async.jobs.journal import INTENTS
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    PostgresJournal,
    RowState,
    SqliteJournal,
    provision,
)
from invoicexpress_async.provisioning.task import RowClaims, RowTask
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c"
THEIRS: Intent = {
    "version": 1,
    "operation": "create",
    "account": "acme",
    "serie": "2027",
    "sequence_id": None,
    "is_default": False,
    "had_sequences": False,
    "sent_at": 2_000.0,
}


@attrs.define
class OneClaim:
    """Wins, or loses to another; it takes its time."""

    clock: FakeClock
    other: Intent | None = None
    seconds: float = 0.0
    ends: list[ClaimEnd] = attrs.field(factory=list)
    token: str | None = "mine"

    async def claim(self, intent: Intent) -> Intent | None:
        del intent
        self.clock.advance(self.seconds)
        return self.other

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        del intent
        self.ends.append(end)

    def observe(self, intent: Intent) -> None:
        """Nothing is kept."""

    def forget(self, intent: Intent) -> None:
        """Nothing is kept."""

    def check_right(self) -> None:
        """It is never lost."""


async def test_the_absence_of_an_older_send_says_nothing_of_the_one_that_has_replaced_it() -> None:
    seen = Timestamp(wall=1_000.0, steady=1_000.0, boot="")
    row = PlanRow(account="acme", api_key=KEY, serie="2027")
    task = RowTask(row=row, absent_since=seen, unknown_since=1_000.0, reads=5)
    inner: Claims = OneClaim(FakeClock(), other=THEIRS)

    await RowClaims(task, inner).claim({**THEIRS, "sent_at": 3_000.0})

    assert task.intent == THEIRS
    assert (task.absent_since, task.unknown_since, task.reads) == (None, None, 0)


@pytest.mark.parametrize("end", ClaimEnd)
async def test_a_second_send_that_is_withdrawn_leaves_the_first_one_unknown(end: ClaimEnd) -> None:
    row = PlanRow(account="acme", api_key=KEY, serie="2027")
    task = RowTask(row=row, superseded_intent=THEIRS)
    again: Intent = {**THEIRS, "sent_at": 3_000.0}
    claims = RowClaims(task, OneClaim(FakeClock()))

    await claims.claim(again)
    claims.end(again, end)

    assert task.superseded_intent == (again if end is ClaimEnd.NOT_SENT else None)


async def test_time_since_the_send_of_another_is_counted_from_when_it_was_first_seen() -> None:
    row = PlanRow(account="acme", api_key=KEY, serie="2027")
    task = RowTask(row=row)

    await RowClaims(task, OneClaim(FakeClock(), other=THEIRS)).claim(THEIRS)

    assert task.sent_at().seconds_until(Timestamp.now()) < 60.0


@pytest.mark.fault(64)
async def test_a_process_that_was_frozen_while_it_claimed_sends_nothing() -> None:
    clock = FakeClock()
    claims = OneClaim(clock, seconds=61.0)
    async with (
        FaultServer(accounts=[SandboxAccount(name="acme", api_key=KEY)]) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
    ):
        account = manager.account("acme", KEY).claiming(claims)
        with pytest.raises(DeadlineExceededError, match="It was not sent"):
            await account.sequences.ensure("2027", shared=False)

        posts = server.oracle.posts("acme")

    assert posts == 0
    assert claims.ends == [ClaimEnd.NOT_SENT]


@pytest.mark.fault(51, 63)
async def test_a_later_run_counts_anothers_send_from_when_it_was_first_seen(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    plan = Plan(rows=[PlanRow(account="acme", api_key=KEY, serie="2027")])
    retry = RetryPolicy(attempts=1, read_after_seconds=(0.01,))
    async with (
        FaultServer(accounts=[SandboxAccount(name="acme", api_key=KEY)]) as server,
        SessionManager(base_url=server.base_url, retry=retry) as manager,
        SqliteJournal(path) as journal,
    ):
        claims = JournalClaims(journal)
        assert await claims.claim({**THEIRS, "sent_at": 1_000.0}) is None
        report = await provision(manager, plan, journal=journal)

    ((text,),) = ask(path, "SELECT intended_at FROM rows")

    assert [one.state for one in report.outcomes] == [RowState.ABSENT]
    assert Timestamp.parse(str(text)).seconds_until(Timestamp.now()) < 60.0


@pytest.mark.fault(63)
async def test_a_job_with_its_own_journal_also_claims_in_that_of_its_manager(
    clock: FakeClock, tmp_path: Path
) -> None:
    plan = Plan(rows=[PlanRow(account="acme", api_key=KEY, serie="2027")])
    accounts = [SandboxAccount(name="acme", api_key=KEY)]
    shared = tmp_path / "service.db"
    async with (
        FaultServer(
            accounts=accounts, is_name_check_atomic=False, clock=clock.now, sleep=clock.sleep
        ) as server,
        SqliteJournal(shared, shared=True) as first,
        SqliteJournal(shared, shared=True) as second,
        SqliteJournal(tmp_path / "job.db") as own,
        SessionManager(
            base_url=server.base_url, clock=clock, journal=first, process=Process()
        ) as of_job,
        SessionManager(
            base_url=server.base_url, clock=clock, journal=second, process=Process()
        ) as of_service,
    ):
        server.faults.next("latency", operation="list", seconds=5.0)
        with clock.stopped():
            job = asyncio.create_task(provision(of_job, plan, journal=own))
            await until_requested(server, 1)
            made = await of_service.account("acme", KEY).sequences.ensure("2027")
        (outcome,) = (await job).outcomes

    assert made.created
    assert (outcome.state, outcome.created) == (RowState.DONE, False)
    assert server.oracle.posts("acme") == 1


@pytest.mark.parametrize("same", ["object", "file", "database"])
async def test_a_job_may_have_the_journal_of_its_manager(
    same: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def opened() -> SqliteJournal | PostgresJournal:
        return (
            SqliteJournal(tmp_path / "job.db", shared=True) if url is None else PostgresJournal(url)
        )

    url = request.getfixturevalue("postgres").database() if same == "database" else None
    plan = Plan(rows=[PlanRow(account="acme", api_key=KEY, serie="2027", is_default=True)])
    async with (
        FaultServer(accounts=[SandboxAccount(name="acme", api_key=KEY)]) as server,
        opened() as first,
        opened() as second,
        SessionManager(base_url=server.base_url, journal=first) as manager,
    ):
        journal = first if same == "object" else second
        (outcome,) = (await provision(manager, plan, journal=journal)).outcomes
        (entry,) = await first.read(INTENTS)

    assert (outcome.state, outcome.created, entry["state"]) == (RowState.DONE, True, "done")
    assert server.oracle.posts("acme") == 1


async def until_requested(on: FaultServer, count: int) -> None:
    async with asyncio.timeout(20):
        while len(on.requests) < count:  # noqa: ASYNC110  # of the server
            await asyncio.sleep(0)


async def test_a_lost_register_that_is_found_partial_is_not_unresolved_any_more(
    clock: FakeClock, tmp_path: Path
) -> None:
    poor = SandboxAccount(name="acme", api_key=KEY, refused_document_types=("receipt",))
    async with (
        FaultServer(accounts=[poor], clock=clock.now, sleep=clock.sleep) as server,
        SqliteJournal(tmp_path / "job.db") as journal,
        SessionManager(base_url=server.base_url, clock=clock, journal=journal) as manager,
    ):
        sequences = manager.account("acme", KEY).sequences
        row = server.add_sequence("acme", "2027", is_registered=False)
        server.faults.next("reset_peer", operation="register")
        server.faults.next("status", operation="get", status=503, times=None)
        with pytest.raises(OutcomeUnknownError):
            await sequences.register(row.id)
        server.faults.clear()
        (intent,) = await manager.read_unresolved()

        with pytest.raises(PartialRegistrationError, match="no validation code for: receipt"):
            await sequences.resume(intent)

        assert (await manager.read_unresolved(), manager.unresolved()) == ((), ())
