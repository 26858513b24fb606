import datetime as dt
from pathlib import Path

import pytest
from fakes import FakeClock
from postgres_server import PostgresServer

from invoicexpress_async import ConfigurationError, SessionManager, StepBackwardsError
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    JournalDifferenceError,
    Plan,
    PlanRow,
    RowState,
    RunSettings,
    SqliteJournal,
    audit,
    enter_plan,
    plan_rollover,
    provision,
    read_status,
    rollover,
    run_worker,
)
from invoicexpress_async.provisioning.next_serie import (
    coming_year,
    default_day,
    is_step_backwards,
    next_serie,
    serie_of_pattern,
)
from invoicexpress_async.provisioning.rows_table import ROWS
from invoicexpress_async.sandbox import FaultServer, Sandbox, SandboxAccount

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
        ("STUDIO27", None),
        ("26DEABRIL", None),
        ("STUDIO26-2026", "STUDIO26-2027"),
        ("2026-27", None),
    ],
)
def test_only_what_is_plain_is_derived(current: str, following: str | None) -> None:
    assert next_serie(current, 2027) == following


def test_the_turn_of_a_decade_is_a_year_like_others() -> None:
    assert (next_serie("A29", 2030), next_serie("2029", 2030)) == ("A30", "2030")


def test_a_pattern_names_them_all() -> None:
    assert serie_of_pattern("FR{year}", 2027) == "FR2027"
    assert serie_of_pattern("{yy}-A", 2027) == "27-A"
    for wrong in ("FR", "{serie}", "{year}" + "x" * 40, "{yy}{yyyy}", "{year}}"):
        with pytest.raises(ConfigurationError):
            serie_of_pattern(wrong, 2027)


@pytest.mark.parametrize(
    ("serie", "year"),
    [
        ("2027", 2027),
        ("FR2028", 2028),
        ("A27", 2027),
        ("A28", None),
        ("2026", None),
        ("LOJA", None),
    ],
)
def test_a_name_can_have_a_year_that_is_to_come(serie: str, year: int | None) -> None:
    assert coming_year(serie, 2026) == year


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
        first = await rollover(manager, accounts, year=2027, default_now=True)
        again = await rollover(manager, accounts, year=2027, default_now=True)
        seen = await audit(manager, accounts)

    assert [step.serie for step in plan.steps] == ["2027", "FR2027", "A27", None, None]
    reported = [str(step.problem) for step in plan.problems]
    assert "'LOJA'" in reported[0]
    assert "no default" in reported[1]
    assert all("column serie" in text for text in reported)
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


async def test_a_serie_of_the_file_or_a_pattern_is_shown_beside_the_present_default() -> None:
    async with (
        Sandbox(accounts=map(account, ("acme", "beta"))) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="LOJA", beta="R28")
        plan = await plan_rollover(
            manager, listed("acme", "beta", acme="LOJA27"), year=2027, pattern="R{yy}"
        )

    acme, beta = plan.steps
    assert (acme.serie, beta.serie) == ("LOJA27", None)
    assert [step.current.serie for step in plan.steps if step.current] == ["LOJA", "R28"]
    assert "step backwards" in str(beta.problem)


@pytest.mark.parametrize(
    ("current", "following", "is_backwards"),
    [
        pytest.param("2028", "2027", True, id="a year"),
        pytest.param("A28", "A27", True, id="two digits"),
        pytest.param("A28", "B27", False, id="another name"),
        pytest.param("2026", "2027", False, id="forwards"),
        pytest.param("LOJA", "2027", False, id="no year"),
    ],
)
def test_a_step_backwards_is_seen_by_the_names(
    current: str, following: str, is_backwards: bool
) -> None:
    assert is_step_backwards(current, following) is is_backwards


async def test_a_default_of_a_later_year_is_not_followed_by_an_earlier_one() -> None:
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="2030")
        plan = await plan_rollover(manager, listed("acme"), year=2027)

    assert "after its default '2030' would be a step backwards" in str(plan.steps[0].problem)


async def test_nothing_becomes_the_default_before_the_year_begins(tmp_path: Path) -> None:
    year = today_in_lisbon().year + 1
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme=str(year - 1))
        report = await rollover(manager, listed("acme"), year=year, journal=journal)
        with pytest.raises(JournalDifferenceError, match=f"on {year}-01-01, and now at once"):
            await rollover(manager, listed("acme"), year=year, journal=journal, default_now=True)
        with pytest.raises(JournalDifferenceError, match=f"and now on {year}-02-01"):
            await rollover(
                manager, listed("acme"), year=year, journal=journal, not_before=dt.date(year, 2, 1)
            )
        status = read_status(tmp_path / "job.db")
        (only,) = (await audit(manager, listed("acme"))).accounts

    assert [one.state for one in report.run.outcomes] == [RowState.PREPARED]
    assert [one.serie for one in only.defaults] == [str(year - 1)]
    assert status.default_not_before == dt.date(year, 1, 1)


def test_a_day_before_the_year_begins_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="before 2027-01-01, when 2027 begins"):
        default_day(2027, not_before=dt.date(2026, 12, 31))
    with pytest.raises(ConfigurationError, match="contradict"):
        default_day(2027, not_before=dt.date(2027, 1, 1), default_now=True)
    with pytest.raises(ConfigurationError, match=r"give a datetime\.date"):
        default_day(2027, not_before="2027-01-02")  # type: ignore[arg-type]  # the point
    assert default_day(2027) == dt.date(2027, 1, 1)
    assert default_day(2027, default_now=True) is None


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
    today = today_in_lisbon()
    tomorrow = today + dt.timedelta(days=2)
    old, new = str(today.year - 1), str(today.year)
    async with (
        Sandbox(accounts=[account("acme")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme=old)
        before = await rollover(
            manager, listed("acme"), year=today.year, not_before=tomorrow, journal=journal
        )
        between = await manager.account("acme", KEY).sequences.list()
        after = await rollover(
            manager,
            listed("acme"),
            year=today.year,
            not_before=today,
            journal=journal,
            settings=RunSettings(accept_changes=True),
        )
        finally_ = await manager.account("acme", KEY).sequences.list()

    assert [one.state for one in before.run.outcomes] == [RowState.PREPARED]
    assert before.is_complete
    assert {one.serie: one.is_default for one in between} == {old: True, new: False}
    assert [one.state for one in after.run.outcomes] == [RowState.DONE]
    assert {one.serie: one.is_default for one in finally_} == {old: False, new: True}
    assert sandbox.count("POST", "/sequences.json") == 2


async def test_a_prepared_row_that_cannot_be_read_again_stays_prepared_in_the_journal(
    tmp_path: Path, clock: FakeClock
) -> None:
    plan = Plan(rows=[PlanRow(account="acme", api_key=KEY, serie="2027", is_default=True)])
    day = today_in_lisbon() + dt.timedelta(days=2)
    settings = RunSettings(default_not_before=day, outage_patience_seconds=60.0)
    async with (
        FaultServer(accounts=[account("acme")]) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        first = await provision(manager, plan, journal=journal, settings=settings)
        server.faults.next("status", operation="list", status=503, times=None)
        failed = await provision(manager, plan, journal=journal, settings=settings)
        between = read_status(tmp_path / "job.db")
        server.faults.clear()
        last = await provision(manager, plan, journal=journal, settings=settings)

    states = [report.outcomes[0].state for report in (first, failed, last)]
    assert states == [RowState.PREPARED, RowState.FAILED, RowState.PREPARED]
    assert between.counts == {"prepared": 1}


async def test_a_row_waits_while_its_account_has_a_default_of_a_later_year(tmp_path: Path) -> None:
    year = today_in_lisbon().year + 1
    accounts = listed("acme", "beta")
    async with (
        Sandbox(accounts=[account("acme"), account("beta")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        SqliteJournal(tmp_path / "job.db") as journal,
    ):
        await give(manager, acme=str(year - 1), beta=str(year - 1))
        await rollover(manager, accounts, year=year, journal=journal)
        await give(manager, beta=str(year + 1))
        held = await rollover(manager, accounts, year=year, journal=journal)
        (later,) = [one for one in sandbox.sequences("beta") if one.serie == str(year - 1)]
        await manager.account("beta", KEY).sequences.set_current(later.id)
        again = await rollover(manager, accounts, year=year, journal=journal)
        posts = sandbox.count("POST", "/sequences.json")

    assert [one.row.account for one in held.plan.problems] == ["beta"]
    assert "would be a step backwards" in str(held.plan.problems[0].problem)
    assert [one.row.account for one in held.run.outcomes] == ["acme"]
    assert not held.is_complete
    assert again.is_complete
    assert again.run.counts[RowState.PREPARED] == 2
    assert posts == 2 + 2 + 1


async def test_a_default_that_became_later_since_the_look_is_not_replaced() -> None:
    async with (
        Sandbox(accounts=[account("acme"), account("beta")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        await give(manager, acme="2026", beta="2026")
        plan = await plan_rollover(manager, listed("acme", "beta"), year=2027)
        await give(manager, beta="2028")
        posts = sandbox.count("POST", "/sequences.json")
        report = await provision(manager, plan.plan(), settings=plan.settings(default_now=True))

    acme, beta = report.outcomes
    assert (acme.state, beta.state) == (RowState.DONE, RowState.REFUSED)
    assert isinstance(beta.error, StepBackwardsError)
    assert "2027 after its default '2028' would be a step backwards" in str(beta.error)
    assert str(beta.error).count("make the earlier one its default by hand") == 1
    assert sandbox.count("POST", "/sequences.json") == posts + 1
    assert [one.serie for one in sandbox.sequences("beta") if one.is_default] == ["2028"]


async def test_a_worker_does_not_replace_a_default_of_a_later_year(
    postgres: PostgresServer,
) -> None:
    async with (
        Sandbox(accounts=[account("acme"), account("beta")]) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
        postgres.journal(slices=2) as journal,
    ):
        await give(manager, acme="2026", beta="2026")
        accounts = listed("acme", "beta")
        plan = await plan_rollover(manager, accounts, year=2027, journal=journal)
        await enter_plan(journal, plan.plan(), settings=plan.settings(default_now=True))
        await give(manager, beta="2028")
        held = await plan_rollover(manager, accounts, year=2027, journal=journal)
        posts = sandbox.count("POST", "/sequences.json")
        await run_worker(manager, journal, _keys, until_done=True, sweep_seconds=0.01)
        refused = await journal.read(ROWS, states=frozenset({JournalState.REFUSED}))

    # A later run and `status` say what to do about it from the name of its class.
    assert [(one["account"], one["error"]) for one in refused] == [("beta", "StepBackwardsError")]
    assert [one.row.account for one in held.problems] == ["beta"]
    assert sandbox.count("POST", "/sequences.json") == posts + 1
    defaults = {
        name: [one.serie for one in sandbox.sequences(name) if one.is_default]
        for name in ("acme", "beta")
    }
    assert defaults == {"acme": ["2027"], "beta": ["2028"]}


async def _keys(_: str) -> str:
    return KEY


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
        first = await rollover(
            manager, listed("acme", "beta"), year=2027, journal=journal, default_now=True
        )
        sandbox.update_account(account("beta"))
        sandbox.update_account(account("acme", refusals={"list": (403, "")}))
        second = await rollover(
            manager, listed("acme", "beta"), year=2027, journal=journal, default_now=True
        )

    assert [one.row.account for one in first.plan.problems] == ["beta"]
    assert second.is_complete
    assert second.run.counts[RowState.DONE] == 2


async def test_an_audit_shows_what_it_could_not_read() -> None:
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
