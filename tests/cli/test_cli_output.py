"""What people see on narrow, plain, closed and full outputs, and before they go on."""

import asyncio
import subprocess
from pathlib import Path

import pytest
import test_cli
from terminals import TERMINALS, Terminal, record
from test_cli import KEY, PROGRAM, Run, accounts_file, environment

from invoicexpress_async.cli.shell import as_typed, program, typed, typed_command
from invoicexpress_async.sandbox import Sandbox

acme, bytecode, run, sandbox = test_cli.acme, test_cli.bytecode, test_cli.run, test_cli.sandbox
interruptible = test_cli.interruptible


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `$PROGRAM` is the program."""
    return subprocess.run(  # noqa: S602 - redirections are the point
        line,
        shell=True,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(PROGRAM=" ".join(PROGRAM), **variables),
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("$PROGRAM --help >&-", 0, id="closed"),
        pytest.param("$PROGRAM provision --help >&-", 0, id="closed, a command's help"),
        pytest.param("COLUMNS=0 $PROGRAM provision --help", 0, id="no columns"),
        pytest.param("COLUMNS=1 $PROGRAM provision --help", 0, id="one column"),
        pytest.param("$PROGRAM --help >/dev/full", 1, id="full"),
        pytest.param("$PROGRAM sequences list >/dev/full", 1, id="full, a table"),
        pytest.param("PYTHONIOENCODING=ascii $PROGRAM --help", 0, id="ascii"),
        pytest.param("(sleep 0; $PROGRAM --help; echo $? >&2) | true", 0, id="no reader"),
    ],
)
async def test_an_output_that_takes_nothing_is_never_a_traceback(
    acme: dict[str, str], line: str, code: int
) -> None:
    ended = await asyncio.to_thread(shell, line, **acme)

    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    if "| true" in line:
        assert ended.stderr == "0\n"
    if code == 1:
        assert "error: stdout cannot be written: No space left on device" in ended.stderr


async def test_an_output_without_check_marks_gets_plain_ones(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 25)
    line = f"$PROGRAM provision {path} --serie 2027 --base-url '{sandbox.base_url}'"

    ended = await asyncio.to_thread(shell, line, PYTHONIOENCODING="ascii")

    assert ended.returncode == 0
    assert "+ has a code  x needs one and has none  . needs none" in ended.stdout
    assert "... 5 more" in ended.stdout
    assert "?" not in ended.stdout


async def test_in_a_pipe_all_tables_fit_80_columns_and_nothing_is_cut(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    path, journal = accounts_file(tmp_path, sandbox, 3), tmp_path / "job.db"
    path.write_text(f"{path.read_text()}no-such-account-with-a-rather-long-name;{KEY}\n")
    to = ("--base-url", sandbox.base_url)
    series = ("--serie", "SERIE-WITH-A-LONG-NAME-2027")

    shown = [
        await run("provision", path, *series, *to, "--dry-run"),
        await run("provision", path, *series, *to, "--journal", journal),
        await run("status", journal),
        await run("rollover", path, "--year", 2028, *to, "--dry-run"),
        await run("audit", path, *to),
    ]

    lines = [line for one in shown for line in one.out.splitlines()]
    assert not any(one.err.startswith("Usage") or one.code == 2 for one in shown), shown
    assert max(len(one) for one in lines if not one.startswith(("Journal: ", "  "))) <= 80
    assert "…" not in "".join(one for one in lines if not one.startswith("… "))


async def test_on_60_columns_ids_and_codes_are_whole(
    run: Run,
    acme: dict[str, str],
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = accounts_file(tmp_path, sandbox, 3)

    shown = await run("provision", path, "--serie", "2027", "--base-url", sandbox.base_url)
    await run("sequences", "create", "2028", **acme)
    one = await run("sequences", "get", sandbox.sequences("acme")[0].id, **acme)

    assert max(map(len, (shown.out + one.out).splitlines())) <= 60
    for name in ("account-0", "account-1", "account-2"):
        (row,) = sandbox.sequences(name)
        assert f" {row.id} " in shown.out
        assert row.validation_codes["invoice"] in shown.out
    assert "…" not in shown.out + one.out


@pytest.mark.parametrize("command", ["create", "ensure"])
async def test_a_serie_with_spaces_is_warned_of_and_taken(
    run: Run, acme: dict[str, str], command: str
) -> None:
    ended = await run("sequences", command, "A 2027", **acme)

    assert ended.code == 0
    assert "warning: serie 'A 2027' has spaces in it" in ended.err


async def test_an_offline_dry_run_shows_the_first_rows_and_says_that_it_did_not_look(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = accounts_file(tmp_path, sandbox, 25)
    arguments = ("provision", path, "--serie", "A 2027", "--base-url", sandbox.base_url)

    ended = await run(*arguments, "--dry-run", "--offline")

    assert ended.out.count("account-") == 20
    assert "… 5 more" in ended.out
    assert "What exists was not looked at; nothing was sent." in ended.err
    assert "has spaces in it" in ended.err


async def test_ctrl_c_at_a_question_says_that_nothing_was_sent(acme: dict[str, str]) -> None:
    acme["INVOICEXPRESS_BASE_URL"] = "https://{account}.app.invoicexpress.invalid"

    code, shown = await asyncio.to_thread(
        test_cli.on_terminal, "sequences", "create", "2027", answer="\x03", **acme
    )

    assert code == 130
    assert "Nothing was sent. Interrupted." in shown
    assert KEY not in shown


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda one: one.name)
async def test_a_terminal_shows_what_was_recorded(terminal: Terminal, tmp_path: Path) -> None:
    written, shown = await record(terminal, tmp_path)

    assert shown == await asyncio.to_thread(terminal.path.read_text)
    # A command is to be copied: only its line may be longer than the terminal.
    lines = [line for line in shown.splitlines() if " invoicexpress " not in line]
    assert max(map(len, lines)) <= terminal.columns
    assert ("\x1b[1m" in written) is (terminal.variables.get("TERM") != "dumb")
    assert ("\x1b[32m" in written) is not terminal.is_plain


@pytest.mark.parametrize(
    ("argument", "python", "typed"),
    [
        pytest.param("/opt/bin/invoicexpress", "", "invoicexpress", id="found on PATH"),
        pytest.param(".venv/bin/invoicexpress", "", ".venv/bin/invoicexpress", id="relative"),
        pytest.param("/my apps/invoicexpress", "", "'/my apps/invoicexpress'", id="elsewhere"),
        pytest.param(
            "/x/invoicexpress_async/__main__.py",
            ".venv/bin/python",
            ".venv/bin/python -m invoicexpress_async",
            id="-m",
        ),
        pytest.param("/x/pytest/__main__.py", "python", "invoicexpress", id="another program"),
    ],
)
def test_hints_name_the_command_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, argument: str, python: str, typed: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/bin/{name}")

    assert program([argument], python) == typed


@pytest.mark.parametrize("proxy", [["--proxy", "http://u:canary@p"], ["--proxy=http://u:canary@p"]])
def test_a_command_is_kept_as_it_was_typed_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, proxy: list[str]
) -> None:
    for name in ("ACCOUNT", "API_KEY", "PROXY", "TIMEOUT_SECONDS"):
        monkeypatch.setenv(f"INVOICEXPRESS_{name}", "canary")
    monkeypatch.delenv("INVOICEXPRESS_TIMEOUT_SECONDS")
    monkeypatch.setenv("INVOICEXPRESS_BASE_URL", "http://localhost/{account}")
    monkeypatch.setattr("sys.argv", ["invoicexpress"])

    with typed(["provision", "my accounts.csv", *proxy, "--serie", "2027"]):
        kept = typed_command()

    assert as_typed(kept) == (
        "INVOICEXPRESS_BASE_URL='http://localhost/{account}' invoicexpress provision "
        "'my accounts.csv' --serie 2027"
    )
    with pytest.raises(LookupError, match="typed"):
        typed_command()
