"""What a journal says, without being its run: counts, what is in doubt, who holds it."""

import contextlib
import datetime as dt
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import attrs

from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.sqlite_file import connect_to_read
from invoicexpress_async.jobs.sqlite_lock import holder_of
from invoicexpress_async.jobs.timestamps import Moment

_MOST_ROWS_IN_DOUBT: Final = 100
_MOST_RUNS: Final = 5


@attrs.frozen(kw_only=True)
class JournalFailure:
    """Rows that ended alike, and not well.

    Attributes:
        state: As in `JournalStatus.counts`.
        error: The class of the error they ended with.
        status: Of the answer, when there was one.
        code: Of the answer, when it had one.
        rows: How many.
        account: One of them.
    """

    state: str
    error: str
    status: int | None
    code: str | None
    rows: int
    account: str


@attrs.frozen(kw_only=True)
class RowInDoubt:
    """A row of which something was sent that may have taken effect.

    Attributes:
        account: The account's name.
        serie: The name of the sequence.
        state: "intent" (nobody has looked yet), "unknown" or "absent".
        sent_at: When it was sent, by the clock of then.
        absent_since: When a complete list first did not show it, late enough to count.
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
    """A run that began.

    Attributes:
        started_at: When.
        process: Its id, on the machine it was on.
    """

    started_at: dt.datetime
    process: int


@attrs.frozen(kw_only=True)
class JournalStatus:
    """A journal at one moment.

    Attributes:
        path: The file.
        counts: The rows of the present plan by state: "planned" (nothing sent), "intent" (sent,
            and nobody has looked yet), or a value of `RowState`. States without rows are absent.
        created: How many sequences its runs are known to have created.
        removed: How many rows are of an earlier plan only.
        failures: The rows that did not end well, by what they ended with; most first.
        in_doubt: The rows that may have taken effect, earliest first; at most 100.
        holder: Who holds it now, such as "by process 4711 on ..."; None when no run does.
        runs: The last runs that began, the last one first; at most 5.
        run_count: How many began in all.
        rollover_year: The year, when it is the journal of a roll-over.
    """

    path: Path
    counts: Mapping[str, int]
    created: int
    removed: int
    failures: tuple[JournalFailure, ...]
    in_doubt: tuple[RowInDoubt, ...]
    holder: str | None
    runs: tuple[JournalRun, ...]
    run_count: int
    rollover_year: int | None

    @property
    def rows(self) -> int:
        """How many rows the plan has."""
        return sum(self.counts.values())


def read_status(path: str | os.PathLike[str]) -> JournalStatus:
    """Read a journal, whether a run holds it or not. Nothing of it is changed.

    Raises:
        JournalError: it is not there, or cannot be read.
    """
    with JournalReader(Path(path)) as reader:
        return reader.status()


class JournalReader:
    """A journal that is only read. Use it with `with`.

    Raises:
        JournalError: it is not there, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise JournalError(f"The journal {path} is not there.")
        self._path = path
        self._connection = connect_to_read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def row(self, account: str, serie: str) -> tuple[str, bool] | None:
        """Return the state of a row of its plan and whether it makes a default, or None.

        Raises:
            JournalError: it cannot be read.
        """
        query = "SELECT state, is_default FROM rows WHERE account = ? AND serie = ? AND is_in_plan"
        for state, is_default in self._ask(query, account, serie):
            return str(state), bool(is_default)
        return None

    def row_count(self) -> int:
        """Return how many rows its plan has.

        Raises:
            JournalError: it cannot be read.
        """
        return self._count("rows WHERE is_in_plan")

    def series(self) -> dict[str, tuple[str, str]]:
        """Return which serie each account of its plan is to have, and how far it is.

        Raises:
            JournalError: it cannot be read.
        """
        rows = self._ask("SELECT account, serie, state FROM rows WHERE is_in_plan")
        return {str(account): (str(serie), str(state)) for account, serie, state in rows}

    def rollover_year(self) -> int | None:
        """Return the year, when it is the journal of a roll-over.

        Raises:
            JournalError: it cannot be read.
        """
        for (value,) in self._ask("SELECT value FROM job WHERE name = 'rollover'"):
            return int(str(value))
        return None

    def status(self) -> JournalStatus:
        """Return all that is told of it, as of one moment.

        Raises:
            JournalError: it cannot be read.
        """
        with self._one_moment():
            states = self._ask("SELECT state, count(*) FROM rows WHERE is_in_plan GROUP BY state")
            return JournalStatus(
                path=self._path,
                counts=MappingProxyType({str(state): _int(count) for state, count in states}),
                created=self._count("rows WHERE is_created"),
                removed=self._count("rows WHERE NOT is_in_plan"),
                failures=tuple(self._failures()),
                in_doubt=tuple(self._in_doubt()),
                holder=holder_of(self._path),
                runs=tuple(self._runs()),
                run_count=self._count("runs"),
                rollover_year=self.rollover_year(),
            )

    def _failures(self) -> Iterator[JournalFailure]:
        query = (
            "SELECT state, error, status, code, count(*) AS n, min(account) FROM rows "
            "WHERE is_in_plan AND error IS NOT NULL AND state <> 'intent' "
            "GROUP BY state, error, status, code ORDER BY n DESC, state, error"
        )
        for state, error, status, code, count, account in self._ask(query):
            yield JournalFailure(
                state=str(state),
                error=str(error),
                status=None if status is None else _int(status),
                code=None if code is None else str(code),
                rows=_int(count),
                account=str(account),
            )

    def _in_doubt(self) -> Iterator[RowInDoubt]:
        query = (
            "SELECT account, serie, state, intended_at, absent_since, sends FROM rows "
            "WHERE is_in_plan AND state IN ('intent', 'unknown', 'absent') "
            "ORDER BY intended_at LIMIT ?"
        )
        rows = self._ask(query, _MOST_ROWS_IN_DOUBT)
        for account, serie, state, intended_at, absent_since, sends in rows:
            yield RowInDoubt(
                account=str(account),
                serie=str(serie),
                state=str(state),
                sent_at=_moment(intended_at),
                absent_since=_moment(absent_since),
                sends=_int(sends),
            )

    def _runs(self) -> Iterator[JournalRun]:
        query = "SELECT started_at, process FROM runs ORDER BY rowid DESC LIMIT ?"
        for started_at, process in self._ask(query, _MOST_RUNS):
            yield JournalRun(started_at=_time(float(str(started_at))), process=_int(process))

    def _count(self, what: str) -> int:
        return _int(self._ask(f"SELECT count(*) FROM {what}")[0][0])  # noqa: S608  # constants

    @contextlib.contextmanager
    def _one_moment(self) -> Generator[None]:
        # Between two questions a run may write: the counts would not fit the rows.
        self._ask("BEGIN")
        try:
            yield
        finally:
            self._ask("COMMIT")

    def _ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            problem = str(error)
        raise JournalError(f"The journal {self._path} cannot be read: {problem}.")


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def _moment(text: object) -> dt.datetime | None:
    return None if text is None else _time(Moment.parse(str(text)).wall)
