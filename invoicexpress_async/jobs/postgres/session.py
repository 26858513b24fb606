"""An open journal: its connections, its writer, and the queries on its tables."""

import asyncio
import functools
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, cast

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.journal import (
    Change,
    Claim,
    Commit,
    Entry,
    JournalError,
    JournalState,
    Key,
    PlanChange,
    PlanChanges,
    Table,
    Value,
)
from invoicexpress_async.jobs.postgres.address import Address
from invoicexpress_async.jobs.postgres.batch import Request
from invoicexpress_async.jobs.postgres.connection import (
    Connection,
    Message,
    Reachability,
)
from invoicexpress_async.jobs.postgres.fence import Fence, slice_of
from invoicexpress_async.jobs.postgres.plan_statements import plan_of
from invoicexpress_async.jobs.postgres.schema import open_schema, prepare_table
from invoicexpress_async.jobs.postgres.statements import Statements, has_slice
from invoicexpress_async.jobs.postgres.writer import GroupCommitWriter

_MAX_CHANGES_SHOWN: Final = 100
_KINDS: Final = ("added", "removed", "changed")


class JournalSession:
    """Two connections: one executes work in order; the other is for work that needs no order.

    Args:
        address: The address of the database.
        clock: The clock for waiting.
        patience_seconds: How long a lost message is sent again.
    """

    def __init__(self, address: Address, *, clock: Clock, patience_seconds: float) -> None:
        self.statements: Statements = Statements(address.schema)
        self.label: str = address.label
        connect = functools.partial(
            Connection,
            address,
            clock=clock,
            patience_seconds=patience_seconds,
            reachability=Reachability(address.label),
        )
        self.side: Connection = connect()
        self._connection: Connection = connect()
        self.writer: GroupCommitWriter = GroupCommitWriter(self._connection, self.statements)
        self.slices: int = 0
        self._prepared: set[Table] = set()
        self._plans: dict[str, tuple[str, str | None]] = {}
        self._is_harmless: dict[str, bool] = {}

    async def open(self, *, slices: int) -> None:
        """Connect, and create or check the schema.

        Raises:
            JournalError: the journal cannot be used.
        """
        try:
            await self.side.open()
            self.slices = await open_schema(
                self.side, self.statements, label=self.label, slices=slices
            )
            await self._connection.open()
        except BaseException:
            await self._close_connections()
            raise
        self.writer.start()

    async def close(self) -> None:
        """Write the waiting requests, and close."""
        try:
            await self.writer.close(f"The journal {self.label} was closed.")
        finally:
            await self._close_connections()

    async def _close_connections(self) -> None:
        await self._connection.close()
        await self.side.close()

    async def prepare(self, table: Table) -> None:
        """Create the table, or add the columns that it lacks."""
        if table not in self._prepared:
            await prepare_table(self.side, self.statements, table)
            self._prepared.add(table)

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write a property of the job, such as its kind, once; return the value that is written."""
        job, used = self.statements.name("job"), self.statements.name(unless_used.name)
        message = Message()
        message.add(
            f"INSERT INTO {job} SELECT %s, %s WHERE NOT EXISTS (SELECT FROM {used}) "
            "ON CONFLICT DO NOTHING",
            name,
            value,
        )
        message.add(f"SELECT value FROM {job} WHERE name = %s", name)
        (rows,) = await self.writer.query(message)
        return str(rows[0]["value"]) if rows else None

    async def begin_plan(self, table: Table) -> None:
        """Begin to compare a plan with the entries."""
        self._plans[table.name] = uuid.uuid4().hex, await self._plan_entered(table)

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add entries to the plan."""
        names = (*table.key, *(column.name for column in table.requested))
        by_key = {
            table.key_of(one): self._sliced(table, {name: one[name] for name in names})
            for one in entries
        }
        message = Message()
        plan, _ = self._plans[table.name]
        message.add(plan_of(self.statements, table).add, plan, json.dumps([*by_key.values()]))
        await self.writer.query(message)

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return the differences between the plan and the entries."""
        plan, _ = self._plans[table.name]
        # Read before comparing: `enter_plan` then detects a plan that is entered in between.
        self._plans[table.name] = plan, await self._plan_entered(table)
        changes = await self._compare(table)
        self._is_harmless[table.name] = not {"removed", "changed"} & {
            kind for kind, count in changes.counts.items() if count
        }
        return changes

    async def _compare(self, table: Table) -> PlanChanges:
        plan, statements = self._plans[table.name][0], plan_of(self.statements, table)
        message = Message()
        message.add(statements.is_used)
        for kind in _KINDS:
            query = statements.changes(kind)
            message.add(f"SELECT count(*) AS count FROM ({query}) AS changes", plan)
            message.add(f"{query} LIMIT {_MAX_CHANGES_SHOWN}", plan)
        message.add(statements.lost, plan)
        used, *counts_and_rows, lost = await self.writer.query(message)
        if not used[0]["exists"]:
            return PlanChanges(counts={}, first=(), lost=())
        counts: dict[str, int] = {}
        first: list[PlanChange] = []
        for at, kind in enumerate(_KINDS):
            ((count,), rows) = counts_and_rows[2 * at : 2 * at + 2]
            counts[kind] = cast("int", count["count"])
            first += (
                PlanChange(kind, table.key_of(row), cast("str | None", row["state"]))  # type: ignore[arg-type]  # one of three
                for row in rows
            )
        return PlanChanges(
            counts=counts,
            first=tuple(first[:_MAX_CHANGES_SHOWN]),
            lost=tuple(table.key_of(row) for row in lost),
        )

    async def enter_plan(self, table: Table) -> None:
        """Apply the plan, unless another plan was applied since the comparison.

        Raises:
            JournalError: another, different plan was applied; or rows leave the plan or change
                while workers hold slices and may be about to send them.
        """
        if not self._is_harmless.pop(table.name, True):
            await self._refuse_beside_workers()
        plan, seen = self._plans[table.name]
        job, statements = self.statements.name("job"), plan_of(self.statements, table)
        name, is_ours = (
            _plan_of(table),
            f"EXISTS (SELECT FROM {job} WHERE name = %s AND value = %s)",
        )
        message = Message()
        message.add(
            f"INSERT INTO {job} AS old VALUES (%s, %s) ON CONFLICT (name) DO UPDATE "
            "SET value = excluded.value WHERE old.value IN (%s, excluded.value)",
            name,
            plan,
            seen,
        )
        message.add(statements.leave(is_ours), plan, name, plan)
        message.add(statements.enter(is_ours), plan, name, plan)
        await self.writer.query(message)
        if await self._plan_entered(table) != plan:
            changes = await self._compare(table)
            if any(changes.counts.values()):
                raise JournalError(
                    f"Another plan was entered into the journal {self.label} at the same time. "
                    "Nothing was sent."
                )
        # In a separate message: the first one may be sent again, and must then find the plan.
        message = Message()
        message.add(statements.forget, plan)
        # Entries that wait for a later try are tried now. This is not in the first message either:
        # a slice must be locked before its entries are written.
        message.add(self.statements.wake())
        await self.writer.query(message)

    async def reset_to_planned(
        self, table: Table, states: frozenset[JournalState], keys: Sequence[Key] | None
    ) -> None:
        """Plan entries in some states again, and wake all slices."""
        message = Message()
        # First, because a slice must be locked before its entries are written.
        message.add(self.statements.wake())
        if keys is None:
            message.add(self.statements.reset_to_planned(table, states))
        else:
            named = [dict(zip(table.key, key, strict=True)) for key in keys]
            message.add(
                self.statements.reset_to_planned(table, states, some=True), json.dumps(named)
            )
        await self.writer.query(message)

    async def _refuse_beside_workers(self) -> None:
        message = Message()
        message.add(
            f"SELECT count(*) AS count FROM {self.statements.name('slices')} "
            "WHERE until > clock_timestamp()"
        )
        ((found,),) = await self.writer.query(message)
        if count := found["count"]:
            raise JournalError(
                f"{count} slices of the journal {self.label} are held by workers, and rows of the "
                "plan are left out or changed: stop the workers first. Nothing was entered."
            )

    async def _plan_entered(self, table: Table) -> str | None:
        return await self.job(_plan_of(table))

    async def job(self, name: str) -> str | None:
        """Return the value that `bind` wrote under a name; None when there is none."""
        message = Message()
        message.add(f"SELECT value FROM {self.statements.name('job')} WHERE name = %s", name)
        (rows,) = await self.writer.query(message)
        return str(rows[0]["value"]) if rows else None

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Add one entry to the plan, and return it as stored."""
        message = Message()
        requested = [self._sliced(table, entry)]
        if has_slice(table):
            wake = self.statements.wake_for_new(table)
            message.add(wake, requested[0]["slice"], *table.key_of(entry))
        message.add(plan_of(self.statements, table).enter_one, json.dumps(requested))
        message.add(self.statements.look_up(table), json.dumps(requested))
        (rows,) = await self.writer.query(message)
        return rows[0] if rows else {}

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; empty for an absent key."""
        message = Message()
        named = [dict(zip(table.key, key, strict=True)) for key in keys]
        message.add(self.statements.look_up(table), json.dumps(named))
        (rows,) = await self.writer.query(message)
        found = {table.key_of(row): row for row in rows}
        return [found.get(tuple(key), {}) for key in keys]

    async def read(
        self,
        table: Table,
        *,
        states: frozenset[JournalState] | None = None,
        slice_: int | None = None,
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states, and of one slice."""
        condition = "WHERE true" if states is None else self.statements.in_states(states)
        message = Message()
        if slice_ is None:
            message.add(self.statements.select(table, condition))
        else:
            message.add(self.statements.select(table, f"{condition} AND old.slice = %s"), slice_)
        (rows,) = await self.writer.query(message)
        return rows

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key does not exist yet."""
        by_columns: dict[tuple[str, ...], list[Mapping[str, Value]]] = {}
        for entry in entries:
            by_columns.setdefault(tuple(entry), []).append(self._sliced(table, entry))
        message = Message()
        for columns, rows in by_columns.items():
            message.add(self.statements.insert(table, columns), json.dumps(rows))
        if by_columns:
            await self.writer.query(message)

    def write(self, changes: tuple[Change, ...], fence: Fence | None = None) -> Commit:
        """Change entries together."""
        request = Request(_new(), changes=changes, fence=fence)
        self.writer.submit(request)
        return request.done

    async def claim(
        self, claim: Claim, changes: tuple[Change, ...], fence: Fence | None = None
    ) -> Entry | None:
        """Claim the right to send: return None when it is won, else the present entry."""
        request = Request(_new(), changes=changes, claim=claim, fence=fence, lost=[])
        self.writer.submit(request)
        await request.done
        return request.lost[0] if request.lost else None

    def settle(
        self,
        claim: Claim,
        state: JournalState,
        changes: tuple[Change, ...],
        fence: Fence | None = None,
    ) -> Commit:
        """Write the outcome of a claimed request."""
        request = Request(_new(), changes=changes, claim=claim, state=state, fence=fence)
        self.writer.submit(request)
        return request.done

    def _sliced(self, table: Table, entry: Entry) -> Mapping[str, Value]:
        if not has_slice(table):
            return entry
        return {**entry, "slice": slice_of(str(entry["account"]), self.slices)}


def _new() -> Commit:
    return asyncio.get_running_loop().create_future()


def _plan_of(table: Table) -> str:
    return f"plan of {table.name}"
