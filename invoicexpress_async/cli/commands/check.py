"""What a check of `invoicexpress doctor` found."""

from enum import StrEnum

import attrs


class CheckState(StrEnum):
    """How a check ended."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    """Calls work, and something may surprise."""
    WRONG = "wrong"
    """Calls do not work, or not as they should."""
    SKIPPED = "skipped"
    """What it needs is missing."""


@attrs.frozen
class Check:
    """One check.

    Attributes:
        name: What was checked.
        state: How it ended.
        found: What was found.
        cure: What to do; None when there is nothing to do.
    """

    name: str
    state: CheckState
    found: str
    cure: str | None = None


def fine(name: str, found: str) -> Check:
    """Return a check that found all well."""
    return Check(name, CheckState.FINE, found)


def doubtful(name: str, found: str, cure: str) -> Check:
    """Return a check that found what may surprise."""
    return Check(name, CheckState.DOUBTFUL, found, cure)


def wrong(name: str, found: str, cure: str) -> Check:
    """Return a check that found what does not work."""
    return Check(name, CheckState.WRONG, found, cure)


def skipped(name: str, found: str) -> Check:
    """Return a check that could not be made."""
    return Check(name, CheckState.SKIPPED, found)
