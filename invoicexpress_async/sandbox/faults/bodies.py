"""Faults in what a response says: complete and well-formed HTTP, and not to be believed."""

import json
import re
from collections.abc import Callable
from typing import cast

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.answers import AnswerFault
from invoicexpress_async.sandbox.faults.fault import Exchange

_ID = re.compile(rb'"id":?"?\d+"?')
_NAME = re.compile(rb'"(?:serie|name|organization_name)": ?"')
_JSON = "application/json; charset=utf-8"
_PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form></form></body></html>"


@attrs.frozen(kw_only=True)
class BodyFault(AnswerFault):
    """Puts another body in place of the true one, whose content type and status stay."""

    render: Callable[[bytes], bytes]
    content_type: str | None = None

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        headers = answer.headers
        if self.content_type is not None:
            others = tuple(pair for pair in headers if pair[0] != "Content-Type")
            headers = (("Content-Type", self.content_type), *others)
        return Answer(status=answer.status, headers=headers, body=self.render(answer.body))


@attrs.frozen(kw_only=True)
class DeepNesting(AnswerFault):
    """Respond with lists in lists, deeper than a parser goes.

    Args:
        depth: How many.
    """

    depth: int = 100_000

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        nested = b"[" * self.depth + b"]" * self.depth
        return attrs.evolve(answer, body=b'{"sequence":' + nested + b"}")


@attrs.frozen(kw_only=True)
class HugeInteger(AnswerFault):
    """Respond with an id of thousands of digits, more than Python turns into an integer.

    Args:
        digits: How many.
    """

    digits: int = 5_000

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        body = _replace_id(answer.body, b'"id":' + b"9" * self.digits)
        return attrs.evolve(answer, body=body)


def constant(body: bytes) -> Callable[[bytes], bytes]:
    return lambda _: body


def truncated(body: bytes) -> bytes:
    return body[: len(body) // 2] or b'{"sequence":'


def not_a_number(body: bytes) -> bytes:
    return _replace_id(body, b'"id":NaN')


def two_ids(body: bytes) -> bytes:
    return _replace_id(body, b'"id":0,"id":1')


def invalid_utf8(body: bytes) -> bytes:
    altered, number = _NAME.subn(rb"\g<0>" + b"\xff\xfe", body)
    return altered if number else b'{"message":"\xff\xfe"}'


def marked(body: bytes) -> bytes:
    return b"\xef\xbb\xbf" + body


def unchanged(body: bytes) -> bytes:
    return body


def login_page(_body: bytes) -> bytes:
    return _PAGE


def without_id(body: bytes) -> bytes:
    def alter(row: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in row.items() if name != "id"}

    return _change_rows(body, alter)


def another_serie(body: bytes) -> bytes:
    def alter(row: dict[str, object]) -> dict[str, object]:
        return {**row, "serie": f"{row['serie']}X"} if "serie" in row else row

    return _change_rows(body, alter)


def other_envelope(body: bytes) -> bytes:
    other = {"sequence": "sequences", "sequences": "sequence", "account": "accounts"}
    document = _document(body)
    return _encode({other.get(name, name): value for name, value in document.items()})


def other_list(body: bytes) -> bytes:
    return _encode({name: _turned(value) for name, value in _document(body).items()})


def _turned(value: object) -> object:
    if not isinstance(value, list):
        return [value]
    rows = cast("list[object]", value)
    return rows[0] if rows else {}


def _change_rows(body: bytes, alter: Callable[[dict[str, object]], dict[str, object]]) -> bytes:
    document = _document(body)
    for name in ("sequence", "sequences", "account"):
        value = document.get(name)
        if isinstance(value, dict):
            document[name] = alter(cast("dict[str, object]", value))
        elif isinstance(value, list):
            document[name] = [alter(row) for row in cast("list[dict[str, object]]", value)]
    return _encode(document)


def _document(body: bytes) -> dict[str, object]:
    """Return the response as an object; responses without JSON have none."""
    try:
        document: object = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, object]", document) if isinstance(document, dict) else {}


def _encode(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _replace_id(body: bytes, replacement: bytes) -> bytes:
    altered, number = _ID.subn(replacement, body)
    return altered if number else b"{" + replacement + b"}"
