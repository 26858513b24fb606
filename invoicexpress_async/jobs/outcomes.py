"""The error of an outcome, for all jobs: its parts, and how it is rebuilt from a journal."""

from typing import Final

from invoicexpress_async import errors
from invoicexpress_async.errors import InvoiceXpressError, StatusError

_RECORDED: Final = (
    "An earlier run was refused this, and it is not tried again unless you request it."
)


def recorded_error(
    name: str | None, *, status: int | None, code: str | None, text: str = _RECORDED
) -> InvoiceXpressError:
    """Rebuild an error from the name of its class, its status and its code."""
    kind = getattr(errors, name or "", InvoiceXpressError)
    if isinstance(kind, type) and issubclass(kind, StatusError):
        return kind(text, status=status or 0, code=code)
    if isinstance(kind, type) and issubclass(kind, InvoiceXpressError):
        return kind(text)
    return InvoiceXpressError(text)


class ErrorParts:
    """The name, the status and the code of `error`."""

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


class ErrorDetails(ErrorParts):
    """The parts of `error` that reports show."""

    __slots__ = ()

    @property
    def cure(self) -> str | None:
        """What to do about the error."""
        return None if self.error is None else self.error.cure
