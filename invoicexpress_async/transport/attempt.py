"""One request on its way, and what is known of it at any moment."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp
import attrs

from invoicexpress_async.protocol.exchange import Answer
from invoicexpress_async.transport.openings import Opening


@attrs.define
class Attempt:
    """The outcome of one request. Written as it proceeds, so that a cancelled one has it too.

    Attributes:
        is_begun: Whether a connection was requested.
        is_sent: Whether a byte of it may have left: true before the first one is written.
        is_unanswered: Whether nothing of a response is known to have come.
        is_untrusted: Whether the server's certificate or TLS was wrong, or a proxy does not know
            us: trying again cannot help.
        failure: Why there is no complete response, without a URL; None when there is one.
        response: The complete response.
        opening: The turn to open a connection, until its request is sent.
        on_sent: Called before `is_sent` becomes true; what it raises keeps the request back.
        has_secrets: Whether the body holds some, which no hook of a user's may be shown.
    """

    is_begun: bool = False
    is_sent: bool = False
    is_unanswered: bool = True
    is_untrusted: bool = False
    failure: str | None = None
    answer: Answer | None = None
    opening: Opening | None = None
    on_sent: Callable[[], None] | None = None
    has_secrets: bool = False

    def note_sending(self) -> None:
        """Note that the first byte is about to be written, over a connection that is open."""
        if self.on_sent is not None:
            self.on_sent()  # it may refuse: then nothing is sent
        self.is_sent = True
        if self.opening is not None:
            self.opening.end()

    def fail(self, error: Exception) -> None:
        """Keep what the error says of the attempt; its text may hold the URL and is dropped."""
        self.is_untrusted = not self.is_sent and (
            isinstance(error, _TLS_ERRORS) or _wants_a_password(error)
        )
        self.failure = self._describe(error)

    def _describe(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return _of_proxy(error)
        if self.is_untrusted:
            return "its TLS or certificate is wrong"
        if isinstance(error, TimeoutError):
            return "no response came in time" if self.is_sent else "no connection was made in time"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return "its name was not found"
        if not self.is_sent:
            cause = getattr(error, "os_error", error)
            return f"no connection could be made ({type(cause).__name__})"
        return f"the connection broke before a complete response ({type(error).__name__})"

    def __deepcopy__(self, memo: object) -> "Attempt":
        # Mocks of aiohttp copy what a request was made with; a copy of this would reach the loop.
        return self


_TLS_ERRORS: Final = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientConnectorSSLError,
)


def _wants_a_password(error: Exception) -> bool:
    return (
        isinstance(error, aiohttp.ClientHttpProxyError)
        and error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    )


def _of_proxy(error: aiohttp.ClientHttpProxyError) -> str:
    if _wants_a_password(error):
        return "the proxy wants a user and a password (HTTP 407): give them in the proxy's URL"
    return f"the proxy would not connect to it (HTTP {error.status})"
