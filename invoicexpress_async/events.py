"""Events inside a call, passed to `on_event` as they happen. None of them can hold a secret."""

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened in one call.

    Attributes:
        request_id: Of the call, made here and not sent; errors and log lines carry the same.
        account: The account's name.
        operation: The operation, such as "ensure".
    """

    request_id: str
    account: str
    operation: str


@attrs.frozen(kw_only=True)
class LimiterWaited(Event):
    """The account's limit, or its pause after a 429, held an attempt back.

    Attributes:
        seconds: For so long.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class AttemptStarted(Event):
    """A request is about to be made.

    Attributes:
        attempt: Its number in the call, from 1; reads count too.
        request: The operation that is requested, such as "list" in an `ensure`.
    """

    attempt: int
    request: str


@attrs.frozen(kw_only=True)
class AttemptEnded(Event):
    """A request got a response, or none.

    Attributes:
        attempt: Its number in the call, from 1.
        request: The operation that was requested.
        seconds: How long it took, the wait for a connection included.
        evidence: What is known of it: "applied", "refused", "not_sent", "untrusted", "unknown".
        status: The HTTP status; None without a complete response.
        error: The class of the error it ended in; None when it got what it requested.
    """

    attempt: int
    request: str
    seconds: float
    evidence: str
    status: int | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class RetryScheduled(Event):
    """A request that had no effect is made again.

    Attributes:
        after_seconds: After so long.
        error: The class of the error before.
    """

    after_seconds: float
    error: str


@attrs.frozen(kw_only=True)
class AccountSlowed(Event):
    """A 429: all calls of the account wait.

    Attributes:
        seconds: For so long.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class Reconciled(Event):
    """A send whose response was lost was looked up.

    Attributes:
        is_found: Whether that showed its outcome; if not, the outcome of the call is unknown.
    """

    is_found: bool


@attrs.frozen(kw_only=True)
class BecameDefault(Event):
    """A new sequence became the account's default by itself. `ensure` restores the previous one.

    Attributes:
        serie: Its name.
        sequence_id: Its id.
    """

    serie: str
    sequence_id: int


@attrs.frozen(kw_only=True)
class CallEnded(Event):
    """A call of the user's has ended.

    Attributes:
        seconds: How long it took, with all that it did.
        attempts: The requests it began.
        error: The class of the error it raised, or "CancelledError"; None when it raised none.
        is_in_doubt: Whether something was sent whose outcome is not known.
    """

    seconds: float
    attempts: int
    error: str | None = None
    is_in_doubt: bool = False
