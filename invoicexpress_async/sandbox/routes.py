"""The routes of the API: the operation of a method and a path, and its form."""

import re
from urllib.parse import unquote_to_bytes

import attrs

from invoicexpress_async.sandbox.domain.account_forms import AccountForm
from invoicexpress_async.sandbox.domain.accounts import Operation
from invoicexpress_async.sandbox.domain.responses import create_refused
from invoicexpress_async.sandbox.requests import Request, read_envelope

MAX_SERIE_LENGTH = 35  # the limit of the tax authority

_ROUTES: tuple[tuple[str, re.Pattern[str], Operation], ...] = (
    ("POST", re.compile(r"/sequences\.json"), "create"),
    ("GET", re.compile(r"/sequences\.json"), "list"),
    ("GET", re.compile(r"/sequences/(?P<id>[^/]+)\.json"), "get"),
    ("PUT", re.compile(r"/sequences/(?P<id>[^/]+)/set_current\.json"), "set_current"),
    ("PUT", re.compile(r"/sequences/(?P<id>[^/]+)/register\.json"), "register"),
    ("POST", re.compile(r"/api/accounts/create\.json"), "account_create"),
    (
        "POST",
        re.compile(r"/api/accounts/create_already_user\.json"),
        "account_create_already_user",
    ),
    ("GET", re.compile(r"/api/accounts/(?P<id>[^/]+)/get\.json"), "account_get"),
    ("PUT", re.compile(r"/api/accounts/(?P<id>[^/]+)/update\.json"), "account_update"),
    # Not in the description, but some production clients send a POST.
    ("POST", re.compile(r"/api/accounts/(?P<id>[^/]+)/update\.json"), "account_update"),
    ("POST", re.compile(r"/api/v3/accounts/at_communication\.json"), "at_communication"),
)


@attrs.frozen(kw_only=True)
class NewSequence:
    serie: str | int
    is_default: bool = False


@attrs.frozen(kw_only=True)
class Command:
    """The meaning of a request: an operation, with the id or the form that it has."""

    operation: Operation
    id: str = ""
    form: NewSequence | AccountForm | None = None


def find_command(method: str, path: str) -> Command | None:
    for verb, pattern, operation in _ROUTES:
        match = pattern.fullmatch(path) if verb == method else None
        if match is not None:
            return Command(operation=operation, id=match.groupdict().get("id", ""))
    return None


def query_key(query: str) -> bytes:
    """Return the `api_key` of a raw query string, decoded; the last one if there are several."""
    key = b""
    for pair in query.encode(errors="surrogateescape").split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"api_key":
            key = unquote_to_bytes(value.replace(b"+", b" "))
    return key


def read_new_sequence(request: Request) -> NewSequence:
    """Return the sequence that a create requests.

    An integer serie was accepted in live traffic, and echoed as an integer. Only the string
    "1" makes a default: the recorded integer 1 was ignored.
    """
    fields = read_envelope(request, "sequence")
    if fields is None:
        raise create_refused("invalid_series")
    serie = fields.get("serie")
    if isinstance(serie, bool) or not isinstance(serie, str | int) or not str(serie).strip():
        raise create_refused("invalid_series")
    return NewSequence(serie=serie, is_default=fields.get("default_sequence") == "1")


def is_name_allowed(serie: str | int) -> bool:
    # The exact rule behind code 001 is unknown; this part of it is certain.
    return len(str(serie)) <= MAX_SERIE_LENGTH and str(serie).isprintable()
