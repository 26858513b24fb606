"""The decision table: which requests may be sent again. It is pure, and does no I/O.

The evidence decides, never the name of an exception. docs/what-is-sent-again.md shows the table.
"""

import datetime as dt
import email.utils
import itertools
import math
import re
from enum import StrEnum
from typing import Final, cast

import attrs

from invoicexpress_async import errors
from invoicexpress_async.config import check_seconds, positive_int, positive_seconds


class Operation(StrEnum):
    """The kinds of request that the table distinguishes."""

    LIST = "list"
    GET = "get"
    SET_CURRENT = "set_current"
    REGISTER = "register"
    CREATE = "create"
    ACCOUNT_CREATE = "account_create"
    ACCOUNT_UPDATE = "account_update"
    AT_COMMUNICATION = "at_communication"
    WRITE = "request"
    """A request that the caller has built, which may have any effect."""

    has_effect: bool
    """Whether the server may change something because of the request."""


_READS: Final = frozenset({Operation.LIST, Operation.GET})
for _operation in Operation:
    _operation.has_effect = _operation not in _READS
# Not even after a 429: a caller's own request may be a registration.
_NEVER_RETRIED: Final = frozenset({Operation.REGISTER, Operation.WRITE})


# Reading cannot show the outcome of these.
_NOT_RECONCILABLE: Final = frozenset(
    {
        Operation.WRITE,
        Operation.ACCOUNT_CREATE,
        Operation.ACCOUNT_UPDATE,
        Operation.AT_COMMUNICATION,
    }
)
_RECONCILED: Final = frozenset({Operation.CREATE, Operation.REGISTER})
_REQUEST_TIMEOUT: Final = 408
# The server calls the tax authority each time, and wrong credentials may lock the sub-user.
_MAX_AT_ATTEMPTS: Final = 3


class Evidence(StrEnum):
    """What is known about the effect of one attempt."""

    NOT_SENT = "not_sent"
    """No byte of the request left this machine."""
    UNTRUSTED = "untrusted"
    """The server's certificate or TLS is wrong: no byte of the request left, and none will."""
    REFUSED = "refused"
    """A complete response that, by the contract, comes before any effect."""
    APPLIED = "applied"
    """A complete 2xx with the requested content."""
    UNKNOWN = "unknown"
    """Any other case in which the request was sent."""


class Action(StrEnum):
    """The next step after an attempt."""

    ACCEPT = "accept"
    RETRY = "retry"
    READ = "read"
    """Read until the outcome is known; never send again."""
    READ_ONCE = "read_once"
    """Read once, immediately, to see whether a row exists; never send again."""
    RAISE = "raise"


@attrs.frozen(kw_only=True)
class Decision:
    """The next step, and the wait before it."""

    action: Action
    after_seconds: float = 0.0


# The refusals of a create or register that come before any effect (contract). 002 and "already
# registered" mean that the result existed before: this request changed nothing.
_BEFORE_ANY_EFFECT: Final = (
    errors.AuthenticationError,
    errors.PermissionDeniedError,
    errors.NotFoundError,
    errors.SequenceNameNotAllowedError,
    errors.InvalidSequenceError,
    errors.AccountNotPortugueseError,
    errors.SequenceAlreadyExistsError,
    errors.SequenceAlreadyRegisteredError,
    errors.RateLimitedError,
)
_OF_THE_TAX_AUTHORITY: Final = (errors.TaxAuthorityCredentialsError, errors.NoOpenActivityError)

_MAX_RETRY_AFTER_SECONDS: Final = 120.0
_MIN_RETRY_AFTER_SECONDS: Final = 0.5
# A bare 429 does not show the window, and a Retry-After was never seen. Growing waits find the
# end of a window of one minute without a request every half second.
_BARE_LIMIT_SECONDS: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
_MAX_LIMITED_ATTEMPTS: Final = 8
_PLAIN_NUMBER: Final = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?")


def _validate_schedule(
    _: object, attribute: "attrs.Attribute[tuple[float, ...]]", value: object
) -> None:
    if not isinstance(value, tuple):
        raise errors.ConfigurationError(
            f"{attribute.name} is {value!r:.80}: give a tuple of seconds."
        )
    given = cast("tuple[object, ...]", value)
    checked = [check_seconds(attribute.name, seconds) for seconds in given]
    if any(later <= earlier for earlier, later in itertools.pairwise(checked)):
        raise errors.ConfigurationError(
            f"{attribute.name}: each must be later than the one before."
        )


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and when requests are sent again or looked up.

    Attributes:
        attempts: The maximum number of requests per call, including the first.
        base_seconds: The longest wait before the second attempt; it doubles for each further one.
        cap_seconds: The upper limit of all waits. Each wait is drawn evenly from 0 to its longest
            (full jitter), so that callers that failed together do not retry together.
        read_after_seconds: The seconds after a create or register with an unknown outcome at which
            to look it up, inside the deadline. How late a server can commit is unknown; minutes are
            possible. When empty, `OutcomeUnknownError` is raised at once, to be resumed later.
    """

    attempts: int = attrs.field(default=3, validator=positive_int)
    base_seconds: float = attrs.field(default=0.25, validator=positive_seconds)
    cap_seconds: float = attrs.field(default=8.0, validator=positive_seconds)
    read_after_seconds: tuple[float, ...] = attrs.field(
        default=(1.0, 4.0, 10.0, 30.0, 75.0), validator=_validate_schedule
    )

    def back_off_seconds(self, attempt: int, jitter: float) -> float:
        """Return the wait after attempt number `attempt` (from 1), `jitter` being 0 to 1."""
        # The exponent is bounded: 2.0 ** 1024 overflows.
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))
        return jitter * longest


def is_refusal(error: errors.InvoiceXpressError | None) -> bool:
    """Return whether a complete response shows why the request was not carried out.

    5xx and 422/000 do not show it, nor does a 408, which a proxy may send for a request that it
    has passed on. A 429 shows nothing about what was sent before it.
    """
    if isinstance(
        error, errors.ServerError | errors.UnknownSequenceError | errors.RateLimitedError
    ):
        return False
    return isinstance(error, errors.StatusError) and error.status != _REQUEST_TIMEOUT


def classify(
    operation: Operation,
    error: errors.InvoiceXpressError | None,
    *,
    is_sent: bool,
    is_untrusted: bool = False,
) -> Evidence:
    """Return the evidence of one attempt; `error` is None if the response was the requested one."""
    if is_untrusted:
        return Evidence.UNTRUSTED
    if not is_sent:
        return Evidence.NOT_SENT
    if error is None:
        return Evidence.APPLIED
    return Evidence.REFUSED if _is_without_effect(operation, error) else Evidence.UNKNOWN


def _is_without_effect(operation: Operation, error: errors.InvoiceXpressError) -> bool:
    if isinstance(error, _BEFORE_ANY_EFFECT):
        return True
    # A refused create may have left a row behind; the effect of a caller's own request is unknown.
    may_leave_something = operation in _RECONCILED or operation is Operation.WRITE
    return is_refusal(error) and not may_leave_something


def decide(  # noqa: PLR0913  # the table's own inputs, each a value
    operation: Operation,
    evidence: Evidence,
    error: errors.InvoiceXpressError | None,
    *,
    attempt: int,
    seconds_left: float,
    policy: RetryPolicy,
    jitter: float,
) -> Decision:
    """Return the next step from the table.

    A RETRY that the attempts or the deadline do not allow becomes RAISE.
    """
    action = _action(operation, evidence, error)
    if action is not Action.RETRY:
        return Decision(action=action)
    if operation is Operation.AT_COMMUNICATION:
        policy = attrs.evolve(policy, attempts=min(policy.attempts, _MAX_AT_ATTEMPTS))
    wait = _wait_seconds(error, attempt=attempt, policy=policy, jitter=jitter)
    if wait is None or wait >= seconds_left:
        return Decision(action=Action.RAISE)
    return Decision(action=Action.RETRY, after_seconds=wait)


def _action(
    operation: Operation, evidence: Evidence, error: errors.InvoiceXpressError | None
) -> Action:
    if evidence is Evidence.UNKNOWN:
        return _action_on_unknown(operation, error)
    if evidence is Evidence.REFUSED:
        return _action_on_refused(operation, error)
    return _PLAIN_ACTIONS[evidence]


_PLAIN_ACTIONS: Final = {
    Evidence.APPLIED: Action.ACCEPT,
    Evidence.NOT_SENT: Action.RETRY,
    Evidence.UNTRUSTED: Action.RAISE,
}


def _action_on_refused(operation: Operation, error: errors.InvoiceXpressError | None) -> Action:
    if isinstance(error, errors.RateLimitedError):
        return Action.RAISE if operation in _NEVER_RETRIED else Action.RETRY
    is_registered = isinstance(error, errors.SequenceAlreadyRegisteredError)
    return Action.READ_ONCE if is_registered and operation in _RECONCILED else Action.RAISE


def _action_on_unknown(operation: Operation, error: errors.InvoiceXpressError | None) -> Action:
    if operation in _READS:
        # An HTML page would come again; any other failure may pass.
        is_page = isinstance(error, errors.MalformedResponseError) and error.is_html
        is_passing = isinstance(
            error, errors.MalformedResponseError | errors.ServerError | errors.TransportError
        )
        return Action.RETRY if is_passing and not is_page else Action.RAISE
    if operation in _NOT_RECONCILABLE:
        is_repeatable = operation is Operation.AT_COMMUNICATION and isinstance(
            error, errors.ServerError
        )
        return Action.RETRY if is_repeatable else Action.RAISE
    if isinstance(error, errors.SequenceBeingRegisteredError) or not is_refusal(error):
        return Action.READ
    # A register that the tax authority refuses leaves no row behind: the row existed before.
    is_settled = operation is Operation.REGISTER and isinstance(error, _OF_THE_TAX_AUTHORITY)
    return Action.RAISE if is_settled else Action.READ_ONCE


def _wait_seconds(
    error: errors.InvoiceXpressError | None, *, attempt: int, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return the wait before the next attempt, or None when no further attempt is allowed."""
    is_limited = isinstance(error, errors.RateLimitedError)
    if attempt >= (_MAX_LIMITED_ATTEMPTS if is_limited else policy.attempts):
        return None
    requested = error.retry_after_seconds if isinstance(error, errors.StatusError) else None
    if requested is not None:
        is_too_long = requested > _MAX_RETRY_AFTER_SECONDS
        return None if is_too_long else max(requested, _MIN_RETRY_AFTER_SECONDS)
    if is_limited:
        return _BARE_LIMIT_SECONDS[min(attempt, len(_BARE_LIMIT_SECONDS)) - 1]
    return policy.back_off_seconds(attempt, jitter)


def pause_seconds(error: errors.RateLimitedError) -> float:
    """Return how long the whole account waits after a 429 that is not retried."""
    requested = error.retry_after_seconds
    if requested is None:
        return _BARE_LIMIT_SECONDS[0]
    return min(max(requested, _MIN_RETRY_AFTER_SECONDS), _MAX_RETRY_AFTER_SECONDS)


def parse_retry_after(text: str | None, *, wall_seconds: float) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date against `wall_seconds` of the epoch.

    This header was never seen from this API; a text in neither form counts as absent.
    """
    if text is None:
        return None
    text = text.strip()
    if _PLAIN_NUMBER.fullmatch(text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:  # the old form of asctime names no zone: any HTTP date is UTC
            date = date.replace(tzinfo=dt.UTC)
        seconds = date.timestamp() - wall_seconds
    except (ValueError, OverflowError, OSError):
        return None
    return seconds if math.isfinite(seconds) else None
