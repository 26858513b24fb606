"""The common base of a journal and of its slices: the operations on entries."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoicexpress_async.jobs.claims import observed
from invoicexpress_async.jobs.journal import (
    Change,
    Claim,
    Commit,
    Entry,
    JournalState,
    Key,
    Table,
)
from invoicexpress_async.jobs.postgres.fence import Fence

if TYPE_CHECKING:
    from invoicexpress_async.jobs.postgres.session import JournalSession


class JournalView(ABC):
    """The entries of an open journal. Reads see all entries; each write carries the fence."""

    __slots__ = ()

    @abstractmethod
    def _opened(self) -> "JournalSession": ...

    @property
    def fence(self) -> Fence | None:
        """The slice that must be held for a write; None for a whole journal."""
        return None

    async def job(self, name: str) -> str | None:
        """Return the value that `bind` wrote under a name; None when there is none.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._opened().job(name)

    async def prepare(self, table: Table) -> None:
        """Create the table, or add the columns that it lacks."""
        await self._opened().prepare(table)

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write a property of the job, such as its kind, once; return the value that is written."""
        return await self._opened().bind(name, value, unless_used=unless_used)

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in the order of the keys; all entries must exist."""
        return await self._opened().look_up(table, keys)

    async def read(
        self, table: Table, *, states: frozenset[JournalState] | None = None
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states, of all slices."""
        return await self._opened().read(table, states=states)

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key does not exist yet."""
        await self._opened().insert(table, entries)

    def write(self, *changes: Change) -> Commit:
        """Change entries together, in the order of the calls."""
        return self._opened().write(changes, self.fence)

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        """Claim the right to send: return None when it is won, else the present entry."""
        return await self._opened().claim(claim, changes, self.fence)

    def settle(self, claim: Claim, state: JournalState, *changes: Change) -> Commit:
        """Write the outcome of a claimed request, unless another process has taken it over."""
        return self._opened().settle(claim, state, changes, self.fence)

    def observe(self, key: Key) -> Commit:
        """Write that the result of an intent was seen to exist, whichever process sent it."""
        return self.write(*observed(key))
