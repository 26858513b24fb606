"""Promises of jobs that a hostile reviewer broke once."""

import asyncio
import errno
import os
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import test_provisioning_resend
from test_onboarding import QUICK as QUICK_ONBOARDING
from test_onboarding import Stage, companies, only, stage
from test_provisioning_resend import KEY, QUICK

from invoicexpress_async import ConfigurationError, CreatedAccount, SessionManager
from invoicexpress_async.config import Secret
from invoicexpress_async.onboarding import (
    CompanyOutcome,
    CompanyState,
    CsvSink,
    EnvFileSink,
    KeySpool,
    SpoolError,
)
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    JournalDifferenceError,
    Plan,
    PlanRow,
    RunSettings,
    SqliteJournal,
    provision,
    rollover,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

on, path = test_provisioning_resend.on, test_provisioning_resend.path


async def unresolved_series(on: Stage, delivered: dict[str, str]) -> str:
    async def sink(_company: object, account: CreatedAccount) -> None:
        delivered[account.name] = account.api_key.reveal()

    on.server.faults.next("close_after_read", operation="create", commits="late")
    assert only(await on.run(companies(1), secret_sink=sink)).state is CompanyState.UNKNOWN
    (name,) = delivered
    assert on.server.oracle.posts(name) == 1
    return name


async def again(on: Stage, **options: object) -> CompanyOutcome:
    """Another process: a manager that knows no unresolved intent."""

    async def sink(_company: object, _account: object) -> None:
        raise AssertionError

    base_url = on.server.base_url
    async with SessionManager(base_url=base_url, retry=QUICK_ONBOARDING) as fresh:
        stage = Stage(on.server, fresh, on.folder)
        return only(await stage.run(companies(1), secret_sink=sink, **options))


@pytest.mark.fault(46)
async def test_a_vault_that_fails_once_does_not_make_a_series_be_sent_twice(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        delivered: dict[str, str] = {}
        name = await unresolved_series(on, delivered)
        requested = 0

        async def vault(account: str) -> str:
            nonlocal requested
            requested += 1
            if requested == 1:
                raise OSError("the vault is being restarted")
            return delivered[account]

        await again(on, keys=vault)

        assert on.server.oracle.posts(name) == 1


@pytest.mark.fault(46)
async def test_a_run_without_the_keys_does_not_make_a_series_be_sent_twice(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        delivered: dict[str, str] = {}
        name = await unresolved_series(on, delivered)

        async def vault(account: str) -> str:
            return delivered[account]

        await again(on)
        await again(on, keys=vault)

        assert on.server.oracle.posts(name) == 1


async def test_a_journal_of_a_plan_is_not_one_of_a_rollover(on: FaultServer, path: Path) -> None:
    old = Plan(rows=[PlanRow(account="a0", api_key=KEY, serie="2026", is_default=True)])
    accounts = AccountList(rows=[AccountRow(account="a0", api_key=KEY)])
    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        await provision(manager, old, journal=journal)

        with pytest.raises(JournalDifferenceError, match="another kind of job"):
            await rollover(manager, accounts, year=2027, journal=journal)


async def test_a_streamed_row_that_is_to_be_the_default_now_is_not_taken_for_done(
    on: FaultServer, path: Path
) -> None:
    async def rows(*, is_default: bool) -> AsyncIterator[PlanRow]:
        yield PlanRow(account="a0", api_key=KEY, serie="2027", is_default=is_default)

    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        await manager.account("a0", KEY).sequences.ensure("2026", default=True)
        await provision(manager, Plan.from_async(rows(is_default=False)), journal=journal)
        report = await provision(manager, Plan.from_async(rows(is_default=True)), journal=journal)
        now = await manager.account("a0", KEY).sequences.find("2027")

    assert report.is_complete
    assert now is not None
    assert now.is_default


async def test_a_row_that_left_the_plan_and_is_back_is_looked_at_again(
    on: FaultServer, path: Path
) -> None:
    async with (
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
        SqliteJournal(path) as journal,
    ):
        for serie in ("A", "B", "A"):
            plan = Plan(rows=[PlanRow(account="a0", api_key=KEY, serie=serie, is_default=True)])
            settings = RunSettings(accept_changes=True)
            report = await provision(manager, plan, journal=journal, settings=settings)
        now = await manager.account("a0", KEY).sequences.find("A")

    assert report.is_complete
    assert now is not None
    assert now.is_default


@pytest.mark.fault(55)
@pytest.mark.parametrize("kind", ["csv", "env", "spool"])
def test_a_file_that_is_refused_shows_no_key(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account,api_key\nacme,canary-" + "key-7f3a9c\n")
    what = {
        "csv": CsvSink(path).check,
        "env": EnvFileSink(path).check,
        "spool": KeySpool(path).open,
    }

    with pytest.raises((ConfigurationError, SpoolError)) as caught:
        what[kind]()

    reported = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "canary-" + "key" not in "".join(reported.format())


async def test_two_calls_at_once_on_a_server_whose_lists_lag_send_once() -> None:
    async def keep_a(_: object) -> None:
        """Keep nothing."""

    async def keep_b(_: object) -> None:
        """Keep nothing."""

    accounts = [SandboxAccount(name="a0", api_key=KEY)]
    async with (
        FaultServer(accounts=accounts, list_lag_seconds=3.0) as on,
        SessionManager(base_url=on.base_url, retry=QUICK) as manager,
    ):
        sequences = manager.account("a0", KEY).sequences
        ends = await asyncio.gather(
            sequences.ensure("2027", on_intent=keep_a),
            sequences.ensure("2027", on_intent=keep_b),
        )
        posts = on.oracle.posts("a0")

    assert posts == 1
    assert len({one.sequence.id for one in ends}) == 1


def test_a_key_after_one_that_was_cut_short_has_its_own_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, real, calls = KeySpool(tmp_path / "spool"), os.write, 0
    spool.open()

    def write(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[:20] if calls == 1 else data)

    monkeypatch.setattr(os, "write", write)
    for number in (1, 2):
        account = CreatedAccount(
            id=str(number),
            url=f"https://a{number}.app.invoicexpress.com",
            api_key=Secret(f"key-{number}"),
            state="active",
        )
        with pytest.raises(SpoolError):
            spool.write(f"50000000{number}", account)
    spool.close()

    assert set(KeySpool(tmp_path / "spool").open()) == {"500000002"}
