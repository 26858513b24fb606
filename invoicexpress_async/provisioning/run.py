"""Carry a plan out: a few workers over one shared iterator of rows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Final

from invoicexpress_async.account_session import AccountSession
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.report import ProvisioningReport, RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.session import SessionManager

# Half of a manager's connections: a web service beside it is not starved.
_DEFAULT_CONCURRENCY: Final = 50


async def provision(
    manager: SessionManager,
    plan: Plan,
    *,
    concurrency: int = _DEFAULT_CONCURRENCY,
    on_outcome: Callable[[RowOutcome], None] | None = None,
) -> ProvisioningReport:
    """Ensure every row of a plan. Safe to run again: what is there is not created twice.

    No row's error is raised; it is an outcome, and the others go on. When it is cancelled, rows
    in flight may have been sent: `sequences.unresolved()` of their accounts tells.

    Args:
        manager: Whose connections and limits are used; it is not closed.
        plan: What to do.
        concurrency: How many rows are in flight at a time.
        on_outcome: Called with each outcome as it comes, in the event loop; what it raises
            ends the run.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    started = time.monotonic()
    outcomes: dict[PlanRow, RowOutcome] = {}
    async with aclosing(iter_outcomes(manager, plan, concurrency=concurrency)) as stream:
        async for outcome in stream:
            outcomes[outcome.row] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
    return ProvisioningReport(
        outcomes=(outcomes[row] for row in plan.rows), seconds=time.monotonic() - started
    )


async def iter_outcomes(
    manager: SessionManager, plan: Plan, *, concurrency: int = _DEFAULT_CONCURRENCY
) -> AsyncGenerator[RowOutcome, None]:
    """Yield each outcome of `provision` as it comes, and keep none.

    A consumer that is slow makes the run wait. One that stops early must close the generator,
    with `contextlib.aclosing`: rows in flight are then cancelled.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency!r:.40}: give 1 or more.")
    ready: asyncio.Queue[RowOutcome | None] = asyncio.Queue()
    room = asyncio.Semaphore(2 * concurrency)

    async def deliver(outcome: RowOutcome) -> None:
        await room.acquire()
        ready.put_nowait(outcome)

    count = min(concurrency, len(plan.rows))
    pool = asyncio.create_task(_pool(manager, iter(plan.rows), deliver, count=count))
    pool.add_done_callback(lambda _: ready.put_nowait(None))
    try:
        while (outcome := await ready.get()) is not None:
            room.release()
            yield outcome
        await pool  # what a worker raised beside its rows' own errors is a bug, and shown
    finally:
        pool.cancel()
        await asyncio.wait({pool})


async def _pool(
    manager: SessionManager,
    rows: Iterator[PlanRow],
    deliver: Callable[[RowOutcome], Awaitable[None]],
    *,
    count: int,
) -> None:
    async def work() -> None:
        for row in rows:
            await deliver(await _ensure(manager, row))

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())


async def _ensure(manager: SessionManager, row: PlanRow) -> RowOutcome:
    started = time.monotonic()
    try:
        account = _account(manager, row)
        ensured = await account.sequences.ensure(row.serie, default=row.is_default)
    except InvoiceXpressError as error:
        failure = error
    else:
        return RowOutcome.of_ensured(row, ensured, seconds=time.monotonic() - started)
    return RowOutcome.of_error(row, failure, seconds=time.monotonic() - started)


def _account(manager: SessionManager, row: PlanRow) -> AccountSession:
    # Not in a frame that awaits: a traceback that prints locals would show the key.
    key = row.api_key
    return manager.account(row.account, key.reveal() if isinstance(key, Secret) else key.read)
