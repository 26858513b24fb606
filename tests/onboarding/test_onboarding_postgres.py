"""Onboarding with its journal in a database: one process for a partner, workers for the series."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from postgres_server import PostgresServer
from test_onboarding import KEY, QUICK, Stage, companies, stage

from invoicexpress_async import ConfigurationError, SessionManager
from invoicexpress_async.events import AttemptStarted, Event
from invoicexpress_async.onboarding import (
    Company,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    CsvSink,
    KeySpool,
    OnboardingReport,
    onboard,
)
from invoicexpress_async.provisioning import (
    FencedError,
    JournalError,
    PostgresJournal,
    SqliteJournal,
    slices_left,
    work_slice,
)

COUNT = 20


@pytest.fixture
async def journal(postgres: PostgresServer) -> AsyncIterator[PostgresJournal]:
    async with postgres.journal(slices=4) as opened:
        yield opened


async def test_the_first_series_are_left_to_workers_who_have_the_keys_by_reference(
    tmp_path: Path, journal: PostgresJournal, postgres: PostgresServer, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        sink = CsvSink(on.keys)
        onboarding = asyncio.create_task(
            onboard(
                on.manager,
                on.manager.account("partner", KEY),
                companies(COUNT),
                journal=journal,
                key_spool=KeySpool(on.spool),
                secret_sink=sink,
                series_by_workers=True,
            )
        )
        # Workers are elsewhere: their deadlines are not on the clock that the onboarding skips on.
        async with SessionManager(base_url=on.server.base_url, retry=QUICK) as workers:
            creates = await done_by_workers(journal, workers, sink, onboarding)
        report = await onboarding
        dump = postgres.dump(postgres.url)
        secrets = {one.api_key for one in on.server.accounts.values()}

        assert report.is_complete
        assert on.server.oracle.accounts.commits() == COUNT
        assert creates == COUNT
        assert {on.server.oracle.posts(one.account_name or "") for one in report.outcomes} == {1}
    assert [secret for secret in secrets if secret in dump] == []


async def test_a_series_that_a_worker_failed_at_is_waited_for(
    tmp_path: Path, journal: PostgresJournal, clock: FakeClock
) -> None:
    async def work(base_url: str, clock: FakeClock | None = None) -> Counter[str]:
        counts: Counter[str] = Counter()
        async with SessionManager(base_url=base_url, retry=QUICK, clock=clock) as workers:
            for number in range(4):
                held = await journal.take(number)
                report = await work_slice(workers, held, sink.key_of)
                await journal.release(held)
                counts.update(report.counts)
        return +counts

    async with stage(tmp_path, clock) as on:
        sink = CsvSink(on.keys)
        onboarding = asyncio.create_task(
            onboard(
                on.manager,
                on.manager.account("partner", KEY),
                companies(1),
                journal=journal,
                key_spool=KeySpool(on.spool),
                secret_sink=sink,
                series_by_workers=True,
            )
        )
        while not await slices_left(journal):  # noqa: ASYNC110  # the database has no event
            await asyncio.sleep(0.01)
        closed_port = "http://127.0.0.1:9/{account}"
        failed = await work(closed_port, FakeClock())  # its row waits twice before it fails
        then = clock.now()
        while clock.now() < then + 60 and not onboarding.done():  # noqa: ASYNC110  # its turns pass
            await asyncio.sleep(0.01)
        was_waiting = not onboarding.done()
        done = await work(on.server.base_url)
        report = await onboarding

    assert (failed, was_waiting, done) == ({"failed": 1}, True, {"done": 1})
    assert report.is_complete


async def test_a_series_that_stays_unknown_does_not_keep_the_onboarding_for_ever(
    tmp_path: Path, journal: PostgresJournal, clock: FakeClock
) -> None:
    async with (
        stage(tmp_path, clock) as on,
        SessionManager(base_url=on.server.base_url, retry=QUICK) as workers,
    ):
        on.server.faults.next("reset_peer", operation="create", commits=False, account="company-1")
        onboarding = asyncio.create_task(run(on, on.manager, journal, series_by_workers=True))
        while not (left := await slices_left(journal)):  # noqa: ASYNC110  # the database has no event
            await asyncio.sleep(0.01)
        held = await journal.take(left[0].number)
        report = await work_slice(workers, held, CsvSink(on.keys).key_of)
        await journal.release(held, due_seconds=report.due_seconds)
        async with asyncio.timeout(60):
            ended = await onboarding

    (outcome,) = ended.outcomes
    assert (outcome.step, outcome.state) == (CompanyStep.SERIES, CompanyState.UNKNOWN)
    assert outcome.intent is not None
    assert outcome.intent["serie"] == "2027"
    assert on.server.oracle.posts("company-1") == 1


async def test_the_report_is_returned_though_the_partner_cannot_be_released(
    tmp_path: Path, journal: PostgresJournal, postgres: PostgresServer
) -> None:
    def lose(_: CompanyOutcome) -> None:
        postgres.ask("ALTER TABLE slices RENAME TO away", schema=journal.schema)

    async with stage(tmp_path) as on:
        report = await run(on, on.manager, journal, on_outcome=lose)

    assert report.is_complete


async def done_by_workers(
    journal: PostgresJournal,
    manager: SessionManager,
    sink: CsvSink,
    onboarding: "asyncio.Task[object]",
) -> int:
    """Work on the slices until the onboarding ends; return how many rows were done."""
    rows = 0
    while not onboarding.done():
        for one in await slices_left(journal):
            held = await journal.take(one.number)
            report = await work_slice(manager, held, sink.key_of)
            await journal.release(held)
            rows += sum(report.counts.values())
        await asyncio.sleep(0.01)
    return rows


async def test_a_second_process_does_not_onboard_for_the_same_partner(
    tmp_path: Path, postgres: PostgresServer, journal: PostgresJournal
) -> None:
    async with stage(tmp_path) as on, postgres.journal(journal.schema) as other:
        partner = on.manager.account("partner", KEY)
        held = await journal.hold("partner partner")

        with pytest.raises(JournalError, match="in use for partner partner by process"):
            await onboard(
                on.manager,
                partner,
                companies(1),
                journal=other,
                key_spool=KeySpool(on.spool),
                secret_sink=CsvSink(on.keys),
            )
        requests = len(on.server.requests)
        await journal.release(held)
        report = await onboard(
            on.manager,
            partner,
            companies(1),
            journal=other,
            key_spool=KeySpool(on.spool),
            secret_sink=CsvSink(on.keys),
        )

    assert (requests, report.is_complete) == (0, True)


async def test_series_are_left_to_workers_in_a_database_only(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, SqliteJournal(tmp_path / "job.db") as file:
        with pytest.raises(ConfigurationError, match="PostgresJournal"):
            await onboard(
                on.manager,
                on.manager.account("partner", KEY),
                companies(1),
                journal=file,
                key_spool=KeySpool(on.spool),
                secret_sink=CsvSink(on.keys),
                series_by_workers=True,
            )


class KilledError(Exception):
    """Ends a run at the step that it comes to, as kill -9 does."""


async def test_at_credentials_that_a_machine_was_sending_which_is_gone_are_sent(
    tmp_path: Path, postgres: PostgresServer, journal: PostgresJournal
) -> None:
    def kill(_company: Company, step: CompanyStep) -> None:
        if step is CompanyStep.AT:
            raise KilledError

    async with stage(tmp_path) as on:
        with pytest.RaisesGroup(KilledError):
            await run(on, on.manager, journal, on_step=kill)
        postgres.ask(
            "INSERT INTO intents (kind, account, subject, token, intent, claimed_at, state) "
            "SELECT 'at_communication', account_name, '', 'its-boot.1:7:1/0/1', %s, '', 'intent' "
            "FROM companies",
            json.dumps({"fiscal_id": "", "partner": "partner"}),
            schema=journal.schema,
        )
        postgres.ask("UPDATE companies SET at_sends = 1", schema=journal.schema)
        report = await run(on, on.manager, journal)
        sent = on.server.oracle.accounts.at_communications("company-1")

    assert report.is_complete
    assert sent == 1


async def test_at_credentials_are_not_sent_by_a_process_that_was_frozen_until_its_hold_was_over(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    clock = FakeClock()

    def freeze(event: Event) -> None:
        if isinstance(event, AttemptStarted) and event.operation == "configure_at_communication":
            clock.advance(60)

    async with (
        stage(tmp_path) as on,
        postgres.journal(clock=clock) as journal,
        SessionManager(base_url=on.server.base_url, retry=QUICK, on_event=freeze) as manager,
    ):
        report = await run(on, manager, journal)
        sent = on.server.oracle.accounts.at_communications("company-1")

    assert isinstance(report.problem, FencedError)
    assert sent == 0


async def run(
    on: Stage, manager: SessionManager, journal: PostgresJournal, **options: Any
) -> OnboardingReport:
    return await onboard(
        manager,
        manager.account("partner", KEY),
        companies(1),
        journal=journal,
        key_spool=KeySpool(on.spool),
        secret_sink=CsvSink(on.keys),
        **options,
    )
