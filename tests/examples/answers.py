"""What a service answers: a sequence as JSON, and an HTTP status for every error."""

from invoicexpress_async import (
    ConfigurationError,
    DeadlineExceededError,
    InvoiceXpressError,
    PartialRegistrationError,
    RateLimitedError,
    Sequence,
    SessionClosedError,
    UnprocessableError,
)

# The first that fits. An OutcomeUnknownError is none of them: it is an answer of its own.
_STATUSES: tuple[tuple[type[InvoiceXpressError], int], ...] = (
    (ConfigurationError, 400),  # nothing was sent: the client's own mistake
    (PartialRegistrationError, 409),
    (UnprocessableError, 422),
    (RateLimitedError, 503),
    (SessionClosedError, 503),
    (DeadlineExceededError, 504),
)
DEFAULT_DEADLINE_SECONDS = 30.0


def status_of(error: InvoiceXpressError) -> int:
    """Return the HTTP status that says whose fault it was, and whether to come again."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 502)


def body_of(sequence: Sequence) -> dict[str, object]:
    """Return a sequence as plain data."""
    return {
        "id": sequence.id,
        "serie": sequence.serie,
        "is_default": sequence.is_default,
        "registration": sequence.registration,
        "validation_codes": {
            str(name): state.validation_code for name, state in sequence.documents.items()
        },
    }


def deadline_of(header: str | None) -> float:
    """Return the seconds that a client gives; what is no number is refused by the call itself."""
    try:
        return DEFAULT_DEADLINE_SECONDS if header is None else float(header)
    except ValueError:
        return float("nan")


def resume_path(account: str, token: str) -> str:
    """Return where to ask later what became of a request."""
    return f"/companies/{account}/sequences/resume/{token}"
