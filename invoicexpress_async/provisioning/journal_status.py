"""The status of a journal: its counts, its unresolved rows and its holder."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

import attrs

from invoicexpress_async.jobs.claims import read_intent
from invoicexpress_async.jobs.journal import INTENTS, OF_A_SEQUENCE, UNRESOLVED, JournalState, Value
from invoicexpress_async.jobs.last_command import LAST_COMMAND, LAST_COMMAND_KEY, LastCommand
from invoicexpress_async.jobs.postgres import SliceLeft, is_url
from invoicexpress_async.jobs.stored import Place, SlicedJournal, open_stored
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import ROWS, RowRecord, row_reader

_MAX_UNRESOLVED_SHOWN: Final = 100
_MAX_RUNS_SHOWN: Final = 5
_ROWS_AT_ONCE: Final = 1_000
_ENDED: Final = frozenset(
    {
        JournalState.DONE,
        JournalState.PREPARED,
        JournalState.PARTIAL,
        JournalState.REFUSED,
        JournalState.FAILED,
    }
)
_LEFT: Final = frozenset({JournalState.PLANNED, *UNRESOLVED})


@attrs.frozen(kw_only=True)
class JournalFailure:
    """A group of rows that ended with the same error.

    Attributes:
        state: As in `JournalStatus.counts`.
        error: The class of the error.
        status: The status of the response, when there was one.
        code: The code of the response, when it had one.
        rows: How many rows are in the group.
        account: The account of one of them.
    """

    state: str
    error: str
    status: int | None
    code: str | None
    rows: int
    account: str


@attrs.frozen(kw_only=True)
class RowInDoubt:
    """A row whose request may have taken effect.

    Attributes:
        account: The account's name.
        serie: The name of the sequence.
        state: "intent" (not looked up yet), "unknown" or "absent".
        sent_at: When the request was sent, by the sender's wall clock.
        absent_since: When a complete list first did not show the sequence, late enough to count.
        sends: How many times a create or register of this row was sent, in all runs.
    """

    account: str
    serie: str
    state: str
    sent_at: dt.datetime | None
    absent_since: dt.datetime | None
    sends: int


@attrs.frozen(kw_only=True)
class JournalRun:
    """A run, as noted in the journal when it began.

    Attributes:
        started_at: When the run began.
        process: The process id, on the machine of the run.
    """

    started_at: dt.datetime
    process: int


@attrs.frozen(kw_only=True)
class JournalStatus:
    """A journal at one moment.

    Attributes:
        path: The file, or the URL of the database.
        counts: The rows of the present plan by state: "planned" (nothing sent), "intent" (sent,
            and not looked up yet), or a value of `RowState`. States without rows are absent.
        created: How many sequences the runs are known to have created.
        removed: How many rows belong to an earlier plan and not to the present one.
        failures: The rows that ended with an error, grouped by it; the largest group first.
        in_doubt: The rows that may have taken effect, earliest first; at most 100.
        holder: The holder of the journal, such as "by process 4711 on ..."; None without a run.
        runs: The last runs that began, newest first; at most 5.
        run_count: How many runs began in all.
        rollover_year: The year, when it is the journal of a roll-over.
        default_not_before: The day, in Lisbon, before which the series do not become the default;
            None when they do so at once.
        ended_in_last_run: How many rows ended in the last run.
        last_command: The command of the last run; None when another program ran it.
        slices: The slices with rows that are planned or unresolved, each with its holder; empty
            for a file.
        calls: The unresolved creates and registers of single calls, as of a service, which no row
            of the plan has; at most 100. `sequences resume` of the command settles them.
    """

    path: Path | str
    counts: Mapping[str, int]
    created: int
    removed: int
    failures: tuple[JournalFailure, ...]
    in_doubt: tuple[RowInDoubt, ...]
    holder: str | None
    runs: tuple[JournalRun, ...]
    run_count: int
    rollover_year: int | None
    default_not_before: dt.date | None = None
    ended_in_last_run: int = 0
    last_command: LastCommand | None = None
    slices: tuple[SliceLeft, ...] = ()
    calls: tuple[Intent, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows the plan has."""
        return sum(self.counts.values())


def read_status(path: Place) -> JournalStatus:
    """Read the status of a journal, whether a run holds it or not. Nothing is changed.

    Args:
        path: The file of the journal, or the `postgresql://` URL of its database.

    Raises:
        JournalError: the journal does not exist, or cannot be read.
    """
    with JournalReader(path) as reader:
        return reader.status()


class JournalReader:
    """Reads a journal without changing it. Use it as a context manager.

    The constructor and every method raise JournalError when it does not exist or cannot be read.
    """

    def __init__(self, path: Place) -> None:
        self._path = str(path) if is_url(path) else Path(path)
        self._file = open_stored(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.__exit__(None, None, None)

    def compare(self, rows: Iterable[PlanRow]) -> Iterator[tuple[PlanRow, tuple[str, bool] | None]]:
        """Yield each row with its state and default flag; None if the plan does not contain it."""
        left = iter(rows)
        while chunk := list(islice(left, _ROWS_AT_ONCE)):
            entries = self._file.look_up(ROWS, [(row.account, row.serie) for row in chunk])
            for row, entry in zip(chunk, entries, strict=True):
                is_there = entry and entry["is_in_plan"]
                yield row, (str(entry["state"]), bool(entry["is_default"])) if is_there else None

    def row_count(self) -> int:
        """Return how many rows the plan has."""
        return self._file.count(ROWS, "is_in_plan")

    def series(self) -> dict[str, tuple[str, str]]:
        """Return the serie and the state of each account of the plan; one serie an account."""
        return {
            str(entry["account"]): (str(entry["serie"]), str(entry["state"]))
            for entry in self._file.entries(ROWS)
        }

    def rows(self) -> Iterator[tuple[str, str, RowRecord]]:
        """Yield account, serie and record of the rows of the plan, ordered by account and serie."""
        reader = row_reader()
        for entry in self._file.entries(ROWS, order_by="account, serie"):
            yield str(entry["account"]), str(entry["serie"]), reader.read(entry)

    def rollover_year(self) -> int | None:
        """Return the year, when it is the journal of a roll-over."""
        year = self._file.job("rollover")
        return None if year is None else int(year)

    def default_not_before(self) -> dt.date | None:
        """Return the day before which the series do not become the default; None for at once."""
        days = self._file.groups(ROWS, "default_not_before", example="account")
        found = [_day(day) for day, *_ in days if day is not None]
        return found[0] if found else None

    def status(self) -> JournalStatus:
        """Return the status, read at one moment."""
        file = self._file
        with file.snapshot():
            states = file.groups(ROWS, "state", example="account")
            runs = tuple(self._runs())
            began = runs[0].started_at.timestamp() if runs else 0.0
            return JournalStatus(
                path=self._path,
                counts=MappingProxyType({str(state): _int(count) for state, count, _ in states}),
                created=file.count(ROWS, "is_created"),
                removed=file.count(ROWS, "is_in_plan", is_set=False),
                failures=tuple(self._failures()),
                in_doubt=tuple(self._unresolved()),
                holder=file.holder,
                runs=runs,
                ended_in_last_run=file.count_since(ROWS, began, _ENDED),
                run_count=file.run_count,
                rollover_year=self.rollover_year(),
                default_not_before=self.default_not_before(),
                last_command=LastCommand.read(*file.look_up(LAST_COMMAND, [LAST_COMMAND_KEY])),
                slices=self._slices(),
                calls=tuple(islice(self._calls(), _MAX_UNRESOLVED_SHOWN)),
            )

    def _slices(self) -> tuple[SliceLeft, ...]:
        file = self._file
        return tuple(file.slices_left(ROWS, _LEFT)) if isinstance(file, SlicedJournal) else ()

    def _failures(self) -> Iterator[JournalFailure]:
        groups = self._file.groups(ROWS, "state", "error", "status", "code", example="account")
        for state, error, status, code, count, account in groups:
            if error is None or state == "intent":
                continue
            yield JournalFailure(
                state=str(state),
                error=str(error),
                status=None if status is None else _int(status),
                code=None if code is None else str(code),
                rows=_int(count),
                account=str(account),
            )

    def _unresolved(self) -> Iterator[RowInDoubt]:
        entries = self._file.entries(
            ROWS, states=UNRESOLVED, order_by="intended_at", limit=_MAX_UNRESOLVED_SHOWN
        )
        for entry in entries:
            yield RowInDoubt(
                account=str(entry["account"]),
                serie=str(entry["serie"]),
                state=str(entry["state"]),
                sent_at=_time_of(entry["intended_at"]),
                absent_since=_time_of(entry["absent_since"]),
                sends=_int(entry["sends"]),
            )

    def _calls(self) -> Iterator[Intent]:
        of_rows = {entry["intent"] for entry in self._file.entries(ROWS, states=UNRESOLVED)}
        for entry in self._file.entries(INTENTS, states=UNRESOLVED):
            if entry["kind"] in OF_A_SEQUENCE and entry["intent"] not in of_rows:
                yield read_intent(entry)

    def _runs(self) -> Iterator[JournalRun]:
        for started_at, process in self._file.runs(_MAX_RUNS_SHOWN):
            yield JournalRun(started_at=_time(float(started_at or 0)), process=_int(process))


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def _day(text: Value) -> dt.date | None:
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError:
        return None  # damaged: the status is shown without the day


def _time_of(text: Value) -> dt.datetime | None:
    """Return the time; None when it is missing or damaged, so that the status is still shown."""
    try:
        return None if text is None else _time(Timestamp.parse(str(text)).wall)
    except (ValueError, OverflowError, OSError):
        return None
