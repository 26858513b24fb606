"""The tasks in an application of Procrastinate, by real workers that are killed and frozen."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import API_KEY, account_of
from postgres_server import PostgresServer
from procrastinate import App, PsycopgConnector

from invoicexpress_async.provisioning import Plan, PlanRow, PostgresJournal, enter_plan
from invoicexpress_async.sandbox import FaultServer, make_fault

SHOP = Path(__file__).parent / "shop.py"
NAMES = tuple(f"a{number}" for number in range(40))


@pytest.fixture
async def on() -> AsyncIterator[FaultServer]:
    accounts = [account_of(one) for one in NAMES]
    async with FaultServer(accounts=accounts, is_name_check_atomic=False) as server:
        slow = make_fault("latency", seconds=0.2)
        server.faults.randomly({slow: 1.0}, share=1.0, operations=("create",))
        yield server


async def keys(_: str) -> str:
    return API_KEY


async def start(url: str, on: FaultServer) -> asyncio.subprocess.Process:
    variables = {"SHOP_URL": url, "SHOP_API": on.base_url, "SHOP_KEY": API_KEY}
    return await asyncio.create_subprocess_exec(
        sys.executable, SHOP, env={**os.environ, **variables}
    )


async def posts(on: FaultServer, count: int) -> None:
    while on.count("POST", "/sequences.json") < count:  # noqa: ASYNC110  # the server has no event
        await asyncio.sleep(0.01)


async def test_workers_that_die_and_freeze_send_each_row_once(
    postgres: PostgresServer, on: FaultServer
) -> None:
    url = postgres.database()
    async with App(connector=PsycopgConnector(conninfo=url)).open_async() as app:
        await app.schema_manager.apply_schema_async()
    rows = [PlanRow(account=name, api_key=keys, serie="2027") for name in NAMES]
    async with PostgresJournal(url, slices=4) as journal:
        await enter_plan(journal, Plan(rows=rows))
    workers = [await start(url, on) for _ in range(2)]
    try:
        await posts(on, 4)
        workers[0].kill()
        await posts(on, on.count("POST", "/sequences.json") + 4)
        workers[1].send_signal(signal.SIGSTOP)
        workers.append(await start(url, on))
        # The frozen one's slices are taken over when its lease is over; then it wakes.
        query = "SELECT count(*) FROM rows WHERE state = 'planned'"
        while postgres.ask(query, at=url, schema="invoicexpress") != [(0,)]:  # noqa: ASYNC110  # the database has no event
            await asyncio.sleep(0.05)
        workers[1].send_signal(signal.SIGCONT)
        open_ones = "SELECT count(*) FROM rows WHERE state NOT IN ('done', 'absent')"
        while postgres.ask(open_ones, at=url, schema="invoicexpress") != [(0,)]:  # noqa: ASYNC110  # the database has no event
            await asyncio.sleep(0.05)
        for worker in workers[1:]:
            worker.terminate()
        assert [await worker.wait() for worker in workers[1:]] == [0, 0]
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()

    done = {
        name
        for (name,) in postgres.ask(
            "SELECT account FROM rows WHERE state = 'done'", at=url, schema="invoicexpress"
        )
    }
    assert {name for name in NAMES if on.sequences(name)} == done
    assert max(on.oracle.posts(name) for name in NAMES) == 1
    assert on.oracle.duplicates() == ()
    assert len(done) >= len(NAMES) - 8  # what a kill or a freeze left between intent and send
    assert API_KEY not in postgres.dump(url)
