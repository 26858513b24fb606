"""From the rows of a plan to tickets, with what the journal knows of each."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import Difference
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.row import Clashes, PlanRow
from invoicexpress_async.provisioning.rows_table import Identity, RowLog
from invoicexpress_async.provisioning.task import Ticket

T = TypeVar("T")

# One hop to the journal's thread for so many rows; the event loop is kept for a few milliseconds.
_CHUNK: Final = 500


async def compare(
    log: RowLog, plan: Plan, settings: RunSettings, *, stop: RunStop
) -> tuple[Difference, ...]:
    """Enter a plan into the journal, and return how it differs from what is there.

    When a stop is asked for before the end, nothing is entered.

    Raises:
        JournalDifferenceError: it does, and that is not accepted.
    """
    await log.begin_comparing()
    for chunk in _chunks(plan.rows):
        if stop.is_requested:
            return ()  # a million rows take longer than a stop may
        await log.compare(chunk)
    return await log.end_comparing(
        accept_changes=settings.accept_changes, accept_added=settings.accept_added
    )


async def tickets(plan: Plan, log: RowLog | None) -> AsyncIterator[Ticket]:
    """Yield the rows of a plan; those with a send in doubt first, where the rows can be read twice.

    Raises:
        JournalError: the journal cannot be read.
    """
    if plan.stream is not None:
        async for ticket in _streamed(plan.stream, log):
            yield ticket
        return
    if log is None:
        for row in plan.rows:
            yield Ticket(row=row)
        return
    in_doubt = await log.open_rows()
    if in_doubt:
        async for ticket in _admitted(plan.rows, log, only=in_doubt):
            yield ticket
    async for ticket in _admitted(plan.rows, log, but=in_doubt):
        yield ticket


async def _admitted(
    rows: Iterable[PlanRow],
    log: RowLog,
    *,
    only: frozenset[Identity] | None = None,
    but: frozenset[Identity] = frozenset(),
) -> AsyncIterator[Ticket]:
    for chunk in _chunks(rows):
        wanted = [
            row
            for row in chunk
            if (only is None or (row.account, row.serie) in only)
            and (row.account, row.serie) not in but
        ]
        for row, record in zip(wanted, await log.look_up(wanted) if wanted else (), strict=True):
            yield Ticket.of_record(row, record)
        await asyncio.sleep(0)  # a million rows, none of them wanted, must not stop the loop


async def _streamed(rows: AsyncIterable[PlanRow], log: RowLog | None) -> AsyncIterator[Ticket]:
    with contextlib.closing(Clashes()) as clashes:
        async for row in rows:
            problem = clashes.find(row)
            if problem is not None:
                # Not entered into the journal: there, it would be the earlier row.
                yield Ticket(row=row, refusal=_refusal(row, problem))
            elif log is None:
                yield Ticket(row=row)
            else:
                yield Ticket.of_record(row, await log.admit(row))


def _refusal(row: PlanRow, problem: str) -> ConfigurationError:
    return ConfigurationError(f"Account {row.account}, serie {row.serie!r}: {problem}.")


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
