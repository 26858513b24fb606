"""Nothing quadratic: twice as many cost about twice as much."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from scripted import row_of

from invoicexpress_async import RateLimit, SessionManager
from invoicexpress_async.call.limiter import AccountLimiter
from invoicexpress_async.call.locks import KeyedLock
from invoicexpress_async.cli.views.audit_lines import audit_lines
from invoicexpress_async.protocol.sequence_rows import make_converter
from invoicexpress_async.provisioning.audit import AccountAudit
from invoicexpress_async.provisioning.row import AccountRow
from invoicexpress_async.sandbox import FaultServer
from invoicexpress_async.transport.slots import FairSlots

MANY = 16_000


async def cancelled(make: Callable[[], Awaitable[Any]], count: int) -> float:
    """Return the CPU seconds that it takes to cancel so many that wait, the last ones first."""

    async def wait() -> None:
        await make()

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    for _ in range(10):
        await asyncio.sleep(0)
    began = time.process_time()
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return time.process_time() - began


async def nothing() -> float:
    """Return what it takes to cancel as many that wait for nothing in particular."""
    return await cancelled(asyncio.Event().wait, 1_000) * MANY / 1_000


@pytest.mark.fault(71)
async def test_16000_waiters_of_one_shared_run_are_cancelled_in_linear_time(
    faulty: FaultServer,
) -> None:
    faulty.faults.next("hang_unread", times=None)
    async with SessionManager(base_url=faulty.base_url) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences

        few = await cancelled(lambda: sequences.ensure("2027"), MANY // 8)
        many = await cancelled(lambda: sequences.ensure("2027"), MANY)

    assert many < 8 * few * 3 + 0.2  # quadratic would be 64 times as much


@pytest.mark.fault(71)
@pytest.mark.parametrize("kind", ["lock", "limiter", "slots"])
async def test_16000_waiters_in_a_queue_are_cancelled_in_linear_time(
    kind: str, clock: FakeClock
) -> None:
    lock, limiter, slots = KeyedLock(), AccountLimiter(RateLimit(1), clock), FairSlots(1)
    assert limiter.acquire_at_once()
    await slots.acquire("acme")

    async def locked() -> None:
        async with lock.hold("key"):
            pass

    waits: dict[str, Callable[[], Awaitable[Any]]] = {
        "lock": locked,
        "limiter": limiter.acquire,
        "slots": lambda: slots.acquire("acme"),
    }
    async with lock.hold("key"):
        took = await cancelled(waits[kind], MANY)

    assert took < 5 * await nothing() + 0.2


@pytest.mark.fault(85)
def test_an_audit_of_a_thousand_rows_an_account_is_linear() -> None:
    seen = [audited(1_000) for _ in range(3)]
    began = time.process_time()

    lines = [line for one in seen for line in audit_lines(one)]

    assert len(lines) == 3 * 1_001  # each account has no default, and that is a line of its own
    assert time.process_time() - began < 1.0


def audited(count: int) -> AccountAudit:
    from invoicexpress_async.protocol.sequences import SequenceRequests  # noqa: PLC0415

    rows = [row_of(number * 100, f"S{number}", ("N/D", "N/D", "N/D")) for number in range(1, count)]
    requests = SequenceRequests(make_converter())
    page = requests.list().structure({"sequences": [*rows, row_of(1, "2027")]})
    return AccountAudit(row=AccountRow(account="acme", api_key=API_KEY), sequences=page.sequences)
