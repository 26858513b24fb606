"""Faults in the body of a response, in complete and well-formed HTTP."""

import functools
import json
import re
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from typing import cast

import attrs

from invoicexpress_async.sandbox.domain.responses import Response
from invoicexpress_async.sandbox.faults.fault import Kind, altering, body, fixed

Json = dict[str, object]

_ID = re.compile(rb'"id":?"?\d+"?')
_NAME = re.compile(rb'"(?:serie|name|organization_name)": ?"')
_PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body><form></form></body></html>"


@body
def truncated_json(true: bytes) -> bytes:
    """Respond with the first half of the JSON."""
    return true[: len(true) // 2] or b'{"sequence":'


invalid_json: Kind = fixed(
    "invalid_json", b"{'sequence': undefined,}", "Respond with what is not JSON."
)


@body
def nan(true: bytes) -> bytes:
    """Respond with an id that is NaN."""
    return _replace_id(true, b'"id":NaN')


@body
def two_ids(true: bytes) -> bytes:
    """Respond with two ids in one object."""
    return _replace_id(true, b'"id":0,"id":1')


@altering()
def deep_nesting(response: Response, *, depth: int = 100_000) -> Response:
    """Respond with nested lists, deeper than a parser accepts.

    Args:
        depth: How many lists are nested.
    """
    nested = b"[" * depth + b"]" * depth
    return attrs.evolve(response, body=b'{"sequence":' + nested + b"}")


@altering()
def huge_integer(response: Response, *, digits: int = 5_000) -> Response:
    """Respond with an id of thousands of digits, more than Python converts to an integer.

    Args:
        digits: How many digits.
    """
    return attrs.evolve(response, body=_replace_id(response.body, b'"id":' + b"9" * digits))


@body
def invalid_utf8(true: bytes) -> bytes:
    """Respond with a name that is not UTF-8."""
    altered, number = _NAME.subn(rb"\g<0>" + b"\xff\xfe", true)
    return altered if number else b'{"message":"\xff\xfe"}'


@body
def byte_order_mark(true: bytes) -> bytes:
    """Respond with a byte-order mark before the JSON."""
    return b"\xef\xbb\xbf" + true


@altering()
def nonsense_charset(response: Response) -> Response:
    """Respond in a charset that does not exist."""
    return _with_type(response, "application/json; charset=klingon-8")


empty: Kind = fixed("empty", b"", "Respond with an empty body.")
one_space: Kind = fixed("one_space", b" ", "Respond with one space.")
null: Kind = fixed("null", b"null", "Respond with null.")
empty_list: Kind = fixed("empty_list", b"[]", "Respond with [].")
empty_object: Kind = fixed("empty_object", b"{}", "Respond with {}.")


@body
def without_id(true: bytes) -> bytes:
    """Respond with rows or an account without an id."""

    def alter(row: Json) -> Json:
        return {name: value for name, value in row.items() if name != "id"}

    return _change_rows(true, alter)


@body
def another_serie(true: bytes) -> bytes:
    """Respond with rows of another name."""

    def alter(row: Json) -> Json:
        return {**row, "serie": f"{row['serie']}X"} if "serie" in row else row

    return _change_rows(true, alter)


@body
def other_envelope(true: bytes) -> bytes:
    """Respond with "sequences" instead of "sequence", or the reverse."""
    other = {"sequence": "sequences", "sequences": "sequence", "account": "accounts"}
    return _encode({other.get(name, name): value for name, value in _document(true).items()})


@body
def other_list(true: bytes) -> bytes:
    """Respond with a list instead of an object, or the reverse."""

    def turn(value: object) -> object:
        if not isinstance(value, list):
            return [value]
        rows = cast("list[object]", value)
        return rows[0] if rows else {}

    return _encode({name: turn(value) for name, value in _document(true).items()})


@altering()
def login_page(response: Response, *, status: int = 200) -> Response:
    """Respond with an HTML page and status 200."""
    page = _with_type(response, "text/html; charset=utf-8")
    return attrs.evolve(page, status=status, body=_PAGE)


def _with_type(response: Response, content_type: str) -> Response:
    others = tuple(pair for pair in response.headers if pair[0] != "Content-Type")
    return attrs.evolve(response, headers=(("Content-Type", content_type), *others))


def _change_rows(true: bytes, alter: Callable[[Json], Json]) -> bytes:
    document = _document(true)
    for name in ("sequence", "sequences", "account"):
        value = document.get(name)
        if isinstance(value, dict):
            document[name] = alter(cast("Json", value))
        elif isinstance(value, list):
            document[name] = [alter(row) for row in cast("list[Json]", value)]
    return _encode(document)


def _document(true: bytes) -> Json:
    """Return the response as an object; an empty one if it is not a JSON object."""
    try:
        document: object = json.loads(true)
    except ValueError:
        return {}
    return cast("Json", document) if isinstance(document, dict) else {}


def _encode(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _replace_id(true: bytes, replacement: bytes) -> bytes:
    altered, number = _ID.subn(replacement, true)
    return altered if number else b"{" + replacement + b"}"


_MEGABYTE = 1_000_000

# With this, zlib writes gzip.
_GZIP_BITS = 31

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_ZLIB_HEAD = b"\x78\x9c"

# 100,000,000 spaces; the standard library cannot compress this format.
_BROTLI_BOMB = b64decode(
    "y///P/glQOKxQCD3/o///3/wSwDEYRGA7v0f////4JcAiMMCAN37P/7//8EvARCHBQC693/8//+DXwIgDgsAdO//"
    "+P//B78EQBwWAOje//H//w9+CYA4LADQvf/j//8f/BIAcVgAoHv/x///P/glAOKwAED3/o///3/wSwDEYQGA7v0f"
    "////4JcAiMMCAN37v/wHr8MvARCHBQC62HU="
)


@altering()
def gzip(response: Response) -> Response:
    """Respond with the true body, correctly compressed."""
    return _compressed(response, _gzipped(response.body))


@altering()
def bad_gzip(response: Response) -> Response:
    """Respond with a plain body that is labelled as gzip."""
    return _compressed(response, response.body)


@altering()
def truncated_gzip(response: Response) -> Response:
    """Respond with the first half of a gzip body."""
    whole = _gzipped(response.body)
    return _compressed(response, whole[: len(whole) // 2])


@altering()
def gzip_bomb(response: Response, *, size: int = 100_000_000) -> Response:
    """Respond with spaces, compressed to a thousandth.

    Args:
        size: How many spaces, rounded down to whole millions.
    """
    return _compressed(response, _bomb("gzip", size // _MEGABYTE))


@altering()
def deflate_bomb(response: Response, *, size: int = 100_000_000) -> Response:
    """Respond with spaces, compressed to a thousandth.

    Args:
        size: How many spaces, rounded down to whole millions.
    """
    return _compressed(response, _bomb("deflate", size // _MEGABYTE), "deflate")


@altering()
def brotli_bomb(response: Response) -> Response:
    """Respond with 100,000,000 spaces, compressed by Brotli to 158 bytes."""
    return _compressed(response, _BROTLI_BOMB, "br")


def _compressed(response: Response, compressed: bytes, encoding: str = "gzip") -> Response:
    return attrs.evolve(response.with_header("Content-Encoding", encoding), body=compressed)


def _gzipped(true: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP_BITS)
    return compressor.compress(true) + compressor.flush()


@functools.cache
def _bomb(encoding: str, megabytes: int) -> bytes:
    """Return a whole stream of repeated blocks; compressing it all would take seconds."""
    spaces = b" " * _MEGABYTE
    compressor = zlib.compressobj(wbits=-15)
    # After a full flush the block refers to nothing before it, and can be repeated.
    block = compressor.compress(spaces) + compressor.flush(zlib.Z_FULL_FLUSH)
    stream = block * megabytes + compressor.flush()
    if encoding == "gzip":
        check = functools.reduce(lambda crc, _: zlib.crc32(spaces, crc), range(megabytes), 0)
        return _GZIP_HEAD + stream + struct.pack("<II", check, megabytes * _MEGABYTE)
    check = functools.reduce(lambda sum_, _: zlib.adler32(spaces, sum_), range(megabytes), 1)
    return _ZLIB_HEAD + stream + struct.pack(">I", check)
