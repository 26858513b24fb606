"""The work on one slice of a shared journal, while this process holds it."""

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.journal import UNRESOLVED, Entry, JournalError, JournalState, Key
from invoicexpress_async.jobs.keys import AccountKeys, KeyUnavailableError
from invoicexpress_async.jobs.postgres import FencedError, HeldSlice, PostgresJournal
from invoicexpress_async.jobs.settings import RunSettings, seconds_until_in_lisbon
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.plan_run import PlanRun
from invoicexpress_async.provisioning.report import Progress, RowOutcome, RowState, count_states
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import ROWS
from invoicexpress_async.session import SessionManager

OPEN: Final = frozenset(
    {
        *UNRESOLVED,
        JournalState.PLANNED,
        JournalState.PARTIAL,
        JournalState.FAILED,
        JournalState.PREPARED,
    }
)
# A sequence can appear late, so an unknown outcome is looked up soon; a failure is tried rarely.
_UNKNOWN_SECONDS: Final = 60.0
_FAILED_SECONDS: Final = 900.0

RowOf: TypeAlias = Callable[[Entry], PlanRow | None]
OnOutcome: TypeAlias = Callable[[RowOutcome], Awaitable[None]]


@attrs.frozen(kw_only=True)
class SliceReport:
    """How the work on a slice ended.

    Attributes:
        number: The number of the slice.
        left: How many rows are still open.
        due_seconds: The seconds until the slice is to be worked on again; None for at once.
        is_fenced: Whether another process has taken the slice over, and continues with it.
        counts: The number of rows that ended, by state.
        problem: The error that ended the work early: of the journal, an outage, or a server that
            is not trusted.
        no_key: One error for each row that stays open because this process could not get its
            key. Another worker may have the key.
    """

    number: int
    left: int
    due_seconds: float | None
    is_fenced: bool
    counts: Mapping[RowState, int]
    problem: InvoiceXpressError | None
    no_key: tuple[KeyUnavailableError, ...] = ()


async def hold_and_work(
    journal: PostgresJournal, number: int, run: "SliceRun", *, no_key_seconds: float | None
) -> SliceReport | None:
    """Take a slice, work on it and release it. Return None when another process holds it.

    Raises:
        JournalError: the database cannot be reached, before anything was sent.
    """
    held = await journal.try_take(number)
    if held is None:
        return None
    due_seconds: float | None = None
    try:
        report = await run.run(held)
        due_seconds = no_key_seconds if report.no_key else report.due_seconds
    finally:
        # If the release fails, the lease expires by itself.
        with contextlib.suppress(JournalError):
            await journal.release(held, due_seconds=due_seconds)
    return report


async def ignore_outcome(_: RowOutcome) -> None:
    """Ignore the outcome: the journal has it."""


@attrs.define(kw_only=True, eq=False)
class SliceRun:
    """The work on one slice.

    Attributes:
        manager: The session manager that sends the requests.
        row_of: Returns the row of an entry, with its key; None for a row to be skipped here.
        settings: The settings of the run.
        concurrency: How many rows are in flight at a time.
        stop: Ends the work early.
        breaker: The circuit breaker for the server as a whole.
        on_outcome: Awaited with each outcome as it comes.
        on_progress: Called when the number of waiting rows changes, and when the work pauses or
            resumes.
    """

    manager: SessionManager
    row_of: RowOf
    settings: RunSettings
    concurrency: int
    stop: RunStop
    breaker: CircuitBreaker
    on_outcome: OnOutcome = ignore_outcome
    on_progress: Callable[[Progress], None] | None = None
    _counts: Counter[RowState] = attrs.field(factory=Counter[RowState], init=False)
    _problem: InvoiceXpressError | None = attrs.field(default=None, init=False)
    # The rows that were tried in this run; an open row that came later is not among them.
    _tried: set[Key] = attrs.field(factory=set[Key], init=False)
    # Shared by the runs of all days: wrong credentials tried once for each could lock a sub-user.
    _suspended: dict[str, InvoiceXpressError] = attrs.field(
        factory=dict[str, InvoiceXpressError], init=False
    )
    _no_key: list[KeyUnavailableError] = attrs.field(factory=list[KeyUnavailableError], init=False)

    async def run(self, held: HeldSlice) -> SliceReport:
        """Ensure the open rows of the slice."""
        recent = self.manager.recent_requests
        recent.take_over(held.recently.slots, seconds_ago=held.recently.seconds_ago)
        accounts, left = set(held.recently.slots), list[Entry]()
        try:
            await held.prepare(ROWS)
            entries = await held.open_entries(ROWS, OPEN)
            accounts |= {str(entry["account"]) for entry in entries}
            for day, group in _by_day(entries).items():
                if not self.stop.is_requested:
                    await self._work(held, day, group)
            left = await held.open_entries(ROWS, OPEN)
        except JournalError as error:
            self._problem = self._problem or error.with_traceback(None)
        finally:
            held.note_used(recent.of(accounts))  # also when this is cancelled
        waiting = [entry for entry in left if _seconds_to_its_day(entry)]
        return SliceReport(
            number=held.number,
            left=len(left) - len(waiting),
            due_seconds=self._due_seconds(left),
            is_fenced=not held.is_held or isinstance(self._problem, FencedError),
            counts=MappingProxyType(count_states(self._counts)),
            problem=self._problem,
            no_key=tuple(self._no_key),
        )

    async def _work(self, held: HeldSlice, day: dt.date | None, entries: list[Entry]) -> None:
        is_rollover = await held.job("rollover") is not None
        run = PlanRun(
            manager=self.manager,
            plan=Plan.from_async(self._rows(entries)),
            settings=attrs.evolve(
                self.settings,
                is_staged=self.settings.is_staged or is_rollover,
                default_not_before=day,
            ),
            breaker=self.breaker,
            on_progress=self.on_progress,
            suspended=self._suspended,
        )
        async with aclosing(run.outcomes(held, self.concurrency, self.stop)) as stream:
            async for outcome in stream:
                if isinstance(outcome.error, KeyUnavailableError):
                    self._no_key.append(outcome.error)
                await self.on_outcome(outcome)
        self._counts.update(run.counts)
        self._problem = self._problem or run.problem

    async def _rows(self, entries: Iterable[Entry]) -> AsyncIterator[PlanRow]:
        for entry in entries:
            row = None if _seconds_to_its_day(entry) else self.row_of(entry)
            if row is not None:
                self._tried.add(ROWS.key_of(entry))
                yield row

    def _due_seconds(self, left: list[Entry]) -> float | None:
        if self.stop.is_requested and self._problem is None:
            return None
        if isinstance(self._problem, FencedError):
            return None  # the hold has expired, and perhaps no other process has taken the slice
        if self._problem is not None:
            return _UNKNOWN_SECONDS
        tried_or_waiting = (
            ROWS.key_of(entry) in self._tried or _seconds_to_its_day(entry) for entry in left
        )
        if not all(tried_or_waiting):
            return None
        return min((_due_seconds(entry) for entry in left), default=None)


def _by_day(entries: Iterable[Entry]) -> dict[dt.date | None, list[Entry]]:
    """Group entries by the day before which they are not made the default; unresolved first."""
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
    """Return the seconds until a prepared row may become the default; 0 for any other row."""
    day = _day_of(entry)
    if entry["state"] != JournalState.PREPARED or day is None:
        return 0.0
    return seconds_until_in_lisbon(day)


def row_with(keys: AccountKeys) -> RowOf:
    """Return a function that makes the row of an entry, with one key source for all accounts."""

    def row_of(entry: Entry) -> PlanRow:
        return PlanRow(
            account=str(entry["account"]),
            api_key=keys,
            serie=str(entry["serie"]),
            is_default=bool(entry["is_default"]),
        )

    return row_of
