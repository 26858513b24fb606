"""`invoicexpress audit`: what is wrong first, in a table, in JSON and in reports."""

import csv
import re
from pathlib import Path
from typing import cast

import pytest
import test_cli
from test_cli import KEY, Json, Run

from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox


@pytest.fixture
def accounts(sandbox: Sandbox, tmp_path: Path) -> Path:
    names = ("fine", "bare", "half", "old", "barred")
    for name in names:
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
    sandbox.add_sequence("fine", "2026", is_default=True)
    sandbox.add_sequence("bare", "2026")
    sandbox.add_sequence("half", "2026", is_default=True, is_registered=False)
    sandbox.add_sequence("old", "2019", is_registered=False)
    sandbox.add_sequence("old", "2026", is_default=True)
    sandbox.update_account(SandboxAccount(name="barred", api_key="another"))
    path = tmp_path / "accounts.csv"
    path.write_text("account,api_key\n" + "".join(f"{name},{KEY}\n" for name in names))
    return path


def only(accounts: Path, name: str) -> Path:
    path = accounts.with_name("one.csv")
    path.write_text(f"account,api_key\n{name},{KEY}\n")
    return path


async def test_what_is_wrong_stands_first_with_its_cure(
    run: Run, sandbox: Sandbox, accounts: Path
) -> None:
    ended = await run("audit", accounts, "--base-url", sandbox.base_url)

    lines = ended.out.splitlines()
    assert ended.code == 1
    assert f"Looking at 5 accounts at {sandbox.base_url}." in ended.err.splitlines()
    assert max(map(len, lines)) <= 100
    assert [one.split()[0] for one in lines[2:9]] == [
        "bare", "half", "barred", "old", "fine", "old", "bare",
    ]  # fmt: skip
    assert re.search(r"^half +2026 +yes +0 +N/D +not registered +11 types", lines[3])
    assert re.search(r"^fine +2026 +yes +0 +\w+ +registered +-", lines[6])
    assert re.search(r"no default +1 +bare +Make one of its series the default", ended.out)
    assert re.search(r"401 +1 +barred +Check the account's name and its API key", ended.out)
    assert "2 fine  3 not fine  of 5 accounts" in ended.out
    not_counted = re.findall(
        r"1 +(\w+) +It does not count: the account's default is fine", ended.out
    )
    assert not_counted == ["old"]
    assert {one.method for one in sandbox.requests} == {"GET"}


async def test_as_json_it_is_an_object_an_account_and_a_summary(
    run: Run, sandbox: Sandbox, accounts: Path
) -> None:
    ended = await run("audit", accounts, "--json", "--base-url", sandbox.base_url)

    *rows, summary = ended.lines
    by_name = {str(row["account"]): row for row in rows}
    (old, _) = cast("list[Json]", by_name["old"]["sequences"])
    assert by_name["old"]["defaults"] == ["2026"]
    assert len(cast("list[str]", old["unregistered"])) == 11
    assert cast("Json", by_name["barred"]["failure"])["status"] == 401
    assert (summary["fine"], summary["not_fine"], summary["is_fine"]) == (2, 3, False)


async def test_the_report_has_every_document_type_in_csv_and_every_serie_in_markdown(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    table, text = tmp_path / "audit.csv", tmp_path / "audit.md"
    for report in (table, text, table):
        ended = await run("audit", accounts, "--report", report, "--base-url", sandbox.base_url)
        assert ended.code == 1

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 15 + 2
    assert {row["problem"] for row in rows if row["account"] == "half"} == {"not registered"}
    (invoice,) = [
        row for row in rows if row["account"] == "fine" and row["document_type"] == "invoice"
    ]
    assert invoice["number"] == "0"
    assert "| bare |  |  |  |  | no default | Make one" in text.read_text()
    assert "\n2 fine, 3 not fine.\n" in text.read_text()
    assert KEY not in table.read_text() + text.read_text()


async def test_all_fine_is_0_and_another_command_s_report_is_kept(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    report, to = tmp_path / "report.csv", ("--base-url", sandbox.base_url)
    accounts = only(accounts, "fine")
    await run("provision", accounts, "--serie", "2026", "--report", report, *to)
    before = report.read_text()

    fine = await run("audit", accounts, *to)
    refused = await run("audit", accounts, "--report", report, *to)

    assert (fine.code, refused.code) == (0, 2)
    assert "1 fine  0 not fine  of 1 accounts" in fine.out
    assert "is not a report of this command" in refused.err
    assert report.read_text() == before
