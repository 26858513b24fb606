"""Sans-I/O: what a request looks like, what a response means, and the values of its fields."""

import json
import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    InvoiceXpressError,
    MalformedResponseError,
    StatusError,
)
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.decision import Operation, parse_retry_after
from invoicexpress_async.protocol.refusal import redirect_error, status_error, without_secrets
from invoicexpress_async.protocol.strict import ProblemError, malformed_response

try:
    import orjson
except ImportError:  # the extra `speed` is not installed
    orjson = None  # type: ignore[assignment]  # the name stays, its absence is tested below

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""A row is about 2 KB: 4,000 sequences of one account; anything longer is not a response."""

_MAX_EXCERPT_BYTES: Final = 512
_SUCCESSES: Final = 2  # hundred
_REDIRECTS: Final = 3  # hundred
# Every form of the flag that was recorded or that a client copes with; nothing else is a flag.
_TRUE_FLAGS: Final = frozenset({"1", "true"})
_FALSE_FLAGS: Final = frozenset({"0", "false"})
# Ids and counters are 64-bit at the most; longer digit strings are garbage and slow to convert.
_MAX_DIGITS: Final = 18
END_OF_COUNTS: Final = 10**_MAX_DIGITS
_MAX_PROBLEMS: Final = 20


# Not frozen, as one of each is made for every request, and a frozen one costs three times as much.
@attrs.define(kw_only=True)
class Request(Generic[T_co]):
    """One request, without the account and its key.

    Attributes:
        operation: Its row of the decision table.
        method: GET, POST or PUT.
        path: From the account's root, with its leading slash and without a query.
        query: Further parameters, already escaped, such as "page=2".
        body: JSON bytes; empty for none.
        subject: What it is about, for people.
        is_sensitive: Whether the response may hold a secret, so that no part of it may be shown but
            the texts of a refusal.
        accepts_errors: Whether a success counts although it reports errors as well: it gives
            what is given once.
        secrets: What the body holds and no text may show, should the server echo it.
        structure: Turns the response's JSON (None for an empty body) into the result, or raises
            MalformedResponseError.
    """

    operation: Operation
    method: str
    path: str
    structure: Callable[[JsonValue], T_co]
    query: str = ""
    body: bytes = attrs.field(default=b"", repr=False)
    subject: str | None = None
    is_sensitive: bool = False
    accepts_errors: bool = False
    secrets: tuple[Secret, ...] = ()

    @property
    def is_with_body(self) -> bool:
        """Whether headers announce a body, if only an empty one."""
        return self.method != "GET" or bool(self.body)


@attrs.define(kw_only=True)
class Response:
    """One complete response, secrets redacted.

    Attributes:
        body: At most `MAX_BODY_BYTES`, decompressed.
        problem: Why the body cannot be used, such as "it is over 8 MiB"; None when it is.
    """

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = attrs.field(default="", repr=False)
    retry_after: str | None = attrs.field(default=None, repr=False)
    location: str | None = attrs.field(default=None, repr=False)
    problem: str | None = None


def decipher(request: Request[T], response: Response, *, wall_seconds: float) -> T:
    """Return the result, or raise what the response means.

    Raises:
        StatusError: a refusal, by its operation, status and code.
        UnexpectedRedirectError: a 3xx.
        MalformedResponseError: a 2xx without the requested content.
    """
    if not request.is_sensitive:
        return _decipher(request, response, wall_seconds=wall_seconds)
    try:
        return _decipher(request, response, wall_seconds=wall_seconds)
    except InvoiceXpressError as shown:
        error = shown
    # The frames in its traceback hold the response's JSON.
    raise without_secrets(error, request.secrets).with_traceback(None)


def _decipher(request: Request[T], response: Response, *, wall_seconds: float) -> T:
    if response.status // 100 == _REDIRECTS:
        raise redirect_error(response.status, response.location)
    if response.status // 100 != _SUCCESSES:
        raise _refusal(request.operation, response, wall_seconds=wall_seconds)
    payload = _payload(response)
    if isinstance(payload, dict) and _says_failure(payload):
        raise status_error(request.operation, response.status, payload, None)
    if isinstance(payload, dict) and _holds_an_error(payload) and not request.accepts_errors:
        raise _unreadable(response, "there is an error inside a success")
    try:
        return request.structure(payload)
    except MalformedResponseError as problem:
        error = problem
    error.excerpt = _excerpt(response.body)
    raise error


def _says_failure(payload: dict[str, JsonValue]) -> bool:
    success = payload.get("success")
    return success is False or (isinstance(success, str) and success.lower() == "false")


def _holds_an_error(payload: dict[str, JsonValue]) -> bool:
    return bool(
        payload.get("errors")
        or payload.get("error")
        or (payload.get("code") and payload.get("message"))
    )


def _payload(response: Response) -> JsonValue:
    """Return the JSON of a 2xx; None for the empty and one-space bodies that were recorded."""
    if response.problem:
        raise _unreadable(response, response.problem)
    if not response.body.strip():
        return None
    if _is_html(response):
        raise _unreadable(response, "it is a web page")
    if not _is_utf8(response.content_type):
        raise _unreadable(response, "its charset is not UTF-8")
    try:
        return loads(response.body)
    except NotJsonError:
        pass
    raise _unreadable(response, "it is not valid JSON")


def _is_utf8(content_type: str) -> bool:
    """JSON is UTF-8 and needs no charset; a response that names another is not guessed at."""
    _, _, charset = content_type.lower().partition("charset=")
    return charset.strip(" \"';") in {"", "utf-8", "utf8", "us-ascii"}


def _is_html(response: Response) -> bool:
    return "html" in response.content_type.lower() or response.body.lstrip()[:1] == b"<"


def _unreadable(response: Response, problem: str) -> MalformedResponseError:
    return MalformedResponseError(
        f"The response (HTTP {response.status}) cannot be read: {problem}.",
        problems=(f"the response: {problem}",),
        excerpt=_excerpt(response.body),
        is_html=_is_html(response),
    )


def _excerpt(body: bytes) -> str:
    return body[:_MAX_EXCERPT_BYTES].decode(errors="replace")


def _refusal(operation: Operation, response: Response, *, wall_seconds: float) -> StatusError:
    payload: JsonValue = None
    # Some 404s are whole HTML pages: nothing in them is worth a parser.
    if not response.problem and response.body.strip() and not _is_html(response):
        try:
            payload = loads(response.body)
        except NotJsonError:
            payload = _excerpt(response.body)
    wait = parse_retry_after(response.retry_after, wall_seconds=wall_seconds)
    return status_error(operation, response.status, payload, wait)


_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class NotJsonError(ValueError):
    """The bytes are not one JSON document. Carries no part of them."""


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


# `json.loads` and `json.dumps` make one of these for each call with settings.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _loads(body: bytes) -> JsonValue:
    if orjson is not None:
        return orjson.loads(body)  # type: ignore[no-any-return]  # orjson's stub says Any
    # Decoded here because json.loads would also guess UTF-16 and UTF-32, which JSON forbids.
    text = body.decode()
    value = cast("JsonValue", _DECODER.decode(text))
    if _ESCAPED_SURROGATE.search(text):
        dumps(value)  # half a pair is no character: it fails, as orjson does
    return value


def loads(body: bytes) -> JsonValue:
    """Parse UTF-8 JSON, with or without a byte-order mark.

    Raises:
        NotJsonError: invalid UTF-8 or JSON, NaN or Infinity, half a surrogate pair, an integer
            of thousands of digits, or nesting deeper than the parser goes.
    """
    try:
        return _loads(body.removeprefix(_BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        pass  # the parser's error holds the document: leave the block before raising
    raise NotJsonError("the body is not valid JSON")


def json_text(value: str) -> str:
    """Write one text as JSON, for what is put together from parts."""
    return _ENCODER.encode(value)


def dumps(value: JsonValue) -> bytes:
    """Write compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


def dump_values(values: list[object]) -> str:
    """Write values of structured responses as compact JSON: no integer is too long for orjson."""
    if orjson is not None:
        return orjson.dumps(values).decode()
    return _ENCODER.encode(values)


def structure_count(value: object, path: str) -> int | None:
    """Read a counter or an id: an integer, a string of digits, or null (recorded in all three)."""
    if value is None:
        return None
    if (
        isinstance(value, str)
        and len(value) <= _MAX_DIGITS
        and value.isascii()
        and value.isdecimal()
    ):
        return int(value)
    if type(value) is int and 0 <= value < END_OF_COUNTS:
        return value
    raise ProblemError(path, "a whole number, as a number, a string or null", value)


def structure_id(value: object, path: str) -> int:
    """Read the row's own id, which must be there and positive."""
    if identifier := structure_count(value, path):
        return identifier
    raise ProblemError(path, "a positive id", value)


def structure_serie(value: object, path: str) -> str:
    """Read the name. It came back as a JSON integer when an integer had been sent (recorded)."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ProblemError(path, "a name", value)


def structure_flag(value: object, path: str) -> bool:
    """Read `default_sequence`: 1/0, true/false, as text too, or null for false. Nothing else."""
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    text = str(value) if type(value) is int else value
    if isinstance(text, str):
        if text in _TRUE_FLAGS:
            return True
        if text in _FALSE_FLAGS:
            return False
    raise ProblemError(path, "1 or 0", value)


def structure_code(value: object, path: str) -> str | None:
    """Keep a validation code as it came. Null and absent are the same: not "N/A"."""
    if value is None or isinstance(value, str):
        return value
    raise ProblemError(path, "a validation code", value)


def structure_nothing(payload: JsonValue) -> None:
    """Accept an empty response, or an object: `{"success": "true"}` is on the provider's page.

    Zero bytes or one space were recorded. Errors in an object were refused before.
    """
    if payload is not None and not isinstance(payload, dict):
        raise malformed_response("the response: expected nothing")


class ResponseProblems(list[str]):
    """What is wrong with one response, collected so that one error reports all of it."""

    def collect(self, structure: Callable[[object, str], T], value: object, path: str) -> T | None:
        """Structure one field, or note its problem, up to a number that a person reads."""
        try:
            return structure(value, path)
        except ProblemError as problem:
            if len(self) < _MAX_PROBLEMS:
                self.append(str(problem))
        return None
