"""Under pytest-asyncio in its auto mode."""

from collections.abc import AsyncIterator

import application
import pytest

from invoicexpress_async import SessionManager
from invoicexpress_async.testing import SandboxThread


async def test_without_a_mark(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    assert await application.provision("2027")
    assert len(await invoicexpress_manager.account().sequences.list()) == 1
    assert len(invoicexpress_sandbox.sequences()) == 1


@pytest.fixture
async def serie(invoicexpress_manager: SessionManager) -> AsyncIterator[str]:
    account = invoicexpress_manager.account()
    yield (await account.sequences.create("2027")).serie
    assert await account.sequences.find("2027") is not None  # still open


async def test_a_fixture_of_the_users_shares_the_manager(
    serie: str, invoicexpress_manager: SessionManager
) -> None:
    assert await invoicexpress_manager.account().sequences.find(serie) is not None
