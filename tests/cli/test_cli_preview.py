"""The look at the accounts: of a dry run of `provision`, and before a default is replaced."""

import asyncio
import datetime as dt
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
import test_cli
import test_cli_rollover
from test_cli import KEY, Run, Start

from invoicexpress_async import Registration, SessionManager
from invoicexpress_async.cli.options import RunOptions
from invoicexpress_async.cli.preview import Preview, requests_of
from invoicexpress_async.cli.views.preview import PreviewLine
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    Plan,
    RunSettings,
    iter_audit,
    provision,
)
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, interruptible = test_cli.bytecode, test_cli.interruptible
run, sandbox, start = test_cli.run, test_cli.sandbox, test_cli.start

TODAY = today_in_lisbon()
THIS, LAST = str(TODAY.year), str(TODAY.year - 1)


def give(sandbox: Sandbox, name: str, *series: str, **settings: bool) -> None:
    sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
    for number, serie in enumerate(series):
        sandbox.add_sequence(name, serie, is_default=number == 0, **settings)


def file_of(folder: Path, *rows: str) -> Path:
    path = folder / "accounts.csv"
    text = "".join(
        f"{name};{KEY};{serie}\n" for name, _, serie in (one.partition(" ") for one in rows)
    )
    path.write_text(f"account;api_key;serie\n{text}")
    path.chmod(0o600)
    return path


@pytest.fixture
def accounts(sandbox: Sandbox, tmp_path: Path) -> Path:
    """Accounts of every kind, one of them twice in the file, one of them unknown."""
    give(sandbox, "alfa", "2026")
    give(sandbox, "beta", "FR2026", "2027")
    give(sandbox, "gama", "2027")
    give(sandbox, "half", "2026")
    sandbox.add_sequence("half", "2027", is_registered=False)
    give(sandbox, "lower", "fr2027")
    give(sandbox, "new")
    rows = ("alfa", "alfa B2027", "beta", "gama", "half", "lower FR2027", "new", "nobody")
    return file_of(tmp_path, *rows)


def line(path: Path, sandbox: Sandbox, *more: object) -> tuple[object, ...]:
    return ("provision", path, "--serie", 2027, "--base-url", sandbox.base_url, *more)


async def test_a_dry_run_looks_at_each_account_once_and_shows_what_each_row_comes_to(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "job.db"

    people = await run(*line(accounts, sandbox, "--dry-run", "--journal", journal))
    reads = Counter((one.account, one.method) for one in sandbox.requests)
    machine = await run(*line(accounts, sandbox, "--dry-run", "--json"))

    assert (people.code, machine.code) == (1, 1)
    names = ("alfa", "beta", "gama", "half", "lower", "new", "nobody")
    assert reads == {(name, "GET"): 1 for name in names}
    assert not journal.exists()
    rows = {tuple(one.split()[1:4]): " ".join(one.split()[4:]) for one in people.out.splitlines()}
    assert rows["alfa", "2026", "2027"] == "create"
    assert rows["alfa", "2026", "B2027"] == "its name is unlike all others of the account: create"
    assert rows["beta", "FR2026", "2027"] == "nothing: it is there"
    assert rows["gama", "2027", "2027"] == "nothing: it is the default"
    assert rows["half", "2026", "2027"] == "register"
    assert rows["lower", "fr2027", "FR2027"].startswith("The account has 'fr2027', which differs")
    assert rows["new", "-", "2027"] == "create"
    assert rows["nobody", "-", "2027"] == "cannot be read: 401"
    assert re.search(r"^401 +1 +nobody +Check the account's name", people.out, re.MULTILINE)
    assert people.err.splitlines()[-7:] == [
        "3 there already, 3 to be created.",
        "1 of those there to be registered.",
        "It would fail on 2 accounts: the table says why, and what to do.",
        "Unlike all other names of the account: 'B2027' on alfa.",
        f"The journal {journal} has nothing yet: all 8 rows are new.",
        "The run would take less than a minute, at the pace of these reads.",
        "Nothing was changed.",
    ]
    *lines, summary = machine.lines
    assert lines[0] == {
        "type": "plan",
        "line": 2,
        "account": "alfa",
        "current": "2026",
        "serie": "2027",
        "is_default": False,
        "registration": None,
        "actions": ["create"],
        "is_unlike": False,
        "failure": None,
        "journal": None,
    }
    counts = ("there", "to_create", "to_register", "to_make_default", "problems", "would_refuse")
    assert [summary[one] for one in counts] == [3, 3, 1, 0, 2, False]
    assert {one.method for one in sandbox.requests} == {"GET"}


async def test_the_defaults_that_would_be_replaced_are_shown_before_the_run_too(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    for name, serie in {"alfa": "2026", "beta": "LOJA", "later": "2090"}.items():
        give(sandbox, name, serie)
    path = file_of(tmp_path, "alfa", "beta", "later", "nobody")
    job = line(path, sandbox, "--default", "--journal", tmp_path / "job.db")

    dry = await run(*job, "--dry-run")
    portuguese = await run(*job, "--dry-run", "--language", "pt")
    looks = len(sandbox.requests)
    first = await run(*job, "--exclude", "beta")
    before_yes = sandbox.count("GET", "/sequences.json")
    settled = await run(*job, "--only", "alfa")
    again = await run(*job, "--yes")

    assert "The default now is '2026' on 1, 'LOJA' on 1, '2090' on 1." in dry.err
    assert "A step backwards: '2027' on later." in dry.err
    assert "a step backwards: create, then" in " ".join(dry.out.split())
    assert "Agora a predefinida é '2026' em 1, 'LOJA' em 1, '2090' em 1." in portuguese.err
    assert "Um passo atrás: '2027' em later." in portuguese.err
    assert looks == 8
    assert f"Looking at 3 accounts at {sandbox.base_url}." in first.err
    assert "The default now could not be read on 1 account." in first.err
    assert "The default now is '2026' on 1, '2090' on 1." in first.err
    assert "Looking at" not in settled.err + again.err
    assert "The journal has all as done or refused" in settled.err
    assert (dry.code, portuguese.code, first.code, again.code) == (1, 1, 1, 1)
    # With --yes only `beta` is read, by its row: a list, a create that makes it the default.
    assert sandbox.count("GET", "/sequences.json") == before_yes + 1


async def test_what_the_present_defaults_say_of_an_account_is_said_before_the_run(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.add_account(SandboxAccount(name="abroad", api_key=KEY, country="ES"))
    sandbox.add_sequence("abroad", "2026", is_default=True)
    give(sandbox, "bare", "2026", is_registered=False)
    give(sandbox, "fine", "2026")
    path = file_of(tmp_path, "abroad", "bare", "fine")

    dry = await run(*line(path, sandbox, "--dry-run"))
    rolled = await run("rollover", path, "--year", 2027, "--base-url", sandbox.base_url)

    assert (dry.code, rolled.code) == (0, 0)
    for shown in (dry, rolled):
        assert "As if not Portuguese, without validation codes until now: abroad. " in shown.err
        assert "The default now lacks validation codes, and so may the new serie: bare" in shown.err


async def test_what_a_journal_has_settled_is_not_looked_at(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    give(sandbox, "alfa", "2026")
    give(sandbox, "beta", "2026")
    path = file_of(tmp_path, "alfa", "beta", "nobody")
    job = line(path, sandbox, "--journal", tmp_path / "job.db")
    await run(*job, "--exclude", "beta")
    sandbox.requests.clear()

    looked = await run(*job, "--dry-run")
    first = {one.account for one in sandbox.requests}
    retried = await run(*job, "--dry-run", "--retry-refused")

    assert (looked.code, retried.code) == (0, 1)
    assert first == {"beta"}
    assert re.search(r"alfa +- +2027 +the journal has it: done", looked.out)
    assert re.search(r"nobody +- +2027 +the journal has it: refused", looked.out)
    assert re.search(r"nobody +- +2027 +cannot be read: 401", retried.out)
    assert {one.account for one in sandbox.requests} == {"beta", "nobody"}


async def test_a_file_is_checked_offline(run: Run, sandbox: Sandbox, accounts: Path) -> None:
    nowhere = ("--base-url", "https://{account}.app.invoicexpress.invalid")
    job = ("provision", accounts, "--serie", "2027", *nowhere)

    checked = await run(*job, "--dry-run", "--offline")
    alone = await run(*job, "--offline", "--yes")

    assert (checked.code, alone.code) == (0, 2)
    assert "What exists was not looked at; nothing was sent." in checked.err
    assert "--offline is for a check of the file: add --dry-run." in alone.err
    assert sandbox.requests == []


async def test_ctrl_c_ends_a_look_and_changes_nothing(
    start: Start, sandbox: Sandbox, tmp_path: Path
) -> None:
    names = [f"account-{number}" for number in range(300)]
    for name in names:
        give(sandbox, name, "2026")
    path = file_of(tmp_path, *names)
    process = await start(*line(path, sandbox, "--dry-run", "--concurrency", 1))
    while sandbox.count("GET", "/sequences.json") < 3:  # noqa: ASYNC110 - the sandbox has no event
        await asyncio.sleep(0.01)

    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()

    assert process.returncode == 130
    assert out == b""
    assert re.search(rb"Interrupted: \d+ of 300 accounts looked at. Nothing was changed", err)


async def test_on_the_day_a_second_run_shows_what_it_replaces_and_refuses_a_step_backwards(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    for name in ("alfa", "beta", "gama"):
        give(sandbox, name, LAST)
    path = file_of(tmp_path, "alfa", "beta", "gama")
    job = ("rollover", path, "--year", THIS, "--base-url", sandbox.base_url)
    journal = ("--journal", tmp_path / "job.db")
    day = ("--not-before", TODAY + dt.timedelta(days=2))
    later = str(TODAY.year + 1)

    prepared = await run(*job, *journal, *day)
    # Somebody chose others meanwhile, by hand.
    sandbox.add_sequence("beta", "LOJA", is_default=True)
    sandbox.add_sequence("gama", later, is_default=True)
    waiting = await run(*job, *journal, *day)
    dry = await run(*job, *journal, "--not-before", TODAY, "--accept-changes", "--dry-run")
    ended = await run(*job, *journal, "--not-before", TODAY, "--accept-changes")
    sandbox.requests.clear()
    done = await run(*job, *journal, "--not-before", TODAY, "--exclude", "gama")
    reads = len(sandbox.requests)
    held = await run(*job, *journal, "--not-before", TODAY)

    assert prepared.code == 0
    assert "3 prepared (3 created)" in prepared.out
    assert f"The default now is '{LAST}' on 1, 'LOJA' on 1" in waiting.err
    for shown in (dry, ended):
        assert f"The default now is '{LAST}' on 1, 'LOJA' on 1" in shown.err
        assert shown.code == 1
        assert "make the earlier one its default by hand" in " ".join(shown.out.split())
    assert f"A step backwards: '{THIS}' on gama." in ended.err
    assert "2 done (0 created)  1 unplanned  of 3 rows" in ended.out
    assert test_cli_rollover.default_of(sandbox, "alfa") == THIS
    assert test_cli_rollover.default_of(sandbox, "gama") == later
    assert (done.code, reads) == (0, 0)
    assert "Looking at" not in done.err
    assert f"Looking at 1 account at {sandbox.base_url}." in held.err
    assert held.code == 1
    assert sandbox.count("POST", "/sequences.json") == 3


@pytest.mark.parametrize("is_default", [False, True])
@pytest.mark.parametrize("is_staged", [False, True])
@pytest.mark.parametrize("there", ["", "registered", "not registered", "default"])
async def test_the_requests_of_a_row_are_counted_as_they_are_sent(
    sandbox: Sandbox, there: str, is_staged: bool, is_default: bool
) -> None:
    give(sandbox, "alfa", "2026")
    if there:
        is_registered = there != "not registered"
        sandbox.add_sequence(
            "alfa", "2027", is_default=there == "default", is_registered=is_registered
        )
    plan = Plan.from_rows([{"account": "alfa", "api_key": KEY}], serie="2027", default=is_default)
    (row,) = plan.rows
    listed = AccountList(rows=[AccountRow(account="alfa", api_key=KEY)])
    async with SessionManager(base_url=sandbox.base_url) as manager:
        async for seen in iter_audit(manager, listed):
            preview = PreviewLine.of_row(row).looked_at(seen)
        sandbox.requests.clear()
        report = await provision(manager, plan, settings=RunSettings(is_staged=is_staged))
    sent = [one.method for one in sandbox.requests]

    assert report.is_complete
    assert requests_of(preview, is_staged=is_staged) == (len(sent), len(sent) - sent.count("GET"))


@pytest.mark.parametrize(
    ("accounts", "rows_each", "seconds", "text"),
    [
        pytest.param(100, 1, 1.0, "less than a minute", id="short"),
        # 2,000 reads took 80 s: a run of 2 requests each takes twice that, and a create longer.
        pytest.param(2000, 1, 80.0, "about 4 to 9 minutes", id="two thousand"),
        # The rows of one account are done one after the other, within 780 requests a minute.
        pytest.param(1, 1000, 0.01, "about 3 to 3 minutes", id="one account"),
    ],
)
def test_an_estimate_is_of_requests_their_pace_and_the_limit(
    accounts: int, rows_each: int, seconds: float, text: str
) -> None:
    preview = Preview(count=accounts, options=RunOptions(concurrency=50), as_json=False)
    preview.seen, preview.seconds = accounts, seconds
    lines = [
        PreviewLine(line=0, account=f"a{account}", serie=f"S{row}", is_default=False, is_read=True)
        for account in range(accounts)
        for row in range(rows_each)
    ]

    assert text in preview.estimate(lines, is_staged=False).text("en")
    done = [one.settled() for one in lines]
    assert preview.estimate(done, is_staged=False).longest_seconds == 0
    assert requests_of(
        PreviewLine(line=0, account="a", serie="S", registration=Registration.REGISTERED),
        is_staged=False,
    ) == (1, 0)
