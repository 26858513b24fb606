"""Fixtures: a sandbox on loopback, a manager on it, and a clock."""

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import aioresponses
import aioresponses.core
import psycopg
import pytest
import trustme
from fakes import FakeClock
from hosts import Host, Namespace
from hypothesis import settings
from postgres_server import PostgresServer, find_binaries, find_pooler, pooled

from invoicexpress_async import AccountSession, SessionManager
from invoicexpress_async.call.realm import THIS_PROCESS
from invoicexpress_async.sandbox import FaultServer, Sandbox, SandboxAccount

DATA = Path(__file__).parent / "data"
ACCOUNT = "acme"
API_KEY = "canary-key-0123456789abcdef"

# On a busy machine one example can take longer than any time that is given here.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# A shell that starts the tests in the background lets them ignore the interrupts that they send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT", "API_KEY", "BASE_URL", "TIMEOUT_SECONDS", "MAX_CONNECTIONS"):
        monkeypatch.delenv(f"INVOICEXPRESS_{name}", raising=False)


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """A test finds a process in which nothing was created, and leaves aiohttp as it was."""
    THIS_PROCESS.forget()
    yield
    assert _methods_of_the_client() == AS_AIOHTTP_MADE_IT


def _methods_of_the_client() -> tuple[object, object]:
    return aiohttp.ClientSession.__init__, aiohttp.ClientSession._request  # noqa: SLF001  # what tools replace


AS_AIOHTTP_MADE_IT = _methods_of_the_client()


@pytest.fixture
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that stands still while a database works, whose time is real."""
    clock = FakeClock()
    if "postgres" in request.fixturenames:
        wait = psycopg.AsyncConnection.wait

        async def wait_in_no_time(*args: Any, **options: Any) -> Any:
            with clock.stopped():
                return await wait(*args, **options)

        monkeypatch.setattr(psycopg.AsyncConnection, "wait", wait_in_no_time)
    return clock


@pytest.fixture
async def sandbox(clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with Sandbox(accounts=[], clock=clock.now) as server:
        server.add_account(account_of(ACCOUNT))
        yield server


@pytest.fixture
async def manager(sandbox: Sandbox, clock: FakeClock) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=sandbox.base_url, clock=clock) as session_manager:
        yield session_manager


@pytest.fixture
def account(manager: SessionManager) -> AccountSession:
    return manager.account(ACCOUNT, API_KEY)


def account_of(name: str, **settings: Any) -> SandboxAccount:
    return SandboxAccount(name=name, api_key=API_KEY, **settings)


@pytest.fixture(params=["create_201", "create_201_lean_2019"])
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    document = json.loads((DATA / f"{request.param}.json").read_text())
    assert isinstance(document, dict)
    return document


class _MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 builds responses without the argument that aiohttp 3.14 requires."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _Sent())
        super().__init__(*args, **kwargs)


class _Sent:
    output_size = 0


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _MockedResponse)
    with aioresponses.aioresponses() as mock:
        yield mock


class LoopbackResolver(aiohttp.abc.AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": family,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's trust in the tests' own authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def faulty(clock: FakeClock) -> AsyncIterator[FaultServer]:
    """A server that fails on demand, on the tests' clock; nothing of it outlives the test."""
    before = asyncio.all_tasks()
    server = FaultServer(accounts=[account_of(ACCOUNT)], clock=clock.now, sleep=clock.sleep)
    async with server:
        yield server
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before - {clock.ticker} == {asyncio.current_task()}
    assert server.oracle.duplicates() == ()


@pytest.fixture
async def faulty_manager(faulty: FaultServer, clock: FakeClock) -> AsyncIterator[SessionManager]:
    async with SessionManager(base_url=faulty.base_url, clock=clock) as session_manager:
        yield session_manager
        assert session_manager.health()["calls_in_flight"] == 0


@pytest.fixture
def faulty_account(faulty_manager: SessionManager) -> AccountSession:
    return faulty_manager.account(ACCOUNT, API_KEY)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server, one for each process of tests. Where it cannot be had, the gate fails."""
    binaries = find_binaries()
    if binaries is None:
        why = "PostgreSQL's server is not on this machine: apt-get install postgresql"
        _lack(why)
    with PostgresServer.started(binaries, Namespace.made()) as server:
        yield server


@pytest.fixture
def hosts(postgres: PostgresServer) -> Iterator[tuple[Host, ...]]:
    """Two machines that reach the database and the API, each by a cable of its own."""
    centre = postgres.namespace
    if centre is None:
        why = "no host can be made here: it takes root, network namespaces and iproute2"
        if os.geteuid() != 0:
            pytest.skip(why)
        _lack(why)
    with Host.connected(centre, 0) as one, Host.connected(centre, 1) as other:
        yield one, other


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.url


@pytest.fixture(scope="session")
def pooled_url(postgres: PostgresServer) -> Iterator[str]:
    """The same server behind pgbouncer, in transaction mode."""
    binary = find_pooler()
    if binary is None:
        _lack("pgbouncer is not on this machine: apt-get install pgbouncer")
    with pooled(postgres, binary) as url:
        yield url


def _lack(why: str) -> NoReturn:
    if os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail(why)
    pytest.skip(why)


_covered: dict[int, int] = {}


# The files and folders of such tests.
_REPEATED = frozenset({"simulation", "contract", "test_secrets.py", "test_architecture.py"})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "no_cover: of pytest-cov, which is not always installed")
    config.addinivalue_line(
        "markers", "fault(*lines): the test shows what these lines of the list of faults promise"
    )
    config.addinivalue_line(
        "markers", "one_python: not of the product, which is the same on every Python; run on 3.11"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: at the end, one of them would keep one core and leave the others.

    Tests that repeat the same calls thousands of times are run without measuring coverage, which
    would take as long as the tests.
    """
    items.sort(key=lambda item: item.path.name != "test_benchmarks.py")
    for item in items:
        if _REPEATED & {item.path.name, item.path.parent.name}:
            item.add_marker("no_cover")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        for name, line in report.user_properties:
            if name == "fault" and isinstance(line, int):
                _covered[line] = _covered.get(line, 0) + 1


@pytest.fixture(autouse=True)
def _note_fault_lines(request: pytest.FixtureRequest) -> None:
    for mark in request.node.iter_markers("fault"):
        request.node.user_properties += [("fault", line) for line in mark.args]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which lines of the list of faults were shown, by how many tests each."""
    if _covered:
        shown = " ".join(f"{line}({_covered[line]})" for line in sorted(_covered))
        terminalreporter.write_line(f"fault lines shown, with the number of tests: {shown}")
