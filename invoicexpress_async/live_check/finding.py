"""What a check found."""

from enum import StrEnum

import attrs


class Verdict(StrEnum):
    """How what was found compares with what is assumed."""

    AS_ASSUMED = "as assumed"
    NEW = "new"
    """Not described, or not known before; the client copes with it."""
    DIFFERS = "differs"
    NO_RESPONSE = "no response"
    UNKNOWN = "unknown"
    """Something with an effect was sent, and no response says whether it took effect."""
    SKIPPED = "skipped"


@attrs.frozen(kw_only=True)
class Finding:
    """One line of the result.

    Attributes:
        check: The name of the check.
        verdict: How it ended.
        found: What was found, with no value of the account's in it.
    """

    check: str
    verdict: Verdict
    found: str
