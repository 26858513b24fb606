"""What the outcome of a row or of a company tells of the error that stopped it."""

from invoicexpress_async.errors import InvoiceXpressError, StatusError


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
