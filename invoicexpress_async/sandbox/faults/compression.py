"""Faults of a body that is compressed, or says so."""

import functools
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from typing import Literal

import attrs

from invoicexpress_async.sandbox.domain.answers import Answer
from invoicexpress_async.sandbox.faults.answers import AnswerFault
from invoicexpress_async.sandbox.faults.fault import Exchange

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
