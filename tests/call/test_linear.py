"""Nothing quadratic: eight times as much takes about eight times as many steps.

Steps are counted and not timed, which no busy machine can change.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import attrs
import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from scripted import row_of

from invoicexpress_async import RateLimit, SessionManager
from invoicexpress_async.call.limiter import AccountLimiter
from invoicexpress_async.call.realm import KeyedLock
from invoicexpress_async.cli.views.audit_lines import audit_lines
from invoicexpress_async.protocol.sequences import make_converter
from invoicexpress_async.provisioning.audit import AccountAudit
from invoicexpress_async.provisioning.row import AccountRow
from invoicexpress_async.sandbox import FaultServer
from invoicexpress_async.transport.pool import FairSemaphore

FEW, MANY = 500, 4_000
MOST_TIMES = 12  # 8 is linear, 64 is quadratic
# What looks at a whole queue.
SEARCHES = {"remove", "index", "count", "insert", "copy"}


@attrs.define
class Steps:
    """Function calls; one that looks through a queue counts as the length of the queue."""

    count: int = 0

    def note(self, _: FrameType, event: str, function: object) -> None:
        if event == "call":
            self.count += 1
        elif event == "c_call":
            queue = getattr(function, "__self__", None)
            is_search = isinstance(queue, list | deque) and (
                getattr(function, "__name__", "") in SEARCHES
            )
            self.count += len(queue) if is_search else 1  # type: ignore[arg-type]


@contextmanager
def counted() -> Iterator[Steps]:
    steps = Steps()
    sys.setprofile(steps.note)
    try:
        yield steps
    finally:
        sys.setprofile(None)


async def cancelled(make: Callable[[], Awaitable[Any]], count: int) -> int:
    """Return the steps that it takes to cancel so many that wait, the last ones first."""

    async def wait() -> None:
        await make()

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    for _ in range(10):
        await asyncio.sleep(0)
    with counted() as steps:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return steps.count


async def test_a_search_of_a_queue_is_seen() -> None:
    """The counter itself: a queue that is searched for each that leaves it is quadratic."""

    async def times() -> float:
        waiting: deque[int] = deque()

        async def wait(number: int) -> None:
            waiting.append(number)
            try:
                await asyncio.Event().wait()
            finally:
                waiting.remove(number)

        numbers = iter(range(FEW + MANY))
        few = await cancelled(lambda: wait(next(numbers)), FEW)
        return await cancelled(lambda: wait(next(numbers)), MANY) / few

    assert await times() > 2 * MOST_TIMES


@pytest.mark.fault(71)
async def test_waiters_of_one_shared_run_are_cancelled_in_linear_time(faulty: FaultServer) -> None:
    faulty.faults.next("hang_unread", times=None)
    async with SessionManager(base_url=faulty.base_url) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences

        few = await cancelled(lambda: sequences.ensure("2027"), FEW)
        many = await cancelled(lambda: sequences.ensure("2027"), MANY)

    assert many / few < MOST_TIMES


@pytest.mark.fault(71)
@pytest.mark.parametrize("kind", ["lock", "limiter", "slots"])
async def test_waiters_in_a_queue_are_cancelled_in_linear_time(kind: str, clock: FakeClock) -> None:
    lock, limiter, slots = KeyedLock(), AccountLimiter(RateLimit(1), clock), FairSemaphore(1)
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
        few = await cancelled(waits[kind], FEW)
        many = await cancelled(waits[kind], MANY)

    assert many / few < MOST_TIMES


@pytest.mark.fault(85)
def test_an_audit_is_linear_in_the_rows_of_an_account() -> None:
    few, many = audited(125), audited(1_000)

    with counted() as of_few:
        list(audit_lines(few))
    with counted() as of_many:
        lines = list(audit_lines(many))

    assert len(lines) == 1_001  # the account has no default, and that is a line of its own
    assert of_many.count / of_few.count < MOST_TIMES


def audited(count: int) -> AccountAudit:
    from invoicexpress_async.protocol.sequences import SequenceRequests  # noqa: PLC0415

    rows = [row_of(number * 100, f"S{number}", ("N/D", "N/D", "N/D")) for number in range(1, count)]
    requests = SequenceRequests(make_converter())
    page = requests.list().structure({"sequences": [*rows, row_of(1, "2027")]})
    return AccountAudit(row=AccountRow(account="acme", api_key=API_KEY), sequences=page.sequences)
