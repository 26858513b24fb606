"""Tasks for an existing Procrastinate application, with its tables and its workers.

A job only wakes a worker for a slice; the journal decides what is done, and by which worker.
Procrastinate may run a job twice or too late, or leave the job of a killed worker as running for
ever: its states are not read here. A periodic task wakes every slice that has open rows.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

import attrs
from procrastinate import App
from procrastinate.exceptions import AlreadyEnqueued

from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import PostgresJournal
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.provisioning.slice_work import slices_left, work_free_slice
from invoicexpress_async.session import SessionManager

_QUEUE: Final = "invoicexpress"
_SWEEP: Final = "* * * * * */5"  # the sixth field: seconds
_FIRST: Final = 10  # a sweep must not wait behind the slices that the last sweep has found


def sequence_tasks(  # noqa: PLR0913  # keyword-only options
    app: App,
    *,
    journal: Callable[[], PostgresJournal],
    keys: AccountKeys,
    manager: Callable[[], SessionManager] = SessionManager,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    concurrency: int = 25,
    queue: str = _QUEUE,
    sweep_cron: str = _SWEEP,
) -> None:
    """Add the tasks `invoicexpress.slice` and `invoicexpress.sweep` to an application.

    The first task works on one slice. The second runs every five seconds, and adds a job of the
    first task for each slice that is due.

    Plans are entered by `provision`, `rollover` or `onboard` with the same journal. They are
    carried out by the application's workers for this queue, or for all queues. A job contains no
    secret.

    Args:
        app: The application.
        journal: Returns the journal, not yet open. It may be in the application's own database.
        keys: An async callable that returns the key of an account.
        manager: Returns a manager, not yet open, without its own journal.
        settings: The settings of a run.
        concurrency: How many rows of a slice are in flight at a time.
        queue: The queue of the tasks.
        sweep_cron: When to sweep, in the form that `App.periodic` takes.
    """
    shared = _Shared(journal=journal, manager=manager)

    @app.task(name="invoicexpress.slice", queue=queue)
    async def work_on(number: int) -> None:
        async with shared.open() as (opened_manager, opened):
            await work_free_slice(
                opened_manager, opened, number, keys, settings=settings, concurrency=concurrency
            )

    @app.periodic(cron=sweep_cron)
    @app.task(
        name="invoicexpress.sweep",
        queue=queue,
        queueing_lock="invoicexpress.sweep",
        priority=_FIRST,
    )
    async def sweep(timestamp: int) -> None:
        del timestamp
        async with shared.open() as (_, opened):
            for one in [one for one in await slices_left(opened) if one.is_due]:
                # No `lock`: a lock that a killed worker leaves behind would block other workers.
                name = f"invoicexpress.{opened.schema}.{one.number}"
                deferrer = work_on.configure(queueing_lock=name)
                with contextlib.suppress(AlreadyEnqueued):
                    await deferrer.defer_async(number=one.number)


@attrs.define(kw_only=True, eq=False)
class _Shared:
    """The journal and the manager that simultaneous jobs share; closed when no job runs."""

    journal: Callable[[], PostgresJournal]
    manager: Callable[[], SessionManager]
    _users: int = 0
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _opened: tuple[SessionManager, PostgresJournal] | None = attrs.field(default=None, init=False)
    _stack: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack, init=False)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[SessionManager, PostgresJournal]]:
        async with self._turn:
            if self._opened is None:
                manager = await self._stack.enter_async_context(self.manager())
                try:
                    journal = await self._stack.enter_async_context(self.journal())
                except BaseException:
                    await self._stack.aclose()
                    raise
                self._opened = manager, journal
            opened = self._opened
            self._users += 1
        try:
            yield opened
        finally:
            self._users -= 1
            if not self._users:
                await self._close()

    async def _close(self) -> None:
        async with self._turn:
            if self._opened is not None and not self._users:
                self._opened = None
                await self._stack.aclose()
