"""The SQL of a plan: compares a table with the plan, and applies the plan."""

import functools

from invoicexpress_async.jobs.journal import UNRESOLVED, Table
from invoicexpress_async.jobs.postgres.statements import (
    KINDS,
    NOW,
    Statements,
    has_slice,
    key_text,
    plan_table,
    records,
    states_text,
)


@functools.cache
def plan_of(statements: Statements, table: Table) -> "PlanStatements":
    """Return the statements for the plans of a table."""
    return PlanStatements(statements, table)


class PlanStatements:
    """The statements that compare a table with a plan, and apply the plan.

    Until it is applied, a plan is kept in a separate table; a temporary table would be session
    state. The first value of the statements is the plan's id.
    """

    def __init__(self, statements: Statements, table: Table) -> None:
        requested = [column.name for column in table.requested]
        self._table = table
        self._old = statements.name(table.name)
        self._new = statements.name(plan_table(table))
        self._key = key_text(table)
        self._columns = (*table.key, *requested, *(("slice",) if has_slice(table) else ()))
        self._is_other = (
            " OR ".join(f"old.{name} IS DISTINCT FROM new.{name}" for name in requested) or "false"
        )
        self._is_same = (
            " AND ".join(f"old.{name} IS NOT DISTINCT FROM excluded.{name}" for name in requested)
            or "true"
        )  # one condition
        self._set_requested = "".join(f", {name} = excluded.{name}" for name in requested)

    @property
    def add(self) -> str:
        """The SQL that adds entries to the plan; of two with the same key, the last one counts."""
        kinds = {column.name: KINDS[column.kind] for column in self._table.all_columns}
        fields = [(one, kinds.get(one, "integer")) for one in self._columns]
        names = ", ".join(self._columns)
        changes = ", ".join(
            f"{one} = excluded.{one}" for one in self._columns if one not in self._table.key
        )
        return (
            f"INSERT INTO {self._new} (plan, {names}) SELECT %s, {names} FROM {records(fields)} "
            f"AS new ON CONFLICT (plan, {self._key}) DO "
            + (f"UPDATE SET {changes}" if changes else "NOTHING")
        )

    @property
    def is_used(self) -> str:
        """The SQL that returns whether the table has entries."""
        return f"SELECT EXISTS (SELECT FROM {self._old})"

    def changes(self, kind: str) -> str:
        """Return the SQL that finds the differences of a kind: the key and the state of each."""
        mine = f"(SELECT * FROM {self._new} WHERE plan = %s) AS new"
        old = f"{self._old} AS old"
        if kind == "added":
            return (
                f"SELECT {self._key}, NULL AS state FROM {mine} LEFT JOIN {old} USING ({self._key})"
                " WHERE old.state IS NULL OR old.is_in_plan = 0"
            )
        if kind == "removed":
            return (
                f"SELECT {self._key}, old.state FROM {old} LEFT JOIN {mine} USING ({self._key}) "
                "WHERE new.plan IS NULL AND old.is_in_plan <> 0"
            )
        return (
            f"SELECT {self._key}, old.state FROM {old} JOIN {mine} USING ({self._key}) "
            f"WHERE ({self._is_other}) AND old.is_in_plan <> 0"
        )

    @property
    def lost(self) -> str:
        """The SQL that finds entries that are unresolved and not in the plan."""
        return (
            f"SELECT * FROM ({self.changes('removed')}) AS removed "
            f"WHERE state IN ({states_text(UNRESOLVED)}) LIMIT 3"
        )

    def enter(self, condition: str) -> str:
        """Return the SQL that enters all of the plan, under a condition."""
        columns = ", ".join(self._columns)
        return self._enter(
            f"SELECT {columns}, 'planned', {NOW} FROM {self._new} WHERE plan = %s AND {condition} "
            f"ORDER BY {self._key}"
        )

    @property
    def enter_one(self) -> str:
        """The SQL that enters one entry, given as a JSON array of one object."""
        kinds = {column.name: KINDS[column.kind] for column in self._table.all_columns}
        fields = [(one, kinds.get(one, "integer")) for one in self._columns]
        columns = ", ".join(self._columns)
        return self._enter(f"SELECT {columns}, 'planned', {NOW} FROM {records(fields)} AS new")

    def leave(self, condition: str) -> str:
        """Return the SQL that removes the missing entries from the plan, under a condition."""
        same = " AND ".join(f"new.{name} = old.{name}" for name in self._table.key)
        return (
            f"UPDATE {self._old} AS old SET is_in_plan = 0 WHERE old.is_in_plan <> 0 AND NOT EXISTS "  # noqa: E501  # one condition
            f"(SELECT FROM {self._new} AS new WHERE new.plan = %s AND {same}) AND {condition}"
        )

    @property
    def forget(self) -> str:
        """The SQL that deletes a plan that was entered, and plans left over for a day."""
        return f"DELETE FROM {self._new} WHERE plan = %s OR begun_at < {NOW} - 86400"

    def _enter(self, source: str) -> str:
        unresolved = states_text(UNRESOLVED)
        # An entry that is done for one request is not done for a changed request.
        return (
            f"INSERT INTO {self._old} AS old ({', '.join(self._columns)}, state, updated_at) {source} "  # noqa: E501
            f"ON CONFLICT ({self._key}) DO UPDATE SET is_in_plan = 1{self._set_requested}, "
            f"state = CASE WHEN (old.is_in_plan <> 0 AND {self._is_same}) "
            f"OR old.state IN ({unresolved}) THEN old.state ELSE 'planned' END "
            f"WHERE old.is_in_plan = 0 OR NOT ({self._is_same})"
        )
