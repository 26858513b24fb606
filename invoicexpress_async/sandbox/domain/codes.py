"""The reasons for refusing a request on series, with the status and code of each.

The same number means different things on create and on register, so each has its own table (from
the provider's OpenAPI description, 2.0.0).
"""

from collections.abc import Mapping
from typing import Literal

from invoicexpress_async.sandbox.domain.accounts import Operation

Reason = Literal[
    "missing",
    "all_registered",
    "being_registered",
    "unknown",
    "name",
    "exists",
    "invalid_series",
    "at_credentials",
    "no_activity",
    "not_portuguese",
]

CODES: Mapping[Operation, Mapping[Reason, tuple[int, str]]] = {
    "create": {
        "being_registered": (409, "006"),
        "unknown": (422, "000"),
        "name": (422, "001"),
        "exists": (422, "002"),
        "invalid_series": (422, "003"),
        "at_credentials": (422, "004"),
        "no_activity": (422, "005"),
    },
    "register": {
        "missing": (404, "006"),
        "all_registered": (409, "005"),
        "being_registered": (409, "008"),
        "unknown": (422, "000"),
        "name": (422, "001"),
        "at_credentials": (422, "002"),
        "no_activity": (422, "003"),
        "not_portuguese": (422, "004"),
    },
}

# Codes that older clients assume on both operations, and the second form in the description for
# "all are registered".
_ALSO_SEEN: Mapping[tuple[int, str], Reason] = {
    (409, "006"): "being_registered",
    (409, "007"): "all_registered",
    (422, "007"): "all_registered",
}


def reason_of(operation: Operation, status: int, code: str) -> str:
    """Return the reason that a code stands for on an operation; "" if it has none there."""
    if operation not in CODES:
        return ""
    known = {pair: reason for reason, pair in CODES[operation].items()}
    return {**_ALSO_SEEN, **known}.get((status, code), "")
