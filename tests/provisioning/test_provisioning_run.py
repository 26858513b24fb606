import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest
from fakes import FakeClock

from invoicexpress_async import (
    ConfigurationError,
    OutcomeUnknownError,
    Registration,
    RetryPolicy,
    SessionManager,
)
from invoicexpress_async.provisioning import (
    KeyUnavailableError,
    Plan,
    PlanRow,
    ProvisioningReport,
    RowOutcome,
    RowState,
    iter_outcomes,
    provision,
)
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"


def account(name: str, **settings: object) -> SandboxAccount:
    return SandboxAccount(name=name, api_key=KEY, **settings)  # type: ignore[arg-type]  # a test's


def plan(names: Iterable[str], *, key: str = KEY, default: bool = True) -> Plan:
    return Plan(
        rows=[PlanRow(account=one, api_key=key, serie="2027", is_default=default) for one in names]
    )


async def test_every_account_gets_its_serie_and_a_second_run_sends_no_create() -> None:
    names = [f"a{number}" for number in range(40)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        seen: list[RowOutcome] = []
        first = await provision(manager, plan(names), concurrency=7, on_outcome=seen.append)
        second = await provision(manager, plan(names))

    assert first.is_complete
    assert [outcome.row.account for outcome in first.outcomes] == names
    assert sorted(id(one) for one in seen) == sorted(id(one) for one in first.outcomes)
    assert first.counts[RowState.DONE] == 40
    assert all(one.created and one.sequence and one.sequence.is_default for one in first.outcomes)
    assert [one.created for one in second.outcomes] == [False] * 40
    assert sandbox.count("POST", "/sequences.json") == 40
    first.raise_for_failures()


async def test_each_kind_of_failure_is_an_outcome_and_the_others_go_on(clock: FakeClock) -> None:
    accounts = [
        account("good"),
        account("no-credentials", has_at_credentials=False),
        account("no-activity", has_open_activity=False),
        account("partial", refused_document_types=("devolution",)),
        account("failing", refusals={"list": (503, "")}),
    ]
    async with (
        Sandbox(accounts=accounts) as sandbox,
        SessionManager(
            base_url=sandbox.base_url, retry=RetryPolicy(attempts=1), clock=clock
        ) as manager,
    ):
        names = [*(one.name for one in accounts), "stranger"]
        report = await provision(manager, plan(names))

    by_name = {outcome.row.account: outcome for outcome in report.outcomes}
    reported = {name: (one.state.value, one.status, one.code) for name, one in by_name.items()}
    assert reported == {
        "good": ("done", None, None),
        "no-credentials": ("refused", 422, "004"),
        "no-activity": ("refused", 422, "005"),
        "partial": ("partial", None, None),
        "failing": ("failed", 503, None),
        "stranger": ("refused", 401, None),
    }
    partial = by_name["partial"].sequence
    assert partial is not None
    assert partial.registration is Registration.PARTIAL
    assert by_name["no-credentials"].error_name == "TaxAuthorityCredentialsError"
    assert "sub-user" in (by_name["no-credentials"].cure or "")
    assert not report.is_complete
    with pytest.raises(ExceptionGroup, match="5 of 6 rows failed") as caught:
        report.raise_for_failures()
    assert len(caught.value.exceptions) == 5
    assert KEY not in repr(report)
    assert all(one.error is None or one.error.__traceback__ is None for one in report.outcomes)


async def test_a_create_that_is_not_seen_again_is_absent_with_its_intent(clock: FakeClock) -> None:
    async with (
        Sandbox(accounts=[account("acme", refusals={"create": (500, "")})]) as sandbox,
        SessionManager(base_url=sandbox.base_url, clock=clock) as manager,
    ):
        report = await provision(manager, plan(["acme"]))

    (outcome,) = report.outcomes
    assert outcome.state is RowState.ABSENT
    assert clock.now() >= 1_075.0  # it was read for on the whole schedule
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert outcome.created is None
    assert outcome.intent is not None
    assert outcome.intent["serie"] == "2027"
    assert sandbox.count("POST", "/sequences.json") == 1


async def test_a_key_reference_that_leads_nowhere_fails_its_row_only() -> None:
    rows = [
        PlanRow(account="acme", api_key="env:NOT_SET_ANYWHERE", serie="2027"),
        PlanRow(account="beta", api_key=KEY, serie="2027"),
    ]
    async with (
        Sandbox(accounts=[account("acme"), account("beta")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        report = await provision(manager, Plan(rows=rows))

    assert [one.state for one in report.outcomes] == [RowState.FAILED, RowState.DONE]
    assert isinstance(report.outcomes[0].error, KeyUnavailableError)


async def test_no_more_rows_are_in_flight_than_requested() -> None:
    names = [f"a{number}" for number in range(30)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        tasks: list[int] = []
        before = len(asyncio.all_tasks())

        def note(_: RowOutcome) -> None:
            tasks.append(len(asyncio.all_tasks()) - before)

        await provision(manager, plan(names), concurrency=3, on_outcome=note)
        assert manager.health()["calls_in_flight"] == 0

    # Three workers and their pool, each with the flight of its `ensure`; the sandbox's own.
    assert max(tasks) < 20


async def test_a_consumer_that_stops_early_stops_the_run() -> None:
    names = [f"a{number}" for number in range(60)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        async with aclosing(iter_outcomes(manager, plan(names), concurrency=2)) as outcomes:
            first = await anext(outcomes)
        assert manager.health()["calls_in_flight"] == 0

    assert first.state is RowState.DONE
    assert sandbox.count("POST", "/sequences.json") < 20


async def test_a_slow_consumer_makes_the_run_wait() -> None:
    names = [f"a{number}" for number in range(60)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        aclosing(iter_outcomes(manager, plan(names), concurrency=2)) as outcomes,
    ):
        await anext(outcomes)
        for _ in range(2000):  # turns of the loop: more than the run would need to end
            await asyncio.sleep(0)
        posted = sandbox.count("POST", "/sequences.json")
        rest = [outcome async for outcome in outcomes]

    assert posted < 10
    assert len(rest) == 59


async def test_cancelling_a_run_leaves_nothing_behind() -> None:
    names = [f"a{number}" for number in range(200)]
    async with (
        Sandbox(accounts=map(account, names)) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        begun = asyncio.Event()
        run = asyncio.create_task(provision(manager, plan(names), on_outcome=lambda _: begun.set()))
        await begun.wait()
        tasks_of_the_run = asyncio.all_tasks()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        posted = sandbox.count("POST", "/sequences.json")

        assert run in tasks_of_the_run
        assert manager.health()["calls_in_flight"] == 0
        assert posted < 200


async def test_what_the_callback_raises_ends_the_run() -> None:
    def note(_: RowOutcome) -> None:
        raise BrokenPipeError

    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        with pytest.raises(BrokenPipeError):
            await provision(manager, plan(["acme"]), on_outcome=note)


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5])
async def test_a_concurrency_that_is_no_count_is_refused(concurrency: int) -> None:
    async with SessionManager(base_url="http://127.0.0.1:9/{account}") as manager:
        with pytest.raises(ConfigurationError, match="concurrency"):
            await provision(manager, plan(["acme"]), concurrency=concurrency)


@pytest.mark.parametrize("wrong", ["journal", "settings"])
async def test_a_path_in_place_of_a_journal_is_refused_before_anything_is_sent(wrong: str) -> None:
    given: dict[str, Any] = {wrong: "job.db"}

    async with SessionManager(base_url="http://127.0.0.1:9/{account}") as manager:
        with pytest.raises(ConfigurationError, match=f"{wrong} is of type str: give"):
            await provision(manager, plan(["acme"]), **given)


def test_an_empty_report_is_complete() -> None:
    report = ProvisioningReport(outcomes=(), seconds=0.0)

    assert report.is_complete
    assert set(report.counts) == set(RowState)
