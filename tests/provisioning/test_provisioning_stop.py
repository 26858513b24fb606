import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from invoicexpress_async import ConfigurationError, OutcomeUnknownError, SessionManager
from invoicexpress_async.provisioning import (
    Plan,
    PlanRow,
    ProvisioningReport,
    RowCutOffError,
    RowOutcome,
    RowState,
    RunStop,
    provision,
)
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"


@attrs.frozen
class Stage:
    sandbox: Sandbox
    manager: SessionManager
    plan: Plan

    def on_server(self) -> set[str]:
        return {row.account for row in self.plan.rows if self.sandbox.sequences(row.account)}


@asynccontextmanager
async def stage(count: int, *, slow: int = 0) -> AsyncIterator[Stage]:
    """A plan of `count` accounts, of which the first `slow` answer a create after a minute."""
    names = [f"a{number}" for number in range(count)]
    accounts = [
        SandboxAccount(name=name, api_key=KEY, registration_seconds=60.0 * (number < slow))
        for number, name in enumerate(names)
    ]
    plan = Plan(rows=[PlanRow(account=one, api_key=KEY, serie="2027") for one in names])
    async with (
        Sandbox(accounts=accounts) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        yield Stage(sandbox, manager, plan)


def accounted(report: ProvisioningReport) -> set[str]:
    """The accounts that may have the sequence, as far as the report says."""
    states = {RowState.DONE, RowState.UNKNOWN, RowState.ABSENT}
    return {one.row.account for one in report.outcomes if one.state in states}


async def test_a_stop_lets_rows_in_flight_end_and_begins_no_other() -> None:
    stop, seen = RunStop(), list[RowOutcome]()

    def note(outcome: RowOutcome) -> None:
        seen.append(outcome)
        stop.request(drain_seconds=30.0)

    async with stage(60) as on:
        report = await provision(on.manager, on.plan, concurrency=10, on_outcome=note, stop=stop)
        on_server = on.on_server()

    assert {one.state for one in report.outcomes} == {RowState.DONE}
    assert 10 <= len(report.outcomes) < 30
    assert on_server == accounted(report) == {one.row.account for one in seen}
    assert len(report.outcomes) + report.not_started == 60
    assert not report.is_complete
    assert (stop.is_requested, stop.in_flight) == (True, 0)


async def test_what_is_cut_off_after_its_send_is_unknown_with_its_intent() -> None:
    stop = RunStop()
    async with stage(8, slow=4) as on:
        run = asyncio.create_task(provision(on.manager, on.plan, concurrency=8, stop=stop))
        while on.sandbox.count("GET", "/sequences.json") < 12:  # each slow one was read for  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.request(drain_seconds=0.01)
        report = await run
        on_server = on.on_server()

        assert on.manager.health()["calls_in_flight"] == 0
        unresolved = on.manager.unresolved()

    cut_off = report.outcomes[:4]
    assert {one.state for one in cut_off} <= {RowState.UNKNOWN, RowState.ABSENT}
    assert all(isinstance(one.error, OutcomeUnknownError) for one in cut_off)
    assert {one.intent["account"] for one in cut_off if one.intent} == {"a0", "a1", "a2", "a3"}
    assert [one.intent for one in cut_off] == list(unresolved)
    assert [one.created for one in cut_off] == [None] * 4
    assert on_server <= accounted(report)


@pytest.mark.parametrize("turns", [0, 3, 10, 30, 100, 300])
async def test_whenever_it_is_cut_off_no_sequence_on_the_server_goes_unmentioned(
    turns: int,
) -> None:
    stop = RunStop()
    async with stage(60) as on:
        run = asyncio.create_task(provision(on.manager, on.plan, concurrency=30, stop=stop))
        for _ in range(turns):
            await asyncio.sleep(0)
        stop.cut_off()
        report = await run

        assert on.on_server() <= accounted(report)
        ended = {outcome.row.account for outcome in report.outcomes}
        assert len(report.outcomes) + report.not_started == 60
        assert on.on_server() <= ended
        assert {i["account"] for i in on.manager.unresolved()} <= accounted(report)


async def test_a_second_ask_shortens_the_time_and_never_lengthens_it() -> None:
    stop = RunStop()
    async with stage(1, slow=1) as on:
        run = asyncio.create_task(provision(on.manager, on.plan, stop=stop))
        while not on.sandbox.count("POST", "/sequences.json"):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        stop.request(drain_seconds=3600.0)
        stop.cut_off()
        stop.request(drain_seconds=3600.0)
        report = await run

    assert [one.state for one in report.outcomes] == [RowState.UNKNOWN]


async def test_a_stop_before_the_run_starts_nothing() -> None:
    stop = RunStop()
    stop.request()
    async with stage(3) as on:
        report = await provision(on.manager, on.plan, stop=stop)

        assert on.sandbox.requests == []

    assert report.outcomes == ()
    assert report.not_started == 3


async def test_a_row_cut_off_before_any_send_says_that_a_look_will_show() -> None:
    stop = RunStop()
    async with stage(1) as on:
        run = asyncio.create_task(provision(on.manager, on.plan, stop=stop))
        while not stop.in_flight:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0)
        stop.cut_off()
        report = await run

    (outcome,) = report.outcomes
    assert isinstance(outcome.error, RowCutOffError)
    assert (outcome.state, outcome.intent, outcome.created) == (RowState.UNKNOWN, None, None)
    assert "looks first" in str(outcome.error)
    assert outcome.error.account == "a0"


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), True])
async def test_a_drain_time_that_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="drain_seconds"):
        RunStop().request(drain_seconds=seconds)
