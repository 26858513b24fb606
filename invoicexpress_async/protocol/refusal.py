"""The code and the texts of a refusal, without the secrets that a server may have echoed.

And a response that may be one, where the response should be empty.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    InvoiceXpressError,
    MalformedResponseError,
    StatusError,
    UnexpectedRedirectError,
)
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.codes import KNOWN_CODES, cure_in, status_error_class
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.strict import malformed_response

_MAX_MESSAGES: Final = 20
_MAX_MESSAGE_CHARACTERS: Final = 512
_MAX_MESSAGE_DEPTH: Final = 4
_DIGITS_OF_A_CODE: Final = 3
_CONTAINERS: Final = ("errors", "error")
_TEXT_KEYS: Final = frozenset({"errors", "error", "message"})
_SILENT_KEYS: Final = frozenset({"code", "success", "status"})
_SECRET_KEYS: Final = frozenset({"api_key"})
_FIELD: Final = re.compile(r"[a-z]+(_[a-z]+)*")
_PARTS_OF_A_PAIR: Final = 2
_FIRST_SERVER_ERROR: Final = 500


def text_of_refusal(status: int, code: str | None, messages: tuple[str, ...]) -> str:
    """Return the text of the error for a refusal."""
    name = f"HTTP {status}" + (f", code {code:.40}" if code is not None else "")
    # A server's own sentence has its full stop already.
    text = messages[0].rstrip(" .") if messages else ""
    said = f": {text}" if text else ""
    return f"The server refused ({name}){said}."


def without_secrets(error: InvoiceXpressError, secrets: tuple[Secret, ...]) -> InvoiceXpressError:
    """Remove the request's secrets from the error: the response may have echoed them."""
    if isinstance(error, MalformedResponseError):
        error.excerpt = ""
    if isinstance(error, StatusError):
        # A server that failed may have created the account, and its response may contain the key.
        is_failure = error.status >= _FIRST_SERVER_ERROR
        shown = () if is_failure else error.messages
        error.messages = tuple(_hide(text, secrets) for text in shown)
        error.code = None if error.code is None else _hide(error.code, secrets)
        error.args = (text_of_refusal(error.status, error.code, error.messages),)
    return error


def _hide(text: str, secrets: tuple[Secret, ...]) -> str:
    shown = text.encode(errors="replace")
    for secret in secrets:
        shown = secret.redact(shown)
        if secret.reveal().encode() in shown:  # too short to be cut out of ordinary words
            return "[redacted]"
    return shown.decode()


def code_in(payload: JsonValue) -> str | None:
    """Return the code, or None; a nested code takes precedence over a top-level one."""
    if not isinstance(payload, dict):
        return None
    for container in _CONTAINERS:
        inner = payload.get(container)
        for candidate in inner if isinstance(inner, list) else [inner]:
            if isinstance(candidate, dict) and (code := _as_code(candidate.get("code"))):
                return code
    return _as_code(payload.get("code"))


def messages_in(payload: JsonValue) -> tuple[str, ...]:
    """Return the texts of an error body of any recorded shape, with the names of their fields."""
    return tuple(_texts(_paired(payload)))[:_MAX_MESSAGES]


def _as_code(value: JsonValue) -> str | None:
    """Return "006" for "006", "6" and 6 alike; an unknown code as it came."""
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    text = str(value).strip() if isinstance(value, str) or abs(value) < 10**9 else ""
    if text.isascii() and text.isdecimal():
        padded = text.zfill(_DIGITS_OF_A_CODE)
        return padded if padded in KNOWN_CODES else text
    return _printable(text) or None


def _paired(payload: JsonValue) -> JsonValue:
    """Wrap `["fiscal_id", "is invalid"]`, a refused update, in a list, as one field and text."""
    if isinstance(payload, list) and len(payload) == _PARTS_OF_A_PAIR:
        field, text = payload
        if isinstance(field, str) and isinstance(text, str) and _FIELD.fullmatch(field):
            return [payload]
    return payload


def _texts(payload: JsonValue, label: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the texts of an error body of any recorded shape, with the names of their fields."""
    if isinstance(payload, str):
        if text := _printable(payload):
            yield f"{label}{text}"
    elif depth >= _MAX_MESSAGE_DEPTH:
        return
    elif isinstance(payload, list):
        for item in payload:
            if depth == 0 and isinstance(item, list) and item and isinstance(item[0], str):
                yield from _texts(item[1:], f"{_printable(item[0])}: ", depth + 1)
            else:
                yield from _texts(item, label, depth + 1)
    elif isinstance(payload, dict):
        for key, value in payload.items():
            if key not in _SILENT_KEYS and not (key in _SECRET_KEYS and isinstance(value, str)):
                inner = label if key in _TEXT_KEYS else f"{label}{_printable(key)}: "
                yield from _texts(value, inner, depth + 1)


def _printable(text: str) -> str:
    # A server's text goes to logs and terminals: no control characters, and limited lines.
    shortened = text[:_MAX_MESSAGE_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in shortened).strip()


def structure_nothing(payload: JsonValue) -> None:
    """Accept an empty response, or an object: `{"success": "true"}` is on the provider's page.

    Zero bytes or one space were recorded. What may be an error is refused: a message, a code, a
    field with its texts.
    """
    if payload is None:
        return
    if not isinstance(payload, dict):
        raise malformed_response("the response: expected nothing")
    if str(payload.get("success")).lower() in {"1", "true"}:
        return
    if "success" in payload or any(_is_like_an_error(*field) for field in payload.items()):
        raise malformed_response("the response: expected nothing, got what may be an error")


def _is_like_an_error(name: str, value: JsonValue) -> bool:
    is_texts = isinstance(value, list) and any(isinstance(text, str) for text in value)
    return is_texts or (name in {"message", "code"} and bool(value))


def status_error(
    operation: Operation, status: int, payload: JsonValue, wait: float | None
) -> StatusError:
    """Return the error for a refusal, by its operation, status and body."""
    code, messages = code_in(payload), messages_in(payload)
    kind = status_error_class(operation, status, code)
    error = kind(
        text_of_refusal(status, code, messages),
        status=status,
        code=code,
        messages=messages,
        retry_after_seconds=wait,
    )
    if (cure := cure_in(operation, kind)) != kind.cure:
        error.cure = cure
    return error


def redirect_error(status: int, location: str | None) -> UnexpectedRedirectError:
    """Return the error for a redirect; only the host of its target is kept."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        host = None
    return UnexpectedRedirectError(
        f"The server redirected (HTTP {status}) to {host or 'a page of its own'}.",
        location_host=host,
    )
