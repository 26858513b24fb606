"""The base of every local server: an engine, its accounts, its address, its state."""

import abc
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import attrs

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.engine import Engine
from invoicexpress_async.sandbox.domain.rows import IdGenerator, SandboxSequence
from invoicexpress_async.sandbox.requests import RecordedRequest
from invoicexpress_async.sandbox.routes import NewSequence
from invoicexpress_async.sandbox.storage import StateStore, restore


@attrs.define(kw_only=True, eq=False, repr=False)
class LocalServer(SandboxBehaviour, abc.ABC):
    """A server in front of an engine. The subclass defines how it listens."""

    _given: Iterable[str | SandboxAccount] = attrs.field(default=(), alias="accounts")
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    state_file: str | Path | None = None
    clock: Callable[[], float] = attrs.field(default=time.monotonic)
    engine: Engine = attrs.field(init=False)
    _store: StateStore | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = Engine(self, self.clock, IdGenerator(self.seed))
        if self.state_file is not None and Path(self.state_file).exists():
            restore(self.engine, Path(self.state_file))
        self._add_given()

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}(host={self.host!r}, port={self.port}, accounts={len(self.accounts)})"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """A template with `{account}` in its path, as the client expects it.

        Raises:
            RuntimeError: The port is 0 and the server was never started.
        """
        if self.port == 0:
            raise RuntimeError("the sandbox has no port before it is started")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/{{account}}"

    @property
    def accounts(self) -> Mapping[str, SandboxAccount]:
        """The accounts by name, with their keys."""
        return self.engine.accounts

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every API request that was read to its end, in order."""
        return self.engine.log.records

    def add_account(self, account: str | SandboxAccount) -> SandboxAccount:
        """Add an account and return it, with its key.

        Raises:
            ValueError: The name is invalid, or an account of that name exists.
        """
        new = SandboxAccount(name=account) if isinstance(account, str) else account
        self._add(new)
        self._note_change()
        return new

    def update_account(self, account: SandboxAccount) -> None:
        """Replace the settings of the account with that name; its series stay.

        Raises:
            KeyError: There is no account of that name.
        """
        self.engine.update_account(account)
        self._note_change()

    def add_sequence(
        self,
        account: str,
        serie: str | int,
        *,
        is_default: bool = False,
        is_registered: bool = True,
    ) -> SandboxSequence:
        """Add a row to an account without the API, even if its name is taken.

        Raises:
            KeyError: There is no account of that name.
        """
        new = NewSequence(serie=serie, is_default=is_default)
        row = self.engine.add_sequence(account, new, is_registered=is_registered)
        self._note_change()
        return row

    def sequences(self, account: str) -> tuple[SandboxSequence, ...]:
        """Return the account's true rows, whether the API lists them or not.

        Raises:
            KeyError: There is no account of that name.
        """
        return self.engine.sequences(account)

    def count(self, method: str, path: str, *, account: str | None = None) -> int:
        """Return how often a path was requested, on one account or on all."""
        return self.engine.log.count(method, path, account=account)

    async def start(self) -> None:
        """Listen; the port is fixed from then on.

        Raises:
            OSError: The port is taken, or the host is not this machine's.
        """
        await self._listen()
        if self.state_file is not None:
            self._store = StateStore(self.engine, Path(self.state_file))

    async def close(self) -> None:
        """Stop listening and save the state; closing twice is harmless.

        Raises:
            OSError: The state could not be saved.
        """
        store, self._store = self._store, None
        await self._stop_listening()
        if store is not None:
            await store.close()

    @abc.abstractmethod
    async def _listen(self) -> None: ...

    @abc.abstractmethod
    async def _stop_listening(self) -> None: ...

    def _add_given(self) -> None:
        restored = set(self.engine.accounts)
        for given in self._given:
            account = SandboxAccount(name=given) if isinstance(given, str) else given
            if account.name not in restored:
                self._add(account)
            elif not isinstance(given, str):
                self.engine.update_account(account)

    def _add(self, account: SandboxAccount) -> None:
        if self.is_every_account_new:
            self.engine.open_account(account)
        else:
            self.engine.add_account(account)

    def _note_change(self) -> None:
        if self._store is not None:
            self._store.note_change()
