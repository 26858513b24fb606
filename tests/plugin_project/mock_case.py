"""Tests of those who mock."""

import asyncio

import aiohttp
from aioresponses import aioresponses

from invoicexpress_async import SessionManager
from invoicexpress_async.testing import patched_aioresponses

_URL = "https://acme.app.invoicexpress.com/sequences.json"


async def _status() -> int:
    async with aiohttp.ClientSession() as session, session.get(_URL) as response:
        return response.status


def test_aioresponses_works_with_the_installed_aiohttp(
    invoicexpress_aioresponses: aioresponses,
) -> None:
    invoicexpress_aioresponses.get(_URL, status=418)

    assert asyncio.run(_status()) == 418


def test_a_managers_answers_can_be_mocked(invoicexpress_aioresponses: aioresponses) -> None:
    invoicexpress_aioresponses.get(_URL, payload={"sequences": []})

    async def look() -> int:
        async with SessionManager() as manager:
            return len(await manager.account("acme", "a-key-for-mocks").sequences.list())

    assert asyncio.run(look()) == 0


def test_it_is_a_context_manager_too() -> None:
    with patched_aioresponses() as mocked:
        mocked.get(_URL, status=204)

        assert asyncio.run(_status()) == 204
