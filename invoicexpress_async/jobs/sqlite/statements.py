"""The SQL of the tables of a journal, made from their `Table` definitions."""

import functools
from typing import Final

from invoicexpress_async.jobs.journal import (
    CLAIMABLE,
    INTENTS,
    UNRESOLVED,
    Column,
    JournalState,
    Table,
)

_KINDS: Final = {str: "TEXT", int: "INTEGER", float: "REAL"}
_IS_UNRESOLVED: Final = f"state IN ({', '.join(repr(state.value) for state in sorted(UNRESOLVED))})"
_WON: Final = ("state", "token", "replaced", "intent", "claimed_at")


def create(table: Table) -> str:
    """Return the SQL that creates a table."""
    columns = ", ".join(definition(column) for column in table.all_columns)
    key = ", ".join(table.key)
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"


def definition(column: Column) -> str:
    """Return the definition of a column."""
    rest = {"is_in_plan": " NOT NULL DEFAULT 1", "sends": " NOT NULL DEFAULT 0"}
    return f"{column.name} {_KINDS[column.kind]}{rest.get(column.name, '')}"


def select(table: Table, present: frozenset[str], condition: str = "") -> str:
    """Return the SQL that reads entries; a column that an older file lacks is read as NULL."""
    columns = ", ".join(
        one.name if one.name in present else f"NULL AS {one.name}" for one in table.all_columns
    )
    return f"SELECT {columns} FROM {table.name} {condition}"  # noqa: S608  # names of our own


@functools.cache
def of_keys(table: Table) -> str:
    """Return the condition for the entries of some keys, given as a JSON array of arrays."""
    key = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(table.key)))
    return f"WHERE ({', '.join(table.key)}) IN (SELECT {key} FROM json_each(?))"  # noqa: S608  # names of our own


@functools.cache
def look_up(table: Table) -> str:
    """Return the SQL that reads entries by their keys, given as a JSON array of arrays."""
    columns = ", ".join(f"old.{column.name}" for column in table.all_columns)
    same = " AND ".join(
        f"old.{name} = json_extract(new.value, '$[{at}]')" for at, name in enumerate(table.key)
    )
    return f"SELECT {columns} FROM json_each(?) AS new CROSS JOIN {table.name} AS old ON {same}"  # noqa: S608  # names of our own


@functools.cache
def win(rows: int) -> str:
    """Return the SQL that claims intents, unless another process has the claim.

    Its parameters are the time, and then the key and the `_WON` columns of each intent.
    """
    columns = (*INTENTS.key, *_WON)
    changes = ", ".join(f"{name} = excluded.{name}" for name in (*_WON, "updated_at"))
    values = marks(rows, len(columns))
    claimable = ", ".join(repr(state.value) for state in sorted(CLAIMABLE))
    return (
        f"INSERT INTO intents (updated_at, {', '.join(columns)}) SELECT ?, * FROM ({values}) "  # noqa: S608  # names of our own
        f"WHERE column1 IS NOT NULL ON CONFLICT DO UPDATE SET {changes} "
        f"WHERE intents.state IN ({claimable}) "
        "OR (intents.token = excluded.replaced AND intents.state <> 'done')"
    )


def marks(rows: int, columns: int) -> str:
    """Return the VALUES clause with parameters for some rows."""
    row = f"({', '.join('?' * columns)})"
    return f"VALUES {', '.join([row] * rows)}"


def in_states(states: frozenset[JournalState]) -> str:
    """Return the condition for the entries of the plan in some states."""
    names = ", ".join(repr(state.value) for state in sorted(states))
    return f"WHERE is_in_plan AND state IN ({names})"


@functools.cache
def update(table: Table, columns: tuple[str, ...], expected: tuple[str, ...], rows: int) -> str:
    """Return the SQL that changes columns of some entries that have the expected values.

    Its parameters are the time, and then the key, the expected values and the columns of each
    entry. Columns that a plan gives are not changed: they are the request that the outcome belongs
    to. If the entry has another request by now, its state becomes planned instead of done or
    refused, and without an expected token nothing is written over an unresolved send.
    """
    # SQLite's names for the columns of VALUES.
    compared = (*table.key, *expected)
    new = [f"new.column{at}" for at in range(1, len(compared) + len(columns) + 1)]
    wanted = dict(zip(columns, new[len(compared) :], strict=True))
    is_other = " OR ".join(
        f"{table.name}.{one.name} IS NOT {wanted.pop(one.name)}"
        for one in table.requested
        if one.name in wanted
    )
    if is_other:
        state = wanted["state"]
        wanted["state"] = (
            f"CASE WHEN {state} IN ('done', 'refused') AND {table.name}.state IS NOT 'done' "
            f"AND ({is_other}) THEN 'planned' ELSE {state} END"
        )
    changes = "".join(f", {name} = {value}" for name, value in wanted.items())
    same = " AND ".join(
        f"{table.name}.{name} IS {value}" for name, value in zip(compared, new, strict=False)
    )
    if is_other and "token" not in expected:
        same += f" AND NOT (({is_other}) AND {table.name}.{_IS_UNRESOLVED})"
    if "state" in wanted:
        # A done entry stays done, whatever a process that was frozen writes later.
        same += f" AND ({table.name}.state IS NOT 'done' OR ({wanted['state']}) = 'done')"
    values = marks(rows, len(new))
    return f"UPDATE {table.name} SET updated_at = ?{changes} FROM ({values}) AS new WHERE {same}"  # noqa: S608  # names of our own


@functools.cache
def insert(table: Table, columns: tuple[str, ...]) -> str:
    """Return the SQL that adds an entry if its key is new."""
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR IGNORE INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  # names of our own


class PlanStatements:
    """The SQL that compares a table with a plan, and applies the plan.

    The plan is a temporary table, which spills to the disk, so that a plan of a million rows does
    not fill the memory.
    """

    def __init__(self, table: Table) -> None:
        key = ", ".join(table.key)
        requested = [column.name for column in table.requested]
        self._table = table
        self._name, self._key = table.name, key
        self._columns = ", ".join((*table.key, *requested))
        self._plan = f"temp.plan_of_{table.name}"
        self._is_other = " OR ".join(f"old.{name} IS NOT new.{name}" for name in requested) or "0"

    @property
    def begin(self) -> tuple[str, ...]:
        """Creates the temporary table, and empties it."""
        # Not dropped and created again: SQLite would have to parse all its statements again.
        key = f"PRIMARY KEY ({self._key})"
        create = f"CREATE TABLE IF NOT EXISTS {self._plan} ({self._columns}, {key}) WITHOUT ROWID"
        return create, self.empty

    @property
    def empty(self) -> str:
        """Deletes the plan."""
        return f"DELETE FROM {self._plan}"  # noqa: S608  # names of our own

    @property
    def add(self) -> str:
        """Adds entries to the plan; the values follow."""
        return f"INSERT OR REPLACE INTO {self._plan}"

    @property
    def counts(self) -> str:
        """Counts the differences that `changes` finds, in the same order, in one pass."""
        there = "count(*) FILTER (WHERE old.is_in_plan)"
        return (
            f"SELECT count(*) - {there} AS added, "  # noqa: S608  # names of our own
            f"(SELECT count(*) FROM {self._name} WHERE is_in_plan) - {there} AS removed, "
            f"count(*) FILTER (WHERE old.is_in_plan AND ({self._is_other})) AS changed "
            + self._joined("new", "old")
        )

    @property
    def changes(self) -> dict[str, str]:
        """Finds the differences, by kind: the key and the state of each."""
        added, removed = self._joined("new", "old"), self._joined("old", "new")
        both = f"FROM {self._name} AS old JOIN {self._plan} AS new USING ({self._key})"
        return {
            "added": f"SELECT {self._key}, NULL AS state {added} WHERE old.state IS NULL "
            "OR NOT old.is_in_plan",
            "removed": f"SELECT {self._key}, old.state {removed} "
            f"WHERE new.{self._table.key[0]} IS NULL "
            "AND old.is_in_plan",
            "changed": f"SELECT {self._key}, old.state {both} WHERE ({self._is_other}) "
            "AND old.is_in_plan",
        }

    def _joined(self, left: str, right: str) -> str:
        names = {"old": self._name, "new": self._plan}
        join = f"LEFT JOIN {names[right]} AS {right} USING ({self._key})"
        return f"FROM {names[left]} AS {left} {join}"

    @property
    def lost(self) -> str:
        """Finds the unresolved entries that are not in the plan."""
        return f"SELECT * FROM ({self.changes['removed']}) WHERE {_IS_UNRESOLVED} LIMIT 3"  # noqa: S608  # as above

    @property
    def leave(self) -> str:
        """Removes the missing entries from the plan."""
        # Not NOT IN: with it SQLite reads the whole plan for each missing entry.
        same = " AND ".join(f"new.{name} = {self._name}.{name}" for name in self._table.key)
        plan = f"SELECT 1 FROM {self._plan} AS new WHERE {same}"  # noqa: S608  # as above
        return f"UPDATE {self._name} SET is_in_plan = 0 WHERE is_in_plan AND NOT EXISTS ({plan})"  # noqa: S608  # as above

    @property
    def enter(self) -> str:
        """Enters the whole plan; its only parameter is the time."""
        return self._enter(f"SELECT {self._columns}, 'planned', ? FROM {self._plan} WHERE true")  # noqa: S608  # as above

    @property
    def enter_one(self) -> str:
        """Enters one entry; its parameters are the columns and then the time."""
        marks = ", ".join("?" * (len(self._table.key) + len(self._table.requested)))
        return self._enter(f"VALUES ({marks}, 'planned', ?)")

    def _enter(self, source: str) -> str:
        requested = [column.name for column in self._table.requested]
        same = " AND ".join(f"{name} IS excluded.{name}" for name in requested) or "1"
        changes = "".join(f", {name} = excluded.{name}" for name in requested)
        # An entry that is done for one request is not done for another.
        return (
            f"INSERT INTO {self._name} ({self._columns}, state, updated_at) {source} "  # as above
            f"ON CONFLICT DO UPDATE SET is_in_plan = 1{changes}, state = CASE "
            f"WHEN (is_in_plan AND {same}) OR {_IS_UNRESOLVED} THEN state ELSE 'planned' END "
            f"WHERE NOT is_in_plan OR NOT ({same})"
        )


@functools.cache
def plan(table: Table) -> PlanStatements:
    """Return the statements of a plan of this table."""
    return PlanStatements(table)
