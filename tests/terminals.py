"""What people see in their terminals: a session in a real one, as plain text that can be compared.

`python tests/terminals.py` from the root of the project records the sessions anew.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

from invoicexpress_async.__main__ import main
from invoicexpress_async.call.realm import THIS_PROCESS
from invoicexpress_async.jobs.settings import today_in_lisbon
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

FOLDER: Final = Path(__file__).parent / "data" / "terminals"
KEY: Final = "canary-key-of-terminals"
LONG_NAME: Final = "padaria-central-de-vila-nova-de-famalicao"
_LINES: Final = 60
_TODAY: Final = today_in_lisbon()
_THIS_YEAR: Final = _TODAY.year
# Of what differs from one run to the next: times, rates, processes, ports, years.
_VARYING: Final = (
    (re.compile(rf"\b{_TODAY}\b"), "2026-12-31"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8780"),
    (re.compile(r"\d{4}-\d\d-\d\d(\s)\d\d:\d\d:\d\d"), r"2026-12-31\g<1>12:00:00"),
    (re.compile(r"\b(in|em)(\s)\d+([.,])\d(\s)s\b"), r"\1\g<2>0\g<3>1\g<4>s"),
    (re.compile(r" +[\d.]+/s(, [\d.]+ \w+ left)?"), " 100/s"),
    (re.compile(rf"\b(FR)?{_THIS_YEAR + 1}\b"), r"\g<1>2027"),
    (re.compile(rf"\b(FR)?{_THIS_YEAR}\b"), r"\g<1>2026"),
)
_CONTROL: Final = re.compile(r"\x1b\[\??([\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


@attrs.frozen
class Terminal:
    """A terminal, and what is set in its shell."""

    name: str
    columns: int
    variables: Mapping[str, str] = MappingProxyType({})
    options: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The recording; without colours, it is that of the same width."""
        return FOLDER / f"{self.name.removesuffix('-no-color')}.txt"

    @property
    def is_plain(self) -> bool:
        """Whether nothing has a colour."""
        return "NO_COLOR" in self.variables or self.variables.get("TERM") == "dumb"


TERMINALS: Final = (
    Terminal("80-columns", 80),
    Terminal("100-columns", 100),
    Terminal("140-columns", 140),
    Terminal("80-columns-no-color", 80, {"NO_COLOR": "1"}),
    Terminal("80-columns-dumb", 80, {"TERM": "dumb"}),
    Terminal("80-columns-portuguese", 80, {"LANG": "pt_PT.UTF-8"}, ("--language", "pt")),
)


def session(options: Sequence[str]) -> list[list[str]]:
    """Return the commands of a session."""
    serie, job = str(_THIS_YEAR + 1), ("--journal", "job.db", "--concurrency", "1")
    return [
        ["rollover", "accounts.csv", "--year", serie, "--dry-run"],
        ["provision", "accounts.csv", "--serie", serie, "--default", "--dry-run", *options],
        ["provision", "accounts.csv", "--serie", serie, *job, *options],
        ["provision", "accounts.csv", "--serie", serie, *job, *options],
        ["status", "job.db", *options],
        ["audit", "accounts.csv", "--year", serie, "--concurrency", "1", *options],
        ["sequences", "get", serie, "--account", "alfa", "--api-key-file", "alfa.key"],
        ["provision", "accounts.csv"],
    ]


def accounts(folder: Path) -> Iterator[SandboxAccount]:
    """Yield accounts of every kind, and write their file."""
    names = ("alfa", "beta", "gama", LONG_NAME, "delta")
    text = "".join(f"{name},{KEY}\n" for name in names)
    (folder / "accounts.csv").write_text(f"account,api_key\n{text}")
    (folder / "alfa.key").write_text(f"{KEY}\n")
    for path in folder.iterdir():
        path.chmod(0o600)
    yield SandboxAccount(name="alfa", api_key=KEY)
    yield SandboxAccount(name="beta", api_key=KEY, has_at_credentials=False)
    yield SandboxAccount(name="gama", api_key=KEY, refused_document_types=("transport",))
    yield SandboxAccount(name=LONG_NAME, api_key=KEY)
    yield SandboxAccount(name="delta", api_key="another")


async def record(terminal: Terminal, folder: Path) -> tuple[str, str]:
    """Run the session in a terminal; return all that was written, and the text left on it."""
    async with Sandbox(accounts=list(accounts(folder))) as sandbox:
        for name in ("alfa", LONG_NAME):
            sandbox.add_sequence(name, f"FR{_THIS_YEAR}", is_default=True)
        variables = {"INVOICEXPRESS_BASE_URL": sandbox.base_url, **terminal.variables}
        written = await asyncio.to_thread(_in_terminal, terminal, folder, variables)
    return written, stable(screen(written))


def _in_terminal(terminal: Terminal, folder: Path, variables: Mapping[str, str]) -> str:
    own = ("INVOICEXPRESS", "NO_COLOR", "COLUMNS", "LINES", "LANG", "LC_", "FORCE_COLOR")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(own)}
    settings = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC", **variables}
    command = [sys.executable, __file__, json.dumps(session(terminal.options))]
    child, descriptor = pty.fork()
    if child == 0:
        size = struct.pack("HHHH", _LINES, terminal.columns, 0, 0)
        fcntl.ioctl(0, termios.TIOCSWINSZ, size)
        os.chdir(folder)
        os.execvpe(command[0], command, {**kept, **settings})  # noqa: S606  # this very file
    written = b""
    with contextlib.suppress(OSError):  # Linux: the other side is closed
        while piece := os.read(descriptor, 65536):
            written += piece
    os.waitpid(child, 0)
    os.close(descriptor)
    return written.decode()


def screen(written: str) -> str:
    """Return what a terminal shows at the end of all that was written to it."""
    lines, row, column = [""], 0, 0
    for number, letter, back, down, text in _CONTROL.findall(written):
        if back:
            column = 0
        elif down:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            before = lines[row].ljust(column)
            lines[row] = before[:column] + text + before[column + len(text) :]
            column += len(text)
        elif letter == "A":
            row -= int(number or 1)
        elif letter == "K":
            lines[row] = ""
    return "".join(f"{line.rstrip()}\n" for line in lines).rstrip() + "\n"


def stable(text: str) -> str:
    """Return a text in which nothing differs from one run to the next."""
    for pattern, shown in _VARYING:
        text = pattern.sub(shown, text)
    return text


def _inside(commands: list[list[str]]) -> None:
    """Run the commands, one after the other, as a shell would show it."""
    sys.argv = ["invoicexpress"]
    for command in commands:
        sys.stdout.write(f"$ {shlex.join(['invoicexpress', *command])}\n")
        sys.stdout.flush()
        THIS_PROCESS.forget()  # a process of its own would know nothing of the one before
        code = main(command)
        sys.stdout.write(f"[exit code {code}]\n\n")


async def _record_all() -> None:
    FOLDER.mkdir(exist_ok=True)
    for terminal in TERMINALS:
        with tempfile.TemporaryDirectory() as folder:
            _, shown = await record(terminal, Path(folder))
        terminal.path.write_text(shown)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _inside(json.loads(sys.argv[1]))
    else:
        asyncio.run(_record_all())
