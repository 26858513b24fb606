"""`PostgresJournal`: one journal for many processes on many machines."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self

from invoicexpress_async.clock import Clock, MonotonicClock
from invoicexpress_async.config import check_seconds
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.journal import (
    Entry,
    JournalError,
    JournalState,
    Key,
    PlanChanges,
    Table,
)
from invoicexpress_async.jobs.postgres.address import DEFAULT_SCHEMA, Address
from invoicexpress_async.jobs.postgres.outage import SharedOutage, share_outage
from invoicexpress_async.jobs.postgres.slices import HeldSlice, SliceLeft
from invoicexpress_async.jobs.postgres.view import JournalView

if TYPE_CHECKING:
    from invoicexpress_async.jobs.postgres.holds import Holds
    from invoicexpress_async.jobs.postgres.session import JournalSession

_DEFAULT_SLICES: Final = 256
_MAX_SLICES: Final = 65_536
_DEFAULT_PATIENCE_SECONDS: Final = 30.0
LEASE_SECONDS: Final = 60.0
WINDOW_SECONDS: Final = 60.0


class PostgresJournal(JournalView):
    """A journal in a schema of a PostgreSQL database, shared by many processes.

    Use it with `async with`, in one event loop. It contains account names, series and their
    outcomes, but never a key or a password. It needs the extra `postgres`, and PostgreSQL 13 or
    later. Each write is durable on the server before anything is sent. It works through pgbouncer
    in transaction mode. While the database cannot be reached, operations wait; after
    `patience_seconds` they fail, and nothing is sent without the journal.

    Of all runs and services that share it, only one sends each request. Only workers, which hold
    slices, also share the limits of the accounts: while they run, do not run a job yourself, but
    give it to them with `enter_plan`.

    Args:
        url: `postgresql://user@host/database`, or any other URL that libpq knows, such as
            `postgresql://?service=NAME`, without a password. libpq reads the password from the
            file that PGPASSFILE names, or from a service file.
        schema: The schema that contains the tables; created when it does not exist.
        slices: The number of slices into which the accounts are divided among workers; fixed when
            the journal is created.
        patience_seconds: How long to wait for a database that cannot be reached.
        lease_seconds: How long a hold on a slice lasts without renewal. When a holder vanishes,
            no process sends for its accounts for this time and `window_seconds` more.
        window_seconds: The window of the server's limit.
        clock: A clock that replaces the monotonic clock, in tests.

    Raises:
        ConfigurationError: the URL is invalid or contains a password, another argument is
            invalid, or psycopg is not installed.
    """

    def __init__(  # noqa: PLR0913  # keyword-only settings, each with a default
        self,
        url: str,
        *,
        schema: str = DEFAULT_SCHEMA,
        slices: int = _DEFAULT_SLICES,
        patience_seconds: float = _DEFAULT_PATIENCE_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        window_seconds: float = WINDOW_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        if not 1 <= slices <= _MAX_SLICES:
            raise ConfigurationError(f"slices is {slices!r:.40}: give 1 to {_MAX_SLICES}.")
        self._address = Address.parse(url, schema=schema)
        self._slices = slices
        self._patience_seconds = check_seconds("patience_seconds", patience_seconds)
        self._lease_seconds = check_seconds("lease_seconds", lease_seconds)
        self._window_seconds = check_seconds("window_seconds", window_seconds)
        self._clock = clock or MonotonicClock()
        self._holds: Holds | None = None
        self._is_open = False

    @property
    def label(self) -> str:
        """The address, for people, without a secret."""
        return self._address.label

    @property
    def schema(self) -> str:
        """The schema that contains the tables."""
        return self._address.schema

    @property
    def slices(self) -> int:
        """The number of slices into which the accounts are divided.

        Raises:
            JournalError: the journal is not open.
        """
        return self._opened().slices

    def _open_holds(self) -> "Holds":
        if self._holds is None:
            raise JournalError(f"The journal {self.label} is not open: use `async with` on it.")
        return self._holds

    def _opened(self) -> "JournalSession":
        return self._open_holds().session

    async def __aenter__(self) -> Self:
        """Connect, and create the schema when it does not exist.

        Raises:
            JournalError: the database cannot be reached, is not durable (`fsync` or
                `full_page_writes` is off), is a replica, or has a newer schema version.
        """
        # These modules import psycopg, which belongs to an extra.
        from invoicexpress_async.jobs.postgres.holds import Holds  # noqa: PLC0415
        from invoicexpress_async.jobs.postgres.session import JournalSession  # noqa: PLC0415

        if self._is_open:
            raise JournalError(f"The journal {self.label} is open already.")
        session = JournalSession(
            self._address,
            clock=self._clock,
            patience_seconds=self._patience_seconds,
        )
        await session.open(slices=self._slices)
        self._holds = Holds(
            session,
            clock=self._clock,
            lease_seconds=self._lease_seconds,
            window_seconds=self._window_seconds,
        )
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # `_holds` stays, so that a run that still goes on gets an error: the journal was closed.
        self._is_open = False
        holds = self._open_holds()
        await holds.close()
        await holds.session.close()

    async def take(self, number: int) -> HeldSlice:
        """Take a slice, as soon as no other process holds it or may still send for it.

        The hold is renewed until the slice is released, or this process stops.

        Args:
            number: The slice's number, from 0 to `slices` - 1.

        Raises:
            JournalError: the database cannot be reached, or there is no such slice.
        """
        return await self._open_holds().take(number)

    async def try_take(self, number: int) -> HeldSlice | None:
        """Take a slice, or return None when another process holds it or may still send for it.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._open_holds().try_take(number)

    async def hold(self, name: str) -> HeldSlice:
        """Take a separate slice for a name, such as a partner's.

        Raises:
            JournalError: another process holds the slice, or the database cannot be reached.
        """
        return await self._open_holds().hold(name)

    async def release(self, held: HeldSlice, *, due_seconds: float | None = None) -> None:
        """Release a slice, so that another process can take it.

        Args:
            held: The slice; nothing is sent for it from now on.
            due_seconds: The seconds after which to work on it again; None for at once.

        Raises:
            JournalError: the database cannot be reached; the lease then ends by itself.
        """
        await self._open_holds().release(held, due_seconds=due_seconds)

    async def left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in the given states.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._open_holds().left(table, states)

    async def reset_to_planned(
        self,
        table: Table,
        states: frozenset[JournalState],
        *,
        keys: Sequence[Key] | None = None,
    ) -> None:
        """Let workers try entries again that are in the given states.

        Args:
            table: The table.
            states: The states, such as refused; never those of requests that may have been sent.
            keys: The keys of the entries to plan again; None for all entries of the plan.

        Raises:
            JournalError: the database cannot be reached.
        """
        await self._opened().reset_to_planned(table, states, keys)

    async def share_outage(
        self, token: str, *, is_failing: bool | None, may_probe: bool
    ) -> SharedOutage:
        """Report the server's state as this process sees it; return the state known to all.

        Args:
            token: The token of this process.
            is_failing: Whether the server fails for every account; None when nothing has changed.
            may_probe: Whether this process has an item with which to probe the server.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await share_outage(self._opened(), token, is_failing=is_failing, may_probe=may_probe)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A PostgresJournal is not pickled: open it in the process that uses it.")

    async def begin_plan(self, table: Table) -> None:
        """Begin to compare a plan with the entries."""
        await self._opened().begin_plan(table)

    async def add_to_plan(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add entries to the plan: the key and the requested columns of each."""
        await self._opened().add_to_plan(table, entries)

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return the differences between the plan and the entries; change nothing yet."""
        return await self._opened().compare_plan(table)

    async def enter_plan(self, table: Table) -> None:
        """Apply the plan: new entries are planned, and missing entries leave the plan."""
        await self._opened().enter_plan(table)

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Add one entry, with its key and requested columns, to the plan; return it as stored."""
        return await self._opened().admit(table, entry)
