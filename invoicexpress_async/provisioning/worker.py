"""A worker: takes slices of a shared journal that have open rows, until it is stopped.

It needs no queue and no engine: what is to be done is in the journal, and looked up every few
seconds. A worker that dies leaves nothing behind but its holds, which end by themselves.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import attrs

from invoicexpress_async.config import check_seconds, check_type
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings, check_concurrency
from invoicexpress_async.jobs.shared_breaker import SharedBreaker
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.slice_work import (
    SliceReport,
    slices_left,
    work_free_slice,
)
from invoicexpress_async.session import SessionManager

# Also how long the rows of a new plan wait, and how often an idle worker asks the database.
_SWEEP_SECONDS: Final = 5.0
# More than one slice is worked on when it alone has too few rows for the concurrency.
_MAX_ROWS_OF_A_SLICE: Final = 25
# What this worker has no key for is left to the others first.
_NO_KEY_SECONDS: Final = 60.0


async def run_worker(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    journal: PostgresJournal,
    keys: AccountKeys,
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    until_done: bool = False,
    stop: RunStop | None = None,
    sweep_seconds: float = _SWEEP_SECONDS,
    on_slice: Callable[[SliceReport], None] | None = None,
    on_problem: Callable[[JournalError], None] | None = None,
) -> None:
    """Work on the slices of a journal that have open rows, beside any number of other workers.

    It returns once `stop` was requested and what it held is released, or with `until_done` once
    no slice is to be worked on now and nobody works on one. What waits for a later try, for a
    worker that has its key, or for the day from which it may be the default, is not waited for.

    Args:
        manager: Whose connections and limits are used; without a journal of its own.
        journal: Open, with the rows of one or more plans.
        keys: An async callable that returns the key of an account.
        concurrency: How many rows are in flight at a time.
        settings: What a run may do.
        until_done: Return when there is nothing to do.
        stop: Ends it; rows in flight have the time that the request gives.
        sweep_seconds: How often it looks for open rows when it has none.
        on_slice: Called with the report of each slice, in the event loop; it must not raise.
        on_problem: Called when the journal cannot be used; it is tried again.

    Raises:
        ConfigurationError: an argument that cannot be right.
    """
    check_type("manager", manager, SessionManager)
    check_type("journal", journal, PostgresJournal)
    worker = _Worker(
        manager=manager,
        journal=journal,
        keys=keys,
        concurrency=check_concurrency(concurrency),
        settings=settings,
        until_done=until_done,
        stop=stop or RunStop(),
        sweep_seconds=check_seconds("sweep_seconds", sweep_seconds),
        on_slice=on_slice or _ignore,
        on_problem=on_problem or _ignore,
    )
    await worker.run()


def _ignore(_: object) -> None:
    """Ignore the report."""


@attrs.define(kw_only=True, eq=False)
class _Worker:
    manager: SessionManager
    journal: PostgresJournal
    keys: AccountKeys
    concurrency: int
    settings: RunSettings
    until_done: bool
    stop: RunStop
    sweep_seconds: float
    on_slice: Callable[[SliceReport], None]
    on_problem: Callable[[JournalError], None]
    _breaker: SharedBreaker = attrs.field(init=False)
    # Of each slice that it works on: how many rows it counts for.
    _rows: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    # Of slices that could not be had: when to try again, on the clock.
    _again_at: dict[int, float] = attrs.field(factory=dict[int, float], init=False)
    # Slices with rows that this worker has no key for.
    _no_key: set[int] = attrs.field(factory=set[int], init=False)
    # What ends one slice alone must not stop the others.
    _stops: set[RunStop] = attrs.field(factory=set[RunStop], init=False)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._breaker = SharedBreaker(
            self.manager.clock, self.journal, may_probe=lambda: bool(self._rows)
        )

    async def run(self) -> None:
        self.stop.listen(self._pass_the_stop_on)
        # While the server fails for every account, one row of one worker tries it.
        self._breaker.listen(self._changed.set)
        async with asyncio.TaskGroup() as outer:
            # A worker that hears nothing of the others any more ends.
            following = outer.create_task(self._breaker.follow())
            async with asyncio.TaskGroup() as group:
                await self._work_on(group)
            following.cancel()

    async def _work_on(self, group: asyncio.TaskGroup) -> None:
        while not self.stop.is_requested:
            while not self._has_room() and not self.stop.is_requested:
                await self._change()
            has_taken = await self._sweep(group)
            if has_taken is None:
                break
            if not has_taken:
                await self._change(self.sweep_seconds)

    async def _sweep(self, group: asyncio.TaskGroup) -> bool | None:
        """Take what is to be done; return whether there was something, None at the end."""
        has_taken = False
        try:
            left = await slices_left(self.journal)
            if self.until_done and not self._rows and not any(map(self._is_of_now, left)):
                return None
            due = [one for one in left if one.is_due and self._may_try(one.number)]
            # Several workers begin with different ones.
            for one in random.sample(due, len(due)):
                if self.stop.is_requested or not self._has_room():
                    break
                self._rows[one.number] = min(one.rows, _MAX_ROWS_OF_A_SLICE)
                group.create_task(self._work(one.number))
                has_taken = True
        except JournalError as error:
            self.on_problem(error)
            return False
        return has_taken

    async def _work(self, number: int) -> None:
        stop = RunStop()
        self._stops.add(stop)
        self._pass_the_stop_on()
        try:
            report = await work_free_slice(
                self.manager,
                self.journal,
                number,
                self.keys,
                settings=self.settings,
                concurrency=min(self.concurrency, _MAX_ROWS_OF_A_SLICE),
                stop=stop,
                breaker=self._breaker,
                no_key_seconds=None,
            )
            if report is None:
                self._again_at[number] = self.manager.clock.now() + self.sweep_seconds
            else:
                self._note_keys(report)
                self.on_slice(report)
        except JournalError as error:
            self._again_at[number] = self.manager.clock.now() + self.sweep_seconds
            self.on_problem(error)
        finally:
            self._stops.discard(stop)
            del self._rows[number]
            self._changed.set()

    def _note_keys(self, report: SliceReport) -> None:
        self._no_key.discard(report.number)
        if report.no_key:
            self._no_key.add(report.number)
            self._again_at[report.number] = self.manager.clock.now() + _NO_KEY_SECONDS

    def _is_of_now(self, left: SliceLeft) -> bool:
        """Whether it is worked on now, or is to be by this worker."""
        may_do = left.is_due and left.number not in self._no_key
        return left.holder is not None or may_do

    def _may_try(self, number: int) -> bool:
        now = self.manager.clock.now()
        return number not in self._rows and self._again_at.get(number, now) <= now

    def _has_room(self) -> bool:
        if self._breaker.is_open:
            return not self._rows  # one slice is enough to try the server with
        return sum(self._rows.values()) < self.concurrency

    def _pass_the_stop_on(self) -> None:
        self._changed.set()
        if not self.stop.is_requested:
            return
        for stop in self._stops:
            if self.stop.seconds_left > 0:
                stop.request(drain_seconds=self.stop.seconds_left)
            else:
                stop.cut_off()

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until a slice has ended or a stop was requested, for so long at most."""
        self._changed.clear()
        if self.stop.is_requested:
            return
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(self._changed.wait())]
        if seconds is not None:
            tasks.append(asyncio.create_task(self.manager.clock.sleep(seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
