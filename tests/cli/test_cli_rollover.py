"""`invoicexpress rollover`: what it would do, what it does, and what it leaves to a person."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import test_cli
from test_cli import KEY, Run

from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox

NEXT = today_in_lisbon().year + 1
DEFAULTS = {"alfa": "2026", "beta": "FR2026", "gama": "A26", "odd": "LOJA", "none": ""}


@pytest.fixture
def accounts(sandbox: Sandbox, tmp_path: Path) -> Path:
    for name, serie in DEFAULTS.items():
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
        if serie:
            sandbox.add_sequence(name, serie, is_default=True)
    return write(tmp_path, dict.fromkeys(DEFAULTS, ""))


def write(folder: Path, series: dict[str, str]) -> Path:
    path = folder / "accounts.csv"
    rows = "".join(f"{name};{KEY};{serie}\n" for name, serie in series.items())
    path.write_text(f"account;api_key;serie\n{rows}")
    return path


def line(path: Path, sandbox: Sandbox, *more: object) -> tuple[object, ...]:
    return ("rollover", path, "--year", 2027, "--base-url", sandbox.base_url, *more)


def default_of(sandbox: Sandbox, name: str) -> str:
    (serie,) = [one.serie for one in sandbox.sequences(name) if one.is_default]
    return str(serie)


async def test_a_dry_run_names_every_next_serie_and_what_only_a_person_can_decide(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "2027.db"

    people = await run(*line(accounts, sandbox, "--dry-run", "--journal", journal))
    machine = await run(*line(accounts, sandbox, "--dry-run", "--json"))
    lisbon = await run(*line(accounts, sandbox, "--dry-run", "--language", "pt"))

    assert (people.code, machine.code) == (1, 1)
    _warning, looking, _, *texts = lisbon.err.splitlines()
    assert looking == f"A verificar 5 contas em {sandbox.base_url}."
    assert texts == [
        (
            "Seria assegurada a série '2027', 'FR2027', 'A27' em 3 contas, 3 como predefinida em "
            f"{sandbox.base_url}, não antes de 2027-01-01 em Lisboa; 2 contas de fora, sem série "
            "seguinte."
        ),
        "0 já existem, 3 por criar.",
        "Agora a predefinida é '2026' em 1, 'FR2026' em 1, 'A26' em 1 e mais 1.",
        "A execução demoraria menos de um minuto, ao ritmo destas leituras.",
        "Nada foi alterado.",
    ]
    assert re.search(r"alfa +2026 +2027 +criar, e depois torná-la", lisbon.out)
    assert max(map(len, people.out.splitlines())) <= 100
    assert re.search(r"^ +2 +alfa +2026 +2027 +create, then make it the", people.out, re.MULTILINE)
    assert re.search(r"^ +3 +beta +FR2026 +FR2027 ", people.out, re.MULTILINE)
    assert re.search(r"^ +5 +odd +LOJA +\? +what follows its default", people.out, re.MULTILINE)
    assert "Name its next serie in the" in people.out
    assert "not before 2027-01-01 in Lisbon; 2 accounts left out" in people.err
    assert "The default now is '2026' on 1, 'FR2026' on 1, 'A26' on 1 and 1 more." in people.err
    assert people.err.endswith("Nothing was changed.\n")
    *rows, summary = machine.lines
    assert [row["serie"] for row in rows] == ["2027", "FR2027", "A27", None, None]
    assert summary["problems"] == 2
    assert {one.method for one in sandbox.requests} == {"GET"}
    assert not journal.exists()


async def test_until_the_day_all_is_prepared_and_the_same_command_ends_it(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    journal, report = tmp_path / "2027.db", tmp_path / "report.md"
    write(tmp_path, {"alfa": "", "beta": "", "gama": "", "odd": "LOJA27", "none": "2027"})
    command = line(accounts, sandbox, "--journal", journal)

    day = ("--not-before", "2090-01-01")
    prepared = await run(*command, *day)
    before = default_of(sandbox, "alfa")
    status = await run("status", journal)
    looked = await run(*command, *day, "--dry-run")
    other = await run(*command, "--dry-run")
    refused = await run(*command)
    prepared_again = await run(*command, *day)
    ended = await run(*command, "--default-now", "--accept-changes", "--report", report)
    again = await run(*command, "--default-now")

    assert (prepared.code, ended.code, again.code) == (0, 0, 0)
    assert before == "2026"
    assert "5 prepared (5 created)  of 5 rows" in prepared.out
    assert "5 prepared (0 created, 5 there already)  of 5 rows" in prepared_again.out
    assert "same command again on 2090-01-01 in Lisbon, or later" in prepared.err.splitlines()[-1]
    assert status.out.startswith(
        f"Journal of the roll-over to 2027: {journal}\n"
        "Nothing becomes the default before 2090-01-01 in Lisbon.\n5 rows. No run"
    )
    assert "run the same command again on 2090-01-01 in Lisbon" in status.out
    assert (other.code, refused.code) == (2, 2)
    for difference in (other, refused):
        assert "become the default on 2090-01-01, and now on 2027-01-01" in difference.err
    assert "the journal has it: prepared" in looked.out
    assert "5 done (0 created)  of 5 rows" in ended.out
    assert "| beta | FR2027 | done |" in report.read_text()
    assert "5 by an earlier run" in again.out
    assert [default_of(sandbox, name) for name in DEFAULTS] == [
        "2027", "FR2027", "A27", "LOJA27", "2027",
    ]  # fmt: skip
    assert sandbox.count("POST", "/sequences.json") == 5


async def test_what_cannot_be_planned_is_left_out_and_reported_while_the_others_go_on(
    run: Run, sandbox: Sandbox, accounts: Path
) -> None:
    people = await run(*line(accounts, sandbox, "--default-now"))
    machine = await run(*line(accounts, sandbox, "--default-now", "--json"))

    assert (people.code, machine.code) == (1, 1)
    assert "3 done (3 created)  2 unplanned  of 5 rows" in people.out
    assert re.search(r"unplanned +- +2 +odd +Name its next serie in the column", people.out)
    *rows, summary = machine.lines
    assert [row["account"] for row in rows if row["state"] == "unplanned"] == ["odd", "none"]
    assert (summary["rows"], summary["is_complete"], summary["created"]) == (5, False, 0)


async def test_a_dry_run_does_not_count_as_left_out_what_the_journal_has_as_done(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    command = line(accounts, sandbox, "--default-now", "--journal", tmp_path / "2027.db")
    command += ("--only", "alfa", "beta")
    await run(*command)
    sandbox.add_sequence("beta", "FR2028", is_default=True)

    looked = await run(*command, "--dry-run")
    again = await run(*command)

    assert (looked.code, again.code) == (0, 0)
    assert "left out" not in looked.err
    assert "Left as the journal has them: 2 done." in looked.err
    assert default_of(sandbox, "beta") == "FR2028"


async def test_a_name_unlike_all_others_of_its_account_is_shown_first(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    write(tmp_path, {"alfa": "2027", "beta": "FR2027", "gama": "2072A"})

    people = await run(*line(accounts, sandbox, "--dry-run"))
    machine = await run(*line(accounts, sandbox, "--dry-run", "--json"))
    ended = await run(*line(accounts, sandbox))

    first = people.out.splitlines()[2]
    assert first.split()[1:4] == ["gama", "A26", "2072A"]
    assert "unlike all others" in first
    for shown in (people, ended):
        assert "Unlike all other names of the account: '2072A' on gama." in shown.err
    assert [row["is_unlike"] for row in machine.lines[:-1]] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--year", "27"), "such as 2027", id="year"),
        pytest.param(("--year", "2027", "--pattern", "FR"), "neither {year} nor {yy}", id="none"),
        pytest.param(("--year", "2027", "--not-before", "soon"), "soon", id="day"),
        pytest.param((), "year", id="no year"),
        pytest.param(
            ("--year", "2027", "--not-before", "2026-12-01"),
            "at once: --default-now",
            id="too early",
        ),
        pytest.param(
            ("--year", "2027", "--not-before", "2027-02-01", "--default-now"),
            "contradict each other",
            id="now and later",
        ),
    ],
)
async def test_wrong_options_are_usage_and_nothing_is_sent(
    run: Run, sandbox: Sandbox, accounts: Path, options: tuple[str, ...], message: str
) -> None:
    ended = await run("rollover", accounts, "--base-url", sandbox.base_url, *options)

    assert ended.code == 2
    assert message in ended.err
    assert sandbox.requests == []


async def test_a_journal_of_another_year_is_refused(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    journal = ("--base-url", sandbox.base_url, "--journal", tmp_path / "job.db")
    await run("rollover", accounts, "--year", 2027, *journal)

    for option in ("--yes", "--dry-run"):
        ended = await run("rollover", accounts, "--year", 2028, *journal, option)
        assert ended.code == 2
        assert "is of the roll-over to 2027, not 2028" in ended.err


async def test_real_accounts_are_asked_for_and_ctrl_c_at_the_question_changes_nothing(
    run: Run, accounts: Path
) -> None:
    real = ("--base-url", "https://{account}.app.invoicexpress.invalid")
    command = ("rollover", accounts, "--year", 2027, "--pattern", "{year}", *real)

    ended = await run(*command)
    early = await run("provision", accounts, "--serie", str(NEXT), "--default", *real)
    code, shown = await asyncio.to_thread(test_cli.on_terminal, *command, answer="\x03")

    assert ended.code == 2
    assert "About to ensure serie '2027' on 5 accounts, 5 as default" in ended.err
    assert "not before 2027-01-01 in Lisbon" in ended.err
    assert early.code == 2
    assert f"Invoices will use '{NEXT}' from now on" in early.err
    assert f"and not from {NEXT}-01-01" in early.err
    assert "add --yes" in ended.err
    assert code == 130
    assert "Nothing was sent. Interrupted." in shown


@pytest.mark.parametrize(("later", "is_odd"), [(0, False), (1, True)])
async def test_a_year_that_is_neither_this_one_nor_the_next_is_in_the_question(
    run: Run, sandbox: Sandbox, accounts: Path, later: int, is_odd: bool
) -> None:
    year = NEXT + later
    job = ("rollover", accounts, "--year", year, "--pattern", "{year}", "--dry-run")

    ended = await run(*job, "--base-url", sandbox.base_url)

    assert (f"{year} is neither this year nor the next." in ended.err) is is_odd
    assert "The default now is '2026' on 1" in ended.err


@pytest.mark.parametrize(("year", "is_over"), [(NEXT - 1, False), (NEXT - 2, True)])
async def test_a_default_of_a_year_that_is_over_is_said_before_anything_is_sent(
    run: Run, sandbox: Sandbox, accounts: Path, year: int, is_over: bool
) -> None:
    job = ("provision", accounts, "--serie", year, "--default", "--base-url", sandbox.base_url)

    ended = await run(*job, "--dry-run")

    assert (f"The year of '{year}' is over" in ended.err) is is_over
    assert ended.code == 0


WITHOUT_ZONES = """
import sys
sys.modules["tzdata"] = None
from invoicexpress_async.__main__ import main
sys.exit(main())
"""


@pytest.mark.fault(84)
async def test_without_any_time_zone_data_it_says_what_to_install_and_sends_nothing(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    write(tmp_path, {"alfa": "", "beta": ""})
    arguments = line(
        accounts, sandbox, "--not-before", "2027-01-01", "--journal", tmp_path / "j.db"
    )

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_ZONES),
        *map(str, arguments),
        env={**os.environ, "PYTHONTZPATH": ""},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    sent = len(sandbox.requests)
    later = await run(*arguments)

    assert process.returncode == 2
    assert b"no time-zone data for Europe/Lisbon: pip install tzdata" in err
    assert sent == 0
    assert later.code == 0
