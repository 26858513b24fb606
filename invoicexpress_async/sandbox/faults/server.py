"""A server with the engine behind it that injects faults of a server or of the network."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import attrs

from invoicexpress_async.sandbox.faults.backend import Backend
from invoicexpress_async.sandbox.faults.listener import Listener
from invoicexpress_async.sandbox.faults.plan import FaultPlan
from invoicexpress_async.sandbox.local_server import LocalServer
from invoicexpress_async.sandbox.oracle import Oracle


@attrs.define(kw_only=True, eq=False, repr=False)
class FaultServer(LocalServer):
    """A local InvoiceXpress that fails on demand, and knows what truly happened.

    Without a fault it responds like `Sandbox`, and it has the same arguments. It may be closed and
    started again. `server.faults.next("close_after_read", operation="create")` plans a fault.

    Attributes:
        faults: Plans the faults: `next`, `randomly`, `clear`. The names are in `FAULT_NAMES`.
        oracle: What truly happened: `posts`, `commits`, `rows`, `duplicates`.
        engine: The accounts, their sequences and the rules, without faults.

    Args:
        ssl_context: A server-side context, which makes the server use TLS, with a certificate for
            `*.app.invoicexpress.com` or a wrong one.
        sleep: The coroutine function with which every delay waits.

    Raises:
        ValueError: As in `Sandbox`.
    """

    ssl_context: ssl.SSLContext | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    faults: FaultPlan = attrs.field(init=False)
    oracle: Oracle = attrs.field(init=False)
    _backend: Backend = attrs.field(init=False)
    _listener: Listener | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.faults = FaultPlan(self.seed)
        self.oracle = Oracle(self.engine)
        self._backend = Backend(
            engine=self.engine,
            plan=self.faults,
            oracle=self.oracle,
            sleep=self.sleep,
            note_change=self._note_change,
        )

    @property
    def base_url(self) -> str:
        """A template with `{account}`: in the path, or over TLS in the host.

        Raises:
            RuntimeError: The port is 0 and the server was never started.
        """
        if self.ssl_context is None or self.port == 0:
            return super().base_url
        return f"https://{{account}}.app.invoicexpress.com:{self.port}"

    async def go_down(self, *, drops_connections: bool = True) -> None:
        """Refuse connections until `go_up`; the port stays reserved.

        Args:
            drops_connections: Whether open connections end too.
        """
        listener = self._listener
        if listener is None:
            return
        await listener.release()
        if drops_connections:
            await listener.drop_connections()
        await listener.bind(self.host, self.port)

    async def go_up(self) -> None:
        """Accept connections again, at the same port."""
        if self._listener is not None:
            self._listener.listen()

    async def commit_late(self) -> int:
        """Apply every late request, in order; return how many there were."""
        return self._backend.commit_late()

    async def _listen(self) -> None:
        listener = Listener(self._backend, self.ssl_context)
        self.port: int = await listener.bind(self.host, self.port)
        listener.listen()
        self._listener = listener

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.release()
            await listener.drop_connections()
            await self._backend.close()
