import datetime as dt
from pathlib import Path

import pytest

from invoicexpress_async import ConfigurationError, SessionManager
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    JournalDifferenceError,
    RowState,
    SqliteJournal,
    audit,
    plan_rollover,
    rollover,
)
from invoicexpress_async.provisioning.next_serie import next_serie, serie_of_pattern
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"


def account(name: str, **settings: object) -> SandboxAccount:
    return SandboxAccount(name=name, api_key=KEY, **settings)  # type: ignore[arg-type]  # a test's


def listed(*names: str, **series: str) -> AccountList:
    return AccountList(
        rows=[AccountRow(account=one, api_key=KEY, serie=series.get(one)) for one in names]
    )


async def give(manager: SessionManager, **series: str) -> None:
    for name, serie in series.items():
        await manager.account(name, KEY).sequences.create(serie, default=True)


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("2026", "2027"),
        ("FR2026", "FR2027"),
        ("A26", "A27"),
        ("26", "27"),
        ("2026A", "2027A"),
        ("FT/2026-B", "FT/2027-B"),
        ("FR2027", "FR2027"),
        ("2025", None),
        ("A", None),
        ("2026-2026", None),
        ("2026/2027", None),
        ("A26-26", None),
        ("120267", None),
        ("126", None),
        ("20266", None),
        ("LOJA1", None),
    ],
)
def test_only_what_is_plain_is_derived(current: str, following: str | None) -> None:
    assert next_serie(current, 2027) == following


def test_the_turn_of_a_decade_is_a_year_like_others() -> None:
    assert (next_serie("A29", 2030), next_serie("2029", 2030)) == ("A30", "2030")
    assert next_serie("A99", 2000) == "A00"


def test_a_pattern_names_them_all() -> None:
    assert serie_of_pattern("FR{year}", 2027) == "FR2027"
    assert serie_of_pattern("{yy}-A", 2027) == "27-A"
    for wrong in ("FR", "{serie}", "{year}" + "x" * 40):
        with pytest.raises(ConfigurationError):
            serie_of_pattern(wrong, 2027)


async def test_each_account_gets_the_next_serie_as_its_default_and_stays_there() -> None:
    async with (
        Sandbox(accounts=map(account, ("acme", "beta", "gama", "odd", "none"))) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="2026", beta="FR2026", gama="A26", odd="LOJA")
        accounts = listed("acme", "beta", "gama", "odd", "none")
        posts = sandbox.count("POST", "/sequences.json")

        plan = await plan_rollover(manager, accounts, year=2027)
        assert sandbox.count("POST", "/sequences.json") == posts
        first = await rollover(manager, accounts, year=2027)
        again = await rollover(manager, accounts, year=2027)
        seen = await audit(manager, accounts)

    assert [step.serie for step in plan.steps] == ["2027", "FR2027", "A27", None, None]
    told = [str(step.problem) for step in plan.problems]
    assert "'LOJA'" in told[0]
    assert "no default" in told[1]
    assert all("column serie" in text for text in told)
    assert not first.is_complete
    assert [one.state for one in first.run.outcomes] == [RowState.DONE] * 3
    assert (first.run.created, again.run.created) == (3, 0)
    assert sandbox.count("POST", "/sequences.json") == posts + 3
    assert [[one.serie for one in each.defaults] for each in seen.accounts] == [
        ["2027"],
        ["FR2027"],
        ["A27"],
        ["LOJA"],
        [],
    ]
    assert [each.is_fine for each in seen.accounts] == [True, True, True, True, False]


async def test_a_serie_of_the_file_or_a_pattern_is_asked_no_account() -> None:
    async with (
        Sandbox(accounts=map(account, ("acme", "beta"))) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        plan = await plan_rollover(
            manager, listed("acme", "beta", acme="LOJA27"), year=2027, pattern="R{yy}"
        )

        assert sandbox.requests == []

    assert [step.serie for step in plan.steps] == ["LOJA27", "R27"]


async def test_a_partial_serie_never_becomes_the_default() -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="2026")
        sandbox.update_account(account("acme", refused_document_types=("devolution",)))
        report = await rollover(manager, listed("acme"), year=2027)
        seen = await audit(manager, listed("acme"))

    assert [one.state for one in report.run.outcomes] == [RowState.PARTIAL]
    (only,) = seen.accounts
    assert [one.serie for one in only.defaults] == ["2026"]
    assert [one.serie for one in only.incomplete] == ["2027"]
    assert "devolution" in only.incomplete[0].unregistered


async def test_before_the_day_it_is_prepared_and_after_it_becomes_the_default(
    tmp_path: Path,
) -> None:
    tomorrow = today_in_lisbon() + dt.timedelta(days=2)
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme="2026")
        before = await rollover(
            manager, listed("acme"), year=2027, not_before=tomorrow, journal=journal
        )
        between = await manager.account("acme", KEY).sequences.list()
        after = await rollover(
            manager, listed("acme"), year=2027, not_before=today_in_lisbon(), journal=journal
        )
        finally_ = await manager.account("acme", KEY).sequences.list()

    assert [one.state for one in before.run.outcomes] == [RowState.PREPARED]
    assert before.is_complete
    assert {one.serie: one.is_default for one in between} == {"2026": True, "2027": False}
    assert [one.state for one in after.run.outcomes] == [RowState.DONE]
    assert {one.serie: one.is_default for one in finally_} == {"2026": False, "2027": True}
    assert sandbox.count("POST", "/sequences.json") == 2


async def test_a_journal_of_another_year_is_refused(tmp_path: Path) -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme="2026")
        await rollover(manager, listed("acme"), year=2027, journal=journal)
        with pytest.raises(JournalDifferenceError, match="to 2027, not 2028"):
            await rollover(manager, listed("acme"), year=2028, journal=journal)


async def test_an_account_that_could_not_be_read_joins_the_next_run(tmp_path: Path) -> None:
    async with (
        Sandbox(
            accounts=[account("acme"), account("beta", refusals={"list": (403, "")})]
        ) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme="2026")
        sandbox.update_account(account("beta"))
        await give(manager, beta="2026")
        sandbox.update_account(account("beta", refusals={"list": (403, "")}))
        first = await rollover(manager, listed("acme", "beta"), year=2027, journal=journal)
        sandbox.update_account(account("beta"))
        sandbox.update_account(account("acme", refusals={"list": (403, "")}))
        second = await rollover(manager, listed("acme", "beta"), year=2027, journal=journal)

    assert [one.row.account for one in first.plan.problems] == ["beta"]
    assert second.is_complete
    assert second.run.counts[RowState.DONE] == 2


async def test_an_audit_tells_what_it_could_not_read() -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="2026")
        report = await audit(manager, listed("acme", "stranger"))

    assert [one.error is None for one in report.accounts] == [True, False]
    assert not report.is_fine
    assert KEY not in repr(report)


def test_an_account_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account,api_key,serie\nacme,k,\nbeta,k,B27\nACME,k,\n")

    with pytest.raises(ConfigurationError, match="line 4: the same account as line 2"):
        AccountList.from_csv(path)
    with pytest.raises(ConfigurationError, match="twice"):
        listed("acme", "acme")
    path.write_text("account,api_key,serie\nacme,k,\nbeta,k,B27\n")
    assert [row.serie for row in AccountList.from_csv(path).rows] == [None, "B27"]
