"""Onboarding on the sandbox: each step of each company once, and each end reported."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from fakes import FakeClock

from invoicexpress_async import (
    AtCredentials,
    ConfigurationError,
    NewAccount,
    RetryPolicy,
    SessionManager,
)
from invoicexpress_async.onboarding import (
    Company,
    CompanyList,
    CompanyOutcome,
    CompanyState,
    CompanyStep,
    CsvSink,
    EnvFileSink,
    KeySpool,
    KnownAccount,
    OnboardingReport,
    SpoolError,
    onboard,
)
from invoicexpress_async.provisioning import (
    AccountList,
    JournalDifferenceError,
    RunSettings,
    SqliteJournal,
    audit,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-partner-key-51c2"
PASSWORD = "canary-user-password-9d"
AT_PASSWORD = "canary-at-password-77"
QUICK = RetryPolicy(base_seconds=0.001, read_after_seconds=(0.02, 0.05))


def nif(number: int) -> str:
    """The fiscal number of a made-up company, with its check digit."""
    digits = f"5{number:07d}"
    rest = sum(int(one) * weight for one, weight in zip(digits, range(9, 1, -1), strict=True)) % 11
    return f"{digits}{0 if rest < 2 else 11 - rest}"


def company(number: int, **changes: object) -> Company:
    fields: dict[str, object] = {
        "account": NewAccount(
            organization_name=f"Company {number}",
            email=f"company-{number}@example.com",
            password=PASSWORD,
            accepts_terms=True,
            fiscal_id=nif(number),
        ),
        "serie": "2027",
        "at": AtCredentials(subuser=f"{nif(number)}/1", password=AT_PASSWORD),
        "line": number,
    }
    return Company(**fields | changes)  # type: ignore[arg-type]  # a test's


def wrong_at(number: int) -> AtCredentials:
    return AtCredentials(subuser=f"{nif(number)}/1", password="wrong")


def companies(count: int) -> CompanyList:
    return CompanyList(companies=[company(number) for number in range(1, count + 1)])


@attrs.define
class Stage:
    """A partner on a server, and the files of an onboarding."""

    server: FaultServer
    manager: SessionManager
    folder: Path
    partner_key: str = KEY

    @property
    def keys(self) -> Path:
        return self.folder / "keys.csv"

    @property
    def spool(self) -> Path:
        return self.folder / "keys.spool"

    async def run(self, whom: CompanyList, **options: object) -> OnboardingReport:
        options.setdefault("secret_sink", CsvSink(self.keys))
        async with SqliteJournal(self.folder / "onboarding.db") as journal:
            return await onboard(
                self.manager,
                self.manager.account("partner", self.partner_key),
                whom,
                journal=journal,
                key_spool=KeySpool(self.spool),
                **options,  # type: ignore[arg-type]  # a test's
            )


@asynccontextmanager
async def stage(
    folder: Path, clock: FakeClock | None = None, **settings: object
) -> AsyncIterator[Stage]:
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with (
        FaultServer(accounts=[partner], **settings) as server,  # type: ignore[arg-type]  # a test's
        SessionManager(base_url=server.base_url, retry=QUICK, clock=clock) as manager,
    ):
        yield Stage(server, manager, folder)


def only(report: OnboardingReport) -> CompanyOutcome:
    (outcome,) = report.outcomes
    return outcome


async def test_every_company_ends_with_one_account_its_key_and_a_default_series(
    tmp_path: Path,
) -> None:
    reached: list[CompanyStep] = []
    async with stage(tmp_path) as on:
        report = await on.run(companies(20), on_step=lambda _, step: reached.append(step))
        requests = len(on.server.requests)
        again = await on.run(companies(20))

        assert len(on.server.requests) == requests
        seen = await audit(on.manager, AccountList.from_csv(on.keys))
        commits = on.server.oracle.accounts.commits()
        duplicates = on.server.oracle.accounts.duplicates()

    assert report.is_complete
    assert again.is_complete
    assert all(one.is_recorded for one in again.outcomes)
    assert (commits, duplicates) == (20, ())
    assert seen.is_fine
    assert len(seen.accounts) == 20
    assert {step: reached.count(step) for step in set(reached)} == {
        CompanyStep.KEY: 20,
        CompanyStep.AT: 20,
        CompanyStep.SERIES: 20,
        CompanyStep.VERIFY: 20,
        CompanyStep.END: 20,
    }
    assert on.spool.read_bytes() == b""
    assert (on.spool.stat().st_mode & 0o777, on.keys.stat().st_mode & 0o777) == (0o600, 0o600)


def journal_files(folder: Path) -> list[bytes]:
    return [one.read_bytes() for one in folder.glob("onboarding.db*")]


async def test_no_secret_is_in_the_journal_or_the_report(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        report = await on.run(companies(3))
        keys = [one.api_key for one in on.server.accounts.values() if one.name != "partner"]

    journal = b"".join(journal_files(tmp_path))
    for secret in (*keys, KEY, PASSWORD, AT_PASSWORD):
        assert secret.encode() not in journal
        assert secret not in repr(report)
    assert len(keys) == 3


@pytest.mark.parametrize("commits", [True, False])
async def test_a_lost_response_parks_the_company_and_no_second_account_is_made(
    tmp_path: Path, *, commits: bool
) -> None:
    async with stage(tmp_path) as on:
        on.server.faults.next("close_after_read", operation="account_create", commits=commits)
        first = await on.run(companies(1))
        again = await on.run(companies(1))
        posts = on.server.oracle.accounts.posts()

        assert posts == 1
        for report in (first, again):
            outcome = only(report)
            assert (outcome.step, outcome.state) == (CompanyStep.ACCOUNT, CompanyState.UNKNOWN)
            assert outcome.intent is not None
            assert outcome.intent["fiscal_id"] == nif(1)
            assert outcome.intent["email"] == "company-1@example.com"
            assert "partner's" in (outcome.cure or "")
        if commits:
            await _take_up_what_a_person_found(on)
        else:
            forgotten = await on.run(companies(1), forget=[nif(1)])
            assert forgotten.is_complete
        assert on.server.oracle.accounts.duplicates() == ()
        assert on.server.oracle.accounts.commits() == 1


async def _take_up_what_a_person_found(on: Stage) -> None:
    found = next(one for one in on.server.accounts.values() if one.fiscal_id == nif(1))
    known = KnownAccount(name=found.name, api_key=found.api_key, id=found.id)

    report = await on.run(CompanyList(companies=[company(1, known=known)]))

    assert report.is_complete
    assert found.api_key in on.keys.read_text()


async def test_a_sink_that_raises_keeps_the_key_until_it_takes_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    given: list[str] = []

    async def failing(_company: Company, account: object) -> None:
        given.append("tried")
        raise PermissionError(str(account))

    async with stage(tmp_path, clock) as on:
        first = await on.run(companies(1), secret_sink=failing, settings=RunSettings())
        spooled = on.spool.read_text()
        second = await on.run(companies(1))

        assert on.server.oracle.accounts.commits() == 1

    outcome = only(first)
    assert (outcome.step, outcome.state, first.undelivered) == (
        CompanyStep.KEY,
        CompanyState.FAILED,
        1,
    )
    assert outcome.error_name == "SinkError"
    assert "PermissionError" in str(outcome.error)
    assert nif(1) in spooled
    assert second.is_complete
    assert on.spool.read_bytes() == b""


async def test_refused_credentials_are_not_sent_again_and_others_open_the_step(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        refused = CompanyList(companies=[company(1, at=wrong_at(1))])
        first = await on.run(refused)
        async with SessionManager(base_url=on.server.base_url, retry=QUICK) as fresh:
            another = Stage(on.server, fresh, tmp_path)
            again = await another.run(refused)
            oracle = on.server.oracle.accounts
            name = only(first).account_name or ""
            wrong = oracle.at_communications(name, "wrong")
            cured = await another.run(companies(1))

    for report in (first, again):
        outcome = only(report)
        assert (outcome.step, outcome.state) == (CompanyStep.AT, CompanyState.REFUSED)
    assert only(again).error_name == "RepeatedCredentialsError"
    assert wrong == 1
    assert cured.is_complete


async def test_a_trial_and_a_missing_activity_are_parked_with_their_cures(tmp_path: Path) -> None:
    async with stage(tmp_path, is_new_account_trial=True) as on:
        trial = only(await on.run(companies(1)))
    async with stage(tmp_path / "..", inactive_fiscal_ids=(nif(2),)) as on:
        folder = tmp_path / "second"
        folder.mkdir()
        on.folder = folder
        inactive = only(await on.run(CompanyList(companies=[company(2)])))

    assert (trial.step, trial.state, trial.status) == (CompanyStep.AT, CompanyState.REFUSED, 401)
    assert "trial" in (trial.cure or "")
    reported = (inactive.step, inactive.state, inactive.code)
    assert reported == (CompanyStep.SERIES, CompanyState.REFUSED, "005")


async def test_a_partner_without_rights_ends_the_run_before_many_are_refused(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        on.server.not_partner_status = 403
        on.server.update_account(SandboxAccount(name="partner", api_key=KEY, is_partner=False))
        report = await on.run(companies(30), concurrency=1)
        on.server.update_account(SandboxAccount(name="partner", api_key=KEY, is_partner=True))
        again = await on.run(companies(30))

    assert report.problem is not None
    assert "partner" in report.problem.cure
    assert (len(report.outcomes), report.not_started) == (1, 29)
    assert only(report).state is CompanyState.FAILED
    assert again.is_complete


async def test_a_used_e_mail_is_refused_and_corrected_input_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.run(companies(1))
        twice = company(2, account=attrs.evolve(company(2).account, email="company-1@example.com"))
        first = await on.run(CompanyList(companies=[twice]))
        reported_again = await on.run(CompanyList(companies=[twice]))
        corrected = await on.run(
            CompanyList(companies=[company(2)]), settings=RunSettings(retry_refused=True)
        )
        posts = on.server.oracle.accounts.posts()

    assert only(first).state is CompanyState.REFUSED
    assert only(reported_again).is_recorded
    assert corrected.is_complete
    assert posts == 3


async def test_a_fiscal_number_that_was_onboarded_as_another_is_refused(tmp_path: Path) -> None:
    other = attrs.evolve(company(1).account, email="somebody@example.com")
    async with stage(tmp_path) as on:
        await on.run(companies(1))
        requests = len(on.server.requests)
        with pytest.raises(JournalDifferenceError, match=nif(1)):
            await on.run(CompanyList(companies=[company(1, account=other)]))

        assert len(on.server.requests) == requests


def test_two_companies_of_one_fiscal_number_or_new_e_mail_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="the same fiscal_id as line 1"):
        CompanyList(companies=[company(1), company(1)])
    same = attrs.evolve(company(2).account, email="COMPANY-1@example.com")
    with pytest.raises(ConfigurationError, match="the same e-mail as line 1"):
        CompanyList(companies=[company(1), company(2, account=same)])
    CompanyList(companies=[company(1), company(2, account=same, has_existing_user=True)])
    with pytest.raises(ConfigurationError, match="has no fiscal_id"):
        company(1, account=attrs.evolve(company(1).account, fiscal_id=None))


async def test_a_spool_that_cannot_be_used_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys.spool").write_text("not a spool\n")
    async with stage(tmp_path) as on:
        with pytest.raises(SpoolError, match="is not one"):
            await on.run(companies(1))

        assert on.server.requests == []
    assert (tmp_path / "keys.spool").read_text() == "not a spool\n"


async def test_a_key_is_written_where_environments_are_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    async with stage(tmp_path) as on:
        report = await on.run(companies(2), secret_sink=EnvFileSink(path))
        name = report.outcomes[0].account_name or ""
        key = on.server.accounts[name].api_key

    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert f"INVOICEXPRESS_API_KEY_{name.upper().replace('-', '_')}={key}" in lines
    assert await EnvFileSink(path).key_of(name) == key
    assert path.stat().st_mode & 0o777 == 0o600
