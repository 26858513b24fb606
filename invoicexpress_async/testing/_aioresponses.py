"""aioresponses, made to work with the installed aiohttp and with this package."""

import contextlib
import functools
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from aiohttp import ClientConnectorError, ClientResponse, ConnectionTimeoutError

from invoicexpress_async.transport import Attempt

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiohttp.abc import AbstractStreamWriter
    from aioresponses import aioresponses

_NEVER_SENT = (ClientConnectorError, ConnectionTimeoutError)


class _Sent:
    """Replaces the writer of a request that is never written."""

    output_size = 0


@contextlib.contextmanager
def patched_aioresponses() -> "Generator[aioresponses]":
    """Yield an `aioresponses` that works with the installed aiohttp.

    It responds instead of aiohttp's sessions, so it does not test timeouts, connections or what
    this package does on the wire: use `SandboxThread` for these. The URLs to mock are without the
    key.

    Raises:
        ImportError: aioresponses is not installed.
    """
    # 0.7.9 builds responses without an argument that aiohttp 3.14 requires.
    response = functools.partial(
        ClientResponse, stream_writer=cast("AbstractStreamWriter", _Sent())
    )
    with mock.patch("aioresponses.core.ClientResponse", response), _make() as mocked:
        yield mocked


mended_aioresponses = patched_aioresponses
"""The name of `patched_aioresponses` in 0.1.0, kept for compatibility."""


def _make() -> "aioresponses":
    import aioresponses  # noqa: PLC0415  # not a dependency of this package

    class Patched(aioresponses.aioresponses):
        async def match(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as in its base
            try:
                response = await super().match(method, url, *args, **kwargs)
            except _NEVER_SENT:
                raise
            except Exception:
                _note_sent(kwargs.get("trace_request_ctx"))
                raise
            if response is not None:
                _note_sent(kwargs.get("trace_request_ctx"))
            return response

    return Patched()


def _note_sent(attempt: object) -> None:
    """Mark an attempt as sent. aiohttp's trace hook would do so, but a mock does not call it."""
    if isinstance(attempt, Attempt):
        attempt.is_sent = True
        if attempt.on_sent is not None:
            attempt.on_sent()
