"""What explains itself: codes, errors, states, examples, how far a job is; and the Tab key."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import test_cli
from test_cli import Run, accounts_file

from invoicexpress_async.__main__ import main
from invoicexpress_async.cli.commands import COMMANDS, examples_of, overview
from invoicexpress_async.sandbox import Sandbox

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            "422/004",
            (
                "422/004 on create",
                "in its settings at InvoiceXpress",
                "422/004 on register: The account is not Portuguese",
            ),
        ),
        ("422/2", ("422/002 on create", "sequences ensure", "422/002 on register", "sub-user")),
        ("401", ("401: ", "Check the account's name and its API key")),
        ("422", ("422: ", "the message of the server", "Give the code too, such as 422/004")),
        ("503", ("503: ",)),
        ("OutcomeUnknownError", ("Do not send it again",)),
        ("OutcomeUnknown", ("OutcomeUnknownError: ",)),
        ("absent", ("a complete list does not show it",)),
        ("3", ("exit code 3: something was sent whose outcome is not known", "sequences resume")),
        ("130", ("exit code 130: interrupted.", "Run the same command again")),
        ("in flight", ("in flight: sent, and not looked for yet.", "it reads first")),
        ("refused", ("--retry-refused",)),
        ("parked", ("parked: a company",)),
        ("N/D", ("N/D: this document type needs a validation code", "check the account's AT")),
    ],
)
async def test_a_code_an_error_a_state_and_an_exit_code_are_explained_offline(
    run: Run, what: str, words: tuple[str, ...]
) -> None:
    ended = await run("explain", what)
    machine = await run("explain", what, "--json")

    assert (ended.code, machine.code) == (0, 0)
    assert all(word in " ".join(ended.out.split()) for word in words)
    assert max(map(len, ended.out.splitlines())) <= 80
    assert {line["type"] for line in machine.lines} == {"meaning"}


@pytest.mark.parametrize("what", ["999/123x", "256", "9" * 5_000])
async def test_what_is_nothing_of_ours_is_wrong_usage(run: Run, what: str) -> None:
    ended = await run("explain", what)

    assert ended.code == 2
    assert f"'{what}' is not known here. Give a status and code such as 422/004" in ended.err


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (("rollover", "a.csv", "--year", "MMXXVII"), "is not a whole number, such as 2027."),
        (("rollover", "a.csv", "--year", "2027", "--not-before", "1/2"), "a day, such as 2027-01-"),
        (("audit", "a.csv", "--timeout", "long"), "is not a number, such as 0.5."),
        (("provision",), '"provision" needs ACCOUNTS. See: '),
        (("audit", "--only", "acme", "a.csv"), "ACCOUNTS. --only and --exclude take every name"),
        (("rollover", "a.csv", "--year", "2027", "--offline"), "--offline. Only `provision` has"),
    ],
)
async def test_wrong_usage_says_the_expected_form_and_where_to_look(
    run: Run, arguments: tuple[str, ...], form: str
) -> None:
    ended = await run(*arguments)

    assert ended.code == 2
    assert form in ended.err
    assert ended.err.rstrip().endswith(f"help {arguments[0]}")


def test_the_help_of_the_program_fits_80_columns() -> None:
    assert max(map(len, overview().splitlines())) <= 80


@pytest.mark.parametrize("command", [one.name for one in COMMANDS])
async def test_help_of_a_command_is_its_help_with_its_examples(run: Run, command: str) -> None:
    ended = await run("help", command)
    same = await run(command, "--help")

    assert ended.code == 0
    assert ended.out == same.out
    assert examples_of(command) in ended.out
    assert "Examples:" in ended.out or command == "completion"  # its text has them


@pytest.mark.parametrize(
    "command",
    [
        *([one.name] for one in COMMANDS),
        *(["sequences", one] for one in ("list", "get", "create", "resume", "set-current")),
        *(["accounts", one] for one in ("get", "update")),
    ],
    ids=" ".join,
)
async def test_no_help_has_a_word_of_python_in_it(run: Run, command: list[str]) -> None:
    ended = await run(*command, "--help")

    found = r"\b((?<!file:)PATH|STR|INT|FLOAT|DATE|None|True|False|--no-\w+|--empty-\w+)\b|\(\)"
    assert not re.search(found, ended.out)
    assert ended.out.startswith(f"Usage: invoicexpress {' '.join(command)}")


async def test_the_usage_of_a_command_of_one_account_names_its_own_help(run: Run) -> None:
    ended = await run("sequences", "set-current")

    assert ended.err.rstrip().endswith("help sequences set-current")


async def test_a_status_says_how_far_a_job_is(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    accounts, journal = accounts_file(tmp_path, sandbox, 4), tmp_path / "job.db"
    to = ("--serie", "2027", "--base-url", sandbox.base_url, "--journal", journal)
    await run("provision", accounts, *to, "--limit", "3")

    pilot = await run("status", journal)
    await run("provision", accounts, *to)
    whole = await run("status", journal)

    assert "75 % done or prepared." in pilot.out
    assert "leave out --only, --exclude or --limit for the rest." in pilot.out
    command = pilot.out.splitlines()[-1].strip()
    assert shlex.split(command)[-10:] == [
        *("provision", str(accounts), *map(str, to), "--limit", "3"),
    ]
    assert "--limit" not in whole.out
    assert "1 run began, at " in pilot.out
    assert "times are in " in pilot.out
    assert "100 % done or prepared." in whole.out


BASH = shutil.which("bash") or ""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def bash_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "invoicexpress.bash"
    file.write_text(script("bash", capsys))
    return file


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell_names_every_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)

    assert [one.name for one in COMMANDS if one.name not in text] == []
    assert "set-current" in text
    assert "resend-absent-after" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_understands_its_script(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = shutil.which(shell) or pytest.skip(f"there is no {shell}")
    file = tmp_path / "script"
    file.write_text(script(shell, capsys))

    process = subprocess.run(  # noqa: S603  # our own line
        [program, "-n", str(file)], capture_output=True, text=True, check=False, timeout=120
    )

    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.skipif(not BASH, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        pytest.param("pro", "provision", id="command"),
        pytest.param("sequences set", "set-current", id="command-of-a-group"),
        pytest.param("provision --jo", "--journal", id="option"),
        pytest.param("provision --serie 2027 --acc", "--accept-changes", id="after-a-value"),
        pytest.param("sandbox --language p", "pt", id="value"),
        pytest.param("completion z", "zsh", id="argument"),
        pytest.param("provision {folder}/acc", "{folder}/accounts.csv", id="file"),
    ],
)
def test_bash_completes_a_word(words: str, completed: str, bash_script: Path) -> None:
    folder = bash_script.parent
    (folder / "accounts.csv").touch()
    line = f"invoicexpress {words.format(folder=folder)}"
    ask = (
        f'source "{bash_script}"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); '
        'read -ra how <<< "$(complete -p invoicexpress)"; "${how[2]}"; echo "${COMPREPLY[@]}"'
    )

    process = subprocess.run(  # noqa: S603  # our own line
        [BASH, "-c", ask], capture_output=True, text=True, check=True, timeout=120
    )

    assert process.stdout.strip() == completed.format(folder=folder)


def test_zsh_is_shown_whom_the_script_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    last = script("zsh", capsys).splitlines()[-1]

    assert last.split()[::2] == ["compdef", "invoicexpress"]
    assert f"\n{last.split()[1]}() {{" in script("zsh", capsys)


def test_an_unknown_shell_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2

    assert "tcsh" in capsys.readouterr().err
