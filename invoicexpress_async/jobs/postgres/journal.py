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
    """A schema of a PostgreSQL database that carries jobs over crashes, for many processes.

    Use it with `async with`, in one event loop. It holds account names, series and what became
    of them; no key and no password is ever in it. It needs the extra `postgres`, and PostgreSQL
    13 or later. Each write is durable on the server before anything is sent. It works through
    pgbouncer in transaction mode. When the database is away for a while, what is requested waits;
    after `patience_seconds` it fails, and nothing is sent without it.

    Of all runs and services that share it, one sends each request. Only workers, which hold
    slices, share the limits of the accounts as well: beside them, leave a job to them with
    `enter_plan`.

    Args:
        url: `postgresql://user@host/database`, or any other that libpq knows, such as
            `postgresql://?service=NAME`. Without a password: that is read from the file that
            PGPASSFILE names, or from a service file.
        schema: Where its tables are; made when it is not there.
        slices: Into how many parts the accounts are divided among workers; fixed when the journal
            is made.
        patience_seconds: How long the database may be away.
        lease_seconds: How long a slice is held that is not renewed: so long nobody else sends for
            its accounts when its holder has vanished, and `window_seconds` longer.
        window_seconds: The window of the server's limit.
        clock: Instead of the monotonic clock, in tests.

    Raises:
        ConfigurationError: the URL cannot be right or has a password in it, or psycopg is not
            installed.
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
        """Its address, for people; no secret is in it."""
        return self._address.label

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return self._address.schema

    @property
    def slices(self) -> int:
        """Into how many slices the accounts are divided.

        Raises:
            JournalError: it is not open.
        """
        return self._opened().slices

    def _open_holds(self) -> "Holds":
        if self._holds is None:
            raise JournalError(f"The journal {self.label} is not open: use `async with` on it.")
        return self._holds

    def _opened(self) -> "JournalSession":
        return self._open_holds().session

    async def __aenter__(self) -> Self:
        """Connect, and make the schema when it is not there.

        Raises:
            JournalError: the database cannot be reached, does not keep what it is given (`fsync`
                or `synchronous_commit` is off), is a replica, or is of a newer version.
        """
        # These import psycopg, which is of an extra.
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
        # It stays, to say to a run that still goes on that the journal was closed.
        self._is_open = False
        holds = self._open_holds()
        await holds.close()
        await holds.session.close()

    async def take(self, number: int) -> HeldSlice:
        """Hold a slice, once nobody else does and nobody may still send for it.

        It is renewed until it is released, or this process stops.

        Args:
            number: From 0 up to `slices`.

        Raises:
            JournalError: the database cannot be reached, or there is no such slice.
        """
        return await self._open_holds().take(number)

    async def try_take(self, number: int) -> HeldSlice | None:
        """Hold a slice, or return None when another holds it or may still send for it.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._open_holds().try_take(number)

    async def hold(self, name: str) -> HeldSlice:
        """Hold what has a name, such as a partner, as a slice of its own.

        Raises:
            JournalError: another process holds it; or the database cannot be reached.
        """
        return await self._open_holds().hold(name)

    async def release(self, held: HeldSlice, *, due_seconds: float | None = None) -> None:
        """Let the next process have a slice.

        Args:
            held: The slice; nothing is sent for it from now on.
            due_seconds: In how many seconds it is to be worked on again; None for at once.

        Raises:
            JournalError: the database cannot be reached: the lease ends by itself.
        """
        await self._open_holds().release(held, due_seconds=due_seconds)

    async def left(self, table: Table, states: frozenset[JournalState]) -> list[SliceLeft]:
        """Return the slices that have entries of the plan in some states.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._open_holds().left(table, states)

    async def plan_again(
        self,
        table: Table,
        states: frozenset[JournalState],
        *,
        keys: Sequence[Key] | None = None,
    ) -> None:
        """Let workers try again what is in some states.

        Args:
            table: Whose entries of the plan.
            states: Such as refused; not those of what may have been sent.
            keys: Of those that are meant; None for all.

        Raises:
            JournalError: the database cannot be reached.
        """
        await self._opened().plan_again(table, states, keys)

    async def share_outage(
        self, token: str, *, is_failing: bool | None, may_probe: bool
    ) -> SharedOutage:
        """Report what this process sees of the server as a whole; return what all together know.

        Args:
            token: Of this process.
            is_failing: Whether the server fails for every account; None when nothing has changed.
            may_probe: Whether it has something to try the server with.

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
        """Note some entries of the plan: key and what is requested."""
        await self._opened().add_to_plan(table, entries)

    async def compare_plan(self, table: Table) -> PlanChanges:
        """Return how the plan differs; nothing is changed yet."""
        return await self._opened().compare_plan(table)

    async def enter_plan(self, table: Table) -> None:
        """Take the plan over: new entries are planned, missing ones leave the plan."""
        await self._opened().enter_plan(table)

    async def admit(self, table: Table, entry: Entry) -> Entry:
        """Take one entry, key and what is requested, into the plan and return what is there."""
        return await self._opened().admit(table, entry)
