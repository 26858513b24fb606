"""The reasons for refusing a request on series, with the status and code of each.

The same number means different things on create and on register, so each has its own table (from
the provider's OpenAPI description, 2.0.0).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from invoicexpress_async.sandbox.domain.accounts import Operation

CreateReason = Literal[
    "being_registered",
    "unknown",
    "name",
    "exists",
    "invalid_series",
    "at_credentials",
    "no_activity",
]
RegisterReason = Literal[
    "missing",
    "all_registered",
    "being_registered",
    "unknown",
    "name",
    "at_credentials",
    "no_activity",
    "not_portuguese",
]

CREATE_CODES: Mapping[CreateReason, tuple[int, str]] = MappingProxyType(
    {
        "being_registered": (409, "006"),
        "unknown": (422, "000"),
        "name": (422, "001"),
        "exists": (422, "002"),
        "invalid_series": (422, "003"),
        "at_credentials": (422, "004"),
        "no_activity": (422, "005"),
    }
)
REGISTER_CODES: Mapping[RegisterReason, tuple[int, str]] = MappingProxyType(
    {
        "missing": (404, "006"),
        "all_registered": (409, "005"),
        "being_registered": (409, "008"),
        "unknown": (422, "000"),
        "name": (422, "001"),
        "at_credentials": (422, "002"),
        "no_activity": (422, "003"),
        "not_portuguese": (422, "004"),
    }
)

# Codes that older clients assume on both operations, and the second form in the description for
# "all are registered".
_ALSO_SEEN: Mapping[tuple[int, str], str] = MappingProxyType(
    {
        (409, "006"): "being_registered",
        (409, "007"): "all_registered",
        (422, "007"): "all_registered",
    }
)
_REASONS: Mapping[str, Mapping[tuple[int, str], str]] = MappingProxyType(
    {
        "create": {**_ALSO_SEEN, **{pair: reason for reason, pair in CREATE_CODES.items()}},
        "register": {**_ALSO_SEEN, **{pair: reason for reason, pair in REGISTER_CODES.items()}},
    }
)


def reason_of(operation: Operation, status: int, code: str) -> str:
    """Return the reason that a code stands for on an operation; "" if it has none there."""
    return _REASONS.get(operation, {}).get((status, code), "")
