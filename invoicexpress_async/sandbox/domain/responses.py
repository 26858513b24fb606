"""The responses on the wire: statuses, headers, rows and every seen shape of a refusal."""

import json
from collections.abc import Callable, Mapping

import attrs

from invoicexpress_async.sandbox.domain.accounts import (
    ACCOUNT_OPERATIONS,
    Operation,
    SandboxAccount,
)
from invoicexpress_async.sandbox.domain.behaviour import ErrorShape, FlagForm, SandboxBehaviour
from invoicexpress_async.sandbox.domain.codes import CODES, Reason, reason_of
from invoicexpress_async.sandbox.domain.messages import message
from invoicexpress_async.sandbox.domain.rows import SequenceRow

# The target of the redirect of an unknown route; the sandbox serves it.
LOGIN_PAGE = "/_sandbox/login.html"

_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"

# The one text of a 401 that was recorded; it was English in a Portuguese account too.
_INVALID_KEY = {"error": "Invalid API key"}

# Without spaces, as the recorded bodies are (contract, error bodies of live traffic).
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_FLAGS: Mapping[FlagForm, tuple[object, object]] = {
    "integer": (0, 1),
    "boolean": (False, True),
    "string": ("0", "1"),
    "word": ("false", "true"),
}


@attrs.frozen(kw_only=True)
class Response:
    """A complete response, without the headers that the server adds (Content-Length, Date)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_header(self, name: str, value: str) -> "Response":
        # Spelled out: attrs.evolve is ten times slower, and this is done for every response.
        headers = (*self.headers, (name, value))
        return Response(status=self.status, headers=headers, body=self.body)


class RefusedError(Exception):
    """A request was refused, without an effect or with another effect than requested.

    `reason` selects the message. Refusals on accounts have no code; `field` is the wrong field.
    """

    def __init__(
        self, status: int, code: str = "", *, reason: str = "", field: str = "serie"
    ) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.reason = reason
        self.field = field


def json_response(status: int, value: object) -> Response:
    return _response(status, _JSON, _encode(value))


def page_response(status: int, title: str) -> Response:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return _response(status, _HTML, page)


def empty_response(behaviour: SandboxBehaviour) -> Response:
    # "Empty" is one space as often as zero bytes, with the content type of JSON in both cases.
    return _response(200, _JSON, " " if behaviour.empty_body == "space" else "")


def refusal_response(
    behaviour: SandboxBehaviour,
    refused: RefusedError,
    *,
    operation: Operation | None,
    language: str,
) -> Response:
    text = message(refused.reason or str(refused.status), language=language, field=refused.field)
    match refused.status:
        case 302:
            return page_response(302, "You are being redirected").with_header(
                "Location", LOGIN_PAGE
            )
        case 401:
            return _unauthorized(behaviour)
        case 404 if not refused.code:
            return _not_found(behaviour)
        case 429:
            response = _shaped(behaviour, behaviour.error_shape, refused, text)
            again = behaviour.retry_after
            return response if again is None else response.with_header("Retry-After", again)
        case _:
            shape = _shape(behaviour, refused, operation)
            return _shaped(behaviour, shape, refused, text)


def flag(form: FlagForm, *, is_set: bool) -> object:
    return _FLAGS[form][is_set]


def wire_row(
    behaviour: SandboxBehaviour, row: SequenceRow, *, has_codes: bool
) -> dict[str, object]:
    number: Callable[[int], object] = str if behaviour.number_form == "string" else int
    wire: dict[str, object] = {
        "id": number(row.id),
        "serie": row.serie,
        "default_sequence": flag(behaviour.flag_form, is_set=row.is_default),
    }
    for name, sequence_id in row.sequence_ids.items():
        wire[f"current_{name}_number"] = number(row.numbers[name])
        wire[f"current_{name}_sequence_id"] = number(sequence_id)
        if has_codes:
            wire[f"current_{name}_validation_code"] = row.codes[name]
    return wire


def _response(status: int, content_type: str, body: str) -> Response:
    return Response(status=status, headers=(("Content-Type", content_type),), body=body.encode())


def _unauthorized(behaviour: SandboxBehaviour) -> Response:
    match behaviour.unauthorized_body:
        case "object":
            return json_response(401, {"errors": _INVALID_KEY})
        case "list":
            return json_response(401, {"errors": [_INVALID_KEY]})
        case "empty":
            return _response(401, _JSON, "")


def _not_found(behaviour: SandboxBehaviour) -> Response:
    if behaviour.not_found_body == "html":
        return page_response(404, "404")
    return _response(404, _JSON, " " if behaviour.not_found_body == "space" else "")


def _shape(
    behaviour: SandboxBehaviour, refused: RefusedError, operation: Operation | None
) -> ErrorShape:
    if refused.code:  # the shapes for accounts have no place for a code
        return behaviour.error_shape
    if operation == "account_update":
        return behaviour.update_error_shape
    if operation in ACCOUNT_OPERATIONS:
        return behaviour.account_error_shape
    return behaviour.error_shape


def _shaped(
    behaviour: SandboxBehaviour, shape: ErrorShape, refused: RefusedError, text: str
) -> Response:
    match shape:
        case ErrorShape.EMPTY:
            return _response(refused.status, _JSON, "")
        case ErrorShape.SPACE:
            return _response(refused.status, _JSON, " ")
        case ErrorShape.HTML:
            return page_response(refused.status, text)
        case ErrorShape.TEXT:
            return _response(refused.status, _TEXT, text)
        case ErrorShape.SUCCESS_FALSE | ErrorShape.SUCCESS_FALSE_TEXT:
            return json_response(200, _error_value(behaviour, shape, refused, text))
        case _:
            return json_response(refused.status, _error_value(behaviour, shape, refused, text))


def _code(behaviour: SandboxBehaviour, refused: RefusedError) -> dict[str, object]:
    if not refused.code:
        return {}
    if behaviour.code_form == "padded" or not refused.code.isdecimal():
        return {"code": refused.code}
    bare = int(refused.code)
    return {"code": bare if behaviour.code_form == "integer" else str(bare)}


def _error_value(
    behaviour: SandboxBehaviour, shape: ErrorShape, refused: RefusedError, text: str
) -> object:
    inner = {**_code(behaviour, refused), "message": text}
    values: dict[ErrorShape, object] = {
        ErrorShape.CODE_MESSAGE: inner,
        ErrorShape.ERRORS_CODE_MESSAGE: {"errors": inner},
        ErrorShape.ERRORS_ERROR: {"errors": {"error": text}},
        ErrorShape.ERRORS_LIST_ERROR: {"errors": [{"error": text}]},
        ErrorShape.ERRORS_LIST_TEXT: {"errors": [text]},
        ErrorShape.ERRORS_TEXT: {"errors": text},
        ErrorShape.ERRORS_FIELD: {"errors": {refused.field: [text]}},
        ErrorShape.FIELD: {refused.field: [text]},
        ErrorShape.ERROR: {"error": text},
        ErrorShape.MESSAGE: {"message": text},
        ErrorShape.PAIRS: [[refused.field, text]],
        ErrorShape.FIELD_TEXT: [refused.field, text],
        ErrorShape.NESTED_CODE_WINS: {"code": "999", "message": text, "errors": inner},
        ErrorShape.SUCCESS_FALSE: {"success": False, "errors": inner},
        ErrorShape.SUCCESS_FALSE_TEXT: {"success": "false", "errors": inner},
    }
    return values[shape]


def create_refused(reason: Reason) -> RefusedError:
    return RefusedError(*CODES["create"][reason], reason=reason)


def register_refused(behaviour: SandboxBehaviour, reason: Reason) -> RefusedError:
    pair = behaviour.register_codes.get(reason, CODES["register"][reason])
    return RefusedError(*pair, reason=reason)


def coded_refusal(operation: Operation, status: int, code: str) -> RefusedError:
    """Return the refusal of an operation with a status and a code, and the message for them."""
    return RefusedError(status, code, reason=reason_of(operation, status, code))


def created_response(
    behaviour: SandboxBehaviour, account: SandboxAccount, *, status: int
) -> Response:
    """Return the response to a create, the only one with the key of the new account."""
    content = {
        "id": account.id,
        "name": account.organization_name,
        # Not str.format: a template may be any text.
        "url": behaviour.account_url.replace("{account}", account.name),
        "api_key": account.api_key,
        "state": account.state,
    }
    return json_response(status, {"account": content})


def got_response(behaviour: SandboxBehaviour, account: SandboxAccount) -> Response:
    form = behaviour.account_flag_form
    content = {
        "organization_name": account.organization_name,
        "fiscal_id": account.fiscal_id,
        "email": account.email if behaviour.is_email_shown else None,
        "state": account.state,
        "at_configured": flag(form, is_set=account.has_at_credentials),
        "trial": flag(form, is_set=account.is_trial),
    }
    return json_response(200, {"account": content})


def at_communication_response(behaviour: SandboxBehaviour) -> Response:
    if behaviour.at_communication_body == "empty":
        return empty_response(behaviour)
    return json_response(200, {"success": "true"})
