"""A file to begin with, and the files and pipes that commands read."""

import asyncio
import stat
from pathlib import Path

import pytest
import test_cli
from test_cli import KEY, PROGRAM, Run, environment

from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox


@pytest.mark.parametrize("kind", ["accounts", "companies"])
async def test_a_template_is_private_kept_and_read_by_its_command(
    run: Run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{kind}.csv"
    for name in ("MY_ACCOUNT_KEY", "MY_COMPANY_PASSWORD", "MY_COMPANY_AT_PASSWORD"):
        monkeypatch.setenv(name, "x" * 20)
    (tmp_path / "another-account.key").write_text("x" * 20)
    read = {
        "accounts": ("provision", path, "--serie", "2027", "--dry-run"),
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

    ended = await run("provision", path, "--serie", "2027")

    (line,) = [one for one in ended.err.splitlines() if "all of them: " in one]
    found = Path(line.partition(": ")[2])
    assert ended.code == 2
    head, *rows = await asyncio.to_thread(lines_of_removed, found)
    assert (head, len(rows)) == ("line,problem", 50)
