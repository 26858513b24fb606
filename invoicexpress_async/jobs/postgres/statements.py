"""The SQL for the tables of a journal, made from the definitions in their packages.

Each statement is idempotent, because it is sent again when its response is lost. A statement
handles many entries, which are passed as one JSON array of objects.
"""

from collections.abc import Sequence
from typing import Final

import attrs

from invoicexpress_async.jobs.journal import (
    CLAIMABLE,
    INTENTS,
    UNRESOLVED,
    Column,
    JournalState,
    Table,
)

KINDS: Final[dict[type[str | int | float], str]] = {
    str: "text",
    int: "bigint",
    float: "double precision",
}
# The database's clock, which is the same for all processes.
NOW: Final = "extract(epoch FROM clock_timestamp())::double precision"
CLAIM_COLUMNS: Final = ("kind", "account", "subject", "token", "replaced", "intent", "claimed_at")
# The conditions that a change carries beside its columns: on the entry, its claim and its slice.
_GUARDS: Final = (
    ("c_kind", "text"), ("c_account", "text"), ("c_subject", "text"), ("c_token", "text"),
    ("c_state", "text"), ("f_slice", "integer"), ("f_epoch", "bigint"),
)  # fmt: skip


def states_text(states: frozenset[JournalState]) -> str:
    """Return states as an SQL list."""
    return ", ".join(f"'{state.value}'" for state in sorted(states))


def has_slice(table: Table) -> bool:
    """Whether the table's entries are divided among workers: entries planned for accounts are."""
    return bool(table.requested) and "account" in table.key


def _is_held(entry: str) -> str:
    # The row of the slice is locked by the first statement of the transaction.
    return f"({entry}.f_epoch IS NULL OR EXISTS (SELECT FROM {{slices}} AS s WHERE s.slice = {entry}.f_slice AND s.epoch = {entry}.f_epoch))"  # noqa: E501  # one condition


@attrs.frozen
class Statements:
    """The statements on the tables of one schema."""

    schema: str

    def name(self, table: str) -> str:
        """Return the full name of a table, because `search_path` would be session state."""
        return f'"{self.schema}"."{table}"'

    def create(self, table: Table) -> str:
        """Return the SQL that creates a table."""
        columns = [_definition(column) for column in table.all_columns]
        if has_slice(table):
            columns.append("slice integer NOT NULL")
        key = ", ".join(table.key)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name(table.name)} ({', '.join(columns)}, "
            f"PRIMARY KEY ({key})) WITH (fillfactor = 70)"
        )

    def create_index(self, table: Table) -> str:
        """Return the SQL that creates the index of the open entries, by slice."""
        return (
            f"CREATE INDEX IF NOT EXISTS {table.name}_open ON {self.name(table.name)} (slice) "
            "WHERE state NOT IN ('done', 'refused')"
        )

    def create_plan(self, table: Table) -> str:
        """Return the SQL that creates the table of the plans that are being compared."""
        columns = "".join(f", {one.name} {KINDS[one.kind]}" for one in table.requested)
        keys = "".join(f", {name} {_TEXT}" for name in table.key)
        slice_ = ", slice integer NOT NULL" if has_slice(table) else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name(plan_table(table))} (plan text NOT NULL{keys}"
            f"{columns}{slice_}, begun_at double precision NOT NULL DEFAULT {NOW}, "
            f"PRIMARY KEY (plan, {', '.join(table.key)}))"
        )

    def add_column(self, table: Table, column: Column) -> str:
        """Return the SQL that adds a column that an older journal lacks."""
        return f"ALTER TABLE {self.name(table.name)} ADD COLUMN IF NOT EXISTS {_definition(column)}"

    def select(self, table: Table, condition: str = "") -> str:
        """Return the SQL that reads entries."""
        columns = ", ".join(f"old.{column.name}" for column in table.all_columns)
        return f"SELECT {columns} FROM {self.name(table.name)} AS old {condition}"

    def in_states(self, states: frozenset[JournalState]) -> str:
        """Return the condition for the entries of the plan in some states."""
        return f"WHERE old.is_in_plan <> 0 AND old.state IN ({states_text(states)})"

    def look_up(self, table: Table) -> str:
        """Return the SQL that reads entries by their keys."""
        return self.select(table, f"JOIN {records(_keys(table))} AS new USING ({key_text(table)})")

    def reset_to_planned(
        self, table: Table, states: frozenset[JournalState], *, some: bool = False
    ) -> str:
        """Return the SQL that plans entries in some states again: all, or those of given keys."""
        same = " AND ".join(f"old.{name} = new.{name}" for name in table.key)
        given = f" FROM {records(_keys(table))} AS new" if some else ""
        return (
            f"UPDATE {self.name(table.name)} AS old SET state = 'planned', updated_at = {NOW}"
            f"{given} {self.in_states(states)}{f' AND {same}' if some else ''}"
        )

    def slices_left(self, table: Table, states: frozenset[JournalState]) -> str:
        """Return the SQL that reads the slices that have entries in some states."""
        times = ", ".join(
            f"extract(epoch FROM {one})::double precision AS {one}"
            for one in ("due", "since", "until")
        )
        passed = ", ".join(
            f"extract(epoch FROM clock_timestamp() - {one})::double precision AS {name}"
            for one, name in (("until", "over"), ("due", "due_for"))
        )
        return (
            f"SELECT s.slice, open.count, holder, {times}, {passed} "
            f"FROM {self.name('slices')} AS s JOIN "
            f"(SELECT slice, count(*) FROM {self.name(table.name)} AS old "
            f"{self.in_states(states)} GROUP BY slice) AS open USING (slice) ORDER BY s.slice"
        )

    def wake(self, condition: str = "true") -> str:
        """Return the SQL that makes slices due at once; for a held slice, after its release."""
        slices = self.name("slices")
        return (
            f"WITH mine AS MATERIALIZED (SELECT slice FROM {slices} WHERE {condition} AND "
            "(due > clock_timestamp() OR (due IS NULL AND until IS NOT NULL)) "
            "ORDER BY slice FOR NO KEY UPDATE) UPDATE "
            f"{slices} AS old SET due = clock_timestamp() FROM mine WHERE old.slice = mine.slice"
        )

    def wake_for_new(self, table: Table) -> str:
        """Return the SQL that makes the slice of a key due at once, if the plan lacks the key."""
        key = " AND ".join(f"{name} = %s" for name in table.key)
        is_there = f"SELECT FROM {self.name(table.name)} WHERE {key} AND is_in_plan <> 0"
        return self.wake(f"slice = %s AND NOT EXISTS ({is_there})")

    def lock_slices(self) -> str:
        """Return the SQL that reads held slices, and locks them against being taken over."""
        records = "json_to_recordset(%s::json) AS new(slice integer, epoch bigint)"
        return (
            f"SELECT old.slice, old.epoch FROM {self.name('slices')} AS old JOIN {records} "
            "USING (slice, epoch) ORDER BY old.slice FOR SHARE OF old"
        )

    def claim(self) -> str:
        """Return the SQL that wins claims: each takes a free entry, or the entry that it replaces.

        A claim that is stored already, with the same token, is one whose response was lost.
        """
        fields = [*((one, "text") for one in CLAIM_COLUMNS), *_GUARDS[-2:]]
        columns = ", ".join(CLAIM_COLUMNS)
        changes = ", ".join(f"{one} = excluded.{one}" for one in CLAIM_COLUMNS[3:])
        return (
            f"INSERT INTO {self.name('intents')} AS old ({columns}, state, updated_at) "
            f"SELECT {', '.join(f'new.{one}' for one in CLAIM_COLUMNS)}, 'intent', {NOW} "
            f"FROM {records(fields)} AS new WHERE {self._held('new')} "
            f"ORDER BY kind, account, subject ON CONFLICT (kind, account, subject) DO UPDATE "
            f"SET {changes}, state = 'intent', updated_at = excluded.updated_at "
            f"WHERE old.state IN ({states_text(CLAIMABLE)}) "
            "OR (old.token = excluded.replaced AND old.state <> 'done') "
            "OR (old.token = excluded.token AND old.state = 'intent')"
        )

    def update(self, table: Table, columns: Sequence[str], expected: Sequence[str]) -> str:
        """Return the SQL that changes columns of entries with the expected values.

        It changes nothing of an entry whose claim or slice another process has. If the entry has
        another request by now, its state becomes planned instead of done or refused, and without
        an expected token nothing is written over an unresolved send.
        """
        kinds = {column.name: KINDS[column.kind] for column in table.all_columns}
        fields = [
            *_keys(table),
            *((f"n_{one}", kinds[one]) for one in columns),
            *((f"e_{one}", kinds[one]) for one in expected),
            *_GUARDS,
        ]
        wanted = {one: f"new.n_{one}" for one in columns}
        is_other = " OR ".join(
            f"old.{one.name} IS DISTINCT FROM {wanted.pop(one.name)}"
            for one in table.requested
            if one.name in wanted
        )
        if is_other:
            wanted["state"] = (
                "CASE WHEN new.n_state IN ('done', 'refused') "
                "AND old.state IS DISTINCT FROM 'done' "
                f"AND ({is_other}) THEN 'planned' ELSE new.n_state END"
            )
        changes = "".join(f"{one} = {value}, " for one, value in wanted.items())
        conditions = [f"old.{name} = new.{name}" for name in table.key]
        conditions += [f"old.{name} IS NOT DISTINCT FROM new.e_{name}" for name in expected]
        if is_other and "token" not in expected:
            unresolved = f"old.state IN ({states_text(UNRESOLVED)})"
            conditions.append(f"NOT (({is_other}) AND {unresolved})")
        if "state" in columns:
            # An entry that is done stays done, whatever a process that was frozen still writes.
            conditions.append("(old.state IS DISTINCT FROM 'done' OR new.n_state = 'done')")
        claim = " AND ".join(f"c.{one} = new.c_{one}" for one in (*INTENTS.key, "token"))
        conditions.append(
            f"(new.c_token IS NULL OR EXISTS (SELECT FROM {self.name('intents')} AS c "
            f"WHERE {claim} AND (new.c_state IS NULL OR c.state = new.c_state)))"
        )
        conditions.append(self._held("new"))
        return (
            f"UPDATE {self.name(table.name)} AS old SET {changes}updated_at = {NOW} "
            f"FROM {records(fields)} AS new WHERE {' AND '.join(conditions)}"
        )

    def insert(self, table: Table, columns: Sequence[str]) -> str:
        """Return the SQL that adds entries whose key is new."""
        kinds = {column.name: KINDS[column.kind] for column in table.all_columns}
        fields = [(one, kinds[one]) for one in columns]
        slice_ = has_slice(table)
        if slice_:
            fields.append(("slice", "integer"))
        names = ", ".join(one for one, _ in fields)
        return (
            f"INSERT INTO {self.name(table.name)} ({names}, updated_at) "
            f"SELECT {names}, {NOW} FROM {records(fields)} AS new ON CONFLICT DO NOTHING"
        )

    def _held(self, entry: str) -> str:
        return _is_held(entry).format(slices=self.name("slices"))


_TEXT: Final = 'text COLLATE "C" NOT NULL'


def _definition(column: Column) -> str:
    rest = {"is_in_plan": " NOT NULL DEFAULT 1", "sends": " NOT NULL DEFAULT 0"}
    kind = KINDS[column.kind]
    if column.kind is str:
        kind += ' COLLATE "C"'
    return f"{column.name} {kind}{rest.get(column.name, '')}"


def _keys(table: Table) -> list[tuple[str, str]]:
    return [(name, "text") for name in table.key]


def key_text(table: Table) -> str:
    """Return the columns of a table's key, as an SQL list."""
    return ", ".join(table.key)


def records(fields: Sequence[tuple[str, str]]) -> str:
    """Return the SQL that reads an array of objects as rows of these columns."""
    columns = ", ".join(f"{name} {kind}" for name, kind in fields)
    return f"(SELECT * FROM json_to_recordset(%s::json) AS given({columns}))"


def plan_table(table: Table) -> str:
    """Return the name of the table that contains a table's plans."""
    return f"{table.name}_plan"
