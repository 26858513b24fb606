"""What goes over the wire: statuses, headers, rows and every seen shape of a refusal."""

import json
from collections.abc import Callable, Mapping

import attrs

from invoicexpress_async.sandbox.domain.accounts import (
    ACCOUNT_OPERATIONS,
    Operation,
    SandboxAccount,
)
from invoicexpress_async.sandbox.domain.behaviour import ErrorShape, FlagForm, SandboxBehaviour
from invoicexpress_async.sandbox.domain.codes import (
    CREATE_CODES,
    REGISTER_CODES,
    CreateReason,
    RegisterReason,
    reason_of,
)
from invoicexpress_async.sandbox.domain.families import Family
from invoicexpress_async.sandbox.domain.messages import message

# Where an unknown route is redirected to; the server has such a page.
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
class Answer:
    """A complete response, without what its server adds (Content-Length, Date)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_header(self, name: str, value: str) -> "Answer":
        # Spelled out: attrs.evolve is ten times slower, and this is done for every response.
        headers = (*self.headers, (name, value))
        return Answer(status=self.status, headers=headers, body=self.body)


class RefusedError(Exception):
    """A request that has no effect, or not the requested one.

    `reason` chooses the message. Those of accounts have no code, and `field` is at fault.
    """

    def __init__(
        self, status: int, code: str = "", *, reason: str = "", field: str = "serie"
    ) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.reason = reason
        self.field = field

    def anew(self) -> "RefusedError":
        # The same exception raised twice grows its traceback.
        return RefusedError(self.status, self.code, reason=self.reason, field=self.field)


def json_answer(status: int, value: object) -> Answer:
    return _answer(status, _JSON, _encode(value))


def page_answer(status: int, title: str) -> Answer:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return _answer(status, _HTML, page)


def empty_answer(behaviour: SandboxBehaviour) -> Answer:
    # "Empty" is one space as often as zero bytes, and says it is JSON either way.
    return _answer(200, _JSON, " " if behaviour.empty_body == "space" else "")


def refusal_answer(
    behaviour: SandboxBehaviour,
    refused: RefusedError,
    *,
    operation: Operation | None,
    language: str,
) -> Answer:
    text = message(refused.reason or str(refused.status), language=language, field=refused.field)
    match refused.status:
        case 302:
            return page_answer(302, "You are being redirected").with_header("Location", LOGIN_PAGE)
        case 401:
            return _unauthorized(behaviour)
        case 404 if not refused.code:
            return _not_found(behaviour)
        case 429:
            answer = _shaped(behaviour, behaviour.error_shape, refused, text)
            again = behaviour.retry_after
            return answer if again is None else answer.with_header("Retry-After", again)
        case _:
            shape = _shape(behaviour, refused, operation)
            return _shaped(behaviour, shape, refused, text)


def flag(form: FlagForm, *, is_set: bool) -> object:
    return _FLAGS[form][is_set]


def row(behaviour: SandboxBehaviour, family: Family, *, has_codes: bool) -> dict[str, object]:
    number: Callable[[int], object] = str if behaviour.number_form == "string" else int
    wire: dict[str, object] = {
        "id": number(family.id),
        "serie": family.serie,
        "default_sequence": flag(behaviour.flag_form, is_set=family.is_default),
    }
    for name, sequence_id in family.sequence_ids.items():
        wire[f"current_{name}_number"] = number(family.numbers[name])
        wire[f"current_{name}_sequence_id"] = number(sequence_id)
        if has_codes:
            wire[f"current_{name}_validation_code"] = family.codes[name]
    return wire


def _answer(status: int, content_type: str, body: str) -> Answer:
    return Answer(status=status, headers=(("Content-Type", content_type),), body=body.encode())


def _unauthorized(behaviour: SandboxBehaviour) -> Answer:
    match behaviour.unauthorized_body:
        case "object":
            return json_answer(401, {"errors": _INVALID_KEY})
        case "list":
            return json_answer(401, {"errors": [_INVALID_KEY]})
        case "empty":
            return _answer(401, _JSON, "")


def _not_found(behaviour: SandboxBehaviour) -> Answer:
    if behaviour.not_found_body == "html":
        return page_answer(404, "404")
    return _answer(404, _JSON, " " if behaviour.not_found_body == "space" else "")


def _shape(
    behaviour: SandboxBehaviour, refused: RefusedError, operation: Operation | None
) -> ErrorShape:
    if refused.code:  # the shapes of accounts have no place for one
        return behaviour.error_shape
    if operation == "account_update":
        return behaviour.update_error_shape
    if operation in ACCOUNT_OPERATIONS:
        return behaviour.account_error_shape
    return behaviour.error_shape


def _shaped(
    behaviour: SandboxBehaviour, shape: ErrorShape, refused: RefusedError, text: str
) -> Answer:
    match shape:
        case ErrorShape.EMPTY:
            return _answer(refused.status, _JSON, "")
        case ErrorShape.SPACE:
            return _answer(refused.status, _JSON, " ")
        case ErrorShape.HTML:
            return page_answer(refused.status, text)
        case ErrorShape.TEXT:
            return _answer(refused.status, _TEXT, text)
        case ErrorShape.SUCCESS_FALSE | ErrorShape.SUCCESS_FALSE_TEXT:
            return json_answer(200, _error_value(behaviour, shape, refused, text))
        case _:
            return json_answer(refused.status, _error_value(behaviour, shape, refused, text))


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


def create_refused(reason: CreateReason) -> RefusedError:
    return RefusedError(*CREATE_CODES[reason], reason=reason)


def register_refused(behaviour: SandboxBehaviour, reason: RegisterReason) -> RefusedError:
    pair = behaviour.register_codes.get(reason, REGISTER_CODES[reason])
    return RefusedError(*pair, reason=reason)


def coded_refusal(operation: Operation, status: int, code: str) -> RefusedError:
    """Return the refusal of an operation by a status and a code, with the text that they mean."""
    return RefusedError(status, code, reason=reason_of(operation, status, code))


def created_answer(behaviour: SandboxBehaviour, account: SandboxAccount, *, status: int) -> Answer:
    """Return the one response that has the key of a new account."""
    content = {
        "id": account.id,
        "name": account.organization_name,
        # Not str.format: a template may be any text.
        "url": behaviour.account_url.replace("{account}", account.name),
        "api_key": account.api_key,
        "state": account.state,
    }
    return json_answer(status, {"account": content})


def got_answer(behaviour: SandboxBehaviour, account: SandboxAccount) -> Answer:
    form = behaviour.account_flag_form
    content = {
        "organization_name": account.organization_name,
        "fiscal_id": account.fiscal_id,
        "email": account.email if behaviour.is_email_shown else None,
        "state": account.state,
        "at_configured": flag(form, is_set=account.has_at_credentials),
        "trial": flag(form, is_set=account.is_trial),
    }
    return json_answer(200, {"account": content})


def at_communication_answer(behaviour: SandboxBehaviour) -> Answer:
    if behaviour.at_communication_body == "empty":
        return empty_answer(behaviour)
    return json_answer(200, {"success": "true"})
