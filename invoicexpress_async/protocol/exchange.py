"""Requests, the meaning of responses, and the values of their fields, without I/O."""

import json
import re
from collections.abc import Callable, Mapping
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
from invoicexpress_async.protocol.strict import ProblemError

try:
    import orjson
except ImportError:  # the extra `speed` is not installed
    orjson = None  # type: ignore[assignment]  # the name stays, its absence is tested below

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The longest response: 4,000 sequences of one account, with about 2 KB for each row."""

_MAX_EXCERPT_BYTES: Final = 512
_SUCCESSES: Final = 2  # hundred
_REDIRECTS: Final = 3  # hundred
_FIRST_FINAL_STATUS: Final = 200
_PARTIAL_CONTENT: Final = 206
# Every form of the flag that was recorded or that a client accepts; nothing else is a flag.
_FLAGS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}
# Ids and counters are 64-bit at the most; longer digit strings are garbage and slow to convert.
_MAX_DIGITS: Final = 18
END_OF_COUNTS: Final = 10**_MAX_DIGITS
_MAX_PROBLEMS: Final = 20


# Not frozen: both are created for every request, and a frozen object costs three times as much.
@attrs.define(kw_only=True)
class Request(Generic[T_co]):
    """One request, without the account and its key.

    Attributes:
        operation: The row of the decision table.
        method: GET, POST or PUT.
        path: The path from the account's root, with its leading slash and without a query.
        query: Further parameters, already escaped, such as "page=2".
        body: JSON bytes; empty for no body.
        subject: What the request is about, for people.
        is_sensitive: Whether the response may contain a secret, so that only the texts of a refusal
            may be shown.
        accepts_errors: Whether a success is accepted although it also reports errors, because its
            content is sent only once.
        secrets: The secrets in the body, which no text may show if the server echoes them.
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
        """Whether the headers announce a body, even an empty one."""
        return self.method != "GET" or bool(self.body)


@attrs.define(kw_only=True)
class Response:
    """One complete response, secrets redacted.

    Attributes:
        body: At most `MAX_BODY_BYTES`, decompressed.
        problem: Why the body cannot be used, such as "it is over 8 MiB"; None when it can.
    """

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    content_type: str = attrs.field(default="", repr=False)
    retry_after: str | None = attrs.field(default=None, repr=False)
    location: str | None = attrs.field(default=None, repr=False)
    problem: str | None = None


def decipher(request: Request[T], response: Response, *, wall_seconds: float) -> T:
    """Return the result, or raise the error that the response means.

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
    # The frames in the traceback contain the response's JSON.
    raise without_secrets(error, request.secrets).with_traceback(None)


def _decipher(request: Request[T], response: Response, *, wall_seconds: float) -> T:
    if response.status < _FIRST_FINAL_STATUS:  # 101, or a number that is no status: no refusal
        raise _unreadable(response, "it is no complete response")
    if response.status // 100 == _REDIRECTS:
        raise redirect_error(response.status, response.location)
    if response.status // 100 != _SUCCESSES:
        raise _refusal(request.operation, response, wall_seconds=wall_seconds)
    payload = _payload(response)
    failure = _failure_inside(request.operation, response, payload)
    if failure is not None and not request.accepts_errors:
        raise failure
    try:
        return request.structure(payload)
    except MalformedResponseError as problem:
        error = problem
    if isinstance(failure, StatusError):
        raise failure
    error.excerpt = _excerpt(response.body)
    raise error


def _failure_inside(
    operation: Operation, response: Response, payload: JsonValue
) -> InvoiceXpressError | None:
    """Return the error of a 2xx whose body reports a failure; None when it does not."""
    if not isinstance(payload, dict):
        return None
    if _says_failure(payload):
        return status_error(operation, response.status, payload, None)
    if _holds_an_error(payload):
        return _unreadable(response, "there is an error inside a success")
    return None


def _says_failure(payload: dict[str, JsonValue]) -> bool:
    success = payload.get("success")
    return flag_in(success.lower() if isinstance(success, str) else success) is False


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
    if response.status == _PARTIAL_CONTENT:  # what it does not show must not be taken for absent
        raise _unreadable(response, "it is only a part")
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
    """Whether the charset, if one is named, is UTF-8, as JSON requires; no other is decoded."""
    _, _, charset = content_type.lower().partition("charset=")
    return charset.partition(";")[0].strip(" \"'") in {"", "utf-8", "utf8", "us-ascii"}


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
    # Some 404s are whole HTML pages, which contain nothing worth parsing.
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
    """The bytes are not one JSON document. The error contains no part of them."""


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


# `json.loads` and `json.dumps` would create these for each call that has settings.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _loads(body: bytes) -> JsonValue:
    if orjson is not None:
        return orjson.loads(body)  # type: ignore[no-any-return]  # orjson's stub says Any
    # Decoded here because json.loads would also guess UTF-16 and UTF-32, which JSON forbids.
    text = body.decode()
    value = cast("JsonValue", _DECODER.decode(text))
    if _ESCAPED_SURROGATE.search(text):
        dumps(value)  # half a surrogate pair is not a character: this fails, as orjson does
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
        pass  # the parser's error contains the document: leave the block before raising
    raise NotJsonError("the body is not valid JSON")


def json_text(value: str) -> str:
    """Write one text as JSON, for a document that is put together from parts."""
    return _ENCODER.encode(value)


def dumps(value: JsonValue) -> bytes:
    """Write compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


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
    """Read the row's own id, which must exist and be positive."""
    if identifier := structure_count(value, path):
        return identifier
    raise ProblemError(path, "a positive id", value)


def structure_serie(value: object, path: str) -> str:
    """Read the name. It is a JSON integer when an integer had been sent (recorded)."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ProblemError(path, "a name", value)


def flag_in(value: object) -> bool | None:
    """Return what 1/0 or true/false says, as text too; None when it is no flag."""
    if isinstance(value, bool):
        return value
    text = str(value) if type(value) is int else value
    return _FLAGS.get(text) if isinstance(text, str) else None


def structure_flag(value: object, path: str) -> bool:
    """Read `default_sequence`: a flag, or null for false. Nothing else."""
    if value is None:
        return False
    flag = flag_in(value)
    if flag is None:
        raise ProblemError(path, "1 or 0", value)
    return flag


def structure_code(value: object, path: str) -> str | None:
    """Return a validation code as it is. Null and absent are the same; neither is "N/A"."""
    if value is None or isinstance(value, str):
        return value
    raise ProblemError(path, "a validation code", value)


class ResponseProblems(list[str]):
    """The problems of one response, collected so that one error reports all of them."""

    def collect(self, structure: Callable[[object, str], T], value: object, path: str) -> T | None:
        """Structure one field, or note its problem, up to a number that people can read."""
        try:
            return structure(value, path)
        except ProblemError as problem:
            if len(self) < _MAX_PROBLEMS:
                self.append(str(problem))
        return None
