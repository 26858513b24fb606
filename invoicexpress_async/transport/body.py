"""Bodies read in pieces: inflated here, because aiohttp inflates without a limit."""

import zlib
from collections.abc import AsyncIterable
from typing import Final, Protocol

from invoicexpress_async.protocol.exchange import MAX_BODY_BYTES

# The first byte of a zlib stream names the method "deflate" (8) in its low half; raw streams,
# which some servers send under the same name, do not.
_ZLIB_METHOD: Final = 8
_LOW_HALF: Final = 0x0F
OVERSIZED: Final = f"it is over {MAX_BODY_BYTES // 1024**2} MiB"
"""What is wrong with a body that is longer."""

_PLAIN: Final = frozenset({"", "identity"})
_ENCODINGS: Final = _PLAIN | {"gzip", "x-gzip", "deflate"}


async def read_body(
    pieces_of_it: AsyncIterable[bytes], *, length: int | None, encoding: str
) -> tuple[bytes, str | None]:
    """Read a body in pieces, inflated, up to the cap.

    Args:
        pieces_of_it: As they come from the connection.
        length: The Content-Length, if there is one.
        encoding: The Content-Encoding; empty for none.

    Returns:
        The body, and why it is not to be used: None when it is.
    """
    if (length or 0) > MAX_BODY_BYTES:
        return b"", OVERSIZED
    encoding = encoding.strip().lower()
    if encoding not in _ENCODINGS:
        return b"", "its Content-Encoding was not requested"
    inflater = Inflater(encoding) if encoding not in _PLAIN else None
    pieces: list[bytes] = []
    size = 0
    async for raw in pieces_of_it:
        try:
            piece = raw if inflater is None else inflater.inflate(raw, MAX_BODY_BYTES - size)
        except zlib.error:
            return b"", "its compression is broken"
        size += len(piece)
        if size > MAX_BODY_BYTES:
            return b"", OVERSIZED
        pieces.append(piece)
    if inflater is not None and not inflater.is_complete:
        return b"", "its compressed body was cut"
    return b"".join(pieces), None


class _ZlibStream(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Inflater:
    """Inflates piece by piece, never much further than requested."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream: _ZlibStream | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the stream has come to its own end; an empty body is complete too."""
        return self._stream is None or self._stream.eof

    def inflate(self, piece: bytes, most: int) -> bytes:
        """Return at most `most` + 1 bytes more: the extra byte shows that the limit is passed."""
        if not piece:
            return b""
        if self._stream is None:
            self._stream = zlib.decompressobj(wbits=self._window_bits(piece))
        if self._stream.eof:
            return b""
        return self._stream.decompress(piece, most + 1)

    def _window_bits(self, piece: bytes) -> int:
        if self._encoding != "deflate":
            return zlib.MAX_WBITS | 16
        return zlib.MAX_WBITS if piece[0] & _LOW_HALF == _ZLIB_METHOD else -zlib.MAX_WBITS
