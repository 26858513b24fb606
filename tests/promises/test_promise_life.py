"""Closing, deadlines, 429, fork and cancelling: nothing is sent too late, lost or kept waiting."""

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
from typing import Any, Literal

import aiohttp
import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    DeadlineExceededError,
    InvoiceXpressError,
    RateLimitedError,
    SessionClosedError,
    SessionManager,
)
from invoicexpress_async.sandbox import FaultServer


def run_script(body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the test's in a process of its own."""
    return subprocess.run(  # noqa: S603  # our own script
        [sys.executable, *options, "-c", textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def turns(number: int) -> None:
    """Let everything that is ready run so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


# A search that takes hours would hold the interpreter, and every timeout within it.
def test_a_path_with_a_query_is_refused_at_once() -> None:
    body = """
        from invoicexpress_async.config import check_path
        try:
            check_path("/api/accounts/create_already_user_long.json?page=2")
        except ValueError:
            print("refused")
    """

    process = run_script(body)

    assert process.stdout == "refused\n"


@pytest.mark.fault(43)
async def test_closing_while_a_call_past_its_deadline_unwinds_waits_for_it(
    faulty: FaultServer, clock: FakeClock
) -> None:
    has_expired, may_unwind = asyncio.Event(), asyncio.Event()

    async def vault() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            has_expired.set()
            await may_unwind.wait()
            raise
        return API_KEY

    manager = SessionManager(base_url=faulty.base_url, clock=clock)
    task = asyncio.create_task(manager.account(ACCOUNT, vault).sequences.list(timeout_seconds=5))
    await asyncio.sleep(0)
    clock.advance(10)
    await has_expired.wait()

    closing = asyncio.create_task(manager.close(grace_seconds=0.0))
    await turns(10)
    assert not closing.done()
    may_unwind.set()

    await closing
    with pytest.raises(InvoiceXpressError, match="it had no effect"):
        await task


@pytest.mark.fault(43)
async def test_closing_twice_returns_as_soon_as_the_calls_have_ended(
    faulty: FaultServer, clock: FakeClock
) -> None:
    is_unsealed = asyncio.Event()

    async def vault() -> str:
        await is_unsealed.wait()
        return API_KEY

    manager = SessionManager(base_url=faulty.base_url, clock=clock)
    task = asyncio.create_task(manager.account(ACCOUNT, vault).sequences.list())
    await asyncio.sleep(0)
    closing = asyncio.gather(manager.close(grace_seconds=5.0), manager.close(grace_seconds=5.0))
    await turns(10)

    is_unsealed.set()

    async with asyncio.timeout(2):
        await closing
    assert await task == ()


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    "is_cut_short", [False, True], ids=["while it closes", "after it was cut short"]
)
async def test_nothing_is_sent_for_a_key_that_comes_after_the_close_began(
    is_cut_short: bool, faulty: FaultServer, clock: FakeClock
) -> None:
    was_cancelled, is_unsealed = asyncio.Event(), asyncio.Event()

    async def vault() -> str:
        with contextlib.suppress(asyncio.CancelledError):  # as the retries of a vault's client do
            await asyncio.Event().wait()
        was_cancelled.set()
        await is_unsealed.wait()
        return API_KEY

    manager = SessionManager(base_url=faulty.base_url, clock=clock)
    task = asyncio.create_task(manager.account(ACCOUNT, vault).sequences.create("2027"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(manager.close(grace_seconds=0.0))
    await was_cancelled.wait()
    if is_cut_short:
        closing.cancel()
        await asyncio.wait([closing])

    is_unsealed.set()

    with pytest.raises(SessionClosedError, match="it had no effect"):
        await task
    await asyncio.wait([closing])
    assert faulty.oracle.posts(ACCOUNT) == 0
    assert faulty.oracle.connections_total == 0


@pytest.mark.fault(37)
async def test_nothing_is_sent_after_the_deadline(
    faulty: FaultServer, faulty_manager: SessionManager, clock: FakeClock
) -> None:
    async def vault() -> str:
        clock.advance(10)  # a synchronous client, which holds the event loop up
        return API_KEY

    warm = faulty_manager.account(ACCOUNT, API_KEY)
    await warm.sequences.list()

    with pytest.raises(DeadlineExceededError, match="it had no effect"):
        await faulty_manager.account(ACCOUNT, vault).sequences.create("2027", timeout_seconds=5)

    await warm.sequences.list()
    assert faulty.oracle.posts(ACCOUNT) + len(faulty.oracle.partial) == 0


@pytest.mark.fault(32)
async def test_a_429_that_is_raised_slows_the_account_all_the_same(
    faulty: FaultServer, faulty_account: AccountSession, faulty_manager: SessionManager
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next("status", status=429, operation="register", commits=False, retry_after="30")

    with pytest.raises(RateLimitedError, match="HTTP 429"):
        await faulty_account.sequences.register(row.id)

    assert faulty_manager.health()["accounts_slowed"] == 1


@pytest.mark.fault(32)
async def test_a_429_whose_wait_is_over_the_deadline_slows_the_account(
    faulty: FaultServer, faulty_account: AccountSession, faulty_manager: SessionManager
) -> None:
    faulty.faults.next("status", status=429, operation="list", retry_after="60")

    with pytest.raises(RateLimitedError, match="HTTP 429"):
        await faulty_account.sequences.list(timeout_seconds=5)

    assert faulty_manager.health()["accounts_slowed"] == 1


@pytest.mark.fault(44)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
async def test_a_forked_child_leaves_the_parents_connections_alone(faulty: FaultServer) -> None:
    body = f"""
        import asyncio, gc, os, warnings
        warnings.simplefilter("ignore")
        from invoicexpress_async import SessionManager
        async def main():
            manager = SessionManager(base_url={faulty.base_url!r})
            account = manager.account({ACCOUNT!r}, {API_KEY!r})
            await account.sequences.list()
            if os.fork() == 0:
                del account, manager
                gc.collect()
                os._exit(0)
            os.wait()
            print(len(await account.sequences.list(timeout_seconds=3)))
            await manager.close()
        asyncio.run(main())
    """

    process = await asyncio.to_thread(run_script, body)

    assert process.stdout == "0\n", process.stderr
    assert faulty.oracle.connections_total == 1


async def cancel_twice(task: "asyncio.Task[Any]", *, after: int, again_after: int) -> None:
    """Cancel after so many turns of the event loop, and again after so many more."""
    for _ in range(after):
        if task.done():
            return
        await asyncio.sleep(0)
    task.cancel()
    await turns(again_after)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, InvoiceXpressError):
        await task


def awaiting_hooks() -> aiohttp.TraceConfig:
    """Return hooks for everything, each of which can be cancelled."""
    trace = aiohttp.TraceConfig()

    async def hook(*_: object) -> None:
        await turns(2)

    for name in dir(trace):
        if name.startswith("on_"):
            getattr(trace, name).append(hook)
    return trace


@pytest.mark.fault(41, 72)
@pytest.mark.parametrize("again_after", [1, 2])
@pytest.mark.parametrize("fault", ["reset_peer", "timeout", None])
async def test_an_ensure_that_is_cancelled_twice_at_any_step_is_sent_once_and_on_record(
    fault: Literal["reset_peer", "timeout"] | None,
    again_after: int,
    faulty: FaultServer,
    clock: FakeClock,
) -> None:
    lost: list[int] = []
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, trace_configs=[awaiting_hooks()], rate_limit=None
    ) as manager:
        for step in range(90):
            name = f"a{step}"
            faulty.add_account(account_of(name))
            faulty.add_sequence(name, "2026", is_default=True)  # so that the flag is looked at
            if fault is not None:
                faulty.faults.next(fault, operation="create", account=name, commits="late")
            sequences = manager.account(name, API_KEY).sequences

            task = asyncio.create_task(sequences.ensure("2027"))
            await cancel_twice(task, after=step, again_after=again_after)
            is_on_record = bool(sequences.unresolved())
            await turns(61)

            if task.cancelled() and faulty.oracle.posts(name) and not is_on_record:
                lost.append(step)
            faulty.faults.clear()
            if task.cancelled():  # a list that lags
                faulty.faults.next(
                    "status", operation="list", account=name, status=200, body='{"sequences":[]}'
                )
            with contextlib.suppress(InvoiceXpressError):
                await sequences.ensure("2027", timeout_seconds=3)
            faulty.faults.clear()
            assert faulty.oracle.posts(name) <= 1, step
            assert manager.health()["calls_in_flight"] == 0
        assert manager.health()["connections"] <= 100

    assert lost == []
