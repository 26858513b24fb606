"""Takes, renews and releases slices, on the connection that the writer does not use."""

import asyncio
import json
import logging
import uuid
from typing import Final

from invoicexpress_async.clock import Clock
from invoicexpress_async.jobs.journal import Entry, JournalError, JournalState, Table
from invoicexpress_async.jobs.postgres.connection import Message
from invoicexpress_async.jobs.postgres.fence import slice_of
from invoicexpress_async.jobs.postgres.schema import holder_name
from invoicexpress_async.jobs.postgres.session import JournalSession
from invoicexpress_async.jobs.postgres.slices import (
    HeldSlice,
    Recently,
    SliceLeft,
    certain_until,
    dump_slots,
    load_slots,
    slices_left_of,
)

_RENEWALS_IN_A_LEASE: Final = 5
_MAX_POLL_SECONDS: Final = 5.0
_MIN_POLL_SECONDS: Final = 0.05
_MAX_NAMES: Final = 2**31 - 1
_LOGGER: Final = logging.getLogger("invoicexpress_async")


class Holds:
    """The slices that this process holds.

    Args:
        session: An open session.
        clock: The clock by which this process stops sending.
        lease_seconds: How long a hold lasts without renewal.
        window_seconds: How long no process sends for a slice after the lease of a vanished holder,
            so that no window of the server's limit has requests of two holders.
    """

    def __init__(
        self,
        session: JournalSession,
        *,
        clock: Clock,
        lease_seconds: float,
        window_seconds: float,
    ) -> None:
        self.session: JournalSession = session
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._window_seconds = window_seconds
        self._held: dict[int, HeldSlice] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def try_take(self, number: int) -> HeldSlice | None:
        """Take a slice, or return None when another process holds it or may still send for it."""
        slices, token = self.session.statements.name("slices"), uuid.uuid4().hex
        message = Message()
        # Sent again after a lost response, it finds its own token, and does not change the epoch.
        message.add(
            f"UPDATE {slices} SET epoch = epoch + CASE WHEN token = %s THEN 0 ELSE 1 END, "
            "token = %s, holder = %s, since = clock_timestamp(), due = NULL, "
            "until = clock_timestamp() + %s * interval '1 second' "
            "WHERE slice = %s AND (token = %s OR until IS NULL "
            "OR until + %s * interval '1 second' <= clock_timestamp()) "
            f"RETURNING epoch, used, {_ago('released_at')} AS seconds_ago",
            token,
            token,
            holder_name(),
            self._lease_seconds,
            number,
            token,
            self._window_seconds,
        )
        asked_at = self._clock.uptime()
        (rows,) = await self.session.side.execute(message)
        if not rows:
            return None
        held = HeldSlice(
            number=number,
            epoch=int(rows[0]["epoch"] or 0),
            recently=_recently(rows[0]),
            session=self.session,
            clock=self._clock,
            until=certain_until(asked_at, self._lease_seconds),
        )
        self._held[number] = held
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return held

    async def take(self, number: int) -> HeldSlice:
        """Take a slice, as soon as no other process holds it or may still send for it."""
        while (held := await self.try_take(number)) is None:
            left = await self._seconds_left(number)
            await self._clock.sleep(min(max(left, _MIN_POLL_SECONDS), _MAX_POLL_SECONDS))
        return held

    async def hold(self, name: str) -> HeldSlice:
        """Take the slice of a name. Its number is negative, unlike those of the accounts' slices.

        Raises:
            JournalError: another process holds the slice.
        """
        number = -1 - slice_of(name, _MAX_NAMES)
        slices = self.session.statements.name("slices")
        message = Message()
        message.add(f"INSERT INTO {slices} (slice) VALUES (%s) ON CONFLICT DO NOTHING", number)
        message.add(f"SELECT holder FROM {slices} WHERE slice = %s", number)
        (rows,) = await self.session.side.execute(message)
        if (held := await self.try_take(number)) is not None:
            return held
        seconds = await self._seconds_left(number)
        raise JournalError(
            f"The journal {self.session.label} is in use for {name} by {rows[0]['holder']}. If "
            f"that one has been killed, try again in {seconds:.0f} seconds. Nothing was sent."
        )

    async def release(self, held: HeldSlice, *, due_seconds: float | None) -> None:
        """Release a slice, and record for the next holder what was sent for it recently."""
        held.lose()
        if self._held.get(held.number) is held:
            del self._held[held.number]
        slices = self.session.statements.name("slices")
        used = None if held.used is None else dump_slots(held.used)
        message = Message()
        message.add(
            f"UPDATE {slices} SET until = NULL, token = NULL, holder = NULL, since = NULL, "
            "used = coalesce(%s, used), "
            "released_at = CASE WHEN %s THEN clock_timestamp() ELSE released_at END, "
            # Entries that were added while it was held have not been tried, and do not wait.
            "due = CASE WHEN due IS NULL "
            "THEN clock_timestamp() + %s::double precision * interval '1 second' END "
            "WHERE slice = %s AND epoch = %s AND until IS NOT NULL",
            used,
            used is not None,
            due_seconds,
            held.number,
            held.epoch,
        )
        await self.session.side.execute(message)

    async def left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in the given states."""
        message = Message()
        message.add(self.session.statements.slices_left(table, states))
        (rows,) = await self.session.side.execute(message)
        return slices_left_of(rows)

    async def close(self) -> None:
        """Stop renewing and sending: slices that are still held end with their leases."""
        for held in self._held.values():
            held.lose()
        self._held.clear()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    async def _seconds_left(self, number: int) -> float:
        slices = self.session.statements.name("slices")
        message = Message()
        message.add(
            f"SELECT -{_ago('until')} AS seconds FROM {slices} WHERE slice = %s",
            number,
        )
        (rows,) = await self.session.side.execute(message)
        if not rows:
            raise JournalError(f"The journal {self.session.label} has no slice {number}.")
        seconds = rows[0]["seconds"]
        return 0.0 if seconds is None else float(seconds) + self._window_seconds

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._lease_seconds / _RENEWALS_IN_A_LEASE)
            try:
                if self._held:
                    await self._renew_all()
            except JournalError:
                pass  # a lease that is not renewed ends by itself, and nothing is sent then
            except Exception:  # no caller waits for this task
                _LOGGER.exception("The slices that are held were not renewed.")

    async def _renew_all(self) -> None:
        slices, mine = self.session.statements.name("slices"), dict(self._held)
        wanted = [{"slice": one.number, "epoch": one.epoch} for one in mine.values()]
        message = Message()
        message.add(
            # In the order of every other statement that locks slices, to avoid a deadlock.
            f"WITH mine AS MATERIALIZED (SELECT old.slice FROM {slices} AS old "
            "JOIN json_to_recordset(%s::json) AS new(slice integer, epoch bigint) "
            "USING (slice, epoch) WHERE old.until IS NOT NULL ORDER BY old.slice "
            "FOR NO KEY UPDATE OF old) "
            f"UPDATE {slices} AS old SET until = clock_timestamp() + %s * interval '1 second' "
            "FROM mine WHERE old.slice = mine.slice RETURNING old.slice",
            json.dumps(wanted),
            self._lease_seconds,
        )
        asked_at = self._clock.uptime()
        (rows,) = await self.session.side.execute(message, patience_seconds=0.0)
        renewed = {one["slice"] for one in rows}
        for number, held in mine.items():
            if self._held.get(number) is not held:
                continue  # the slice was released meanwhile
            if number in renewed:
                held.extend(certain_until(asked_at, self._lease_seconds))
            else:
                held.lose()
                del self._held[number]


def _ago(column: str) -> str:
    return f"extract(epoch FROM clock_timestamp() - {column})::double precision"


def _recently(row: Entry) -> Recently:
    seconds_ago, used = row["seconds_ago"], row["used"]
    if seconds_ago is None or used is None:
        return Recently()
    return Recently(slots=load_slots(str(used)), seconds_ago=max(0.0, float(seconds_ago)))
