"""Many senders at once, to a server that accepts every create.

Only the journal prevents a second create.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from job_process import KEY, Job, Running, journal_of
from postgres_server import PostgresServer

from invoicexpress_async import RetryPolicy
from invoicexpress_async.provisioning import Plan, PostgresJournal, enter_plan
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

NAMES = tuple(f"a{number}" for number in range(24))
READ_AFTER_SECONDS = (0.1, 0.3, 0.6)
QUICK = RetryPolicy(read_after_seconds=(0.05, 0.1, 0.2, 0.4, 0.8))


def accepting(*names: str, create_seconds: float = 0.3, **settings: Any) -> FaultServer:
    """Return a server that accepts every create, after `create_seconds`."""
    accounts = [SandboxAccount(name=one, api_key=KEY) for one in names or NAMES]
    server = FaultServer(accounts=accounts, is_name_check_atomic=False, **settings)
    server.faults.next("latency", operation="create", seconds=create_seconds, times=None)
    return server


def prepare(folder: Path, on: FaultServer, **changes: Any) -> Job:
    """Return a job for all accounts of a server, with its plan."""
    job = attrs.evolve(Job(base_url=on.base_url, folder=folder), **changes)
    job.write_plan(list(on.accounts))
    return job


def posts(on: FaultServer) -> set[int]:
    return {on.oracle.posts(name) for name in on.accounts}


async def have_ended(*running: Running) -> list[int]:
    return [await one.ended() for one in running]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.005)


async def plan(job: Job) -> None:
    async with journal_of(job) as journal:
        assert isinstance(journal, PostgresJournal)
        await enter_plan(journal, Plan.from_csv(job.plan))


async def until_the_leases_end(postgres: PostgresServer, job: Job) -> None:
    """Wait until every present lease has expired."""
    query = "SELECT count(*) FROM invoicexpress.slices WHERE until > clock_timestamp()"
    await until(lambda: postgres.ask(query, at=job.url) == [(0,)])


def states(postgres: PostgresServer, job: Job) -> dict[str, str]:
    return dict(postgres.ask("SELECT account, state FROM invoicexpress.rows", at=job.url))


def check(on: FaultServer, postgres: PostgresServer, job: Job) -> None:
    """Check that each row had one POST, or none if it was claimed and never sent."""
    for account, state in states(postgres, job).items():
        assert (state, on.oracle.posts(account)) in {("done", 1), ("absent", 0)}, account
