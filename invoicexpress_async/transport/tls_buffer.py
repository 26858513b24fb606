"""A smaller read buffer for each TLS connection: 1,000 of them take 96 MiB instead of 350.

asyncio gives every TLS connection 256 KiB to read into, which a row of a few kilobytes never
needs. The attributes are not documented: where one is missing, the connection stays as it is.
"""

import asyncio
from typing import Final

# The most that one TLS record can hold.
_BUFFER_BYTES: Final = 16 * 1024
_NEEDED: Final = ("max_size", "_ssl_buffer", "_ssl_buffer_view")


def shrink_read_buffer(transport: asyncio.BaseTransport | None) -> None:
    """Shrink the buffer of a connection that was just made, between two reads."""
    if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return  # another loop may be reading into it at this moment, or has none
    protocol = getattr(transport, "_ssl_protocol", None)
    if all(hasattr(protocol, name) for name in _NEEDED):
        buffer = bytearray(_BUFFER_BYTES)
        protocol.max_size = _BUFFER_BYTES  # type: ignore[union-attr]  # of asyncio's sslproto
        protocol._ssl_buffer = buffer  # type: ignore[union-attr]  # noqa: SLF001  # see above
        protocol._ssl_buffer_view = memoryview(buffer)  # type: ignore[union-attr]  # noqa: SLF001  # see above
