"""A worker: takes slices of a shared journal that have open rows, until it is stopped.

It needs no queue and no engine: what is to be done is in the journal, and looked up every few
seconds. A worker that dies leaves nothing behind but its holds, which end by themselves.
"""

from collections.abc import Callable
from typing import Final

import attrs

from invoicexpress_async.config import check_seconds, check_type
from invoicexpress_async.jobs.journal import Entry, JournalError
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings, check_concurrency
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.slice_run import SliceReport, row_with
from invoicexpress_async.provisioning.slice_worker import SWEEP_SECONDS, SliceWorker
from invoicexpress_async.session import SessionManager

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
    sweep_seconds: float = SWEEP_SECONDS,
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
        report_slice=on_slice or _ignore,
        report_problem=on_problem or _ignore,
    )
    await worker.run()


def _ignore(_: object) -> None:
    """Ignore the report."""


@attrs.define(kw_only=True, eq=False)
class _Worker(SliceWorker):
    keys: AccountKeys
    until_done: bool
    report_slice: Callable[[SliceReport], None]
    report_problem: Callable[[JournalError], None]
    # Slices with rows that this worker has no key for.
    _no_key: set[int] = attrs.field(factory=set[int], init=False)

    def row_of(self, entry: Entry) -> PlanRow | None:
        return row_with(self.keys)(entry)

    async def is_over(self, left: list[SliceLeft]) -> bool:
        return self.until_done and not (self.is_working or any(map(self._is_of_now, left)))

    def on_slice(self, report: SliceReport) -> None:
        self._no_key.discard(report.number)
        if report.no_key:
            self._no_key.add(report.number)
            self.try_again_in(report.number, _NO_KEY_SECONDS)
        self.report_slice(report)

    def on_problem(self, error: JournalError) -> None:
        self.report_problem(error)

    def _is_of_now(self, left: SliceLeft) -> bool:
        """Whether it is worked on now, or is to be by this worker."""
        may_do = left.is_due and left.number not in self._no_key
        return left.holder is not None or may_do
