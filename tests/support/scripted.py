"""A server of sequences that keeps its rows, and responds as the test defines."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from conftest import ACCOUNT, API_KEY

from invoicexpress_async import AccountSession, SessionManager

Row = dict[str, Any]

_TYPES = ("invoice", "receipt", "credit_note")
REGISTERED = ("ABCD1234", "EFGH5678", "JKLM9012")
UNREGISTERED = ("N/D", "N/D", "N/D")


def row_of(
    identifier: int, serie: str, codes: tuple[str, str, str] = REGISTERED, *, default: bool = False
) -> Row:
    row: Row = {"id": identifier, "serie": serie, "default_sequence": int(default)}
    for offset, (name, code) in enumerate(zip(_TYPES, codes, strict=True)):
        row[f"current_{name}_number"] = 0
        row[f"current_{name}_sequence_id"] = identifier + offset
        row[f"current_{name}_validation_code"] = code
    return row


class Scripted:
    """Carries out each request, unless the test set another response.

    Attributes:
        rows: The rows of each account.
        counts: How many requests came, by account and operation.
        new_codes: The validation codes of a new sequence.
        takes_the_default: Whether a new sequence becomes the default by itself.
        shows_the_default: Whether the response to a create shows the default flag.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.new_codes = REGISTERED
        self.takes_the_default = False
        self.shows_the_default = True
        self.base_url = ""
        self._says: dict[str, tuple[int, bytes, bool]] = {}
        self._ids = iter(range(1_000, 1_000_000, 100))

    def says(
        self, operation: str, status: int, document: Any = None, *, does: bool = False
    ) -> None:
        """Send this response from now on; `does`: whether to carry the operation out anyway."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._says[operation] = status, b"" if document is None else body, does

    def count(self, operation: str, account: str = ACCOUNT) -> int:
        return self.counts[account, operation]

    @property
    def sent(self) -> dict[str, int]:
        """How many requests came, by operation, for a test with only one account."""
        return {operation: count for (_, operation), count in self.counts.items()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        _, account, *parts = request.path.removesuffix(".json").split("/")
        operation = _operation(request.method, parts)
        self.counts[account, operation] += 1
        status, body, does = self._says.get(operation, (0, b"", True))
        answer = self._carry_out(account, operation, parts, await request.read()) if does else None
        if not status:
            status, body = 201 if operation == "create" else 200, json.dumps(answer).encode()
        return web.Response(status=status, body=body, content_type="application/json")

    def _carry_out(self, account: str, operation: str, parts: list[str], body: bytes) -> Any:
        rows = self.rows.setdefault(account, [])
        if operation == "list":
            return {"sequences": rows}
        if operation == "create":
            return {"sequence": self.create(rows, json.loads(body)["sequence"])}
        (row,) = (one for one in rows if str(one["id"]) == parts[1])
        if operation == "set_current":
            _set_default(rows, row)
            return None
        if operation == "register":
            row |= row_of(row["id"], row["serie"]) | {"default_sequence": row["default_sequence"]}
        return {"sequences": [row]}

    def create(self, rows: list[Row], wanted: Row) -> Row:
        """Create a row, and return it as the response shows it."""
        row = row_of(next(self._ids), wanted["serie"], self.new_codes)
        rows.append(row)
        if "default_sequence" in wanted or self.takes_the_default:
            _set_default(rows, row)
        return row if self.shows_the_default else row | {"default_sequence": 0}


def _operation(method: str, parts: list[str]) -> str:
    if len(parts) > 2:
        return parts[2]
    return "create" if method == "POST" else "get" if len(parts) > 1 else "list"


def _set_default(rows: list[Row], default: Row) -> None:
    for row in rows:
        row["default_sequence"] = int(row is default)


@asynccontextmanager
async def serving_scripted(
    kind: type[Scripted] = Scripted, **settings: Any
) -> AsyncIterator[tuple[Scripted, AccountSession]]:
    """Run a server on loopback, and yield it with an account session of a manager."""
    server = kind()
    runner = web.ServerRunner(web.Server(server.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/{{account}}"
    async with SessionManager(base_url=server.base_url, **settings) as manager:
        yield server, manager.account(ACCOUNT, API_KEY)
    await runner.cleanup()
