"""The errors that the client detects before, around or after a response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

from invoicexpress_async.errors.context import ErrorContext, InvoiceXpressError

if TYPE_CHECKING:
    from invoicexpress_async.models.intent import Intent
    from invoicexpress_async.models.sequence import Sequence


class SessionClosedError(InvoiceXpressError, RuntimeError):
    """The session manager is closed, or belongs to another event loop or process."""

    cure = "Open one SessionManager per process and event loop, and call inside `async with`."


class TransportError(InvoiceXpressError):
    """No complete response arrived."""

    cure = "Check the network, then call again."


class ConnectionFailedError(TransportError, ConnectionError):
    """No connection could be made: nothing was sent."""

    cure = "Check the network, the host name and the certificates, then call again."


class UntrustedConnectionError(ConnectionFailedError):
    """The certificate or TLS of the server is not to be trusted, or a proxy refuses us.

    Nothing was sent, and trying again does not help: a job ends at once.
    """

    cure = (
        "Check the clock, the proxy and what certificates this machine trusts (SSL_CERT_FILE, or "
        "ssl_context=), then call again."
    )


class DeadlineExceededError(TransportError, TimeoutError):
    """The deadline of the call passed."""

    cure = "Give the call more time with timeout_seconds=, or make fewer calls at once."


_ABSENT: Final = (
    "If error.was_absent is still true 15 minutes after the send, and again 15 minutes later, "
    "sequences.forget(error.intent) lets the next ensure() send it again; a server that commits "
    "even later then has it twice."
)


class OutcomeUnknownError(InvoiceXpressError):
    """A request that must not be sent twice was sent, and its outcome is unknown.

    Attributes:
        intent: Plain data for `SequenceService.resume`.
        was_absent: Whether the last read was a complete list without the sequence. It may still
            come: a server can commit minutes after a lost response.
    """

    cure: str = "Do not send it again: keep error.intent and give it to sequences.resume() later."

    def __init__(
        self,
        message: str = "",
        *,
        intent: Intent | None = None,
        was_absent: bool = False,
        **context: Unpack[ErrorContext],
    ) -> None:
        context.setdefault("may_have_been_processed", True)
        super().__init__(message, **context)
        self.was_absent = was_absent
        if was_absent:
            self.cure = f"{self.cure} {_ABSENT}"
        # Always given where this is raised; the default is for pickle, which restores it later.
        self.intent: Intent = intent or {
            "version": 1,
            "operation": "create",
            "account": self.account or "",
            "serie": None,
            "sequence_id": None,
            "is_default": False,
            "had_sequences": None,
            "sent_at": 0.0,
        }


class MalformedResponseError(InvoiceXpressError):
    """The response is not what was requested: oversized, HTML, cut, or of another shape.

    Attributes:
        problems: The problems, each with its path in the response and never with the value.
        excerpt: At most the first 512 bytes, with secrets redacted; empty if a secret may be left.
        is_html: Whether the response was a web page: a login, a firewall, maintenance.
    """

    cure = "Look at error.problems; a proxy, a login page or a change of the API may be the cause."

    def __init__(
        self,
        message: str = "",
        *,
        problems: tuple[str, ...] = (),
        excerpt: str = "",
        is_html: bool = False,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.problems = problems
        self.excerpt = excerpt
        self.is_html = is_html


class UnexpectedRedirectError(InvoiceXpressError):
    """The server responded with a redirect, which is never part of the API. Not followed.

    Attributes:
        location_host: The host of the target; the rest is dropped, because it may contain secrets.
    """

    cure = "Check base_url and the account's name: unknown routes are redirected to a web page."

    def __init__(
        self,
        message: str = "",
        *,
        location_host: str | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.location_host = location_host


class _OfASequenceError(InvoiceXpressError):
    """Base of errors about a sequence that exists."""

    def __init__(
        self,
        message: str = "",
        *,
        sequence: Sequence | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        context.setdefault("may_have_been_processed", True)
        super().__init__(message, **context)
        self.sequence = sequence


class PartialRegistrationError(_OfASequenceError):
    """The sequence exists, and some document types that need a validation code have none.

    Attributes:
        sequence: The sequence as last read; `sequence.unregistered` names the types.
    """

    cure = (
        "Do not use the sequence yet: see error.sequence.unregistered, check the account's "
        "tax-authority set-up, then call sequences.register(error.sequence.id)."
    )


class DefaultChangedError(_OfASequenceError):
    """A new sequence became the account's default by itself: new documents use it now.

    Attributes:
        sequence: The sequence as last read.
    """

    cure = "Set the right default with sequences.set_current(), at once."
