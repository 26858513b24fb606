"""The command killed with -9 at the instants that matter for a key."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import test_cli
from test_cli import KEY, Run, Start
from test_cli_onboard import Place, outcomes, states
from test_onboarding import nif

from invoicexpress_async.sandbox import FaultServer, SandboxAccount

bytecode, interruptible = test_cli.bytecode, test_cli.interruptible
run, start = test_cli.run, test_cli.start


@attrs.define(kw_only=True)
class Held:
    """A place whose server keeps an answer back until it is let go."""

    place: Place
    is_requested: asyncio.Event
    may_go: asyncio.Event

    async def begin(self, start: Start) -> asyncio.subprocess.Process:
        """Start a run of one company, until the server holds the response to its create."""
        self.place.write(1)
        self.place.server.faults.next("latency", operation="account_create")
        process = await start(*self.place.arguments("--json"), variables=self.place.variables)
        await self.is_requested.wait()
        return process


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    is_requested, may_go = asyncio.Event(), asyncio.Event()

    async def wait(_seconds: float) -> None:
        is_requested.set()
        await may_go.wait()

    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[partner], sleep=wait) as server:
        yield Held(place=Place(server, tmp_path), is_requested=is_requested, may_go=may_go)
        may_go.set()


async def test_killed_between_the_spool_and_the_delivery_the_next_run_delivers(
    held: Held, start: Start, run: Run
) -> None:
    place = held.place
    process = await held.begin(start)
    descriptor = os.open(place.keys, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # so that the delivery waits
    held.may_go.set()
    spool = place.keys.with_name("keys.csv.spool")
    while place.made()[nif(1)] not in spool.read_text():  # noqa: ASYNC110 - of a file
        await asyncio.sleep(0.005)
    process.kill()
    await process.communicate()
    os.close(descriptor)

    ended = await run(*place.arguments("--json"), **place.variables)

    assert states(ended) == {nif(1): "end done"}
    assert place.delivered() == place.made()
    assert place.server.oracle.accounts.posts() == 1
    assert spool.read_bytes() == b""
    place.check_secrets(ended.out, ended.err)


async def test_killed_before_the_response_is_read_the_company_is_reported_as_unknown(
    held: Held, start: Start, run: Run
) -> None:
    place = held.place
    process = await held.begin(start)
    process.kill()
    await process.communicate()
    held.may_go.set()

    # That send was never reported: a --forget in the same breath does not cover it.
    ended = await run(*place.arguments("--json", "--forget", nif(1)), **place.variables)
    dry = await run(*place.arguments("--dry-run", "--forget", nif(1)), **place.variables)

    assert states(ended) == {nif(1): "account unknown"}
    assert outcomes(ended)[nif(1)]["intent"] is not None
    assert ended.code == 3
    assert place.server.oracle.accounts.posts() == 1
    assert "1 to create an account for" in dry.err
