"""The right to send what must not be sent twice, when several senders share a journal."""

from enum import StrEnum
from typing import Final, Protocol

import attrs

from invoicexpress_async.models.intent import Intent

# A request is normally written within this time. A process that was frozen for longer, or a machine
# that slept, must not send what others have looked up meanwhile.
MAX_SECONDS_BEFORE_SEND: Final = 60.0


class ClaimEnd(StrEnum):
    """The outcome of a claimed request."""

    NOT_SENT = "not_sent"
    """No byte of it left: the right is given back."""
    REFUSED = "refused"
    """The server refused it without an effect: it may be sent again."""
    APPLIED = "applied"
    """The server did it."""
    FOUND = "found"
    """What was requested was found after it, and may be another sender's."""
    UNKNOWN = "unknown"
    """It was sent, and its outcome is not known."""


class Claims(Protocol):
    """Where the intents of calls are claimed. Every method may raise a JournalError."""

    @property
    def token(self) -> str | None:
        """The token of the claim that was won last; None when none was, or there are no tokens."""
        ...

    async def claim(self, intent: Intent) -> Intent | None:
        """Win the right to send; durable on return.

        Returns None when it is won, else the intent of the sender who has it: then nothing is
        sent, and that one is looked up.
        """
        ...

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a request that was claimed."""
        ...

    def observe(self, intent: Intent) -> None:
        """Write that what an intent requested was found, also when another process sent it."""
        ...

    def forget(self, intent: Intent) -> None:
        """Let the next claim replace this intent, whose sequence was found absent."""
        ...

    def check_right(self) -> None:
        """Raise if no byte may be sent: another process holds the account, or soon may."""
        ...


@attrs.define(kw_only=True)
class OpenClaim:
    """A right that was won and is not settled yet.

    Attributes:
        intent: What is to be sent.
        since: When it was won, on the clock that counts the time of a suspended machine.
        had_changed: Whether the call had changed something before.
        is_sent: Whether a byte of it may have left.
        is_accepted: Whether the server has responded that it did it.
    """

    intent: Intent
    since: float
    had_changed: bool
    is_sent: bool = False
    is_accepted: bool = False

    def end_of(self, *, is_unknown: bool, has_changed: bool) -> ClaimEnd:
        """Return its outcome, from what the call has found out."""
        if is_unknown:
            return ClaimEnd.UNKNOWN
        if has_changed:
            return ClaimEnd.APPLIED if self.is_accepted else ClaimEnd.FOUND
        return ClaimEnd.REFUSED if self.is_sent else ClaimEnd.NOT_SENT
