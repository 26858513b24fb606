"""One POST for each intent when two commands have one journal, whose lock file was deleted.

The lock file is a courtesy: without it, the claims in the journal must be enough. The server
accepts every create that it is sent.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import test_cli
from fakes import FakeClock
from job_process import ask
from senders import until
from test_cli import KEY, Ended, Start, run_process
from test_cli_onboard import Place, states
from test_onboarding import KEY as PARTNER_KEY
from test_onboarding import companies, company, nif, only, stage, wrong_at

from invoicexpress_async import OutcomeUnknownError, SessionManager
from invoicexpress_async.models import CreatedAccount
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    CsvSink,
    KeySpool,
    onboard,
)
from invoicexpress_async.onboarding.errors import CredentialsBusyError
from invoicexpress_async.provisioning import SqliteJournal
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

bytecode, start = test_cli.bytecode, test_cli.start

NAMES = tuple(f"a{number}" for number in range(16))
COMPANIES = 8
ALL = {nif(number) for number in range(1, COMPANIES + 1)}


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    accounts = [SandboxAccount(name=name, api_key=KEY) for name in NAMES]
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(
        accounts=[*accounts, partner], is_name_check_atomic=False, requests_per_minute=None
    ) as server:
        for operation in ("create", "account_create", "at_communication"):
            server.faults.next("latency", operation=operation, seconds=0.4, times=None)
        yield server


@attrs.frozen
class Pair:
    """Starts a command, deletes the lock file once it sends, and starts another beside it."""

    start: Start
    journal: Path

    async def run(
        self,
        first: tuple[object, ...],
        second: tuple[object, ...],
        server: FaultServer,
        variables: dict[str, str],
    ) -> list[Ended]:
        processes = [await self.start(*first, variables=variables)]
        await until(lambda: any(one.method == "POST" for one in server.requests))
        self.journal.with_name(f"{self.journal.name}-lease").unlink()
        processes.append(await self.start(*second, variables=variables))
        texts = await asyncio.gather(*(one.communicate() for one in processes))
        return [
            Ended(process.returncode or 0, out.decode(), err.decode())
            for process, (out, err) in zip(processes, texts, strict=True)
        ]


def texts_of(ends: list[Ended]) -> str:
    """Return all that the commands have printed: which rows ended how, and why."""
    return "\n".join(f"exit {one.code}\n{one.out}\n{one.err}" for one in ends)


@pytest.mark.fault(60)
async def test_two_rollovers_make_one_post_for_each_serie_and_both_end_well(
    server: FaultServer, start: Start, tmp_path: Path
) -> None:
    for name in NAMES:
        server.add_sequence(name, "2026", is_default=True, is_registered=True)
    accounts, journal = tmp_path / "accounts.csv", tmp_path / "2027.db"
    accounts.write_text("account;api_key\n" + "".join(f"{name};{KEY}\n" for name in NAMES))
    options = ("--default-now", "--concurrency", 4)
    command = ("rollover", accounts, "--year", 2027, "--journal", journal, *options)

    ends = await Pair(start, journal).run(
        command, command, server, {"INVOICEXPRESS_BASE_URL": server.base_url}
    )

    assert [one.code for one in ends] == [0, 0], texts_of(ends)
    assert {server.oracle.posts(name) for name in NAMES} == {1}
    for name in NAMES:
        assert [one.serie for one in server.sequences(name) if one.is_default] == ["2027"]
    assert ask(journal, "SELECT DISTINCT state FROM intents") == [("done",)]


@pytest.mark.fault(60)
async def test_two_onboardings_create_each_account_once_and_send_its_credentials_once(
    server: FaultServer, start: Start, tmp_path: Path
) -> None:
    place = Place(server, tmp_path)
    place.write(COMPANIES)
    other = attrs.evolve(place, keys_name="other.csv")
    options = ("--json", "--concurrency", 3)

    ends = await Pair(start, place.journal).run(
        place.arguments(*options),
        other.arguments(*options),
        server,
        place.variables,
    )

    oracle = server.oracle.accounts
    made = [one for one in server.accounts.values() if one.fiscal_id in ALL]
    assert (oracle.posts(), len(made)) == (COMPANIES, COMPANIES)
    assert {oracle.at_communications(one.name) for one in made} == {1}, texts_of(ends)
    assert {server.oracle.posts(one.name, "2027") for one in made} == {1}
    # Who loses a claim cannot read for an account: its own exit code says so, and the other has it.
    # With no account unknown, it is 1 for one whose credentials the other was sending.
    assert {one.code for one in ends} <= {0, 1, 3}, ends
    reported = [states(one) for one in ends]
    assert {
        number for one in reported for number, state in one.items() if state == "end done"
    } == ALL
    assert set(place.delivered()) | set(other.delivered()) == ALL
    assert not set(place.delivered()) & set(other.delivered())

    requests = len(server.requests)
    again = await run_process(*place.arguments(*options), **place.variables)

    assert (again.code, set(states(again).values())) == (0, {"end done"})
    assert len(server.requests) == requests


@pytest.mark.fault(60)
async def test_a_second_onboarding_with_the_same_spool_is_refused_and_sends_nothing(
    start: Start, tmp_path: Path
) -> None:
    has_ended = asyncio.Event()

    async def wait(_: float) -> None:
        await has_ended.wait()

    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[partner], sleep=wait) as server:
        server.faults.next("latency", operation="account_create")
        place = Place(server, tmp_path)
        place.write(2)
        first = await start(*place.arguments("--json"), variables=place.variables)
        await until(lambda: any(one.method == "POST" for one in server.requests))
        place.journal.with_name(f"{place.journal.name}-lease").unlink()

        second = await run_process(*place.arguments("--json"), **place.variables)

        has_ended.set()
        await first.communicate()
        assert (first.returncode, second.code) == (0, 1)
        assert "keys.csv.spool is in use by another run" in second.err
        assert server.oracle.accounts.posts() == 2


async def test_a_run_leaves_a_company_whose_credentials_another_sends_as_the_other_has_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        stage(tmp_path) as on,
        SessionManager(base_url=on.server.base_url, clock=clock) as manager,
    ):
        on.server.faults.next("timeout", operation="at_communication", commits=False)
        first = asyncio.create_task(on.run(companies(1)))
        await until(
            lambda: on.server.requests[-1:] != [] and "at_comm" in on.server.requests[-1].path
        )
        query = "SELECT step, state, error, at_sends FROM companies"
        journal = tmp_path / "onboarding.db"
        before = ask(journal, query)
        (tmp_path / "onboarding.db-lease").unlink()
        async with SqliteJournal(journal) as opened:
            second = await onboard(
                manager,
                manager.account("partner", PARTNER_KEY),
                companies(1),
                journal=opened,
                key_spool=KeySpool(tmp_path / "other.spool"),
                secret_sink=CsvSink(on.keys),
            )
        after = ask(journal, query)
        first.cancel()
        await asyncio.wait([first])

    assert isinstance(only(second).error, CredentialsBusyError)
    assert before == after == [("at", "open", None, 1)]


async def test_a_run_that_is_behind_does_not_take_a_company_back_to_an_earlier_step(
    tmp_path: Path,
) -> None:
    """The second run read the first company before its key was delivered, and has another spool."""
    gates = {nif(number): asyncio.Event() for number in (1, 2)}
    waiting: set[str] = set()
    first, other = company(1, at=wrong_at(1)), company(2)

    async with stage(tmp_path) as on:
        sink = CsvSink(on.keys)

        async def deliver(whom: Company, account: CreatedAccount) -> None:
            waiting.add(whom.fiscal_id)
            await gates[whom.fiscal_id].wait()
            await sink(whom, account)

        running = asyncio.create_task(
            on.run(CompanyList(companies=[first]), secret_sink=deliver, keys=sink.key_of)
        )
        await until(lambda: waiting == {nif(1)})
        journal = tmp_path / "onboarding.db"
        (tmp_path / "onboarding.db-lease").unlink()
        async with SqliteJournal(journal) as opened:
            behind = asyncio.create_task(
                onboard(
                    on.manager,
                    on.manager.account("partner", PARTNER_KEY),
                    CompanyList(companies=[other, first]),
                    journal=opened,
                    key_spool=KeySpool(tmp_path / "other.spool"),
                    secret_sink=deliver,
                    concurrency=1,
                )
            )
            await until(lambda: waiting == {nif(1), nif(2)})
            gates[nif(1)].set()
            ended = only(await running)
            query = "SELECT step, state, error FROM companies WHERE fiscal_id = ?"
            before = ask(journal, query, nif(1))
            gates[nif(2)].set()
            late = (await behind).outcomes[1]

        assert ended.state is CompanyState.REFUSED
        assert late.state is CompanyState.KEY_LOST
        assert before == ask(journal, query, nif(1)) == [("at", "refused", "UnprocessableError")]


async def test_an_onboarding_with_its_own_journal_claims_in_that_of_its_manager_too(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with (
        stage(tmp_path) as on,
        SqliteJournal(tmp_path / "service.db") as shared,
        # Another clock, so that it shares the journal only, as another process does.
        SessionManager(base_url=on.server.base_url, journal=shared, clock=clock) as service,
        SessionManager(base_url=on.server.base_url, journal=shared) as manager,
        SqliteJournal(tmp_path / "onboarding.db") as own,
    ):
        partner = manager.account("partner", PARTNER_KEY)
        on.server.faults.next("reset_peer", operation="account_create", commits="late")
        with pytest.raises(OutcomeUnknownError):
            await service.account("partner", PARTNER_KEY).accounts.create(company(1).account)

        async def run(journal: SqliteJournal) -> CompanyOutcome:
            return only(
                await onboard(
                    manager,
                    partner,
                    companies(1),
                    journal=journal,
                    key_spool=KeySpool(tmp_path / "keys.spool"),
                    secret_sink=CsvSink(on.keys),
                )
            )

        ended = await run(own)
        posts = on.server.oracle.accounts.posts()
        second = await run(shared)

    assert (ended.state, ended.step, posts) == (CompanyState.UNKNOWN, CompanyStep.ACCOUNT, 1)
    assert (second.state, on.server.oracle.accounts.posts()) == (CompanyState.UNKNOWN, 1)


async def test_an_onboarding_with_the_journal_of_its_manager_creates_each_account_once(
    tmp_path: Path,
) -> None:
    async with (
        stage(tmp_path) as on,
        SqliteJournal(tmp_path / "service.db") as shared,
        SessionManager(base_url=on.server.base_url, journal=shared) as manager,
    ):
        report = await onboard(
            manager,
            manager.account("partner", PARTNER_KEY),
            companies(3),
            journal=shared,
            key_spool=KeySpool(tmp_path / "keys.spool"),
            secret_sink=CsvSink(on.keys),
        )

    assert report.is_complete
    assert on.server.oracle.accounts.posts() == 3
