"""What the command line reads, begins with, writes to, and must not write over."""

import asyncio
import json
import os
import pty
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import pytest
import test_cli
from test_cli import KEY, PROGRAM, Run, accounts_file, environment

from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox

REPORT_HEADER: Final = "line,account,serie,state,created,error,code,cure,intent,id,document_type,"


def with_stderr_on_a_terminal(*arguments: object, out: Path) -> str:
    """Run with stdout in a file and return what stderr, a pseudo-terminal, showed."""
    ours, theirs = pty.openpty()
    with out.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*PROGRAM, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=theirs,
            env=environment(TERM="xterm"),
        )
    os.close(theirs)
    shown = b"".join(test_cli.pieces(ours))
    os.close(ours)
    assert process.wait(30) == 0
    return shown.decode(errors="replace")


async def test_with_a_bar_on_the_terminal_every_row_goes_to_the_file(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path, out = accounts_file(tmp_path, sandbox, 30), tmp_path / "out.jsonl"
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url, "--json")

    shown = await asyncio.to_thread(with_stderr_on_a_terminal, *arguments, out=out)

    kinds = [json.loads(line)["type"] for line in out.read_text().splitlines()]
    assert kinds == ["outcome"] * 30 + ["summary"]
    assert "30/30" in shown
    assert '"type"' not in shown


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
@pytest.mark.parametrize("form", ["itself", "symlink", "hard link"])
async def test_a_report_never_overwrites_the_accounts(
    run: Run, sandbox: Sandbox, tmp_path: Path, option: str, form: str
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 2), tmp_path / "report.csv"
    before = path.read_text()
    if form == "itself":
        report = path
    elif form == "symlink":
        report.symlink_to(path)
    else:
        report.hardlink_to(path)
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, option, "--report", report)

    assert ended.code == 2
    assert "is the file of the accounts" in ended.err
    assert path.read_text() == before
    assert sandbox.requests == []


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
async def test_a_report_never_overwrites_a_file_that_is_no_report(
    run: Run, sandbox: Sandbox, tmp_path: Path, option: str
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 2), tmp_path / "thesis.csv"
    report.write_text("years of work")
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, option, "--report", report)

    assert ended.code == 2
    assert "is there already and is not a report" in ended.err
    assert report.read_text() == "years of work"
    assert sandbox.requests == []


async def test_an_earlier_report_is_replaced_and_only_its_owner_may_read_it(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, report = accounts_file(tmp_path, sandbox, 2), tmp_path / "report.csv"
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    codes = [(await run(*arguments, "--report", report)).code for _ in range(2)]

    assert codes == [0, 0]
    text = report.read_text()
    assert text.startswith(REPORT_HEADER)
    assert text.count("\n") == 1 + 2 * 15
    assert report.stat().st_mode & 0o077 == 0


async def test_a_dry_run_makes_no_report(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    path, report = accounts_file(tmp_path, sandbox, 2), tmp_path / "report.csv"
    arguments = ("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, "--dry-run", "--report", report)

    assert ended.code == 0
    assert not report.exists()


async def test_the_sandbox_never_overwrites_a_file_with_its_accounts(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.csv"
    real = f"account,api_key\nacme,{KEY}\n"
    path.write_text(real)

    ended = await run("sandbox", "--port", "0", "--write-accounts", path)

    assert ended.code == 2
    assert f"{path} is there already" in ended.err
    assert path.read_text() == real


@pytest.mark.parametrize("kind", ["accounts", "companies"])
async def test_a_template_is_private_kept_and_read_by_its_command(
    run: Run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{kind}.csv"
    for name in ("MY_ACCOUNT_KEY", "MY_COMPANY_PASSWORD", "MY_COMPANY_AT_PASSWORD"):
        monkeypatch.setenv(name, "x" * 20)
    (tmp_path / "another-account.key").write_text("x" * 20)
    read = {
        "accounts": ("provision", path, "--serie", "2027", "--dry-run", "--offline"),
        "companies": (
            "onboard", path, "--partner", "p", "--keys-out", tmp_path / "keys.csv",
            "--journal", tmp_path / "job.db", "--dry-run",
        ),
    }  # fmt: skip

    made = await run("template", kind, "--out", path)
    again = await run("template", kind, "--out", path)
    shown = await run("template", kind, "--out", "-")
    used = await run(*read[kind])

    assert (made.code, again.code, used.code) == (0, 2, 0)
    assert "is there already, and is kept" in again.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shown.out.splitlines() == path.read_text("utf-8-sig").splitlines()


async def test_accounts_come_from_stdin_as_well(sandbox: Sandbox) -> None:
    sandbox.add_account(SandboxAccount(name="lone", api_key=KEY))
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "provision", "-", "--serie", "2027", "--base-url", sandbox.base_url,
        stdin=-1, stdout=-1, stderr=-1, env=environment(),
    )  # fmt: skip

    out, _ = await process.communicate(f"account;api_key\nlone;{KEY}\n".encode())

    assert process.returncode == 0
    assert b"1 done (1 created)" in out


async def test_a_file_of_keys_that_others_can_read_is_warned_of(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text(f"account;api_key\nacme;{KEY}\n")
    path.chmod(0o644)
    audit = ("audit", path, "--base-url", sandbox.base_url)

    open_file = await run(*audit)
    path.chmod(0o600)
    private = await run(*audit)
    path.chmod(0o644)
    path.write_text("account;api_key\nacme;env:PATH\n")
    reference = await run(*audit)

    assert f"warning: others can read {path}; run: chmod 600 {path}" in open_file.err
    assert "warning" not in private.err + reference.err


def lines_of_removed(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    path.unlink()
    return lines


async def test_many_bad_rows_are_written_to_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account;api_key\n" + "".join(f"bad name {one};k\n" for one in range(50)))
    folder = Path(tempfile.gettempdir())
    old, new = (folder / f"invoicexpress-bad-rows-{path.parent.name}-{one}.csv" for one in range(2))
    for one, age in ((old, 90_000), (new, 80_000)):
        one.touch()
        os.utime(one, (time.time() - age,) * 2)

    ended = await run("provision", path, "--serie", "2027")

    assert [one.is_file() for one in (old, new)] == [False, True]
    new.unlink()
    (line,) = [one for one in ended.err.splitlines() if "all of them: " in one]
    found = Path(line.partition(": ")[2])
    assert ended.code == 2
    head, *rows = await asyncio.to_thread(lines_of_removed, found)
    assert (head, len(rows)) == ("line,problem", 50)


async def test_a_few_bad_rows_are_named_in_the_text_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account;api_key\n" + "".join(f"a{one};k\n" for one in range(10)))

    ended = await run("provision", path)

    assert "  10 rows, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: no serie" in ended.err
    assert "all of them" not in ended.err


@pytest.mark.parametrize("place", ["--api-key-file", "the file of the accounts"])
async def test_a_file_that_is_too_long_for_a_key_is_not_sent_as_one(
    run: Run, sandbox: Sandbox, tmp_path: Path, place: str
) -> None:
    key, accounts = tmp_path / "key", tmp_path / "accounts.csv"
    key.write_text("x" * 5_000)
    accounts.write_text(f"account;api_key\nacme;file:{key}\n")
    if place == "--api-key-file":
        arguments = ["sequences", "list", "--account", "acme", place, key]
    else:
        arguments = ["provision", accounts, "--serie", "2027"]

    ended = await run(*arguments, "--base-url", sandbox.base_url)

    assert ended.code == (2 if place == "--api-key-file" else 1)
    assert "too long for a key" in ended.err or "KeyUnavailable" in ended.out
    assert sandbox.requests == []
