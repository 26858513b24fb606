"""Which operation a method and a path ask for, and how a request is read."""

import json
import re
from typing import cast
from urllib.parse import unquote_to_bytes

import attrs

from invoicexpress_async.sandbox._accounts import Operation
from invoicexpress_async.sandbox._answers import RefusedError
from invoicexpress_async.sandbox._requests import Request

_MAX_SERIE_LENGTH = 35  # the tax authority's own limit

_ROUTES: tuple[tuple[str, re.Pattern[str], Operation], ...] = (
    ("POST", re.compile(r"/sequences\.json"), "create"),
    ("GET", re.compile(r"/sequences\.json"), "list"),
    ("GET", re.compile(r"/sequences/(?P<id>[^/]+)\.json"), "get"),
    ("PUT", re.compile(r"/sequences/(?P<id>[^/]+)/set_current\.json"), "set_current"),
    ("PUT", re.compile(r"/sequences/(?P<id>[^/]+)/register\.json"), "register"),
)


@attrs.frozen(kw_only=True)
class NewSequence:
    serie: str | int
    is_default: bool = False


@attrs.frozen(kw_only=True)
class Order:
    """What a request asks for: an operation, on the row with this id or with this content."""

    operation: Operation
    id: str = ""
    new: NewSequence | None = None


def find_order(method: str, path: str) -> Order | None:
    for verb, pattern, operation in _ROUTES:
        match = pattern.fullmatch(path) if verb == method else None
        if match is not None:
            return Order(operation=operation, id=match.groupdict().get("id", ""))
    return None


def read_order(request: Request) -> Order:
    order = find_order(request.method, request.path)
    if order is None:
        raise RefusedError(302)
    return order


def query_key(query: str) -> bytes:
    """Return the `api_key` of a raw query string, decoded; the last one if there are several."""
    key = b""
    for pair in query.encode(errors="surrogateescape").split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"api_key":
            key = unquote_to_bytes(value.replace(b"+", b" "))
    return key


def read_new_sequence(request: Request) -> NewSequence:
    """Return what a create asks for.

    An integer serie was accepted in live traffic, and echoed as an integer. Only the string
    "1" makes a default: the recorded integer 1 was ignored.
    """
    fields = _read_fields(request)
    serie = fields.get("serie")
    if isinstance(serie, bool) or not isinstance(serie, str | int) or not str(serie).strip():
        raise RefusedError(422, "003")
    return NewSequence(serie=serie, is_default=fields.get("default_sequence") == "1")


def is_name_allowed(serie: str | int) -> bool:
    # The whole rule behind 001 is unknown; this is the part that is certain.
    return len(str(serie)) <= _MAX_SERIE_LENGTH and str(serie).isprintable()


def _read_fields(request: Request) -> dict[str, object]:
    # A body that does not say it is JSON is not parsed, as if it were not there.
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(422, "003")
    try:
        document: object = json.loads(request.body)
    except (ValueError, RecursionError):
        raise RefusedError(422, "003") from None
    return _object(_object(document).get("sequence"))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise RefusedError(422, "003")
    return cast("dict[str, object]", value)
