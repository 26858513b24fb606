"""Events inside a call, passed to `on_event` as they happen. No event can contain a secret."""

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """The base of all events of a call.

    Attributes:
        request_id: The id of the call, made here and not sent; also in errors and log lines.
        account: The account's name.
        operation: The operation, such as "ensure".
    """

    request_id: str
    account: str
    operation: str


@attrs.frozen(kw_only=True)
class LimiterWaited(Event):
    """The account's limit, or its pause after a 429, delayed an attempt.

    Attributes:
        seconds: The length of the delay.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class AttemptStarted(Event):
    """A request is about to be made.

    Attributes:
        attempt: The number of the request in the call, from 1; reads count too.
        request: The operation of the request, such as "list" in an `ensure`.
    """

    attempt: int
    request: str


@attrs.frozen(kw_only=True)
class AttemptEnded(Event):
    """A request has ended, with or without a response.

    Attributes:
        attempt: The number of the request in the call, from 1.
        request: The operation of the request.
        seconds: How long the request took, including the wait for a connection.
        evidence: Its known effect: "applied", "refused", "not_sent", "untrusted", "unknown".
        status: The HTTP status; None without a complete response.
        error: The class of the error; None when the response was the requested one.
    """

    attempt: int
    request: str
    seconds: float
    evidence: str
    status: int | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class RetryScheduled(Event):
    """A request that had no effect will be sent again.

    Attributes:
        after_seconds: The wait before the next attempt.
        error: The class of the error of the last attempt.
    """

    after_seconds: float
    error: str


@attrs.frozen(kw_only=True)
class AccountSlowed(Event):
    """All calls of the account wait, after a 429.

    Attributes:
        seconds: The length of the wait.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class Reconciled(Event):
    """A request with an unknown outcome was looked up.

    Attributes:
        is_found: Whether that showed the outcome; if not, the outcome of the call is unknown.
    """

    is_found: bool


@attrs.frozen(kw_only=True)
class BecameDefault(Event):
    """A new sequence became the account's default by itself. `ensure` restores the previous one.

    Attributes:
        serie: The name of the new sequence.
        sequence_id: The id of the new sequence.
    """

    serie: str
    sequence_id: int


@attrs.frozen(kw_only=True)
class CallEnded(Event):
    """A call by the user has ended.

    Attributes:
        seconds: How long the call took, with all its requests and waits.
        attempts: The number of requests that the call began.
        error: The class of the error it raised, or "CancelledError"; None without an error.
        is_in_doubt: Whether a request was sent whose outcome is unknown.
    """

    seconds: float
    attempts: int
    error: str | None = None
    is_in_doubt: bool = False
