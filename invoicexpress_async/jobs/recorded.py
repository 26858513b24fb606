"""The error of an outcome that an earlier run has settled, as far as a journal keeps it."""

from typing import Final

from invoicexpress_async import errors
from invoicexpress_async.errors import InvoiceXpressError, StatusError

_RECORDED: Final = (
    "An earlier run was refused this, and it is not tried again unless you request it."
)


def recorded_error(name: str | None, *, status: int | None, code: str | None) -> InvoiceXpressError:
    """Return the error by the name of its class, its status and its code."""
    kind = getattr(errors, name or "", InvoiceXpressError)
    if isinstance(kind, type) and issubclass(kind, StatusError):
        return kind(_RECORDED, status=status or 0, code=code)
    if isinstance(kind, type) and issubclass(kind, InvoiceXpressError):
        return kind(_RECORDED)
    return InvoiceXpressError(_RECORDED)
