"""Calls that want different defaults at the same time: none undoes what another has reported."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from scripted import Scripted, row_of, serving_scripted

from invoicexpress_async import AccountSession, DeadlineExceededError, SessionManager
from invoicexpress_async.sandbox import FaultServer


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # of the server
            await asyncio.sleep(0)


def _default(server: FaultServer) -> list[str]:
    return [str(row.serie) for row in server.sequences(ACCOUNT) if row.is_default]


async def test_a_default_that_another_call_has_set_is_not_taken_for_the_servers_own(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    await faulty_account.sequences.create("2026", default=True)
    faulty.faults.next("latency", operation="create", seconds=5.0)
    creating = asyncio.create_task(faulty_account.sequences.ensure("2027"))
    await _until(lambda: len(faulty.sequences(ACCOUNT)) == 2)

    async with SessionManager(base_url=faulty.base_url, clock=clock) as other:
        made = await other.account(ACCOUNT, API_KEY).sequences.ensure("2027", default=True)
    await creating

    assert made.sequence.is_default
    assert _default(faulty) == ["2027"]


class _SlowToAnswer(Scripted):
    """A new sequence becomes the default by itself, and the response waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.takes_the_default = True
        self.has_created = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await super().handle(request)
        if request.method == "POST":
            self.has_created.set()
            await self.may_answer.wait()
        return response


async def test_the_default_that_is_restored_is_the_last_that_a_call_has_set() -> None:
    async with serving_scripted(_SlowToAnswer) as (server, account):
        assert isinstance(server, _SlowToAnswer)
        rows = server.rows[ACCOUNT] = [row_of(100, "A", default=True), row_of(200, "B")]
        creating = asyncio.create_task(account.sequences.ensure("C"))
        await server.has_created.wait()

        await account.sequences.set_current(200)
        rows[1]["default_sequence"], rows[2]["default_sequence"] = 0, 1
        server.may_answer.set()
        await creating

        assert [row["serie"] for row in rows if row["default_sequence"]] == ["B"]


async def test_a_call_for_the_default_does_not_join_one_that_read_it_before_a_change(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    sequences = faulty_account.sequences
    await sequences.create("A", default=True)
    other = await sequences.create("B")
    faulty.faults.next("latency", operation="list", seconds=5.0)
    requests = len(faulty.requests)
    with clock.stopped():
        early = asyncio.create_task(sequences.ensure("A", default=True))
        await _until(lambda: len(faulty.requests) > requests)
        await sequences.set_current(other.id)
        late = asyncio.create_task(sequences.ensure("A", default=True))
        await asyncio.sleep(0)
    await early

    assert (await late).sequence.is_default
    assert _default(faulty) == ["A"]


async def test_a_default_is_not_set_when_the_machine_slept_past_the_deadline(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    sequences = faulty_account.sequences
    await sequences.create("2026", default=True)
    await sequences.create("2027")
    faulty.faults.next("latency", operation="list", seconds=5.0)
    requests = len(faulty.requests)
    with clock.stopped():
        ensuring = asyncio.create_task(sequences.ensure("2027", default=True))
        await _until(lambda: len(faulty.requests) > requests)
        clock.suspend(8 * 3600)

    with pytest.raises(DeadlineExceededError, match="deadline of the call has passed") as caught:
        await ensuring

    assert not caught.value.may_have_been_processed
    assert _default(faulty) == ["2026"]
