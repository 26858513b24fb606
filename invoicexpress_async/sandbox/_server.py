"""The engine behind a real socket."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web

from invoicexpress_async.sandbox._accounts import SandboxAccount
from invoicexpress_async.sandbox._admin import PREFIX, answer_admin
from invoicexpress_async.sandbox._answers import Answer
from invoicexpress_async.sandbox._behaviour import SandboxBehaviour
from invoicexpress_async.sandbox._engine import Engine
from invoicexpress_async.sandbox._families import Mint, SandboxSequence
from invoicexpress_async.sandbox._requests import RecordedRequest, Request
from invoicexpress_async.sandbox._routes import NewSequence
from invoicexpress_async.sandbox._storage import StateStore, restore

_HOST_SUFFIXES = (".app.invoicexpress.com", ".localhost")


@attrs.define(kw_only=True, eq=False, repr=False)
class Sandbox(SandboxBehaviour):
    """A local InvoiceXpress server, and the oracle that knows what truly happened in it.

    Every knob of `SandboxBehaviour` is an argument of this class too. It may be closed and
    started again: it keeps its port and its state, like a server that was down for a while.

    Args:
        accounts: Names, which get a generated key, or whole accounts.
        host: Where to listen; loopback unless the network is meant to reach it.
        port: 0 for a free one.
        seed: Equal seeds give equal ids and validation codes.
        state_file: Read now if it is there, and saved after changes and on close. An account
            given by name alone keeps the key and settings it has in the file.
        clock: Seconds; for the limit, registrations and `received_at`.

    Raises:
        ValueError: An account's name is not one label of a host name or is given twice, or
            the state file is not one.
    """

    _given: Iterable[str | SandboxAccount] = attrs.field(default=(), alias="accounts")
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    state_file: str | Path | None = None
    clock: Callable[[], float] = attrs.field(default=time.monotonic)
    engine: Engine = attrs.field(init=False)
    _runner: web.ServerRunner | None = attrs.field(default=None, init=False)
    _store: StateStore | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = Engine(self, self.clock, Mint(self.seed))
        if self.state_file is not None and Path(self.state_file).exists():
            restore(self.engine, Path(self.state_file))
        self._add_given()

    def __repr__(self) -> str:
        return f"Sandbox(host={self.host!r}, port={self.port}, accounts={len(self.accounts)})"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """A template with `{account}` in its path, as the client takes it.

        Raises:
            RuntimeError: The sandbox was never started with port 0, so that it has none yet.
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
            ValueError: It is not a name, or there is one of that name.
        """
        new = SandboxAccount(name=account) if isinstance(account, str) else account
        self.engine.add_account(new)
        self._note_change()
        return new

    def update_account(self, account: SandboxAccount) -> None:
        """Replace the settings of the account of that name; its series stay.

        Raises:
            KeyError: There is none of that name.
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
        """Put a row into an account behind the API's back, even one whose name is taken.

        Raises:
            KeyError: There is no account of that name.
        """
        new = NewSequence(serie=serie, is_default=is_default)
        row = self.engine.add_sequence(account, new, is_registered=is_registered)
        self._note_change()
        return row

    def sequences(self, account: str) -> tuple[SandboxSequence, ...]:
        """Return the account's rows as they truly are, whether listed or not.

        Raises:
            KeyError: There is no account of that name.
        """
        return self.engine.sequences(account)

    def count(self, method: str, path: str, *, account: str | None = None) -> int:
        """Return how often a path was requested, of one account or of all."""
        return self.engine.log.count(method, path, account=account)

    async def start(self) -> None:
        """Listen; the port is fixed from then on.

        Raises:
            OSError: The port is taken, or the host is not this machine's.
        """
        # Below the application level: no routing, no middleware, no access log per request.
        # A sandbox never makes a request wait, so that closing has little to wait for.
        # That log would show the keys as well.
        server = web.Server(self._answer, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]
        if self.state_file is not None:
            self._store = StateStore(self.engine, Path(self.state_file))

    async def close(self) -> None:
        """Stop listening and save the state; closing twice is harmless.

        Raises:
            OSError: The state could not be saved.
        """
        runner, self._runner = self._runner, None
        store, self._store = self._store, None
        if runner is not None:
            await runner.cleanup()
        if store is not None:
            await store.close()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await request.content.read()
        except (ConnectionError, web.RequestPayloadError):
            # Cut short: never received, so that it is not counted either.
            return web.Response(status=400)
        target, _, query = request.raw_path.partition("?")
        if target.startswith(PREFIX):
            answer = answer_admin(
                self.engine,
                method=request.method,
                path=target,
                body=body,
                remote=request.remote or "",
            )
        else:
            answer = self._answer_api(request, target, query, body)
        self._note_change()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    def _answer_api(self, request: web.BaseRequest, target: str, query: str, body: bytes) -> Answer:
        account, path = _split_account(request.headers.get("Host", ""), target)
        return self.engine.handle(
            Request(
                method=request.method,
                path=path,
                account=account,
                query=query,
                body=body,
                content_type=request.headers.get("Content-Type", ""),
                has_cookie="Cookie" in request.headers,
            )
        )

    def _add_given(self) -> None:
        restored = set(self.engine.accounts)
        for given in self._given:
            account = SandboxAccount(name=given) if isinstance(given, str) else given
            if account.name not in restored:
                self.engine.add_account(account)
            elif not isinstance(given, str):
                self.engine.update_account(account)

    def _note_change(self) -> None:
        if self._store is not None:
            self._store.note_change()


async def serve(sandbox: Sandbox, *, on_start: Callable[[Sandbox], None] | None = None) -> None:
    """Run a sandbox until cancelled; `on_start` is called once its address is known.

    Raises:
        OSError: The port is taken, or the state could not be saved.
    """
    async with sandbox:
        if on_start is not None:
            on_start(sandbox)
        await asyncio.Event().wait()


def _split_account(host: str, target: str) -> tuple[str, str]:
    """Return the account and the path, from the host's first label or the path's first part."""
    name = host.partition(":")[0].lower()
    for suffix in _HOST_SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), target
    account, _, path = target.removeprefix("/").partition("/")
    return account.lower(), f"/{path}"
