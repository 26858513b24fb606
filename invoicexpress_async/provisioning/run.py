"""Carry a plan out: a few workers over one shared iterator of rows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Final

import attrs

from invoicexpress_async.account_session import AccountSession
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError, OutcomeUnknownError
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.report import ProvisioningReport, RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.stop import RowCutOffError, RunStop
from invoicexpress_async.session import SessionManager

# Half of a manager's connections: a web service beside it is not starved.
_DEFAULT_CONCURRENCY: Final = 50


async def provision(
    manager: SessionManager,
    plan: Plan,
    *,
    concurrency: int = _DEFAULT_CONCURRENCY,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    stop: RunStop | None = None,
) -> ProvisioningReport:
    """Ensure every row of a plan. Safe to run again: what is there is not created twice.

    No row's error is raised; it is an outcome, and the others go on. To end it early, ask its
    `stop`: then every row that had begun has its outcome. When it is cancelled instead, rows in
    flight may have been sent: `manager.unresolved()` tells what is in doubt, and no more.

    Args:
        manager: Whose connections and limits are used; it is not closed.
        plan: What to do.
        concurrency: How many rows are in flight at a time.
        on_outcome: Called with each outcome as it comes, in the event loop; what it raises
            ends the run.
        stop: Asked to end the run early; rows that had not begun are `not_started` then.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    started = time.monotonic()
    outcomes: dict[PlanRow, RowOutcome] = {}
    run = iter_outcomes(manager, plan, concurrency=concurrency, stop=stop)
    async with aclosing(run) as stream:
        async for outcome in stream:
            outcomes[outcome.row] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
    return ProvisioningReport(
        outcomes=(outcomes[row] for row in plan.rows if row in outcomes),
        seconds=time.monotonic() - started,
        not_started=(row for row in plan.rows if row not in outcomes),
    )


async def iter_outcomes(
    manager: SessionManager,
    plan: Plan,
    *,
    concurrency: int = _DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
) -> AsyncGenerator[RowOutcome, None]:
    """Yield each outcome of `provision` as it comes, and keep none.

    A consumer that is slow makes the run wait. One that stops early must close the generator,
    with `contextlib.aclosing`: rows in flight are then cancelled, and yield no outcome. One that
    wants those too asks `stop`, and goes on to the end.

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
    rows = _Rows(manager, iter(plan.rows), stop or RunStop())
    pool = asyncio.create_task(_pool(rows, deliver, count=count))
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
    rows: "_Rows", deliver: Callable[[RowOutcome], Awaitable[None]], *, count: int
) -> None:
    async def work() -> None:
        for row in rows.admitted():
            await deliver(await rows.ensure(row))

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())


@attrs.frozen
class _Rows:
    """The rows that the workers share, and what becomes of each."""

    _manager: SessionManager
    _waiting: Iterator[PlanRow]
    _stop: RunStop

    def admitted(self) -> Iterator[PlanRow]:
        """Yield the next row, until a stop is asked for."""
        while not self._stop.is_requested and (row := next(self._waiting, None)):
            yield row

    async def ensure(self, row: PlanRow) -> RowOutcome:
        """Return the outcome of one row, whatever it is."""
        started, begun_at = time.monotonic(), time.time()
        try:
            async with self._stop.row():
                account = _account(self._manager, row)
                ensured = await account.sequences.ensure(row.serie, default=row.is_default)
        except RowCutOffError as error:
            failure = self._in_doubt(row, begun_at) or _signed(error, row)
        except InvoiceXpressError as error:
            failure = error
        else:
            return RowOutcome.of_ensured(row, ensured, seconds=time.monotonic() - started)
        return RowOutcome.of_error(row, failure, seconds=time.monotonic() - started)

    def _in_doubt(self, row: PlanRow, begun_at: float) -> InvoiceXpressError | None:
        for intent in self._manager.unresolved():
            # A registration names the id alone: then it is the one that was sent meanwhile.
            is_of_row = intent["serie"] == row.serie or (
                intent["serie"] is None and intent["sent_at"] >= begun_at
            )
            if intent["account"] == row.account and is_of_row:
                text = "Sent once; the run was stopped before its outcome was known."
                return _signed(OutcomeUnknownError(text, intent=intent), row)
        return None


def _signed(error: InvoiceXpressError, row: PlanRow) -> InvoiceXpressError:
    error.operation = "ensure"
    error.subject = f"sequence {row.serie!r}"
    error.account = row.account
    return error


def _account(manager: SessionManager, row: PlanRow) -> AccountSession:
    # Not in a frame that awaits: a traceback that prints locals would show the key.
    key = row.api_key
    return manager.account(row.account, key.reveal() if isinstance(key, Secret) else key.read)
