"""What jobs make of refusals: one attempt an account, and one line of what to do."""

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import test_cli
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from scripted import UNREGISTERED, Scripted, row_of, serving_scripted
from test_cli import KEY, Run
from test_onboarding import company, nif, only, stage

from invoicexpress_async import RetryPolicy, SessionManager
from invoicexpress_async.errors import DefaultChangedError
from invoicexpress_async.onboarding import CompanyList, CompanyState, CompanyStep, KnownAccount
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    Plan,
    PlanRow,
    RolloverReport,
    RowState,
    SqliteJournal,
    provision,
    rollover,
)
from invoicexpress_async.sandbox import SandboxAccount

run = test_cli.run

OF_THE_ACCOUNT = [
    pytest.param("register", "002", "TaxAuthorityCredentialsError", id="register-002"),
    pytest.param("register", "003", "NoOpenActivityError", id="register-003"),
    pytest.param("register", "004", "AccountNotPortugueseError", id="register-004"),
    pytest.param("create", "004", "TaxAuthorityCredentialsError", id="create-004"),
    pytest.param("create", "005", "NoOpenActivityError", id="create-005"),
]
NEVER_YET = dt.date(2099, 1, 1)


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Scripted, SessionManager]]:
    retry = RetryPolicy(attempts=1, read_after_seconds=(0.02, 0.05))
    async with (
        serving_scripted() as (server, _),
        SessionManager(base_url=server.base_url, retry=retry) as manager,
    ):
        yield server, manager


def plan_of(*series: str) -> Plan:
    return Plan(rows=[PlanRow(account=ACCOUNT, api_key=API_KEY, serie=serie) for serie in series])


@pytest.mark.parametrize(("operation", "code", "error"), OF_THE_ACCOUNT)
async def test_what_says_something_of_the_account_gets_one_request_for_all_its_rows(
    operation: str, code: str, error: str, scripted: tuple[Scripted, SessionManager]
) -> None:
    server, manager = scripted
    series = ("2027", "2027-A", "2027-B")
    if operation == "register":
        server.rows[ACCOUNT] = [
            row_of(100 * number, serie, UNREGISTERED) for number, serie in enumerate(series, 1)
        ]
    server.says(operation, 422, {"errors": {"code": code}})

    report = await provision(manager, plan_of(*series), concurrency=3)

    assert [one.state for one in report.outcomes] == [RowState.REFUSED] * 3
    assert {(one.error_name, one.code) for one in report.outcomes} == {(error, code)}
    assert (server.count("register") + server.count("create")) == 1


async def test_a_register_that_was_refused_is_not_sent_by_the_next_run(
    scripted: tuple[Scripted, SessionManager], tmp_path: Path
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2027", UNREGISTERED)]
    server.says("register", 422, {"errors": {"code": "002"}})

    for _ in range(2):
        async with SqliteJournal(tmp_path / "job.db") as journal:
            report = await provision(manager, plan_of("2027"), journal=journal)

    (outcome,) = report.outcomes
    assert (outcome.state, outcome.code) == (RowState.REFUSED, "002")
    assert "another name" not in (outcome.cure or "")
    assert server.count("register") == 1


async def test_a_roll_over_calls_the_tax_authority_once_an_account(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2026", default=True), row_of(200, "2027", UNREGISTERED)]
    server.says("register", 422, {"errors": {"code": 2}})

    report = await roll_over(manager)

    (outcome,) = report.run.outcomes
    assert (outcome.state, outcome.error_name) == (RowState.REFUSED, "TaxAuthorityCredentialsError")
    assert server.count("register") == 1
    assert server.count("set_current") == 0


async def roll_over(
    manager: SessionManager, not_before: dt.date | None = None, **options: Any
) -> RolloverReport:
    accounts = AccountList(rows=[AccountRow(account=ACCOUNT, api_key=API_KEY)])
    return await rollover(
        manager,
        accounts,
        year=2027,
        not_before=not_before,
        default_now=not_before is None,
        **options,
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("002", "TaxAuthorityCredentialsError"),
        ("003", "NoOpenActivityError"),
        ("004", "AccountNotPortugueseError"),
    ],
)
async def test_an_onboarding_sends_one_register_that_the_tax_authority_refuses(
    code: str, error: str, tmp_path: Path, clock: FakeClock
) -> None:
    async with stage(tmp_path, clock) as on:
        known = SandboxAccount(
            name="known", api_key=KEY, id="77", owner="partner", fiscal_id=nif(1)
        )
        on.server.add_account(known)
        row = on.server.add_sequence("known", "2027", is_registered=False)
        on.server.faults.next(
            "status", operation="register", status=422, times=None, commits=False,
            body=json.dumps({"errors": {"code": code}}),
        )  # fmt: skip
        one = company(1, known=KnownAccount(name="known", api_key=KEY, id="77"))

        ended = [only(await on.run(CompanyList(companies=[one]))) for _ in range(2)]

        assert on.server.count("PUT", f"/sequences/{row.id}/register.json") == 1
    assert [(each.step, each.state) for each in ended] == [
        (CompanyStep.SERIES, CompanyState.REFUSED)
    ] * 2
    assert ended[0].error_name == error


@pytest.mark.fault(73)
async def test_a_hundred_trials_end_in_a_hundred_refusals_and_one_line_of_what_to_do(
    run: Run, scripted: tuple[Scripted, SessionManager], tmp_path: Path
) -> None:
    server, _ = scripted
    names = [f"trial-{number}" for number in range(100)]
    path = tmp_path / "accounts.csv"
    path.write_text("account;api_key\n" + "".join(f"{name};{KEY}\n" for name in names))
    path.chmod(0o600)
    server.says("create", 422, {"errors": {"error": "Not available on trial."}})

    ended = await run("provision", path, "--serie", "2027", "--base-url", server.base_url)

    assert ended.code == 1
    assert [line for line in ended.out.splitlines() if "100 refused" in line]
    reported = " ".join((ended.out + ended.err).split())
    assert reported.count("Do as the server says. Of trial-0 it said: Not available on trial.") == 1
    assert [server.count("create", name) for name in names] == [1] * 100
    assert [server.count("list", name) for name in names] == [2] * 100


@pytest.mark.fault(75)
@pytest.mark.parametrize("shows", [True, False], ids=["the answer says so", "the answer lies"])
async def test_a_default_that_comes_before_its_day_is_set_back(
    scripted: tuple[Scripted, SessionManager], *, shows: bool
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2026", default=True)]
    server.takes_the_default, server.shows_the_default = True, shows

    report = await roll_over(manager, NEVER_YET)

    assert [one.state for one in report.run.outcomes] == [RowState.PREPARED]
    assert defaults(server) == ["2026"]
    assert server.count("set_current") == 1


def defaults(server: Scripted) -> list[str]:
    return [row["serie"] for row in server.rows[ACCOUNT] if row["default_sequence"]]


@pytest.mark.fault(75)
@pytest.mark.parametrize("status", [200, 403, 422, 500])
async def test_a_default_that_cannot_be_set_back_is_never_called_done(
    status: int, scripted: tuple[Scripted, SessionManager], tmp_path: Path
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2026", default=True)]
    server.takes_the_default = True
    server.says("set_current", status)

    for _ in range(2):
        async with SqliteJournal(tmp_path / "job.db") as journal:
            report = await roll_over(manager, NEVER_YET, journal=journal)

        (outcome,) = report.run.outcomes
        assert (outcome.state, outcome.error_name) == (RowState.REFUSED, "DefaultChangedError")
        assert not report.is_complete
    assert server.count("create") == 1


@pytest.mark.fault(75)
async def test_a_default_that_has_none_before_it_is_reported_before_its_day(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.takes_the_default = True

    report = await roll_over(manager, NEVER_YET, pattern="{year}")

    (outcome,) = report.run.outcomes
    assert isinstance(outcome.error, DefaultChangedError)
    assert outcome.sequence is not None
    assert "before its day" in str(outcome.error)


@pytest.mark.fault(75)
async def test_a_lost_answer_hides_no_default_that_came_before_its_day(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2026", default=True)]
    server.takes_the_default = True
    server.says("create", 504, does=True)

    report = await roll_over(manager, NEVER_YET)

    assert [one.error_name for one in report.run.outcomes] == ["DefaultChangedError"]
    assert server.count("create") == 1


async def test_a_serie_that_was_the_default_before_the_run_is_done_before_its_day(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2027", default=True)]

    report = await roll_over(manager, NEVER_YET)

    assert [one.state for one in report.run.outcomes] == [RowState.DONE]


async def test_a_roll_over_without_a_day_ends_with_the_new_default_whatever_the_server_does(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "2026", default=True)]
    server.takes_the_default = True

    report = await roll_over(manager)

    assert report.is_complete
    assert defaults(server) == ["2027"]


@pytest.mark.fault(77)
async def test_a_default_with_something_invisible_in_its_name_is_reported_and_the_others_go_on(
    scripted: tuple[Scripted, SessionManager],
) -> None:
    server, manager = scripted
    server.rows[ACCOUNT] = [row_of(100, "20\N{SOFT HYPHEN}A26", default=True)]
    server.rows["other"] = [row_of(100, "2026", default=True)]
    rows = [AccountRow(account=name, api_key=API_KEY) for name in (ACCOUNT, "other")]

    report = await rollover(manager, AccountList(rows=rows), year=2027, default_now=True)

    (problem,) = report.plan.problems
    assert "SOFT HYPHEN" in str(problem.problem)
    assert [one.state for one in report.run.outcomes] == [RowState.DONE]
    assert server.count("create") == 0
