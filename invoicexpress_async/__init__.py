"""Asynchronous client for the document sequences of InvoiceXpress."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Final

from invoicexpress_async import errors

# Imported when first used: aiohttp is nine tenths of the import, and the help of the command line
# needs none of it. `__init__.pyi` says the same to type checkers.
_HOMES: Final = {
    "services.account_session": ("AccountSession",),
    "session": (
        "Health",
        "SessionManager",
    ),
    "services.accounts": ("AccountService",),
    "services.sequences": ("SequenceService",),
    "models": (
        "AccountDetails",
        "AccountUpdate",
        "AtCredentials",
        "CommunicationType",
        "CreatedAccount",
        "DocumentSequenceState",
        "DocumentType",
        "Ensured",
        "Intent",
        "Language",
        "NewAccount",
        "Registration",
        "Sequence",
        "TaxCountry",
        "Via",
    ),
    "errors": errors.__all__,
    "config": (
        "Secret",
        "Timeouts",
    ),
    "call.limiter": ("RateLimit",),
    "call.context": ("CallCounters",),
    "protocol.decision": ("RetryPolicy",),
    "services.account_errors": ("RepeatedCredentialsError",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]  # both see the names in the stub


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _OldModule(ModuleType):
    """Where some names were in version 0.1.0: its pickles name these modules."""

    def __getattr__(self, name: str) -> object:
        return getattr(sys.modules[__name__], name)


for _name in (
    "account_credentials",
    "account_errors",
    "account_models",
    "error_context",
    "ratelimit",
    "retry",
):
    sys.modules[f"{__name__}.{_name}"] = _OldModule(f"{__name__}.{_name}")
