"""What a process decided before it was frozen, or its machine slept, is not sent afterwards."""

import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from scripted import Scripted, row_of, serving_scripted

from invoicexpress_async import (
    AccountSession,
    DeadlineExceededError,
    OutcomeUnknownError,
    RetryPolicy,
    SessionManager,
)
from invoicexpress_async.provisioning import AccountList, AccountRow, rollover
from invoicexpress_async.sandbox import FaultServer

_NIGHT_SECONDS = 8 * 3600.0


@pytest.mark.fault(64)
@pytest.mark.parametrize(
    "wait",
    [pytest.param(FakeClock.advance, id="frozen"), pytest.param(FakeClock.suspend, id="asleep")],
)
async def test_an_intent_that_its_caller_kept_a_minute_ago_is_not_sent(
    wait: Callable[[FakeClock, float], None],
    faulty: FaultServer,
    faulty_account: AccountSession,
    clock: FakeClock,
) -> None:
    async def keep(_: object) -> None:
        wait(clock, 61.0)

    sequences = faulty_account.sequences
    with pytest.raises(DeadlineExceededError, match="It was not sent: 61 seconds") as withdrawn:
        await sequences.create("2027", on_intent=keep)
    sent = faulty.oracle.posts(ACCOUNT)
    await sequences.create("2027")

    assert not withdrawn.value.may_have_been_processed
    assert (sent, sequences.unresolved()) == (0, ())
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(64)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda one: one.sequences.create("2027"), id="create"),
        pytest.param(lambda one: one.sequences.register(1), id="register"),
        pytest.param(lambda one: one.sequences.set_current(1), id="set_current"),
        pytest.param(lambda one: one.request("PUT", "/sequences/1/register.json"), id="request"),
    ],
)
async def test_a_request_with_an_effect_is_not_sent_after_a_night_asleep(
    call: Callable[[AccountSession], Awaitable[object]],
    faulty: FaultServer,
    faulty_manager: SessionManager,
    clock: FakeClock,
) -> None:
    async def key() -> str:
        clock.suspend(_NIGHT_SECONDS)
        return API_KEY

    faulty.add_sequence(ACCOUNT, "2026", is_registered=False)
    account = faulty_manager.account(ACCOUNT, key)

    with pytest.raises(DeadlineExceededError, match="deadline of the call has passed") as late:
        await call(account)

    assert not late.value.may_have_been_processed
    assert faulty.requests == []


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_an_old_intent_that_is_forgotten_again_does_not_take_a_later_one_with_it(
    is_resumed: bool,
    faulty: FaultServer,
    faulty_account: AccountSession,
) -> None:
    quick = RetryPolicy(read_after_seconds=())
    sequences = faulty_account.with_options(retry=quick).sequences
    faulty.faults.next("reset_peer", operation="create", commits=False, times=None)
    with pytest.raises(OutcomeUnknownError) as first:
        await sequences.create("2027")
    assert first.value.intent is not None
    sequences.forget(first.value.intent)
    with pytest.raises(OutcomeUnknownError) as second:
        await sequences.create("2027")

    if is_resumed:
        with pytest.raises(OutcomeUnknownError):
            await sequences.resume(first.value.intent)
    sequences.forget(first.value.intent)
    with pytest.raises(OutcomeUnknownError) as third:
        await sequences.create("2027")

    assert faulty.oracle.posts(ACCOUNT) == 2
    assert sequences.unresolved() == (second.value.intent,)
    assert third.value.intent == second.value.intent


async def test_an_intent_has_the_time_of_its_send_and_not_of_its_call(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    asked = []

    async def key() -> str:
        asked.append(time.time())
        return API_KEY

    faulty.faults.next("reset_peer", operation="create", commits=False)
    with pytest.raises(OutcomeUnknownError) as unknown:
        await faulty_manager.account(ACCOUNT, key).sequences.create("2027")

    assert unknown.value.intent is not None
    assert unknown.value.intent["sent_at"] >= asked[0]


class _SetsAnother(Scripted):
    """The first `set_current` fails, and somebody makes a later year's serie the default."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("set_current.json") and not self.count("set_current"):
            self.says("set_current", 503)
            response = await super().handle(request)
            self.says("set_current", 200, does=True)
            for row in self.rows[ACCOUNT]:
                row["default_sequence"] = int(row["serie"] == "2028")
            return response
        return await super().handle(request)


async def test_a_roll_over_does_not_repeat_its_default_over_a_later_one() -> None:
    async with serving_scripted(_SetsAnother) as (server, _):
        server.rows[ACCOUNT] = [row_of(100, "2026", default=True), row_of(200, "2028")]
        async with SessionManager(base_url=server.base_url, clock=FakeClock()) as manager:
            accounts = AccountList(rows=[AccountRow(account=ACCOUNT, api_key=API_KEY)])
            report = await rollover(manager, accounts, year=2027, default_now=True)

    (outcome,) = report.run.outcomes
    assert outcome.error_name == "StepBackwardsError"
    assert [row["serie"] for row in server.rows[ACCOUNT] if row["default_sequence"]] == ["2028"]


@pytest.mark.parametrize(
    "wait",
    [pytest.param(FakeClock.advance, id="slow"), pytest.param(FakeClock.suspend, id="asleep")],
)
async def test_a_key_is_kept_from_when_its_vault_was_called(
    wait: Callable[[FakeClock, float], None],
    faulty_manager: SessionManager,
    clock: FakeClock,
) -> None:
    calls = 0

    async def key() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            wait(clock, 150.0)
        return API_KEY

    account = faulty_manager.account(ACCOUNT, key)
    await account.sequences.list()
    wait(clock, 140.0)
    await account.sequences.list()
    before = calls
    wait(clock, 20.0)
    await account.sequences.list()

    assert (before, calls) == (1, 2)
