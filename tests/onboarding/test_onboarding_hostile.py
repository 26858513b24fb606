"""The promises of onboarding against those who would break them: servers, kills, people, files."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes import FakeClock
from job_process import ask
from test_onboarding import QUICK, Stage, companies, company, nif, only, stage

from invoicexpress_async import (
    ConfigurationError,
    CreatedAccount,
    NewAccount,
    OutcomeUnknownError,
    SessionManager,
    TaxCountry,
)
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyState,
    CompanyStep,
    CsvSink,
    KnownAccount,
    SpoolError,
)
from invoicexpress_async.provisioning import JournalDifferenceError
from invoicexpress_async.sandbox import SandboxAccount


def new_keys(on: Stage) -> list[str]:
    return [one.api_key for one in on.server.accounts.values() if one.name != "partner"]


# The key


@pytest.mark.parametrize("fault", ["without_id", "other_envelope", "other_list"])
async def test_a_key_in_an_odd_response_is_delivered_and_the_company_goes_on(
    tmp_path: Path, fault: str
) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next(fault, operation="account_create")

        report = await on.run(companies(1))

        assert report.is_complete
        assert new_keys(on)[0] in on.keys.read_text()


async def test_a_key_without_a_url_is_in_the_spool_then_delivered_and_the_company_parked(
    tmp_path: Path,
) -> None:
    spooled: list[str] = []
    async with stage(tmp_path, account_url="") as on:
        keys = CsvSink(on.keys)

        async def look_first(whose: Company, account: CreatedAccount) -> None:
            spooled.append(on.spool.read_text())
            await keys(whose, account)

        first = only(await on.run(companies(1), secret_sink=look_first))
        again = only(await on.run(companies(1)))
        created = next(one for one in on.server.accounts.values() if one.name != "partner")
        known = KnownAccount(name=created.name, api_key=created.api_key)
        cured = await on.run(CompanyList(companies=[company(1, known=known)]))

        assert on.server.oracle.accounts.commits() == 1
    for outcome in (first, again):
        assert (outcome.step, outcome.state) == (CompanyStep.AT, CompanyState.REFUSED)
        assert outcome.error_name == "NameUnknownError"
        assert "columns account and api_key" in (outcome.cure or "")
    assert "url in the response that had its key was missing" in str(first.error)
    assert created.api_key in spooled[0]
    assert created.api_key in on.keys.read_text()
    assert cured.is_complete


async def test_a_spooled_key_of_another_account_than_the_named_one_is_not_thrown_away(
    tmp_path: Path, clock: FakeClock
) -> None:
    async def failing(*_given: object) -> None:
        raise OSError(28, "no room")

    async with stage(tmp_path, clock) as on:
        await on.run(companies(1), secret_sink=failing)
        (key,) = new_keys(on)
        ask(tmp_path / "onboarding.db", "UPDATE companies SET account_name = NULL")
        on.server.add_account(
            SandboxAccount(name="found", api_key="found", fiscal_id="1", has_at_credentials=False)
        )
        known = KnownAccount(name="found", api_key="found")

        report = await on.run(CompanyList(companies=[company(1, known=known)]))

    assert report.undelivered == 1
    assert key in on.spool.read_text()


async def test_a_spool_that_cannot_be_emptied_takes_no_report_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:

        def break_spool(_outcome: object) -> None:
            folder = Path("/proc/self/fd")
            (descriptor,) = [one.name for one in folder.iterdir() if is_of(one, on.spool)]
            read_only = os.open(on.spool, os.O_RDONLY)
            os.dup2(read_only, int(descriptor))
            os.close(read_only)

        report = await on.run(companies(1), on_outcome=break_spool)

    assert isinstance(report.problem, SpoolError)
    assert "cannot be emptied" in str(report.problem)
    assert [one.state for one in report.outcomes] == [CompanyState.DONE]
    assert report.undelivered == 0


def is_of(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:
        return False


# One account per company


async def test_a_408_may_have_made_an_account_and_is_not_sent_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next("status", operation="account_create", status=408, commits=True)

        first = only(await on.run(companies(1)))
        again = only(await on.run(companies(1)))

        assert on.server.oracle.accounts.posts() == 1
    for outcome in (first, again):
        assert (outcome.step, outcome.state) == (CompanyStep.ACCOUNT, CompanyState.UNKNOWN)


async def test_forgetting_does_not_cover_a_send_that_was_never_reported(
    tmp_path: Path, clock: FakeClock
) -> None:
    """The same command line, with its --forget, run again after a kill in mid-send."""
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("close_after_read", operation="account_create", commits=False)
        await on.run(companies(1))
        on.server.faults.next("timeout", operation="account_create", commits=True)
        # Cut off without a word, as by a kill.
        running = asyncio.create_task(fresh_run(on, companies(1), forget=[nif(1)]))
        while on.server.oracle.accounts.commits() < 1:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})

        again = only(await fresh_run(on, companies(1), forget=[nif(1)]))

        assert (again.step, again.state) == (CompanyStep.ACCOUNT, CompanyState.UNKNOWN)
        assert on.server.oracle.accounts.posts() == 2


async def fresh_run(on: Stage, whom: CompanyList, **options: Any) -> Any:
    """Run as a process of its own would, as far as the library sees."""
    clock = on.manager.clock
    async with SessionManager(base_url=on.server.base_url, retry=QUICK, clock=clock) as fresh:
        return await attrs.evolve(on, manager=fresh).run(whom, **options)


async def test_two_creates_of_one_fiscal_number_at_once_are_sent_one_by_one(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock, is_name_check_atomic=False) as on:
        on.server.faults.next("close_after_read", operation="account_create", commits=True)
        service = on.manager.account("partner", on.partner_key).accounts
        first = company(1).account
        second = attrs.evolve(first, email="other@example.com")

        ends = await asyncio.gather(
            service.create(first), service.create(second), return_exceptions=True
        )

        assert [type(one) for one in ends] == [OutcomeUnknownError] * 2
        assert on.server.oracle.accounts.posts() == 1


def irish(fiscal_id: str, email: str = "a@example.ie") -> Company:
    account = NewAccount(
        organization_name="Éire",
        email=email,
        password="a-password",
        accepts_terms=True,
        fiscal_id=fiscal_id,
        tax_country=TaxCountry.IRELAND,
    )
    return Company(account=account, serie="2027")


SPELLINGS = ["ie1234567t", "IE 1234567 T", "IE-1234567.T", "ＩＥ１２３４５６７Ｔ"]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_fiscal_number_is_one_however_it_is_spelt(tmp_path: Path, spelling: str) -> None:
    first, second = irish("IE1234567T"), irish(spelling, "b@example.ie")
    with pytest.raises(ConfigurationError, match="the same fiscal_id"):
        CompanyList(companies=[first, second])

    async with stage(tmp_path) as on:
        await on.run(CompanyList(companies=[first]))
        requests = len(on.server.requests)
        with pytest.raises(JournalDifferenceError, match="IE1234567T") as caught:
            await on.run(CompanyList(companies=[second]))

        assert len(on.server.requests) == requests
    assert "accept" not in str(caught.value)  # nothing of the kind is offered here


@pytest.mark.parametrize("fiscal_id", ["", "  ", "-"])
def test_a_fiscal_number_of_nothing_is_none(fiscal_id: str) -> None:
    with pytest.raises(ConfigurationError, match="has no fiscal_id"):
        irish(fiscal_id)


async def test_one_account_is_not_taken_up_for_two_companies(tmp_path: Path) -> None:
    both = [company(number, known=KnownAccount(name="found", api_key="key")) for number in (1, 2)]
    with pytest.raises(ConfigurationError, match="the same account as line 1"):
        CompanyList(companies=both)

    async with stage(tmp_path) as on:
        name = only(await on.run(companies(1))).account_name or ""
        taken = company(2, known=KnownAccount(name=name, api_key=new_keys(on)[0]))
        partners = company(2, known=KnownAccount(name="partner", api_key="key"))
        requests = len(on.server.requests)

        with pytest.raises(JournalDifferenceError, match=nif(1)):
            await on.run(CompanyList(companies=[taken]))
        with pytest.raises(ConfigurationError, match="partner's own account"):
            await on.run(CompanyList(companies=[partners]))

        assert len(on.server.requests) == requests


async def test_a_company_that_has_an_account_is_not_given_another_s(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock, is_new_account_trial=True) as on:
        await on.run(companies(1))
        requests = len(on.server.requests)
        known = KnownAccount(name="another", api_key="key")

        outcome = only(await on.run(CompanyList(companies=[company(1, known=known)])))

        assert len(on.server.requests) == requests
    assert outcome.error_name == "ConfigurationError"
    assert "another's account" in str(outcome.error)


# Many at once


async def test_odd_responses_to_every_create_lose_no_key_and_make_no_second_account(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, requests_per_minute=None) as on:
        for fault in ("without_id", "other_envelope", "other_list"):
            on.server.faults.next(fault, operation="account_create", times=10)
        report = await on.run(companies(30), concurrency=10)

        assert report.is_complete
        delivered = on.keys.read_text()
        assert [key for key in new_keys(on) if key not in delivered] == []
        assert on.server.oracle.accounts.duplicates() == ()


async def test_marks_of_credentials_are_salted_anew_for_each_company(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.server.at_passwords = {nif(one): "another" for one in (1, 2)}
        await on.run(companies(2))

    kept = ask(tmp_path / "onboarding.db", "SELECT at_mark FROM companies")
    books = [json.loads(str(row[0])) for row in kept]
    assert books[0]["salt"] != books[1]["salt"]
    assert set(books[0]["refused"]).isdisjoint(books[1]["refused"])
