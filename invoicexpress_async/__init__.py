"""Asynchronous client for the document sequences of InvoiceXpress."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from invoicexpress_async._observer import CallCounters
    from invoicexpress_async.account_credentials import AtCredentials, CommunicationType
    from invoicexpress_async.account_errors import RepeatedCredentialsError
    from invoicexpress_async.account_models import (
        AccountDetails,
        CreatedAccount,
        Language,
        NewAccount,
        TaxCountry,
    )
    from invoicexpress_async.account_session import AccountSession
    from invoicexpress_async.account_update import AccountUpdate
    from invoicexpress_async.accounts import AccountService
    from invoicexpress_async.config import Secret, Timeouts
    from invoicexpress_async.errors import (
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        DeadlineExceededError,
        InvalidSequenceError,
        InvoiceXpressError,
        MalformedResponseError,
        NoOpenActivityError,
        NotFoundError,
        OutcomeUnknownError,
        PartialRegistrationError,
        PermissionDeniedError,
        RateLimitedError,
        SequenceAlreadyExistsError,
        SequenceAlreadyRegisteredError,
        SequenceBeingRegisteredError,
        SequenceNameNotAllowedError,
        ServerError,
        SessionClosedError,
        StatusError,
        TaxAuthorityCredentialsError,
        TransportError,
        UnexpectedRedirectError,
        UnknownSequenceError,
        UnprocessableError,
    )
    from invoicexpress_async.intents import Intent
    from invoicexpress_async.models import (
        DocumentSequenceState,
        DocumentType,
        Ensured,
        Registration,
        Sequence,
        Via,
    )
    from invoicexpress_async.ratelimit import RateLimit
    from invoicexpress_async.retry import RetryPolicy
    from invoicexpress_async.sequences import SequenceService
    from invoicexpress_async.session import Health, SessionManager

# Imported when first used: what needs no connection, such as the help of the command line, does
# not wait for aiohttp, which is nine tenths of the import.
_HOMES: Final = {
    "config": ("Secret", "Timeouts"),
    "errors": (
        "AuthenticationError",
        "ConfigurationError",
        "ConflictError",
        "ConnectionFailedError",
        "DeadlineExceededError",
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
        "TaxAuthorityCredentialsError",
        "TransportError",
        "UnexpectedRedirectError",
        "UnknownSequenceError",
        "UnprocessableError",
    ),
    "intents": ("Intent",),
    "models": (
        "DocumentSequenceState",
        "DocumentType",
        "Ensured",
        "Registration",
        "Sequence",
        "Via",
    ),
    "ratelimit": ("RateLimit",),
    "retry": ("RetryPolicy",),
    "sequences": ("SequenceService",),
    "account_credentials": ("AtCredentials", "CommunicationType"),
    "account_errors": ("RepeatedCredentialsError",),
    "account_models": ("AccountDetails", "CreatedAccount", "Language", "NewAccount", "TaxCountry"),
    "account_session": ("AccountSession",),
    "account_update": ("AccountUpdate",),
    "accounts": ("AccountService",),
    "session": ("Health", "SessionManager"),
    "_observer": ("CallCounters",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # for a type checker, a name that is not listed is a mistake

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "AccountDetails",
    "AccountService",
    "AccountSession",
    "AccountUpdate",
    "AtCredentials",
    "AuthenticationError",
    "CallCounters",
    "CommunicationType",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "CreatedAccount",
    "DeadlineExceededError",
    "DocumentSequenceState",
    "DocumentType",
    "Ensured",
    "Health",
    "Intent",
    "InvalidSequenceError",
    "InvoiceXpressError",
    "Language",
    "MalformedResponseError",
    "NewAccount",
    "NoOpenActivityError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PartialRegistrationError",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitedError",
    "Registration",
    "RepeatedCredentialsError",
    "RetryPolicy",
    "Secret",
    "Sequence",
    "SequenceAlreadyExistsError",
    "SequenceAlreadyRegisteredError",
    "SequenceBeingRegisteredError",
    "SequenceNameNotAllowedError",
    "SequenceService",
    "ServerError",
    "SessionClosedError",
    "SessionManager",
    "StatusError",
    "TaxAuthorityCredentialsError",
    "TaxCountry",
    "Timeouts",
    "TransportError",
    "UnexpectedRedirectError",
    "UnknownSequenceError",
    "UnprocessableError",
    "Via",
]
