"""The system calls of a program under strace, and the files as after a loss of power.

Only synced data count as being on the disk. The content of a file at a moment is rebuilt from the
writes that ended before the start of a sync that ended before that moment.
"""

import asyncio
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from test_cli import environment

_WATCHED = "write,writev,pwrite64,pwritev,sendto,sendmsg,ftruncate,fsync,fdatasync"
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_UNFINISHED = "<unfinished ...>"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FILE = re.compile(r"\d+<([^>]*)>")
_RESULT = re.compile(r"= (\d+)$")


@attrs.frozen(kw_only=True)
class SystemCall:
    """One system call; `began` and `ended` are its places in the order of all events."""

    began: int
    ended: int
    name: str
    text: str

    @property
    def file(self) -> str:
        found = _FILE.match(self.text)
        return found[1] if found else ""

    @property
    def data(self) -> bytes:
        parts = _QUOTED.findall(self.text)
        return b"".join(part.encode().decode("unicode_escape").encode("latin-1") for part in parts)

    @property
    def numbers(self) -> list[int]:
        """The plain numbers among its arguments, without the descriptor."""
        arguments = _QUOTED.sub("", self.text).rpartition(")")[0]
        return [int(one) for one in arguments.split(", ")[1:] if one.isdecimal()]

    @property
    def result(self) -> int:
        """The return value; -1 for a call that failed or was cut off."""
        found = _RESULT.search(self.text)
        return int(found[1]) if found else -1


@attrs.frozen
class Trace:
    """The system calls of one program."""

    calls: tuple[SystemCall, ...]

    def first(self, *texts: str, to: str | Path = "socket:") -> SystemCall:
        """Return the first call that writes all these texts to a file, a socket or a pipe."""
        wanted = [text.encode() for text in texts]
        start = f"{to.resolve()}\0" if isinstance(to, Path) else to
        for call in self.calls:
            is_there = f"{call.file}\0".startswith(start)
            if is_there and all(text in call.data for text in wanted):
                return call
        raise AssertionError(f"no system call has {texts}")

    def on_disk(self, file: Path, before: SystemCall) -> bytes:
        """Return the content of a file after a loss of power just before a call."""
        calls = [one for one in self.calls if one.file == str(file.resolve())]
        syncs = [one for one in calls if one.name in {"fsync", "fdatasync"} and one.result == 0]
        synced = max((one.began for one in syncs if one.ended < before.began), default=-1)
        content = bytearray()
        for call in calls:
            if call.ended < synced:
                _repeat(call, content)
        return bytes(content)


def _repeat(call: SystemCall, content: bytearray) -> None:
    match call.name:
        case "pwrite64":
            place = call.numbers[-1]
            content.extend(bytes(max(0, place - len(content))))
            content[place : place + call.result] = call.data[: call.result]
        case "write":  # to a file opened for appending
            content.extend(call.data[: call.result])
        case "ftruncate":
            length = call.numbers[-1]
            del content[length:]
            content.extend(bytes(length - len(content)))


async def trace(
    arguments: Sequence[object], folder: Path, variables: Mapping[str, str]
) -> tuple[Trace, int]:
    """Run Python with these arguments under strace; return its calls and its exit code."""
    strace = shutil.which("strace")
    assert strace is not None, (
        "This test watches system calls with strace, which is not installed: install the package "
        "strace of your system (apt-get install strace)."
    )
    output = folder / "system-calls.txt"
    options = ("-f", "-y", "-s", "65536", "-o", str(output), "-e", f"trace={_WATCHED}")
    process = await asyncio.create_subprocess_exec(
        *(strace, *options, sys.executable, *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
    )
    _, errors = await process.communicate()
    assert "ptrace" not in errors.decode(), f"strace may not watch here: {errors.decode()}"
    return Trace(tuple(_parse(output.read_text()))), process.returncode or 0


def _parse(text: str) -> list[SystemCall]:
    calls: list[SystemCall] = []
    open_calls: dict[str, SystemCall] = {}
    for number, line in enumerate(text.splitlines()):
        if found := _RESUMED.match(line):
            begun = open_calls.pop(found[1])
            calls.append(attrs.evolve(begun, ended=number, text=begun.text + found[2]))
        elif found := _BEGUN.match(line):
            process, name, rest = found.groups()
            call = SystemCall(began=number, ended=number, name=name, text=rest)
            if rest.endswith(_UNFINISHED):
                rest = rest.removesuffix(_UNFINISHED).rstrip()
                open_calls[process] = attrs.evolve(call, text=rest)
            else:
                calls.append(call)
    calls += [attrs.evolve(one, ended=sys.maxsize) for one in open_calls.values()]
    return sorted(calls, key=lambda one: one.began)
