"""What a journal and each of its slices have in common: the entries, as one of them sees them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoicexpress_async.jobs.journal import (
    INTENTS,
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
    """The entries of an open journal; all are read, and each write brings the fence with it."""

    __slots__ = ()

    @abstractmethod
    def _opened(self) -> "JournalSession": ...

    @property
    def fence(self) -> Fence | None:
        """The slice without which nothing is written; None for a whole journal."""
        return None

    async def job(self, name: str) -> str | None:
        """Return what `bind` has written.

        Raises:
            JournalError: the database cannot be reached.
        """
        return await self._opened().job(name)

    async def prepare(self, table: Table) -> None:
        """Make the table, or add the columns that it lacks."""
        await self._opened().prepare(table)

    async def bind(self, name: str, value: str, *, unless_used: Table) -> str | None:
        """Write what kind of job this is, if that is not written yet; return what is written."""
        return await self._opened().bind(name, value, unless_used=unless_used)

    async def look_up(self, table: Table, keys: Sequence[Key]) -> list[Entry]:
        """Return the entries of these keys, in their order; every one must be there."""
        return await self._opened().look_up(table, keys)

    async def read(
        self, table: Table, *, states: frozenset[JournalState] | None = None
    ) -> list[Entry]:
        """Return all entries, or those of the plan in these states, of all slices."""
        return await self._opened().read(table, states=states)

    async def insert(self, table: Table, entries: Sequence[Entry]) -> None:
        """Add the entries whose key is not there yet."""
        await self._opened().insert(table, entries)

    def write(self, *changes: Change) -> Commit:
        """Change entries together, in the order of the calls."""
        return self._opened().write(changes, self.fence)

    async def claim(self, claim: Claim, *changes: Change) -> Entry | None:
        """Win the right to send, or return the entry of the one who has it."""
        return await self._opened().claim(claim, changes, self.fence)

    def settle(self, claim: Claim, state: JournalState, *changes: Change) -> Commit:
        """Write the outcome of a claimed request, unless another has taken the claim over."""
        return self._opened().settle(claim, state, changes, self.fence)

    def observe(self, key: Key) -> Commit:
        """Write that what an intent requested was seen to exist, whichever process sent it."""
        return self.write(Change(INTENTS, key, {"state": JournalState.DONE}))
