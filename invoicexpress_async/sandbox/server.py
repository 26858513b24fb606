"""The sandbox: the engine behind an aiohttp server."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import attrs
from aiohttp import web

from invoicexpress_async.sandbox.admin import PREFIX, respond_to_admin
from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.local_server import LocalServer
from invoicexpress_async.sandbox.requests import Request, split_account

_S = TypeVar("_S", bound=LocalServer)


@attrs.define(kw_only=True, eq=False, repr=False)
class Sandbox(LocalServer):
    """A local InvoiceXpress server, which also shows its true state and requests.

    Every setting of `SandboxBehaviour` is an argument of this class too. It may be closed and
    started again: it keeps its port and its state, like a server that was down for a while.

    Args:
        accounts: Names, which get a generated key, or `SandboxAccount` objects.
        host: The host to listen on; loopback, unless the network should reach it.
        port: The port to listen on; 0 for a free one.
        seed: Equal seeds give equal ids and validation codes.
        state_file: Read now if it exists, and saved after changes and on close. An account given
            by name only keeps the key and settings it has in the file.
        clock: Returns seconds; used for the limit, registrations and `received_at`.

    Raises:
        ValueError: An account's name is not one label of a host name or is given twice, or the
            state file is not a sandbox's.
    """

    _runner: web.ServerRunner | None = attrs.field(default=None, init=False)

    async def _listen(self) -> None:
        # Below the level of an aiohttp application: no routing, no middleware, and no access log,
        # which would show the keys. No request of a sandbox waits, so closing takes little time.
        server = web.Server(self._respond, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port: int = runner.addresses[0][1]

    async def _stop_listening(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await request.content.read()
        except (ConnectionError, web.RequestPayloadError):
            # The request was cut, so it was not received and is not counted.
            return web.Response(status=400)
        target, _, query = request.raw_path.partition("?")
        if target.startswith(PREFIX):
            response = respond_to_admin(
                self.engine,
                method=request.method,
                path=target,
                body=body,
                remote=request.remote or "",
            )
        else:
            response = self._respond_to_api(request, target, query, body)
        self._note_change()
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    def _respond_to_api(
        self, request: web.BaseRequest, target: str, query: str, body: bytes
    ) -> Response:
        account, path = split_account(request.headers.get("Host", ""), target)
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


async def serve(sandbox: _S, *, on_start: Callable[[_S], None] | None = None) -> None:
    """Run a local server until cancelled; `on_start` is called once its address is known.

    Raises:
        OSError: The port is taken, or the state could not be saved.
    """
    async with sandbox:
        if on_start is not None:
            on_start(sandbox)
        await asyncio.Event().wait()
