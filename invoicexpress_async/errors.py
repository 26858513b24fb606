"""The error tree. Every error says what happened, whether it may have taken effect, and a cure.

InvoiceXpressError
├─ ConfigurationError (ValueError)
├─ SessionClosedError (RuntimeError)
├─ TransportError
│  ├─ ConnectionFailedError (ConnectionError)
│  └─ DeadlineExceededError (TimeoutError)
├─ OutcomeUnknownError
├─ MalformedResponseError
├─ UnexpectedRedirectError
├─ PartialRegistrationError
└─ StatusError
   ├─ AuthenticationError · PermissionDeniedError · NotFoundError · RateLimitedError · ServerError
   ├─ ConflictError ── SequenceBeingRegisteredError · SequenceAlreadyRegisteredError
   └─ UnprocessableError ── UnknownSequenceError · SequenceNameNotAllowedError
                            · SequenceAlreadyExistsError · InvalidSequenceError
                            · TaxAuthorityCredentialsError · NoOpenActivityError

Codes and their meanings are the provider's own; they decide, never the localised text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypedDict, Unpack

if TYPE_CHECKING:
    from invoicexpress_async.models.intent import Intent
    from invoicexpress_async.models.sequence import Sequence


class ErrorContext(TypedDict, total=False):
    """The keyword arguments that every error takes."""

    operation: str | None
    subject: str | None
    account: str | None
    attempts: int
    may_have_been_processed: bool
    request_id: str | None


class InvoiceXpressError(Exception):
    """Base of all errors of this package.

    Attributes:
        operation: The operation that failed, such as "create"; None before there was one.
        subject: What it was about, such as "sequence '2027'".
        account: The account's name.
        attempts: How many requests the call started.
        may_have_been_processed: Whether the server may have carried the request out.
        request_id: Of the call, as its log lines and events have it; it is not sent.
        cure: What to do about it.
        anchor: Where the README tells of errors of this class; a traceback ends with it.
    """

    cure: str = "Read the text above, and report it if it does not help."
    anchor: ClassVar[str] = "README.md#invoicexpresserror"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.anchor = f"README.md#{cls.__name__.lower()}"

    def __init__(  # noqa: PLR0913  # the context that every error can carry
        self,
        message: str = "",
        *,
        operation: str | None = None,
        subject: str | None = None,
        account: str | None = None,
        attempts: int = 0,
        may_have_been_processed: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.subject = subject
        self.account = account
        self.attempts = attempts
        self.may_have_been_processed = may_have_been_processed
        self.request_id = request_id
        # A note, which tracebacks show: `str()` stays short for logs and answers.
        self.add_note(f"See {self.anchor}")

    def __str__(self) -> str:
        message = super().__str__()
        return " ".join(part for part in (message, self._context(), self.cure) if part)

    def _context(self) -> str:
        if self.operation is None:
            return ""
        effect = "it may have taken effect" if self.may_have_been_processed else "it had no effect"
        what = f"{self.operation} of {self.subject}" if self.subject else self.operation
        return f"[{what} on account {self.account}: {effect}]"


class ConfigurationError(InvoiceXpressError, ValueError):
    """An argument that cannot be right. Raised before anything is resolved or sent."""

    cure = "Correct it and call again; nothing was sent."


class SessionClosedError(InvoiceXpressError, RuntimeError):
    """The session manager is closed, or belongs to another event loop or process."""

    cure = "Open one SessionManager per process and event loop, and call inside `async with`."


class TransportError(InvoiceXpressError):
    """No complete answer came."""

    cure = "Check the network, then call again."


class ConnectionFailedError(TransportError, ConnectionError):
    """No connection could be made: nothing was sent."""

    cure = "Check the network, the host name and the certificates, then call again."


class DeadlineExceededError(TransportError, TimeoutError):
    """The time given to the call ran out."""

    cure = "Give it more with timeout_seconds=, or ask for less at once."


class OutcomeUnknownError(InvoiceXpressError):
    """A request that must not be sent twice was sent, and what became of it is not known.

    Attributes:
        intent: Plain data for `SequenceService.resume`.
        was_absent: Whether the last read was a complete list without the sequence. It may still
            come: a server can commit minutes after a lost answer.
    """

    cure = "Do not send it again: keep error.intent and give it to sequences.resume() later."

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
        # Always set where this is raised; the default is for pickle, which restores it after.
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
    """The answer is not what was asked for: oversized, HTML, cut, or of another shape.

    Attributes:
        problems: What is wrong, each with the path where it stands and never the value.
        excerpt: The first 512 bytes at most, with secrets redacted; empty when they say nothing.
        is_html: Whether it was a web page: a login, a firewall, maintenance.
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
    """The server answered with a redirect, which is never part of the API. Not followed.

    Attributes:
        location_host: The host it pointed to; the rest is dropped, it may hold secrets.
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


class PartialRegistrationError(InvoiceXpressError):
    """The sequence exists, and some document types that need a validation code have none.

    Attributes:
        sequence: The sequence as last read; `sequence.unregistered` names the types.
    """

    cure = (
        "Do not use the sequence yet: see error.sequence.unregistered, check the account's "
        "tax-authority set-up, then call sequences.register(error.sequence.id)."
    )

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


class StatusError(InvoiceXpressError):
    """The server refused.

    Attributes:
        status: The HTTP status.
        code: The API's code, such as "006", or one that is not known as it came; None without.
        messages: The server's texts, localised, at most 512 characters each.
        retry_after_seconds: What the server asked to wait; None when it did not.
    """

    cure = "Look at error.status, error.code and error.messages."

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        code: str | None = None,
        messages: tuple[str, ...] = (),
        retry_after_seconds: float | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.status = status
        self.code = code
        self.messages = messages
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_transient(self) -> bool:
        """Whether the same request could succeed later without a change."""
        return False


class AuthenticationError(StatusError):
    """401. The key is wrong, or the account's name is, or a trial forbids the action."""

    cure = (
        "Check the account's name and its API key: an unknown name answers 401 too, "
        "and so does an action that a trial account may not do."
    )


class PermissionDeniedError(StatusError):
    """403. The account may not do this."""

    cure = "Check the account's plan and the rights of the key's user."


class NotFoundError(StatusError):
    """404. There is no such thing on this account."""

    cure = "Check the id, and that it belongs to this account."


class RateLimitedError(StatusError):
    """429. The account's requests are over the limit of 780 a minute."""

    cure = "Wait error.retry_after_seconds, or a minute; leave room for other users of the account."

    @property
    def is_transient(self) -> bool:
        """Always."""
        return True


class ServerError(StatusError):
    """5xx. The server failed; some such answers were applied all the same."""

    cure = "Call again later."

    @property
    def is_transient(self) -> bool:
        """Always."""
        return True


class ConflictError(StatusError):
    """409. The thing is in a state that forbids this."""

    cure = "Read the sequence to see its present state."


class SequenceBeingRegisteredError(ConflictError):
    """409/006. The sequence is already being registered."""

    cure = "Wait, then read it: the registration under way decides. Do not send it again."

    @property
    def is_transient(self) -> bool:
        """Always."""
        return True


class SequenceAlreadyRegisteredError(ConflictError):
    """409/007. All sequences are registered already."""

    cure = "Nothing is left to do: read the sequence."


class UnprocessableError(StatusError):
    """422. The server understood and refused.

    Attributes:
        sequence: A sequence that the refusal left behind, as a read after it showed; it cannot
            be deleted, only registered later.
    """

    cure = "Look at error.code and error.messages, and correct the input."
    sequence: Sequence | None = None


class UnknownSequenceError(UnprocessableError):
    """422/000. An unknown error: it may have left an unregistered sequence behind."""

    cure = "List the sequences before anything else: an unregistered one may be there."


class SequenceNameNotAllowedError(UnprocessableError):
    """422/001. The name of the sequence is not allowed."""

    cure = "Choose another name: at most 35 characters, without spaces."


class SequenceAlreadyExistsError(UnprocessableError):
    """422/002. A sequence of that name exists."""

    cure = "Take the existing one with sequences.ensure(), or choose another name."


class InvalidSequenceError(UnprocessableError):
    """422/003. The sequence is invalid."""

    cure = "Correct the name of the sequence."


class TaxAuthorityCredentialsError(UnprocessableError):
    """422/004. The account's tax-authority (AT) credentials are missing or wrong."""

    cure = (
        "Set the AT sub-user and password of the account, once; do not repeat wrong ones, "
        "they may lock the sub-user. Then check for a sequence left unregistered."
    )


class NoOpenActivityError(UnprocessableError):
    """422/005. The account's fiscal number has no open activity at the tax authority."""

    cure = "Have the activity opened at the tax authority first."


class ErrorDetails:
    """The parts of `error` that reports show."""

    __slots__ = ()
    error: InvoiceXpressError | None

    @property
    def error_name(self) -> str | None:
        """The name of the error's class."""
        return None if self.error is None else type(self.error).__name__

    @property
    def status(self) -> int | None:
        """The HTTP status of a refusal."""
        return self.error.status if isinstance(self.error, StatusError) else None

    @property
    def code(self) -> str | None:
        """The API's code of a refusal, such as "004"."""
        return self.error.code if isinstance(self.error, StatusError) else None

    @property
    def cure(self) -> str | None:
        """What to do about it."""
        return None if self.error is None else self.error.cure
