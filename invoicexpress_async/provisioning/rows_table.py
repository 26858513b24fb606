"""What the journal says of the rows of a plan: read in chunks, written one by one."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Final

import attrs
import cattrs

from invoicexpress_async.jobs.journal import (
    Difference,
    JournalDifferenceError,
    JournalError,
)
from invoicexpress_async.jobs.sqlite_writer import Writer, Written
from invoicexpress_async.jobs.timestamps import Moment
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow

PLANNED: Final = "planned"
# A request of theirs is in doubt: they are read for, before anything else.
_IN_DOUBT: Final = "state IN ('intent', 'unknown', 'absent')"
_MOST_DIFFERENCES_SHOWN: Final = 100

Identity = tuple[str, str]


@attrs.frozen(kw_only=True)
class RowRecord:
    """What is on the disk about a row.

    Attributes:
        state: "planned", "intent", or how it ended last.
        intent: Of the send that is in doubt, if one is.
        intended_at: When that was.
        absent_since: When a complete list first did not show it, late enough to count.
        error: The class of the error it ended with.
        status: Of the refusal it ended with.
        code: Of the refusal it ended with.
        sequence_id: The sequence's, once known.
    """

    state: str = PLANNED
    intent: Intent | None = None
    intended_at: Moment | None = None
    absent_since: Moment | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None
    sequence_id: int | None = None


# The rows are there, as all are entered first: so each of them is a conflict.
_FROM_JSON: Final = """
    INSERT INTO rows (account, serie, is_default, {columns})
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), 0, {values}
    FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET {changes}
"""


def _statement(*columns: str, **changes: str) -> str:
    values = (f"json_extract(value, '$[{at}]')" for at in range(2, len(columns) + 2))
    taken = (f"{name} = {changes.pop(name, f'excluded.{name}')}" for name in columns)
    return _FROM_JSON.format(
        columns=", ".join(columns),
        values=", ".join(values),
        changes=", ".join([*taken, *(f"{name} = {value}" for name, value in changes.items())]),
    )


_INTEND: Final = _statement(
    "state", "intent", "intended_at", "updated_at", absent_since="NULL", sends="sends + 1"
)
_KNOWN: Final = {
    "sequence_id": "coalesce(excluded.sequence_id, sequence_id)",
    "is_created": "coalesce(excluded.is_created, is_created)",
}
_END: Final = _statement(
    "state", "intent", "absent_since", "error", "status", "code",
    "sequence_id", "is_created", "updated_at", **_KNOWN,
)  # fmt: skip
# As nearly all end: the fewer columns, the cheaper.
_END_WELL: Final = _statement(
    "state", "sequence_id", "is_created", "updated_at", **_KNOWN,
    intent="NULL", absent_since="NULL", error="NULL", status="NULL", code="NULL",
)  # fmt: skip

_TAKE_BACK: Final = _statement(
    "state", "updated_at", intent="NULL", error="NULL", status="NULL", code="NULL",
    sends="sends - 1",
)  # fmt: skip


_NEW: Final = RowRecord()


class RowLog:
    """The rows of one run in its journal."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._converter = cattrs.Converter(forbid_extra_keys=True)

    async def begin_comparing(self) -> None:
        """Make room for the identities of the plan's rows."""
        await self._writer.run(_make_room)

    async def compare(self, rows: Sequence[PlanRow]) -> None:
        """Note some rows of the plan."""
        told = [(row.account, row.serie, row.is_default) for row in rows]
        await self._writer.run(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO temp.plan VALUES (?, ?, ?)", told
            )
        )

    async def end_comparing(
        self, *, accept_changes: bool, accept_added: bool
    ) -> tuple[Difference, ...]:
        """Enter what is new, and return the first differences from what was there.

        Raises:
            JournalDifferenceError: there are some, and they are not accepted.
            JournalError: a row whose outcome is not known is not in the plan any more.
        """
        counts, differences, lost = await self._writer.run(_differences)
        if lost:
            names = ", ".join(f"{account} {serie!r}" for account, serie in lost)
            raise JournalError(
                "The journal has rows whose outcome is not known and which the plan does not "
                f"have, such as {names}: put them back into the plan."
            )
        kinds = [kind for kind, count in counts.items() if count]
        if not accept_changes and set(kinds) - ({"added"} if accept_added else set[str]()):
            first = differences[0]
            raise JournalDifferenceError(
                f"The journal is of another plan: {sum(counts.values())} rows differ "
                f"({', '.join(kinds)}), such as {first.account} {first.serie!r}. "
                "Nothing was sent.",
                differences=differences,
                count=sum(counts.values()),
            )
        await self._writer.run(_enter)
        return differences

    async def series(self) -> dict[str, str]:
        """Return which serie each account of the journal's plan is to have."""
        query = "SELECT account, serie FROM rows WHERE is_in_plan"
        return dict(await self._writer.run(lambda one: one.execute(query).fetchall()))

    async def claim(self, name: str, value: str) -> str:
        """Write what kind of job this is, if nobody has; return what is written."""

        def work(connection: sqlite3.Connection) -> str:
            query = "SELECT value FROM job WHERE name = ?"
            known = connection.execute(query, (name,)).fetchone()
            if known is not None:
                return str(known[0])
            if connection.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is not None:
                return "another kind of job"
            connection.execute("INSERT INTO job VALUES (?, ?)", (name, value))
            return value

        return await self._writer.run(work)

    async def open_rows(self) -> frozenset[Identity]:
        """Return which rows have a send in doubt."""
        return frozenset(
            await self._writer.run(
                lambda connection: connection.execute(
                    f"SELECT account, serie FROM rows WHERE {_IN_DOUBT} AND is_in_plan"  # noqa: S608  # a constant
                ).fetchall()
            )
        )

    async def look_up(self, rows: Sequence[PlanRow]) -> list[RowRecord]:
        """Return what is known of rows that were compared."""
        found = await self._writer.run(
            lambda connection: [_select(connection, (row.account, row.serie)) for row in rows]
        )
        return [self._record(row) for row in found]

    async def admit(self, row: PlanRow) -> RowRecord:
        """Enter a row of a stream if it is new, and return what is known of it."""
        return self._record(await self._writer.run(lambda connection: _admit(connection, row)))

    async def intend(self, row: PlanRow, intent: Intent) -> None:
        """Put an intent on the disk; only then may its first byte leave."""
        moment = Moment.now()
        told = (row.account, row.serie, "intent", json.dumps(intent), moment.dump(), moment.wall)
        await self._writer.write(_INTEND, told)

    def take_back(self, row: PlanRow) -> None:
        """Write that an intent, the first of its row, was not sent."""
        # Nobody waits for it: whoever asks was cancelled.
        _ = self._writer.write(_TAKE_BACK, (row.account, row.serie, PLANNED, time.time()))

    def end(
        self, outcome: RowOutcome, *, intent: Intent | None, absent_since: Moment | None
    ) -> Written:
        """Put on the disk how a row ended, or how far it is known; done when it is there."""
        row, error = outcome.row, outcome.error
        found = None if outcome.sequence is None else outcome.sequence.id
        if error is None and intent is None and absent_since is None:
            well = (row.account, row.serie, outcome.state, found, outcome.created, time.time())
            return self._writer.write(_END_WELL, well)
        told = (
            row.account,
            row.serie,
            outcome.state,
            None if intent is None else json.dumps(intent),
            None if absent_since is None else absent_since.dump(),
            None if error is None else type(error).__name__,
            outcome.status,
            outcome.code,
            found,
            outcome.created,
            time.time(),
        )
        return self._writer.write(_END, told)

    def _record(self, row: tuple[object, ...]) -> RowRecord:
        if row[0] == PLANNED:
            return _NEW
        state, intent, intended_at, absent_since, error, status, code, sequence_id = row
        return RowRecord(
            state=str(state),
            intent=None if intent is None else self._intent(str(intent)),
            intended_at=None if intended_at is None else Moment.parse(str(intended_at)),
            absent_since=None if absent_since is None else Moment.parse(str(absent_since)),
            error=None if error is None else str(error),
            status=status if isinstance(status, int) else None,
            code=None if code is None else str(code),
            sequence_id=sequence_id if isinstance(sequence_id, int) else None,
        )

    def _intent(self, text: str) -> Intent:
        return structure_intent(json.loads(text), self._converter)


def _make_room(connection: sqlite3.Connection) -> None:
    # A temporary table spills to the disk: a plan of a million rows stays out of the memory.
    connection.execute("DROP TABLE IF EXISTS temp.plan")
    connection.execute(
        "CREATE TEMP TABLE plan (account TEXT, serie TEXT, is_default INTEGER, "
        "PRIMARY KEY (account, serie)) WITHOUT ROWID"
    )


_ADDED: Final = """
    SELECT 'added', p.account, p.serie, NULL FROM temp.plan p LEFT JOIN rows r
    USING (account, serie) WHERE r.state IS NULL OR NOT r.is_in_plan
"""
_REMOVED: Final = """
    SELECT 'removed', r.account, r.serie, r.state FROM rows r LEFT JOIN temp.plan p
    USING (account, serie) WHERE p.account IS NULL AND r.is_in_plan
"""
_CHANGED: Final = """
    SELECT 'changed', r.account, r.serie, r.state FROM rows r JOIN temp.plan p
    USING (account, serie) WHERE r.is_default <> p.is_default AND r.is_in_plan
"""


def _differences(
    connection: sqlite3.Connection,
) -> tuple[dict[str, int], tuple[Difference, ...], list[Identity]]:
    (known,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    if not known:
        return {}, (), []
    lost = connection.execute(
        f"SELECT account, serie FROM ({_REMOVED}) JOIN rows USING (account, serie) "  # noqa: S608  # constants
        f"WHERE rows.{_IN_DOUBT} LIMIT 3"
    ).fetchall()
    counts, shown = dict[str, int](), list[Difference]()
    for query in (_ADDED, _REMOVED, _CHANGED):
        rows = connection.execute(f"{query} LIMIT {_MOST_DIFFERENCES_SHOWN - len(shown)}")
        shown += (
            Difference(kind=kind, account=account, serie=serie, state=state)
            for kind, account, serie, state in rows
        )
    for kind, query in (("added", _ADDED), ("removed", _REMOVED), ("changed", _CHANGED)):
        (counts[kind],) = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()  # noqa: S608  # constants
    return counts, tuple(shown), lost


_LEAVE: Final = """
    UPDATE rows SET is_in_plan = 0 WHERE is_in_plan AND (account, serie) NOT IN
    (SELECT account, serie FROM temp.plan)
"""
# What is done for one wish about the default is not done for another.
_ENTER: Final = """
    INSERT INTO rows (account, serie, is_default, state, updated_at)
    SELECT account, serie, is_default, 'planned', ? FROM temp.plan WHERE true
    ON CONFLICT DO UPDATE SET is_in_plan = 1, is_default = excluded.is_default,
    state = CASE WHEN (is_in_plan AND is_default = excluded.is_default)
    OR state IN ('intent', 'unknown', 'absent') THEN state ELSE 'planned' END
    WHERE NOT is_in_plan OR is_default <> excluded.is_default
"""


def _enter(connection: sqlite3.Connection) -> None:
    connection.execute(_LEAVE)
    connection.execute(_ENTER, (time.time(),))
    connection.execute("DROP TABLE temp.plan")


_ENTER_ONE: Final = """
    INSERT INTO rows (account, serie, is_default, state, updated_at)
    VALUES (?, ?, ?, 'planned', ?)
    ON CONFLICT DO UPDATE SET is_in_plan = 1, is_default = excluded.is_default,
    state = CASE WHEN (is_in_plan AND is_default = excluded.is_default)
    OR state IN ('intent', 'unknown', 'absent') THEN state ELSE 'planned' END
    WHERE NOT is_in_plan OR is_default <> excluded.is_default
"""


def _admit(connection: sqlite3.Connection, row: PlanRow) -> tuple[object, ...]:
    connection.execute(_ENTER_ONE, (row.account, row.serie, row.is_default, time.time()))
    return _select(connection, (row.account, row.serie))


def _select(connection: sqlite3.Connection, identity: Identity) -> tuple[object, ...]:
    row: tuple[object, ...] = connection.execute(
        "SELECT state, intent, intended_at, absent_since, error, status, code, sequence_id "
        "FROM rows WHERE account = ? AND serie = ?",
        identity,
    ).fetchone()
    return row
