"""Claims: the right to send a request that must not be sent twice, among several senders."""

from enum import StrEnum
from typing import Final, Protocol

import attrs

from invoicexpress_async.models.intent import Intent

# A request is normally written within this time. A process that was frozen for longer, or a machine
# that slept, must not send a request that others have looked up meanwhile.
MAX_SECONDS_BEFORE_SEND: Final = 60.0


class ClaimEnd(StrEnum):
    """The outcome of a claimed request."""

    NOT_SENT = "not_sent"
    """No byte of the request left: the claim is released."""
    REFUSED = "refused"
    """The server refused the request without an effect: it may be sent again."""
    APPLIED = "applied"
    """The server accepted the request."""
    FOUND = "found"
    """The requested result was found by reading, and may be another sender's."""
    UNKNOWN = "unknown"
    """The request was sent, and its outcome is unknown."""


class Claims(Protocol):
    """The store in which calls claim their intents. Every method may raise a JournalError."""

    @property
    def token(self) -> str | None:
        """The token of the last claim that was won; None without such a claim or without tokens."""
        ...

    async def claim(self, intent: Intent) -> Intent | None:
        """Claim the right to send; the claim is durable on return.

        Returns None when the claim is won, else the intent of the sender that has it: then nothing
        is sent, and that intent is looked up.
        """
        ...

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a claimed request."""
        ...

    def observe(self, intent: Intent) -> None:
        """Write that the result of an intent was found, even if another process sent it."""
        ...

    def forget(self, intent: Intent) -> None:
        """Let the next claim replace this intent, whose sequence was found absent."""
        ...

    def check_right(self) -> None:
        """Raise if no byte may be sent: another process holds the account, or may hold it soon."""
        ...


@attrs.define(kw_only=True)
class OpenClaim:
    """A claim that was won in a journal, or an intent that the caller keeps; not settled yet.

    Attributes:
        intent: The request to be sent.
        since: When the claim was made, on the clock that counts the time of a suspended machine.
        had_changed: Whether the call had changed something before the claim.
        is_sent: Whether a byte of the request may have left.
        is_accepted: Whether the server has confirmed the request.
    """

    intent: Intent
    since: float
    had_changed: bool
    is_sent: bool = False
    is_accepted: bool = False

    def end_of(self, *, is_unknown: bool, has_changed: bool) -> ClaimEnd:
        """Return the outcome of the claim, from what the call has found out."""
        if is_unknown:
            return ClaimEnd.UNKNOWN
        if has_changed:
            return ClaimEnd.APPLIED if self.is_accepted else ClaimEnd.FOUND
        return ClaimEnd.REFUSED if self.is_sent else ClaimEnd.NOT_SENT
