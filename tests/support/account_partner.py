"""A server for account operations that records each request and sends the test's responses."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock

from invoicexpress_async import AccountService, AccountSession, SessionManager

PASSWORD = "canary-password-0123456789"
NEW_KEY = "canary-new-key-0123456789"
COMPANY: dict[str, Any] = {
    "organization_name": "Sapataria Ideal, Lda",
    "email": "geral@sapataria.example",
    "password": PASSWORD,
    "accepts_terms": True,
    "fiscal_id": "501964843",
}
CREATED = {
    "id": "12345",
    "name": "Sapataria Ideal",
    "url": "https://sapataria.app.invoicexpress.com",
    "api_key": NEW_KEY,
    "state": "active",
}
RESET = -1
"""In place of a status: read the request, then close the connection."""


class Partner:
    """Sends its responses in turn, and then repeats the last one."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.account: AccountSession = manager.account(ACCOUNT, API_KEY)
        self.service: AccountService = self.account.accounts
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.answers: deque[tuple[int, bytes, str]] = deque()

    def says(self, status: int, document: Any = None, *, content_type: str = "") -> None:
        """Send this response from now on."""
        self.answers.clear()
        self.then_says(status, document, content_type=content_type)

    def then_says(self, status: int, document: Any = None, *, content_type: str = "") -> None:
        """Send this response after the responses that were given before."""
        body = document if isinstance(document, bytes) else b""
        if document is not None and not isinstance(document, bytes):
            body = json.dumps(document).encode()
        self.answers.append((status, body, content_type or "application/json"))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path))
        self.bodies.append(json.loads(body) if body else None)
        status, answer, content_type = self.answers[0]
        if len(self.answers) > 1:
            self.answers.popleft()
        if status == RESET:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        headers = {"Location": "https://elsewhere.example/"} if 300 <= status < 400 else {}
        return web.Response(status=status, body=answer, content_type=content_type, headers=headers)


@asynccontextmanager
async def serving_partner(clock: FakeClock, **settings: Any) -> AsyncIterator[Partner]:
    """Run the server on loopback, with a manager that uses it."""
    handlers: list[Partner] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await handlers[0].handle(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/{{account}}"
    try:
        async with SessionManager(base_url=base_url, clock=clock, **settings) as manager:
            handlers.append(Partner(manager))
            yield handlers[0]
    finally:
        await runner.cleanup()
