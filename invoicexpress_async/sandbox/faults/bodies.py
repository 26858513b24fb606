"""Faults in what a response says: complete and well-formed HTTP, and not to be believed."""

import functools
import json
import re
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from typing import Literal, cast

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


@attrs.frozen(kw_only=True)
class Compressed(AnswerFault):
    """Sends the body that `render` makes of the true one, and says that it is compressed."""

    render: Callable[[bytes], bytes]
    encoding: Literal["gzip", "deflate", "br"] = "gzip"

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        body = self.render(answer.body)
        return attrs.evolve(answer.with_header("Content-Encoding", self.encoding), body=body)


@attrs.frozen(kw_only=True)
class Bomb(AnswerFault):
    """Respond with spaces, compressed to a thousandth.

    Args:
        size: How many, in whole millions.
    """

    encoding: Literal["gzip", "deflate"]
    size: int = 100_000_000

    def alter(self, exchange: Exchange, answer: Answer) -> Answer:
        del exchange
        bomb = _bomb(self.encoding, self.size // _MEGABYTE)
        return attrs.evolve(answer.with_header("Content-Encoding", self.encoding), body=bomb)


def gzipped(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP_BITS)
    return compressor.compress(body) + compressor.flush()


def truncated_gzip(body: bytes) -> bytes:
    whole = gzipped(body)
    return whole[: len(whole) // 2]


def plain(body: bytes) -> bytes:
    return body


def brotli_bomb(_body: bytes) -> bytes:
    return _BROTLI_BOMB


@functools.cache
def _bomb(encoding: str, megabytes: int) -> bytes:
    """Return a whole stream; compressing all of it would stop the server for seconds."""
    spaces = b" " * _MEGABYTE
    compressor = zlib.compressobj(wbits=-15)
    # Flushed like this it refers to nothing before it, and may be repeated.
    block = compressor.compress(spaces) + compressor.flush(zlib.Z_FULL_FLUSH)
    stream = block * megabytes + compressor.flush()
    if encoding == "gzip":
        check = functools.reduce(lambda crc, _: zlib.crc32(spaces, crc), range(megabytes), 0)
        return _GZIP_HEAD + stream + struct.pack("<II", check, megabytes * _MEGABYTE)
    check = functools.reduce(lambda sum_, _: zlib.adler32(spaces, sum_), range(megabytes), 1)
    return _ZLIB_HEAD + stream + struct.pack(">I", check)
