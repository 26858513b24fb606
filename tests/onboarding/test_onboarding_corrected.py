"""Onboarding that goes on: what an earlier run left is taken for what it is, and cures work."""

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path

from fakes import FakeClock
from test_onboarding import companies, company, nif, only, stage, wrong_at

from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyState,
    CompanyStep,
    CsvSink,
    KnownAccount,
    SpoolError,
)
from invoicexpress_async.provisioning import RunSettings

BIG = 4 << 20  # over what the journal of a test grows to


async def test_what_was_parked_is_not_taken_for_a_server_that_fails(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        on.server.faults.next("close_after_read", operation="account_create", times=8)
        await on.run(companies(8), concurrency=4)
    async with stage(tmp_path, clock) as on:
        clock.slept.clear()
        report = await on.run(companies(9), concurrency=1)
        posts = on.server.oracle.accounts.posts()

    assert report.counts[CompanyState.UNKNOWN] == 8
    assert report.counts[CompanyState.DONE] == 1
    assert (clock.slept, posts) == ([], 1)


async def test_an_unresolved_create_is_not_an_unresolved_series(tmp_path: Path) -> None:
    async with stage(tmp_path, inactive_fiscal_ids=(nif(1),)) as on:
        on.server.faults.next("close_after_read", operation="account_create", commits=True)
        await on.run(companies(1))
        found = next(one for one in on.server.accounts.values() if one.fiscal_id == nif(1))
        known = KnownAccount(name=found.name, api_key=found.api_key)

        outcome = only(await on.run(CompanyList(companies=[company(1, known=known)])))

    assert (outcome.step, outcome.state) == (CompanyStep.SERIES, CompanyState.REFUSED)
    assert outcome.intent is None


async def test_a_url_that_leads_elsewhere_parks_the_company_and_its_key_is_delivered(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, account_url="https://{account}.evil.example") as on:
        first = await on.run(companies(1))
        again = await on.run(companies(1))
        created = next(one for one in on.server.accounts.values() if one.name != "partner")
        known = KnownAccount(name=created.name, api_key=created.api_key)
        requests = {one.account for one in on.server.requests}
        cured = await on.run(CompanyList(companies=[company(1, known=known)]))
        delivered = on.keys.read_text()

    for report in (first, again):
        outcome = only(report)
        assert (outcome.step, outcome.state) == (CompanyStep.AT, CompanyState.REFUSED)
        assert outcome.error_name == "NameUnknownError"
        assert report.undelivered == 0
    assert requests == {"partner"}
    assert f",{created.api_key},{nif(1)},{created.id},Company 1" in delivered
    assert cured.is_complete


async def test_credentials_that_were_missing_are_set_once_the_input_has_them(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        without = CompanyList(companies=[company(1, at=None)])
        first, again = await on.run(without), await on.run(without)
        creates = on.server.count("POST", "/sequences.json")
        refused = [await on.run(CompanyList(companies=[company(1, at=wrong_at(1))]))]
        refused += [await on.run(CompanyList(companies=[company(1, at=wrong_at(1))]))]
        name = only(first).account_name or ""
        wrong = on.server.oracle.accounts.at_communications(name, "wrong")
        cured = await on.run(companies(1))

    assert (only(first).step, only(first).code) == (CompanyStep.SERIES, "004")
    assert only(again).is_recorded
    assert creates == 1
    assert [only(one).step for one in refused] == [CompanyStep.AT, CompanyStep.AT]
    assert wrong == 1
    assert cured.is_complete


async def test_credentials_that_fail_at_the_series_are_not_sent_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next(
            "status",
            operation="create",
            status=422,
            body='{"errors":{"code":"004","message":"AT"}}',
        )
        first = await on.run(companies(1))
        requests = len(on.server.requests)
        again = await on.run(companies(1))
        sent_again = len(on.server.requests) - requests
        retried = await on.run(companies(1), settings=RunSettings(retry_refused=True))
        name = only(first).account_name or ""
        sends = on.server.oracle.accounts.at_communications(name)

    assert (only(first).step, only(first).code) == (CompanyStep.SERIES, "004")
    assert only(again).error_name == "RepeatedCredentialsError"
    assert (sent_again, sends) == (0, 1)
    assert retried.is_complete


async def test_keys_of_companies_that_are_not_in_this_run_are_known_as_delivered(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        keys = CsvSink(on.keys)

        async def failing_for_one(whose: Company, account: object) -> None:
            if whose.line == 1:
                raise OSError(28, "canary")
            await keys(whose, account)  # type: ignore[arg-type]  # what a sink is given

        options = {"secret_sink": failing_for_one, "keys": keys.key_of}
        first = await on.run(companies(2), **options)
        second = await on.run(CompanyList(companies=[company(1)]))

    assert (first.undelivered, second.undelivered) == (1, 0)
    assert "OSError, No space left on device" in str(first.outcomes[0].error)
    assert "canary" not in str(first.outcomes[0].error)
    assert on.spool.read_bytes() == b""


async def test_a_disk_that_is_full_for_the_spool_lets_no_further_account_be_created(
    tmp_path: Path,
) -> None:
    spooled = {"fiscal_id": nif(99), "id": "9", "url": "https://x.app.invoicexpress.com"}
    spooled |= {"api_key": "of-another-run", "state": "x" * BIG}
    async with stage(tmp_path) as on:
        on.spool.write_text(json.dumps(spooled) + "\n")
        with room_for(on.spool.stat().st_size + 20):
            report = await on.run(companies(30), concurrency=1)
        created = on.server.oracle.accounts.commits()
        left = on.spool.read_bytes()
        again = await on.run(companies(30))
        delivered = on.keys.read_text()

    assert isinstance(report.problem, SpoolError)
    assert "cannot be written: File too large" in str(report.problem)
    assert (created, report.not_started) == (1, 29)
    assert left.endswith(b'{"fiscal_id": "50000')
    assert again.is_complete
    assert delivered.count(f",{nif(1)},") == 1
    assert again.undelivered == 1
    assert b"of-another-run" in on.spool.read_bytes()


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow over so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
