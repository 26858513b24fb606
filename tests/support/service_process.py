"""An example service in its own process, observed from outside.

As a program, `service_process.py NAME PORT`, this file runs the service, which reports its tasks,
sockets and memory on SIGUSR1. Nothing else of the tests is in that process.
"""

import asyncio
import contextlib
import gc
import http.client
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import attrs

EXAMPLES = Path(__file__).parents[1] / "examples"


@attrs.frozen(kw_only=True)
class Holdings:
    """The resources that a process holds."""

    tasks: int
    sockets: int
    mebibytes: float


@attrs.define(eq=False)
class ServiceProcess:
    """Starts a service, waits until it is ready, and ends it."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    url: str = ""
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(  # noqa: S603  # this file
                [sys.executable, "-W", "always::ResourceWarning", __file__, self.name, str(port)],
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        deadline = time.monotonic() + 40
        while not _answers(port):
            assert self._process.poll() is None, self.complaints
            assert time.monotonic() < deadline
            time.sleep(0.05)

    async def look(self) -> Holdings:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGUSR1)
        return Holdings(**json.loads(await asyncio.to_thread(self._process.stdout.readline)))

    def terminate(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        code = await asyncio.to_thread(self._process.wait, 20)
        self._process.stdout.close()
        self._process = None
        return code

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @property
    def complaints(self) -> str:
        """The text on its stderr: warnings about unclosed resources, tracebacks."""
        return self._errors.read_text()

    @property
    def _errors(self) -> Path:
        return self.folder / f"{self.name}.stderr"


@contextlib.contextmanager
def service(
    name: str, folder: Path, environment: Mapping[str, str], keys: Mapping[str, str]
) -> Iterator[ServiceProcess]:
    (folder / "companies.json").write_text(json.dumps(dict(keys)))
    files = {
        "COMPANIES_FILE": str(folder / "companies.json"),
        "INTENTS_FILE": str(folder / "intents.sqlite3"),
        "JOURNAL_FILE": str(folder / "service.db"),
    }
    process = ServiceProcess(name, folder, {**environment, **files})
    try:
        process.start()
        yield process
    finally:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


def _report(_number: int, _frame: object) -> None:
    gc.collect()
    found = {
        "tasks": len(asyncio.all_tasks()),
        "sockets": _count_sockets(),
        "mebibytes": _resident_mebibytes(),
    }
    print(json.dumps(found), flush=True)  # noqa: T201  # for the sender of the signal


def _count_sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            count += str(entry.readlink()).startswith("socket:")
    return count


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def quiet(process: ServiceProcess) -> dict[str, int]:
    """Wait until no call is in flight, and return the health of the service."""
    deadline = time.monotonic() + 20
    while True:
        async with aiohttp.request("GET", f"{process.url}/health") as answer:
            health: dict[str, int] = await answer.json()
        if health["calls_in_flight"] == 0:
            return health
        assert time.monotonic() < deadline, health
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    sys.path.insert(0, str(EXAMPLES))
    signal.signal(signal.SIGUSR1, _report)
    importlib.import_module(sys.argv.pop(1)).main()
