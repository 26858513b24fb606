"""A first series of unknown outcome: it delays no other, and is sent again on request only."""

import asyncio
import json
import time
from pathlib import Path

import attrs
from fakes import FakeClock
from job_process import ask
from test_onboarding import QUICK, Stage, companies, company, only, stage

from invoicexpress_async import SessionManager
from invoicexpress_async.onboarding import (
    CompanyList,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    OnboardingReport,
)
from invoicexpress_async.provisioning import RunSettings, RunStop
from invoicexpress_async.sandbox import SandboxAccount

AGAIN = RunSettings(resend_absent_after=900.0)


def posts(on: Stage) -> int:
    return on.server.count("POST", "/sequences.json")


async def run(on: Stage, settings: RunSettings, stop: RunStop | None = None) -> CompanyOutcome:
    """Give the company a run by a process of its own, as far as the library sees."""
    async with SessionManager(base_url=on.server.base_url, retry=QUICK) as fresh:
        another = attrs.evolve(on, manager=fresh)
        return only(await another.run(companies(1), settings=settings, stop=stop))


def age(on: Stage, seconds: float) -> None:
    """Let what is in the journal have happened so long ago, on a machine started since then."""
    path = on.folder / "onboarding.db"
    moment = json.dumps([time.time() - seconds, 0, ""])
    for column in ("intended_at", "absent_since"):
        query = f"UPDATE companies SET {column} = ? WHERE {column} IS NOT NULL"  # noqa: S608  # our own names
        ask(path, query, moment)


async def until_first_absence(on: Stage) -> CompanyOutcome:
    """Run until the first list that counts is on the disk; the second is due much later."""
    stop = RunStop()
    running = asyncio.create_task(run(on, AGAIN, stop))
    query = "SELECT absent_since FROM companies"
    while ask(on.folder / "onboarding.db", query) == [(None,)]:  # noqa: ASYNC110 - of a file
        await asyncio.sleep(0.005)
    stop.request(drain_seconds=1.0)
    return await running


async def test_a_series_that_is_absent_is_sent_again_only_after_two_lists_far_apart(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next("reset_peer", commits=False, operation="create")
        outcomes = [await run(on, RunSettings())]
        age(on, 1_000.0)
        outcomes.append(await until_first_absence(on))
        age(on, 2_000.0)
        outcomes.append(await run(on, RunSettings()))
        sent = posts(on)
        done = await run(on, AGAIN)

        assert [one.step for one in outcomes] == [CompanyStep.SERIES] * 3
        assert [one.state for one in outcomes] == [CompanyState.UNKNOWN] * 3
        assert (sent, posts(on), done.state) == (1, 2, CompanyState.DONE)
        (name,) = (name for name in on.server.accounts if name != "partner")
        # The first row is the one that the account began with.
        assert [one.is_default for one in on.server.sequences(name)] == [False, True]


async def test_a_series_that_has_come_late_is_found_and_not_sent_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next("reset_peer", commits="late", operation="create")
        await run(on, RunSettings())
        age(on, 1_000.0)
        await until_first_absence(on)
        age(on, 2_000.0)
        await on.server.commit_late()

        outcome = await run(on, AGAIN)

        assert (outcome.state, posts(on)) == (CompanyState.DONE, 1)


async def test_a_series_that_is_lost_again_starts_its_time_anew(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next("reset_peer", commits=False, operation="create", times=2)
        await run(on, RunSettings())
        age(on, 1_000.0)
        await until_first_absence(on)
        age(on, 2_000.0)
        stop = RunStop()
        running = asyncio.create_task(run(on, AGAIN, stop))
        while posts(on) < 2:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.2)  # more than the whole schedule
        stop.request(drain_seconds=1.0)

        assert (await running).state is CompanyState.UNKNOWN
        assert posts(on) == 2
        kept = ask(tmp_path / "onboarding.db", "SELECT absent_since, intent FROM companies")
        assert kept[0][0] is None
        assert kept[0][1] is not None


async def test_no_company_waits_for_an_unresolved_series(tmp_path: Path, clock: FakeClock) -> None:
    """One worker: while the outcome of the first company's series is unknown, the others go on."""
    reported: list[str] = []
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("close_after_read", operation="create", commits="late")

        def note(outcome: CompanyOutcome) -> None:
            reported.append(outcome.company.account.organization_name)

        report = await on.run(companies(5), concurrency=1, on_outcome=note)

    assert reported[-1] == "Company 1"
    assert report.counts[CompanyState.DONE] == 4


async def test_unresolved_series_are_not_taken_for_a_server_that_fails(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def all_of(on: Stage, count: int, concurrency: int) -> OnboardingReport:
        async with SessionManager(base_url=on.server.base_url, retry=QUICK, clock=clock) as fresh:
            return await attrs.evolve(on, manager=fresh).run(
                companies(count), concurrency=concurrency
            )

    async with stage(tmp_path, clock) as on:
        on.server.faults.next("close_after_read", operation="create", commits=False, times=8)
        await all_of(on, 8, 8)
        clock.slept.clear()
        report = await all_of(on, 9, 1)

    assert report.counts[CompanyState.UNKNOWN] == 8
    assert report.counts[CompanyState.DONE] == 1
    assert max(clock.slept, default=0.0) < 1.0  # the shortest pause of a run is 1 s


async def test_a_key_that_is_refused_ends_the_waiting_for_a_series(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("close_after_read", operation="create", commits=False)
        lost = only(await on.run(companies(1)))
        name = lost.account_name or ""
        account = on.server.accounts[name]
        on.server.update_account(attrs.evolve(account, api_key="changed"))

        outcome = only(await on.run(companies(1), settings=AGAIN))

    assert (outcome.step, outcome.state) == (CompanyStep.SERIES, CompanyState.UNKNOWN)
    assert outcome.intent is not None


async def test_a_partial_series_is_parked_with_what_was_read(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        first = only(await on.run(CompanyList(companies=[company(1, at=None)])))
        name = first.account_name or ""
        account = on.server.accounts[name]
        on.server.update_account(
            attrs.evolve(account, has_at_credentials=True, refused_document_types=("devolution",))
        )

        outcome = only(await on.run(companies(1)))

    assert isinstance(on.server.accounts[name], SandboxAccount)
    assert outcome.error_name == "PartialRegistrationError"
    assert outcome.sequence is not None
