"""The error tree. Every error says what happened, whether it may have taken effect, and a cure.

InvoiceXpressError
├─ ConfigurationError (ValueError) ── StepBackwardsError
├─ SessionClosedError (RuntimeError)
├─ TransportError
│  ├─ ConnectionFailedError (ConnectionError) ── UntrustedConnectionError
│  └─ DeadlineExceededError (TimeoutError)
├─ OutcomeUnknownError
├─ MalformedResponseError
├─ UnexpectedRedirectError
├─ PartialRegistrationError
├─ DefaultChangedError
└─ StatusError
   ├─ AuthenticationError · PermissionDeniedError · NotFoundError · RateLimitedError · ServerError
   ├─ ConflictError ── SequenceBeingRegisteredError · SequenceAlreadyRegisteredError
   └─ UnprocessableError ── UnknownSequenceError · SequenceNameNotAllowedError
                            · SequenceAlreadyExistsError · InvalidSequenceError
                            · TaxAuthorityCredentialsError · NoOpenActivityError
                            · AccountNotPortugueseError

The class of a StatusError is decided by the provider's codes, which depend on the operation, and
never by the localised text.
"""

from invoicexpress_async.errors.client import (
    ConnectionFailedError,
    DeadlineExceededError,
    DefaultChangedError,
    MalformedResponseError,
    OutcomeUnknownError,
    PartialRegistrationError,
    SessionClosedError,
    TransportError,
    UnexpectedRedirectError,
    UntrustedConnectionError,
)
from invoicexpress_async.errors.context import (
    ConfigurationError,
    InvoiceXpressError,
    StepBackwardsError,
)
from invoicexpress_async.errors.context import (
    ErrorContext as ErrorContext,
)
from invoicexpress_async.errors.status import (
    AccountNotPortugueseError,
    AuthenticationError,
    ConflictError,
    InvalidSequenceError,
    NoOpenActivityError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    SequenceNameNotAllowedError,
    ServerError,
    StatusError,
    TaxAuthorityCredentialsError,
    UnknownSequenceError,
    UnprocessableError,
)

__all__ = [
    "AccountNotPortugueseError",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "DefaultChangedError",
    "InvalidSequenceError",
    "InvoiceXpressError",
    "MalformedResponseError",
    "NoOpenActivityError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartialRegistrationError",
    "PermissionDeniedError",
    "RateLimitedError",
    "SequenceAlreadyExistsError",
    "SequenceAlreadyRegisteredError",
    "SequenceBeingRegisteredError",
    "SequenceNameNotAllowedError",
    "ServerError",
    "SessionClosedError",
    "StatusError",
    "StepBackwardsError",
    "TaxAuthorityCredentialsError",
    "TransportError",
    "UnexpectedRedirectError",
    "UnknownSequenceError",
    "UnprocessableError",
    "UntrustedConnectionError",
]
