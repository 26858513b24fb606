"""The base of all errors, and the errors that models raise: the other errors refer to models."""

from typing import ClassVar, TypedDict


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
        operation: The operation that failed, such as "create"; None before it began.
        subject: The subject of the operation, such as "sequence '2027'".
        account: The account's name.
        attempts: The number of requests that the call started.
        may_have_been_processed: Whether the request may have taken effect.
        request_id: The id of the call, also in its log lines and events; it is not sent.
        cure: What to do about the error.
        anchor: The place in the documentation that describes the class; a traceback ends with it.
    """

    cure: str = "Read the text above, and report it if it does not help."
    anchor: ClassVar[str] = "docs/errors.md#invoicexpresserror"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.anchor = f"docs/errors.md#{cls.__name__.lower()}"

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
        # A note appears in tracebacks only: `str()` stays short for logs and responses.
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
    """An argument is invalid. Raised before anything is resolved or sent."""

    cure = "Correct it and call again; nothing was sent."


class StepBackwardsError(ConfigurationError):
    """The account's default is of a later year than the serie that is to replace it."""

    cure = (
        "If a step backwards is meant, make the earlier one its default by hand: "
        "`invoicexpress sequences set-current NAME`."
    )
