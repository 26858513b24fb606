"""Refusals of the server, by status and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from invoicexpress_async.errors.context import ErrorContext, InvoiceXpressError

if TYPE_CHECKING:
    from invoicexpress_async.models.sequence import Sequence


class StatusError(InvoiceXpressError):
    """The server refused.

    Attributes:
        status: The HTTP status.
        code: The API's code, such as "006"; an unknown code as it came; None without a code.
        messages: The server's texts, localised, at most 512 characters each.
        retry_after_seconds: The wait that the server requested; None without one.
        sequence: The sequence of the request, as one read after the refusal showed it. It may have
            existed before, or the refusal may have left it behind; it cannot be deleted.
        is_transient: Whether the same request could succeed later without a change.
    """

    cure = "Look at error.status, error.code and error.messages."
    sequence: Sequence | None = None
    is_transient: ClassVar[bool] = False

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


class AuthenticationError(StatusError):
    """401. The key is wrong, or the account's name is, or a trial forbids the action."""

    cure = (
        "Check the account's name and its API key: an unknown name gets 401 too, "
        "and so does an action that a trial account may not do."
    )


class PermissionDeniedError(StatusError):
    """403. The account may not do this."""

    cure = "Check the account's plan and the rights of the key's user."


class NotFoundError(StatusError):
    """404. The account has no such sequence or resource."""

    cure = "Check the id, and that it belongs to this account."


class RateLimitedError(StatusError):
    """429. The account's requests are over the limit of 780 a minute."""

    cure = "Wait error.retry_after_seconds, or a minute; leave room for other users of the account."
    is_transient = True


class ServerError(StatusError):
    """5xx. The server failed; some such requests took effect nevertheless."""

    cure = "Call again later."
    is_transient = True


class ConflictError(StatusError):
    """409. The present state of the resource forbids the request."""

    cure = "Read the sequence to see its present state."


class SequenceBeingRegisteredError(ConflictError):
    """409/006, and 409/008 of a register. The sequence is already being registered."""

    cure = "Wait, then read it: the registration under way decides. Do not send it again."
    is_transient = True


class SequenceAlreadyRegisteredError(ConflictError):
    """409/007, and 409/005 or 422/007 of a register. All sequences are registered already.

    It is a conflict by its meaning, even where `status` is 422.
    """

    cure = "There is nothing left to do: read the sequence."


class UnprocessableError(StatusError):
    """422. The server understood and refused."""

    cure = "Look at error.code and error.messages, and correct the input."


class UnknownSequenceError(UnprocessableError):
    """422/000. An unknown error: it may have left an unregistered sequence behind."""

    cure = "List the sequences before anything else: an unregistered one may be there."


class SequenceNameNotAllowedError(UnprocessableError):
    """422/001. The name of the sequence is not allowed."""

    cure = "Choose another name: at most 35 characters, without spaces."


class SequenceAlreadyExistsError(UnprocessableError):
    """422/002 of a create. A sequence of that name exists."""

    cure = "Take the existing one with sequences.ensure(), or choose another name."


class InvalidSequenceError(UnprocessableError):
    """422/003 of a create. The sequence is invalid."""

    cure = "Correct the name of the sequence."


class TaxAuthorityCredentialsError(UnprocessableError):
    """The account's tax-authority (AT) credentials are missing or wrong.

    422/004 of a create, 422/002 of a register.
    """

    cure = (
        "Set the AT sub-user and password of the account, once: in its settings at InvoiceXpress, "
        "or with accounts.configure_at_communication(). Do not repeat wrong ones, they may lock "
        "the sub-user. Then check for a sequence left unregistered."
    )


class NoOpenActivityError(UnprocessableError):
    """The account's fiscal number has no open activity at the tax authority.

    422/005 of a create, 422/003 of a register.
    """

    cure = "Have the activity opened at the tax authority first."


class AccountNotPortugueseError(UnprocessableError):
    """422/004 of a register. The account is not Portuguese, so it cannot register sequences."""

    cure = (
        "Check the account's country. A sequence that is not Portuguese needs no registration: "
        "ensure it with registered=False."
    )
