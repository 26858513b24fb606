"""The table of a plan's rows in a journal."""

import datetime as dt
import functools
import json
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from invoicexpress_async.jobs.claims import JournalClaims
from invoicexpress_async.jobs.journal import (
    UNRESOLVED,
    Change,
    Claim,
    Column,
    Commit,
    Difference,
    Entry,
    Journal,
    JournalDifferenceError,
    JournalError,
    JournalState,
    Key,
    PlanChanges,
    Table,
    Value,
)
from invoicexpress_async.jobs.keys import KeyUnavailableError
from invoicexpress_async.jobs.records import (
    RecordReader,
    dump_sequence,
    load_sequence,
    make_record_converter,
)
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import AccountRow, PlanRow

ROWS: Final = Table(
    name="rows",
    key=("account", "serie"),
    requested=(
        Column("is_default", int),
        # The day before which it does not become the default; another day is another plan.
        Column("default_not_before", str),
    ),
    columns=(
        Column("intent", str),
        Column("intended_at", str),
        Column("absent_since", str),
        Column("sends", int),
        Column("token", str),
        Column("error", str),
        Column("status", int),
        Column("code", str),
        Column("sequence_id", int),
        Column("sequence", str),
        Column("is_created", int),
    ),
)


@attrs.frozen(kw_only=True)
class RowRecord:
    """What a journal records about a row.

    Attributes:
        state: The state of the row.
        intent: The intent of the send whose outcome is unknown, if there is one.
        intended_at: When that send was.
        token: The claim token of that send.
        absent_since: When a complete list first did not show the sequence, late enough to count.
        sends: How many times a create or register of this row was sent, in all runs.
        error: The class of the error that the row ended with.
        status: The status of the refusal that it ended with.
        code: The code of the refusal that it ended with.
        sequence_id: The id of the sequence, once known.
        sequence: The sequence with its ids and validation codes, as last seen.
        is_created: Whether a create of this job made the sequence; None when that is not known.
    """

    state: JournalState = JournalState.PLANNED
    intent: Intent | None = None
    intended_at: Timestamp | None = None
    token: str | None = None
    absent_since: Timestamp | None = None
    sends: int = 0
    error: str | None = None
    status: int | None = None
    code: str | None = None
    sequence_id: int | None = None
    sequence: Sequence | None = None
    is_created: bool | None = None

    @property
    def was_tried(self) -> bool:
        """Whether a process worked on the row; one that lacked its key could not."""
        lacks_key = self.error == KeyUnavailableError.__name__
        return not (self.state is JournalState.PLANNED or lacks_key)


_NEW: Final = RowRecord()


@functools.cache
def row_reader() -> RecordReader[RowRecord]:
    """Return the reader of row entries."""
    converter = make_record_converter()
    converter.register_structure_hook(Sequence, lambda text, _: load_sequence(text))
    return RecordReader(ROWS, RowRecord, converter)


def key_of(row: PlanRow) -> Key:
    """Return the key of a row in the journal."""
    return row.account, row.serie


class RowJournal:
    """The rows of one run in its journal. Await `open` before anything else."""

    def __init__(self, journal: Journal, *, default_not_before: dt.date | None = None) -> None:
        self._journal = journal
        self._day = None if default_not_before is None else default_not_before.isoformat()

    async def open(self) -> None:
        """Create the table of rows, or add the columns that it lacks."""
        await self._journal.prepare(ROWS)

    async def begin_plan(self) -> None:
        """Begin to compare a plan with the journal."""
        await self._journal.begin_plan(ROWS)

    async def add_to_plan(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """Add account, serie and `is_default` of some rows of the plan to the comparison."""
        given = [self._given(is_default=flag) for flag in (False, True)]
        entries = [{"account": one, "serie": serie, **given[flag]} for one, serie, flag in rows]
        await self._journal.add_to_plan(ROWS, entries)

    async def enter_plan(
        self, *, accept_changes: bool, accept_added: bool
    ) -> tuple[Difference, ...]:
        """Enter the added plan, and return the first differences from the one before it.

        Raises:
            JournalDifferenceError: there are differences, and they are not accepted.
            JournalError: a row whose outcome is unknown is not in the plan any more.
        """
        changes = await self._journal.compare_plan(ROWS)
        if changes.lost:
            names = ", ".join(f"{account} {serie!r}" for account, serie in changes.lost)
            raise JournalError(
                "The journal has rows whose outcome is not known and which the plan does not "
                f"have, such as {names}: put them back into the plan."
            )
        differences = _differences(changes)
        kinds = [kind for kind, count in changes.counts.items() if count]
        if not accept_changes and set(kinds) - ({"added"} if accept_added else set[str]()):
            count, first = sum(changes.counts.values()), differences[0]
            rows = "1 row differs" if count == 1 else f"{count} rows differ"
            day = await self._day_text(changes)
            raise JournalDifferenceError(
                f"The journal is of another plan: {rows} ({', '.join(kinds)}), such "
                f"as {first.account} {first.serie!r}.{day} Nothing was sent.",
                differences=differences,
                count=count,
            )
        await self._journal.enter_plan(ROWS)
        return differences

    async def series(self) -> dict[str, str]:
        """Return the serie of each account of the journal's plan; one serie an account."""
        entries = await self._journal.read(ROWS, states=frozenset(JournalState))
        return dict(map(ROWS.key_of, entries))  # type: ignore[arg-type]  # a key of two

    async def of_accounts(
        self, accounts: Iterable[AccountRow]
    ) -> dict[str, tuple[PlanRow, RowRecord]]:
        """Return, by account, its row in the journal's plan and the record of that row."""
        series = await self.series()
        rows = [
            PlanRow(account=one.account, api_key=one.api_key, serie=series[one.account])
            for one in accounts
            if one.account in series
        ]
        found = zip(rows, await self.look_up(rows), strict=True)
        return {row.account: (row, record) for row, record in found}

    async def bind_job(self, name: str, value: str) -> str:
        """Write the kind of this job if the journal has none yet; return the kind it has."""
        bound = await self._journal.bind(name, value, unless_used=ROWS)
        return bound or "another kind of job"

    async def unresolved(self) -> frozenset[Key]:
        """Return the keys of the rows with a send whose outcome is unknown."""
        return frozenset(
            ROWS.key_of(entry) for entry in await self._journal.read(ROWS, states=UNRESOLVED)
        )

    async def look_up(self, rows: Iterable[PlanRow]) -> list[RowRecord]:
        """Return the records of rows of the plan, in their order."""
        return list(map(self._record, await self._journal.look_up(ROWS, [*map(key_of, rows)])))

    async def settled(self, rows: Iterable[PlanRow]) -> list[tuple[PlanRow, RowRecord]]:
        """Return the records of the rows that were tried: with a key, and not planned again.

        Raises:
            JournalError: another plan with other rows was entered meanwhile.
        """
        given = list(rows)
        entries = await self._journal.look_up(ROWS, [*map(key_of, given)])
        for row, entry in zip(given, entries, strict=True):
            self.check_requested(row, entry)
        records = zip(given, map(self._record, entries), strict=True)
        return [(row, record) for row, record in records if record.was_tried]

    def check_requested(self, row: PlanRow, entry: Entry) -> None:
        """Raise JournalError if an entry is missing or belongs to another plan than the row."""
        requested = {**self._requested(row), "is_in_plan": 1}
        if not entry or any(entry[name] != value for name, value in requested.items()):
            raise JournalError(
                f"Another plan was entered into {self._journal.label} since: it has another row, "
                f"or none, of account {row.account}, {row.serie!r}. What was done is recorded."
            )

    async def admit(self, row: PlanRow) -> RowRecord:
        """Enter a row of a stream if it is new, and return its record."""
        return self._record(await self._journal.admit(ROWS, self._requested(row)))

    def claims(self, row: PlanRow, sends: Callable[[], int]) -> JournalClaims:
        """Return the claims for the intents of a row.

        Args:
            row: The row.
            sends: Returns how many times a create or register of the row was sent before.
        """

        def changes_of(claim: Claim, state: JournalState) -> tuple[Change, ...]:
            if state is JournalState.INTENT:
                return (Change(ROWS, key_of(row), _intended(claim, sends() + 1)),)
            if state is JournalState.PLANNED:
                withdrawn = _withdrawn(sends())
                return (Change(ROWS, key_of(row), withdrawn, {"token": claim.token}),)
            return ()  # the outcome of the row includes the outcome of its intent

        return JournalClaims(self._journal, changes_of)

    def record_outcome(
        self,
        outcome: RowOutcome,
        *,
        intent: Intent | None,
        intended_at: Timestamp | None,
        absent_since: Timestamp | None,
        token: str | None,
    ) -> Commit:
        """Write the outcome of a row, or how far it is known. The commit is done once durable.

        Args:
            outcome: The outcome.
            intent: The intent of the send whose outcome is unknown, if there is one.
            intended_at: When that send was; of another sender's, when it was first seen.
            absent_since: When the sequence was first found absent, late enough to count.
            token: The token of the row's claim, when it was admitted or as this run won it last. An
                error is written only while the row has it: another run has sent since, and knows
                more.
        """
        error = outcome.error_name
        values: dict[str, Value] = {
            **self._given(is_default=outcome.row.is_default),
            "state": outcome.state,
            "intent": None if intent is None else json.dumps(intent),
            "absent_since": None if absent_since is None else absent_since.dump(),
            "error": error,
            "status": outcome.status,
            "code": outcome.code,
        }
        if intent is not None and intended_at is not None:
            values["intended_at"] = intended_at.dump()
        if outcome.sequence is not None:
            values["sequence_id"] = outcome.sequence.id
            values["sequence"] = dump_sequence(outcome.sequence)
        if outcome.created is not None:
            values["is_created"] = int(outcome.created)
        # The sequence exists, no matter which process created it.
        is_seen = error is None and token is None
        expected: Entry = {} if is_seen else {"token": token}
        return self._journal.write(Change(ROWS, key_of(outcome.row), values, expected))

    def _requested(self, row: PlanRow) -> Entry:
        given = self._given(is_default=row.is_default)
        return {"account": row.account, "serie": row.serie, **given}

    def _given(self, *, is_default: bool) -> dict[str, Value]:
        day = self._day if is_default else None
        return {"is_default": int(is_default), "default_not_before": day}

    async def _day_text(self, changes: PlanChanges) -> str:
        """Return a sentence on the day of the default if the day differs, or ""."""
        first = next((one.key for one in changes.first if one.kind == "changed"), None)
        if first is None:
            return ""
        (entry,) = await self._journal.look_up(ROWS, [first])
        known = entry["default_not_before"]
        if known == self._day or not entry["is_default"]:
            return ""
        return f" In it the series become the default {_from(known)}, and now {_from(self._day)}."

    def _record(self, entry: Entry) -> RowRecord:
        # When a job begins nearly all rows are new, and have nothing to read.
        return (
            _NEW
            if entry["state"] == JournalState.PLANNED and not (entry["sends"] or entry["token"])
            else row_reader().read(entry)
        )


def _from(day: Value) -> str:
    return "at once" if day is None else f"on {day}"


def _intended(claim: Claim, sends: int) -> Entry:
    return {
        "state": JournalState.INTENT,
        "intent": claim.intent,
        "intended_at": claim.claimed_at,
        "token": claim.token,
        "absent_since": None,
        "sends": sends,
    }


def _withdrawn(sends: int) -> Entry:
    return {
        "state": JournalState.PLANNED,
        "intent": None,
        "sends": sends,
        "error": None,
        "status": None,
        "code": None,
    }


def _differences(changes: PlanChanges) -> tuple[Difference, ...]:
    return tuple(
        Difference(kind=one.kind, account=one.key[0], serie=one.key[1], state=one.state)
        for one in changes.first
    )
