"""Under pytest-asyncio in its strict mode, on loops of every scope."""

from collections.abc import AsyncIterator

import application
import pytest
import pytest_asyncio

from invoicexpress_async import SessionManager
from invoicexpress_async.testing import SandboxThread


@pytest.mark.asyncio
async def test_on_a_loop_of_its_own(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    assert await application.provision("2027")
    assert len(await invoicexpress_manager.account().sequences.list()) == 1
    assert len(invoicexpress_sandbox.sequences()) == 1


@pytest.mark.parametrize(
    "turn",
    [
        pytest.param(turn, marks=pytest.mark.asyncio(loop_scope=scope), id=f"{scope}-{turn}")
        for scope in ("function", "module", "session")
        for turn in (1, 2)
    ],
)
async def test_on_a_loop_that_others_use_too(
    turn: int, invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    ensured = await invoicexpress_manager.account().sequences.ensure(f"202{turn}")

    assert ensured.created
    assert len(invoicexpress_sandbox.sequences()) == 1


@pytest.mark.asyncio(loop_scope="class")
class TestOnTheLoopOfAClass:
    async def test_first(self, invoicexpress_manager: SessionManager) -> None:
        assert await invoicexpress_manager.account().sequences.list() == ()

    async def test_second(self, invoicexpress_manager: SessionManager) -> None:
        assert await invoicexpress_manager.account().sequences.list() == ()


@pytest_asyncio.fixture
async def serie(invoicexpress_manager: SessionManager) -> AsyncIterator[str]:
    account = invoicexpress_manager.account()
    yield (await account.sequences.create("2027")).serie
    assert await account.sequences.find("2027") is not None  # still open


@pytest.mark.asyncio
async def test_a_fixture_of_the_users_shares_the_manager(
    serie: str, invoicexpress_manager: SessionManager
) -> None:
    assert await invoicexpress_manager.account().sequences.find(serie) is not None
