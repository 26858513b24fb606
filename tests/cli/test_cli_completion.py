import shutil
import subprocess
from pathlib import Path

import pytest

from invoicexpress_async.__main__ import main
from invoicexpress_async.cli.commands import COMMANDS

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


def test_zsh_is_told_whom_the_script_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    last = script("zsh", capsys).splitlines()[-1]

    assert last.split()[::2] == ["compdef", "invoicexpress"]
    assert f"\n{last.split()[1]}() {{" in script("zsh", capsys)


def test_an_unknown_shell_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2

    assert "tcsh" in capsys.readouterr().err
