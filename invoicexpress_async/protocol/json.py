"""JSON bytes to plain values: strict, and never with the document inside an exception."""

import json
import re
from typing import cast

from invoicexpress_async.models.json_value import JsonValue

try:
    import orjson
except ImportError:  # the extra `speed` is not installed
    orjson = None  # type: ignore[assignment]  # the name stays, its absence is tested below

_BEGINNINGS = ("{", "[")
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
    value = _parse(text)
    if _ESCAPED_SURROGATE.search(text):
        dumps(value)  # half a pair is no character: it fails, as orjson does
    return value


def _parse(text: str) -> JsonValue:
    if text[:1] in _BEGINNINGS:
        # Without the decoder's search for space around it, which a regular expression does.
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return cast("JsonValue", value)
    return cast("JsonValue", _DECODER.decode(text))


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


def text(value: str) -> str:
    """Write one text as JSON, for what is put together from parts."""
    return _ENCODER.encode(value)


def dumps(value: JsonValue) -> bytes:
    """Write compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()
