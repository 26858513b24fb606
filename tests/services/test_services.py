"""The example services as separate processes, under load that hangs up and a server that fails."""

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from service_process import Holdings, ServiceProcess, quiet, service

from invoicexpress_async.testing import SandboxThread

ACCOUNTS = [f"company-{number}" for number in range(40)]
SERIES = ("2027", "2028", "2029")
FAULTS = {
    "close_after_read": 1.0,
    "reset_peer": 1.0,
    "status": 1.0,
    "reset_unread": 1.0,
    "truncated_json": 1.0,
    "login_page": 1.0,
}

Service = tuple[ServiceProcess, SandboxThread]


@pytest.fixture(scope="module", params=["fastapi_service", "aiohttp_service"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with SandboxThread() as sandbox:
        keys = {name: sandbox.add_account(name).api_key for name in ACCOUNTS}
        environment = {**sandbox.environment, "GRACE_SECONDS": "0.5"}
        folder = tmp_path_factory.mktemp(request.param)
        with service(request.param, folder, environment, keys) as process:
            yield process, sandbox
        assert sandbox.duplicates() == ()


@pytest.fixture
async def client(running: Service) -> AsyncIterator["Client"]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session, running[0])


@attrs.frozen(eq=False)
class Client:
    _session: aiohttp.ClientSession
    _process: ServiceProcess

    async def ensure(self, account: str, serie: str, deadline: str = "30") -> tuple[int, Any]:
        url = f"{self._process.url}/companies/{account}/sequences"
        headers = {"X-Deadline-Seconds": deadline}
        async with self._session.post(url, json={"serie": serie}, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None) if answer.ok else None

    async def get(self, path: str, deadline: str = "30") -> int:
        headers = {"X-Deadline-Seconds": deadline}
        async with self._session.get(self._process.url + path, headers=headers) as answer:
            return answer.status


def most_posts(sandbox: SandboxThread) -> int:
    """Of one name on one account."""
    names = [(account, serie) for account in ACCOUNTS for serie in SERIES]
    return sandbox.call(
        lambda server: max(server.oracle.posts(account, serie) for account, serie in names)
    )


async def settled(process: ServiceProcess, *, tasks: int) -> Holdings:
    """Return what it holds once the server has noticed that its clients are gone."""
    for _ in range(50):
        holdings = await process.look()
        if holdings.tasks <= tasks:
            break
        await asyncio.sleep(0.1)
    return holdings


async def test_a_service_responds_as_its_routes_say(running: Service, client: Client) -> None:
    _, sandbox = running

    assert (await client.ensure("company-0", "A"))[0] == 201
    assert (await client.ensure("company-0", "A"))[0] == 200
    assert await client.get("/companies/company-0/sequences") == 200
    assert (await client.ensure("stranger", "A"))[0] == 404
    assert (await client.ensure("company-0", "B", deadline="soon"))[0] == 400
    assert (await client.ensure("company-0", "A" * 36))[0] == 400
    assert [one.serie for one in sandbox.sequences("company-0")] == ["A"]


async def test_a_lost_response_is_a_202_with_a_link_that_responds_later(
    running: Service, client: Client
) -> None:
    _, sandbox = running
    sandbox.fail_next("timeout", operation="create", commits="late")

    status, reported = await client.ensure("company-1", "A", deadline="0.4")

    assert status == 202
    assert await client.get(reported["resume"], deadline="0.2") == 202
    assert sandbox.commit_late() == 1
    assert await client.get(reported["resume"]) == 200
    assert await client.get(reported["resume"] + "0") == 404
    assert sandbox.count("POST", "/sequences.json", account="company-1") == 1


async def test_a_storm_leaves_no_series_twice_and_nothing_open(running: Service) -> None:
    process, sandbox = running
    await quiet(process)
    before, dice, statuses = await process.look(), random.Random(6), Counter[int]()
    sandbox.fail_randomly(FAULTS, share=0.15)

    async def ask(client: Client, number: int) -> None:
        account, serie = ACCOUNTS[number % len(ACCOUNTS)], SERIES[number % 2]
        waiting = asyncio.ensure_future(client.ensure(account, serie, deadline="3"))
        hangs_up_after = dice.random() / 4 if number % 5 == 0 else None
        await asyncio.wait([waiting], timeout=hangs_up_after)
        if waiting.done():
            statuses[(await waiting)[0]] += 1
        waiting.cancel()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(session, process)
        await asyncio.gather(*(ask(client, number) for number in range(240)))
    health = await quiet(process)
    after = await settled(process, tasks=before.tasks)
    sandbox.heal()

    assert statuses.keys() <= {200, 201, 202, 502, 504}
    assert statuses[201] > 0
    assert after.tasks <= before.tasks
    assert after.sockets <= before.sockets + health["connections"]
    assert most_posts(sandbox) == 1


async def test_sigterm_in_the_middle_leaves_no_client_without_a_response(
    running: Service, client: Client
) -> None:
    process, sandbox = running
    sandbox.fail_next("timeout", operation="create", times=10, commits="late")
    requested = [asyncio.ensure_future(client.ensure(name, "2029")) for name in ACCOUNTS[:20]]
    await asyncio.sleep(0.6)

    process.terminate()
    answers = await asyncio.gather(*requested)

    assert await process.ended() in {0, -signal.SIGTERM}  # uvicorn's way
    assert process.complaints == ""
    assert Counter(status for status, _ in answers) == {201: 10, 202: 10}
    assert sandbox.commit_late() == 10
    await asyncio.to_thread(process.start)  # knows nothing but what was kept
    links = [reported["resume"] for status, reported in answers if status == 202]
    assert [await client.get(link) for link in links] == [200] * 10
    assert [(await client.ensure(name, "2029"))[0] for name in ACCOUNTS[:20]] == [200] * 20
    assert most_posts(sandbox) == 1


@pytest.mark.one_python
async def test_a_short_run_of_the_benchmark_posts_nothing_twice() -> None:
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "bench_services.py", "20", "1"],
        cwd=Path(__file__).parents[2] / "benchmarks",
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert process.returncode == 0, process.stderr
    rows = {line[:9].strip(): line.split() for line in process.stdout.splitlines()}
    *_, tasks, _, posts, lies = rows["ours"]
    assert (posts, lies) == ("1", "0")
    assert int(tasks) <= 5
    assert rows["by hand"]
