"""A server that costs nearly nothing: canned responses, from its own process.

`python benchmarks/canned_server.py` prints its port, and ends when its standard input closes.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

_SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "create_201.json"


def _answer(status: str, body: bytes) -> bytes:
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


def _compact(document: object) -> bytes:
    # Without spaces, like the body recorded in live traffic.
    return json.dumps(document, separators=(",", ":")).encode()


class Canned(asyncio.Protocol):
    """Responds to each request with one of two responses."""

    def __init__(self, created: bytes, listed: bytes) -> None:
        self._created, self._listed = created, listed
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Respond when the request is complete."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        is_post = head.startswith(b"POST")
        if is_post and b"}" not in body[-2:]:
            return  # the rest of the body has not arrived yet
        self._buffer = b""
        self._transport.write(self._created if is_post else self._listed)


def canned_responses(listed_serie: str | None = None) -> tuple[bytes, bytes]:
    """Return the responses to a create and to a list.

    Args:
        listed_serie: The serie of the only row of the list; by default the created one.
    """
    document = json.loads(_SAMPLE.read_text())
    row = document["sequence"]
    listed = row if listed_serie is None else {**row, "serie": listed_serie}
    return (
        _answer("201 Created", _compact(document)),
        _answer("200 OK", _compact({"sequences": [listed]})),
    )


async def _serve() -> None:
    created, listed = canned_responses()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Canned(created, listed), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


@contextlib.contextmanager
def canned_server() -> Iterator[int]:
    """Yield the port of a server in its own process."""
    with subprocess.Popen(  # noqa: S603  # this very file
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
