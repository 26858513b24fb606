"""The one unit of work that any engine calls: what is open in one slice of a shared journal."""

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from invoicexpress_async.config import check_type
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.journal import UNRESOLVED, Entry, JournalError, JournalState
from invoicexpress_async.jobs.keys import AccountKeys, KeyUnavailableError
from invoicexpress_async.jobs.postgres import FencedError, HeldSlice, PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import (
    RunSettings,
    check_concurrency,
    seconds_until_in_lisbon,
)
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.report import RowOutcome, RowState, count_states
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import ROWS
from invoicexpress_async.provisioning.run import provision
from invoicexpress_async.session import SessionManager

_DEFAULT_CONCURRENCY: Final = 25
_OPEN: Final = frozenset(
    {
        *UNRESOLVED,
        JournalState.PLANNED,
        JournalState.PARTIAL,
        JournalState.FAILED,
        JournalState.PREPARED,
    }
)
# What was sent can show late, and is looked up soon again; what failed is tried seldom.
_UNKNOWN_SECONDS: Final = 60.0
_FAILED_SECONDS: Final = 900.0
_NO_KEY_SECONDS: Final = 60.0


@attrs.frozen(kw_only=True)
class SliceReport:
    """How the work on a slice ended.

    Attributes:
        number: Of the slice.
        left: How many rows are open still.
        due_seconds: In how many seconds it is to be worked on again; None for at once.
        is_fenced: Whether another process has taken the slice over: it goes on with it.
        counts: How many rows ended in which state.
        problem: What ended it early: the journal, an outage, or a server that is not trusted.
        no_key: Of each row that stays open because its key could not be had here: why. Another
            worker may have the key.
    """

    number: int
    left: int
    due_seconds: float | None
    is_fenced: bool
    counts: Mapping[RowState, int]
    problem: InvoiceXpressError | None
    no_key: tuple[KeyUnavailableError, ...] = ()


async def slices_left(journal: PostgresJournal) -> list[SliceLeft]:
    """Return the slices with open rows, for an engine to wake workers with.

    Raises:
        JournalError: the journal cannot be read.
    """
    await journal.prepare(ROWS)
    return await journal.left(ROWS, _OPEN)


async def work_slice(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    held: HeldSlice,
    keys: AccountKeys,
    *,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    concurrency: int = _DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    breaker: CircuitBreaker | None = None,
) -> SliceReport:
    """Ensure the open rows of a slice that is held. No row's error is raised, nor the journal's.

    What the last holder has sent counts towards the limits, and what this one has sent is kept
    for the next: release the slice with `due_seconds` of the report.

    Args:
        manager: Whose connections and limits are used; without a journal of its own.
        held: The slice.
        keys: An async callable that returns the key of an account.
        settings: What the run may do; the day from which a serie may be the default is that of
            the rows.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early; one of its own, since what ends this slice asks it to stop.
        on_outcome: Called with each outcome as it comes, in the event loop; it must not raise.
        breaker: What is known of the server as a whole, where several slices at a time share it.

    Raises:
        ConfigurationError: an argument that cannot be right.
    """
    check_type("manager", manager, SessionManager)
    check_type("held", held, HeldSlice)
    work = _SliceWork(
        manager=manager,
        held=held,
        keys=keys,
        settings=settings,
        concurrency=check_concurrency(concurrency),
        stop=stop or RunStop(),
        on_outcome=on_outcome,
        breaker=breaker or CircuitBreaker(manager.clock),
    )
    return await work.run()


async def work_free_slice(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    journal: PostgresJournal,
    number: int,
    keys: AccountKeys,
    *,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    concurrency: int = _DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
    breaker: CircuitBreaker | None = None,
    no_key_seconds: float | None = _NO_KEY_SECONDS,
) -> SliceReport | None:
    """Take a slice, `work_slice` it and release it: what a task of any queue does.

    It may be called twice for one slice, or too late, or be killed: the journal decides who
    works on a slice.

    Args:
        manager: Whose connections and limits are used; without a journal of its own.
        journal: Open.
        number: Of the slice, as of `slices_left`.
        keys: As of `work_slice`, like all others.
        settings: What the run may do.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early.
        breaker: What is known of the server as a whole.
        no_key_seconds: When rows whose key could not be had may be tried again, by anybody; None
            for at once.

    Returns:
        How it ended; None when another process holds the slice or may still send for it.

    Raises:
        ConfigurationError: an argument that cannot be right.
        JournalError: the database cannot be reached, before anything was sent.
    """
    held = await journal.try_take(number)
    if held is None:
        return None
    due_seconds: float | None = None
    try:
        report = await work_slice(
            manager,
            held,
            keys,
            settings=settings,
            concurrency=concurrency,
            stop=stop,
            breaker=breaker,
        )
        due_seconds = no_key_seconds if report.no_key else report.due_seconds
    finally:
        # Where this fails the lease ends by itself.
        with contextlib.suppress(JournalError):
            await journal.release(held, due_seconds=due_seconds)
    return report


@attrs.define(kw_only=True, eq=False)
class _SliceWork:
    manager: SessionManager
    held: HeldSlice
    keys: AccountKeys
    settings: RunSettings
    concurrency: int
    stop: RunStop
    on_outcome: Callable[[RowOutcome], None] | None
    breaker: CircuitBreaker
    counts: Counter[RowState] = attrs.field(factory=Counter[RowState])
    problem: InvoiceXpressError | None = None
    # What was open when the work began: what came later has not been tried yet.
    tried: set[tuple[str, ...]] = attrs.field(factory=set[tuple[str, ...]])
    no_key: list[KeyUnavailableError] = attrs.field(factory=list[KeyUnavailableError])

    async def run(self) -> SliceReport:
        held, recent = self.held, self.manager.recent_requests
        recent.take_over(held.recently.slots, seconds_ago=held.recently.seconds_ago)
        accounts, left = set(held.recently.slots), list[Entry]()
        try:
            await held.prepare(ROWS)
            entries = await held.open_entries(ROWS, _OPEN)
            self.tried = {ROWS.key_of(entry) for entry in entries}
            accounts |= {str(entry["account"]) for entry in entries}
            for day, group in _by_day(entries).items():
                if not self.stop.is_requested:
                    await self._work(day, group)
            left = await held.open_entries(ROWS, _OPEN)
        except JournalError as error:
            self.problem = self.problem or error.with_traceback(None)
        finally:
            held.note_used(recent.of(accounts))  # also when this is cancelled
        waiting = [entry for entry in left if _seconds_to_its_day(entry)]
        return SliceReport(
            number=held.number,
            left=len(left) - len(waiting),
            due_seconds=self._due_seconds(left),
            is_fenced=not held.is_held or isinstance(self.problem, FencedError),
            counts=MappingProxyType(count_states(self.counts)),
            problem=self.problem,
            no_key=tuple(self.no_key),
        )

    async def _work(self, day: dt.date | None, entries: list[Entry]) -> None:
        is_rollover = await self.held.job("rollover") is not None
        settings = attrs.evolve(
            self.settings,
            is_staged=self.settings.is_staged or is_rollover,
            default_not_before=day,
        )
        due = [entry for entry in entries if not _seconds_to_its_day(entry)]
        report = await provision(
            self.manager,
            Plan.from_async(_rows(due, self.keys)),
            journal=self.held,
            concurrency=self.concurrency,
            settings=settings,
            on_outcome=self.on_outcome,
            keep_done=False,
            stop=self.stop,
            breaker=self.breaker,
        )
        self.counts.update(report.counts)
        self.problem = self.problem or report.problem
        errors = (one.error for one in report.outcomes)
        self.no_key += (one for one in errors if isinstance(one, KeyUnavailableError))

    def _due_seconds(self, left: list[Entry]) -> float | None:
        if self.stop.is_requested and self.problem is None:
            return None
        if isinstance(self.problem, FencedError):
            return None  # its hold was over, and nobody else need have taken it
        if self.problem is not None:
            return _UNKNOWN_SECONDS
        if any(ROWS.key_of(entry) not in self.tried for entry in left):
            return None
        return min((_due_seconds(entry) for entry in left), default=None)


def _by_day(entries: Iterable[Entry]) -> dict[dt.date | None, list[Entry]]:
    """Divide entries by the day before which they do not become the default; unknown ones first."""
    groups: dict[dt.date | None, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one["state"] not in UNRESOLVED):
        groups.setdefault(_day_of(entry), []).append(entry)
    return groups


def _day_of(entry: Entry) -> dt.date | None:
    day = entry["default_not_before"]
    return None if day is None else dt.date.fromisoformat(str(day))


def _due_seconds(entry: Entry) -> float:
    if entry["state"] in UNRESOLVED:
        return _UNKNOWN_SECONDS
    return _seconds_to_its_day(entry) or _FAILED_SECONDS


def _seconds_to_its_day(entry: Entry) -> float:
    """Return the seconds until what is prepared may become the default; 0 for what is not."""
    day = _day_of(entry)
    if entry["state"] != JournalState.PREPARED or day is None:
        return 0.0
    return seconds_until_in_lisbon(day)


async def _rows(entries: Iterable[Entry], keys: AccountKeys) -> AsyncIterator[PlanRow]:
    for entry in entries:
        yield PlanRow(
            account=str(entry["account"]),
            api_key=keys,
            serie=str(entry["serie"]),
            is_default=bool(entry["is_default"]),
        )
