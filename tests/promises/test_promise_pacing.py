"""Slots, keys and connections: taken at once when they are free, and given back without noise."""

import asyncio

import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from test_promise_life import run_script

from invoicexpress_async import RateLimit, SessionManager
from invoicexpress_async.call.limiter import AccountLimiter
from invoicexpress_async.sandbox import FaultServer


@pytest.mark.fault(40)
async def test_a_slot_given_back_is_taken_at_once_though_another_one_comes_free_later(
    clock: FakeClock,
) -> None:
    limiter = AccountLimiter(RateLimit(2), clock)
    await limiter.acquire()
    limiter.release()
    await limiter.acquire()
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    before = clock.now()

    limiter.release_unused()
    await waiter

    assert clock.now() == before == 1_000.0


@pytest.mark.fault(43)
async def test_a_handle_keeps_its_manager_which_then_warns_once_and_nothing_else_does(
    faulty: FaultServer,
) -> None:
    body = f"""
        import asyncio, gc
        from invoicexpress_async import SessionManager
        def open_account():
            return SessionManager(base_url={faulty.base_url!r}).account({ACCOUNT!r}, {API_KEY!r})
        async def main():
            account = open_account()
            await account.sequences.list()
            del account
            gc.collect()
            await asyncio.sleep(0)
        asyncio.run(main())
    """

    process = await asyncio.to_thread(run_script, body, "-W", "always")

    assert process.stderr.count("never closed") == 1
    assert "nclosed" not in process.stderr  # nothing of aiohttp's or asyncio's own


@pytest.mark.fault(43)
async def test_a_close_that_is_cancelled_leaves_no_noise(faulty: FaultServer) -> None:
    faulty.faults.next("timeout", operation="get", times=None)
    body = f"""
        import asyncio, contextlib, gc
        from invoicexpress_async import SessionManager
        async def main():
            manager = SessionManager(base_url={faulty.base_url!r})
            account = manager.account({ACCOUNT!r}, {API_KEY!r})
            await account.sequences.list()
            task = asyncio.create_task(account.sequences.get(1))
            await asyncio.sleep(0.05)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await manager.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del manager, account, task
            gc.collect()
            await asyncio.sleep(0)
        asyncio.run(main())
    """

    process = await asyncio.to_thread(run_script, body, "-W", "always")

    assert process.returncode == 0, process.stderr
    assert "nclosed" not in process.stderr, process.stderr


async def test_a_burst_of_first_calls_calls_the_vault_once(
    faulty_manager: SessionManager, clock: FakeClock
) -> None:
    requested = 0

    async def vault() -> str:
        nonlocal requested
        requested += 1
        await clock.sleep(1.0)
        return API_KEY

    account = faulty_manager.account(ACCOUNT, vault)

    await asyncio.gather(*(account.sequences.list() for _ in range(50)))

    assert requested == 1
