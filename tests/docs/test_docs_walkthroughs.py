"""The first ten minutes and the rehearsal: commands, run, and what they print."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest
from pages import DOCS, block_with, blocks_of

pytestmark = pytest.mark.one_python

FIRST_MINUTES = blocks_of(DOCS / "first-ten-minutes.md")
REHEARSAL = blocks_of(DOCS / "rehearsal.md")
(PYTEST_INI,) = (block.code for block in FIRST_MINUTES if block.language == "ini")
# The address that is shown, in place of the one that was free when the test ran.
SHOWN_PORTS: Final = {"sandbox": "8780", "uvicorn": "8000"}
STAYING: Final = ("invoicexpress sandbox", "uvicorn")


@attrs.frozen
class Step:
    """A command, and what is shown of its output: `…` stands for what is left out."""

    command: str
    shown: str

    @property
    def pattern(self) -> re.Pattern[str]:
        lines = [re.escape(line).replace("…", ".*") for line in self.shown.splitlines()]
        return re.compile("".join("(?:.*\n)*" if line == ".*" else f"{line}\n" for line in lines))


def steps(console: str) -> list[Step]:
    parts = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
    return [Step(*part.split("\n", 1)) for part in parts]


@attrs.define
class Person:
    """Types the commands in a folder of their own, with the programs of this environment."""

    folder: Path
    running: contextlib.ExitStack
    variables: dict[str, str] = attrs.field(init=False)
    ports: dict[str, str] = attrs.field(factory=dict[str, str])

    def __attrs_post_init__(self) -> None:
        own = ("INVOICEXPRESS", "PYTEST_", "COVERAGE_")  # the settings of this run of tests
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(own)
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.variables |= {"PATH": path, "NO_COLOR": "1", "COLUMNS": "100"}

    def type(self, step: Step) -> str:
        """Run a command to its end, or to the last line that is shown of one that stays."""
        command = step.command
        for shown, real in self.ports.items():
            command = command.replace(f":{shown}", f":{real}")
        stays = command.startswith(STAYING)
        process = subprocess.Popen(  # noqa: S602  # a line of the documentation
            f"exec {command} --port 0" if stays else command,
            shell=True,
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # curl reports its progress there.
            stderr=subprocess.DEVNULL if command.startswith("curl") else subprocess.STDOUT,
            text=True,
        )
        self.running.enter_context(process)
        self.running.callback(process.terminate)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += f"{line.rstrip()}\n"
            if stays and step.pattern.fullmatch(self.as_shown(said)):
                return said
        assert not stays, said
        assert process.wait() == 0, said
        return said

    def as_shown(self, said: str) -> str:
        if found := re.search(
            r"(sandbox|Uvicorn running) (?:at|on) http://127\.0\.0\.1:(\d+)", said
        ):
            self.ports[SHOWN_PORTS["sandbox" if found[1] == "sandbox" else "uvicorn"]] = found[2]
        for shown, real in self.ports.items():
            said = said.replace(f"127.0.0.1:{real}", f"127.0.0.1:{shown}")
        return said


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    (tmp_path / "service.py").write_text(block_with("FastAPI("))
    (tmp_path / "test_sequences.py").write_text(block_with("invoicexpress_sandbox: SandboxThread"))
    (tmp_path / "pytest.ini").write_text(PYTEST_INI)
    with contextlib.ExitStack() as running:
        yield Person(tmp_path, running)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_first_ten_minutes_print_what_the_page_shows(person: Person) -> None:
    consoles = [block.code for block in FIRST_MINUTES if block.language == "console"]
    installing, *rest = map(steps, consoles)
    assert [one.shown for one in installing] == ["", "", ""]  # the environment of the tests has it

    follow(person, [step for terminal in rest for step in terminal])

    assert len([step for terminal in rest for step in terminal]) >= 8


def test_the_rehearsal_prints_what_the_page_shows(person: Person) -> None:
    sandbox, *rest = (steps(block.code) for block in REHEARSAL)

    follow(person, [*sandbox, *(step for terminal in rest for step in terminal)])

    # Five commands from the sandbox to the reports, and one more.
    assert (len(sandbox), [len(one) for one in rest]) == (1, [1, 1, 1, 1, 1])
    run, audit = ((person.folder / f"{name}.html").read_text() for name in ("run", "audit"))
    assert run.count("<td>sandbox-") == 20
    assert '<html lang="pt">' in audit
    assert audit.count("<td>fatura</td>") >= 20


def follow(person: Person, shown: list[Step]) -> None:
    for step in shown:
        said = person.type(step)

        assert step.pattern.fullmatch(person.as_shown(said)), f"$ {step.command}\n{said}"
        # As a person pastes them.
        pasted = re.findall(r"^ +export (\w+)='?([^'\n]+)", said, re.MULTILINE)
        person.variables |= dict(pasted)
