"""A server that accepts every POST, without a check of names."""

import json
import random
import re
from collections import defaultdict
from typing import Final

import attrs

from simulation.trace import Trace

KEY: Final = "canary-key-0123456789"
_MEMBER: Final = re.compile(r"/sequences/(\d+)(?:/(register|set_current))?\.json")
_TYPES: Final = ("invoice", "receipt")


@attrs.define(kw_only=True)
class Row:
    """One series of an account."""

    id: int
    serie: str
    is_registered: bool
    is_default: bool = False

    def wire(self) -> dict[str, object]:
        """Return the row as it is sent."""
        row: dict[str, object] = {
            "id": self.id,
            "serie": self.serie,
            "default_sequence": int(self.is_default),
        }
        for at, name in enumerate(_TYPES):
            row[f"current_{name}_number"] = 0
            row[f"current_{name}_sequence_id"] = self.id + at
            code = f"AB{self.id + at:06d}" if self.is_registered else "N/D"
            row[f"current_{name}_validation_code"] = code
        return row


@attrs.frozen(kw_only=True)
class Message:
    """A request, or a response."""

    start: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Message":
        """Parse a complete message."""
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(start=start, headers={k.lower(): v for k, v in headers.items()}, body=body)

    @property
    def account(self) -> str:
        """The account that a request is for."""
        return self.headers["host"].partition(".")[0]

    @property
    def path(self) -> str:
        """The path of a request, without the key."""
        return self.start.split(" ")[1].partition("?")[0]

    @property
    def key(self) -> str:
        """The key of a request."""
        return self.start.split(" ")[1].partition("api_key=")[2].partition("&")[0]

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.start.partition(" ")[0]

    @property
    def serie(self) -> str:
        """The serie of a create."""
        return str(json.loads(self.body)["sequence"]["serie"])

    @property
    def label(self) -> str:
        """The description of a request in the trace."""
        subject = f" {self.serie}" if self.body and self.method == "POST" else ""
        return f"{self.method} {self.account}{self.path}{subject}"


@attrs.define(kw_only=True)
class Server:
    """The accounts and their series.

    Attributes:
        rows: The rows by account.
        may_stay_unregistered: The share of creates that leave a series unregistered.
    """

    chance: random.Random
    trace: Trace
    may_stay_unregistered: float
    rows: "defaultdict[str, list[Row]]" = attrs.field(factory=lambda: defaultdict(list))
    _next_id: int = 1000

    def found(self, account: str, serie: str) -> list[Row]:
        """Return the rows of that name."""
        return [row for row in self.rows[account] if row.serie == serie]

    def apply(self, request: Message) -> tuple[int, object]:
        """Carry a request out; return status and payload."""
        if request.path == "/sequences.json":
            if request.method == "GET":
                return 200, {"sequences": [row.wire() for row in self.rows[request.account]]}
            return 201, {"sequence": self._create(request).wire()}
        match = _MEMBER.fullmatch(request.path)
        rows = self.rows[request.account]
        row = next((one for one in rows if match and one.id == int(match[1])), None)
        if match is None or row is None:
            return 404, " "
        if match[2] == "register":
            return self._register(row)
        if match[2] == "set_current":
            for one in rows:
                one.is_default = one is row
            return 200, " "
        return 200, {"sequences": row.wire()}

    def _create(self, request: Message) -> Row:
        requested = json.loads(request.body)["sequence"]
        self._next_id += 10
        row = Row(
            id=self._next_id,
            serie=requested["serie"],
            is_registered=self.chance.random() >= self.may_stay_unregistered,
            is_default=requested.get("default_sequence") == "1",
        )
        for other in self.rows[request.account]:
            other.is_default = other.is_default and not row.is_default
        self.rows[request.account].append(row)
        self.trace.note(f"COMMITTED {request.label} as {row.id}", process="server")
        return row

    def _register(self, row: Row) -> tuple[int, object]:
        if row.is_registered:
            return 409, {"errors": {"code": "005", "message": "already registered"}}
        row.is_registered = True
        return 200, {"sequences": [row.wire()]}


def response(status: int, payload: object) -> bytes:
    """Return the bytes of a response."""
    body = payload if isinstance(payload, str) else json.dumps(payload)
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
