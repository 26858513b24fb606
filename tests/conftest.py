"""Fixtures: a sandbox on loopback, a manager on it, and a clock."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import aioresponses
import aioresponses.core
import pytest
from fakes import FakeClock

from invoicexpress_async import AccountSession, SessionManager
from invoicexpress_async.sandbox import Sandbox

DATA = Path(__file__).parent / "data"
ACCOUNT = "acme"
API_KEY = "canary-key-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT", "API_KEY", "BASE_URL", "TIMEOUT_SECONDS", "MAX_CONNECTIONS"):
        monkeypatch.delenv(f"INVOICEXPRESS_{name}", raising=False)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


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


def account_of(name: str, **settings: Any) -> Any:
    from invoicexpress_async.sandbox import SandboxAccount  # noqa: PLC0415

    return SandboxAccount(name=name, api_key=API_KEY, **settings)


@pytest.fixture(params=["create_201", "create_201_lean_2019"])
def sample(request: pytest.FixtureRequest) -> dict[str, Any]:
    document = json.loads((DATA / f"{request.param}.json").read_text())
    assert isinstance(document, dict)
    return document


class _MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 builds responses without the argument that aiohttp 3.14 asks for."""

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
