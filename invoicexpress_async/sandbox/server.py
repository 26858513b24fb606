"""The sandbox: a server with the engine behind it, which fails on demand."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import attrs

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.engine import Engine
from invoicexpress_async.sandbox.domain.rows import IdGenerator, SandboxSequence
from invoicexpress_async.sandbox.faults.backend import Backend
from invoicexpress_async.sandbox.faults.listener import Listener
from invoicexpress_async.sandbox.faults.plan import FaultPlan
from invoicexpress_async.sandbox.oracle import Oracle
from invoicexpress_async.sandbox.requests import RecordedRequest
from invoicexpress_async.sandbox.routes import NewSequence
from invoicexpress_async.sandbox.storage import StateStore, restore


@attrs.define(kw_only=True, eq=False, repr=False)
class Sandbox(SandboxBehaviour):
    """A local InvoiceXpress server that fails on demand, and knows what truly happened.

    Every setting of `SandboxBehaviour` is an argument of this class too. It may be closed and
    started again: it keeps its port and its state, like a server that was down for a while.

    Args:
        accounts: Names, which get a generated key, or `SandboxAccount` objects.
        host: The host to listen on; loopback, unless the network should reach it.
        port: The port to listen on; 0 for a free one.
        seed: Equal seeds give equal ids, validation codes and random faults.
        state_file: Read now if it exists, and saved after changes and on close. An account given
            by name only keeps the key and settings it has in the file.
        clock: Returns seconds; used for the limit, registrations and `received_at`.
        ssl_context: A server-side context, which makes the server use TLS, with a certificate for
            `*.app.invoicexpress.com` or a wrong one.
        sleep: The coroutine function with which every delay waits.

    Attributes:
        faults: The faults to come; none at first.
        oracle: What truly happened behind the faults.

    Raises:
        ValueError: An account's name is not one label of a host name or is given twice, or the
            state file is not a sandbox's.
    """

    _given: Iterable[str | SandboxAccount] = attrs.field(default=(), alias="accounts")
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    state_file: str | Path | None = None
    clock: Callable[[], float] = attrs.field(default=time.monotonic)
    ssl_context: ssl.SSLContext | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    engine: Engine = attrs.field(init=False)
    faults: FaultPlan = attrs.field(init=False)
    oracle: Oracle = attrs.field(init=False)
    _backend: Backend = attrs.field(init=False)
    _listener: Listener | None = attrs.field(default=None, init=False)
    _store: StateStore | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = Engine(self, self.clock, IdGenerator(self.seed))
        if self.state_file is not None and Path(self.state_file).exists():
            restore(self.engine, Path(self.state_file))
        self._add_given()
        self.faults = FaultPlan(self.seed)
        self.oracle = Oracle(self.engine)
        self._backend = Backend(
            engine=self.engine,
            plan=self.faults,
            oracle=self.oracle,
            sleep=self.sleep,
            note_change=self._note_change,
        )

    def __repr__(self) -> str:
        return f"Sandbox(host={self.host!r}, port={self.port}, accounts={len(self.accounts)})"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """A template with `{account}`, as the client expects it: in the path, or in a TLS host.

        Raises:
            RuntimeError: The port is 0 and the server was never started.
        """
        if self.port == 0:
            raise RuntimeError("the sandbox has no port before it is started")
        if self.ssl_context is not None:
            return f"https://{{account}}.app.invoicexpress.com:{self.port}"
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

    async def go_down(self, *, drops_connections: bool = True) -> None:
        """Refuse connections until `go_up`; the port stays reserved.

        Args:
            drops_connections: Whether open connections end too.
        """
        if self._listener is not None:
            await self._listener.go_down(drops_connections=drops_connections)

    async def go_up(self) -> None:
        """Accept connections again, at the same port."""
        if self._listener is not None:
            await self._listener.go_up()

    async def commit_late(self) -> int:
        """Apply every late request, in order; return how many there were."""
        return self._backend.commit_late()

    async def start(self) -> None:
        """Listen; the port is fixed from then on.

        Raises:
            OSError: The port is taken, or the host is not this machine's.
        """
        listener = Listener(self._backend, self.ssl_context, self.host)
        self.port: int = await listener.bind(self.port)
        await listener.go_up()
        self._listener = listener
        if self.state_file is not None:
            self._store = StateStore(self.engine, Path(self.state_file))

    async def close(self) -> None:
        """Stop listening and save the state; closing twice is harmless.

        Raises:
            OSError: The state could not be saved.
        """
        listener, self._listener = self._listener, None
        store, self._store = self._store, None
        if listener is not None:
            await listener.close()
            await self._backend.close()
        if store is not None:
            await store.close()

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


FaultServer = Sandbox
"""The name of a sandbox with faults in 0.1.0, when there was another one without."""


async def serve(sandbox: Sandbox, *, on_start: Callable[[Sandbox], None] | None = None) -> None:
    """Run a local server until cancelled; `on_start` is called once its address is known.

    Raises:
        OSError: The port is taken, or the state could not be saved.
    """
    async with sandbox:
        if on_start is not None:
            on_start(sandbox)
        await asyncio.Event().wait()
