"""Requests as the server receives them, and the log of those it has read."""

import json
from collections import Counter
from typing import cast

import attrs

_HOST_SUFFIXES = (".app.invoicexpress.com", ".localhost")


@attrs.frozen(kw_only=True)
class Request:
    """A request read to its end. `path` lacks the account; path and query are not decoded."""

    method: str
    path: str
    account: str
    query: str = attrs.field(default="", repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = "application/json"
    has_cookie: bool = False


@attrs.frozen(kw_only=True)
class RecordedRequest:
    """A request that was read to its end.

    `path` lacks the account and the query, which holds the key. `received_at` is on the sandbox's
    clock. `status` is None as long as the request has not taken effect.
    """

    method: str
    path: str
    account: str
    body: bytes = attrs.field(repr=False)
    status: int | None
    received_at: float
    has_cookie: bool = False


@attrs.define(eq=False)
class RequestLog:
    records: list[RecordedRequest] = attrs.field(factory=list[RecordedRequest], init=False)
    _counts: Counter[tuple[str, str, str]] = attrs.field(
        factory=Counter[tuple[str, str, str]], init=False
    )

    def add(self, request: Request, *, received_at: float) -> int:
        record = RecordedRequest(
            method=request.method,
            path=request.path,
            account=request.account,
            body=request.body,
            status=None,
            received_at=received_at,
            has_cookie=request.has_cookie,
        )
        self.records.append(record)
        self._counts[request.account, request.method, request.path] += 1
        return len(self.records) - 1

    def settle(self, index: int, *, status: int) -> None:
        self.records[index] = attrs.evolve(self.records[index], status=status)

    def count(self, method: str, path: str, *, account: str | None) -> int:
        if account is not None:
            return self._counts[account, method, path]
        return sum(n for (_, *route), n in self._counts.items() if route == [method, path])

    def by_account(self) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for (account, method, path), number in self._counts.items():
            counts.setdefault(account, {})[f"{method} {path}"] = number
        return counts


def read_envelope(request: Request, name: str) -> dict[str, object] | None:
    """Return the object under a name in the body; None if there is none."""
    return as_object((read_document(request) or {}).get(name))


def read_document(request: Request) -> dict[str, object] | None:
    """Return the body as a JSON object; None if it is not one."""
    # A body without the content type of JSON is ignored.
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        document: object = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return as_object(document)


def as_object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def split_account(host: str, target: str) -> tuple[str, str]:
    """Return the account and the path, from the host's first label or the path's first part."""
    name = host.partition(":")[0].lower()
    for suffix in _HOST_SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), target
    account, _, path = target.removeprefix("/").partition("/")
    return account.lower(), f"/{path}"
