"""One call: its account, its deadline, its result, and when calls are accepted."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypedDict, TypeVar

import attrs

from invoicexpress_async.call.claims import Claims, OpenClaim
from invoicexpress_async.call.keys import KeySource
from invoicexpress_async.call.limiter import AccountLimiter
from invoicexpress_async.clock import Clock
from invoicexpress_async.config import Secret, check_callable, check_seconds
from invoicexpress_async.errors import (
    DeadlineExceededError,
    InvoiceXpressError,
    OutcomeUnknownError,
    SessionClosedError,
)
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.protocol.decision import Action, Evidence, RetryPolicy
from invoicexpress_async.transport.attempt import Address

T = TypeVar("T")

IntentHook: TypeAlias = Callable[[Intent], Awaitable[None]]
"""Awaited with an intent before its first byte is sent, to store it where it survives a crash.

If the hook raises, the request is not sent, and the call raises the same error; nor is it sent if
over a minute has passed since, when others may have looked the intent up. The hook is also
awaited with an intent that an earlier call left unresolved, before that intent is looked up.
"""
ListCheck: TypeAlias = Callable[[tuple[Sequence, ...]], None]


@attrs.frozen(kw_only=True)
class AccountContext:
    """The account of a call: its address, its keys and its options."""

    address: Address
    keys: KeySource
    total_seconds: float
    policy: RetryPolicy
    owner: object = attrs.field(default=None, eq=False, repr=False)
    """The manager; this reference keeps it alive as long as a handle exists."""
    claims: Claims | None = attrs.field(default=None, eq=False, repr=False)
    """Claims intents before they are sent; None when this process is the only sender."""
    check_list: ListCheck | None = attrs.field(default=None, eq=False, repr=False)
    """Called by `ensure` with the account's sequences; if it raises, nothing is changed."""

    @property
    def account(self) -> str:
        """The account's name."""
        return self.address.account

    def call(
        self,
        operation: str,
        subject: str | None,
        timeout_seconds: float | None,
        on_intent: IntentHook | None = None,
    ) -> "Call":
        """Return a call on the account; refuse a timeout or hook that cannot be."""
        if timeout_seconds is not None:
            check_seconds("timeout_seconds", timeout_seconds)
        check_callable("on_intent", on_intent)
        return Call(
            context=self,
            operation=operation,
            subject=subject,
            timeout_seconds=timeout_seconds,
            on_intent=on_intent,
        )

    def with_options(
        self,
        total_seconds: float | None = None,
        policy: RetryPolicy | None = None,
        claims: Claims | None = None,
        check_list: ListCheck | None = None,
    ) -> "AccountContext":
        """Return a copy with another deadline, policy, claims or check; None means no change."""
        # Built by hand: `attrs.evolve` is expensive, and a bulk job does this for each row.
        return AccountContext(
            address=self.address,
            keys=self.keys,
            total_seconds=total_seconds or self.total_seconds,
            policy=policy or self.policy,
            owner=self.owner,
            claims=claims or self.claims,
            check_list=check_list or self.check_list,
        )


@attrs.define(kw_only=True)
class Call:
    """One call by the user: its deadline, and the state of its requests.

    Attributes:
        deadline: The deadline on the monotonic clock; infinite until `Dispatcher.run` starts it.
        clock_gap: How far the clock that counts the time of a suspended machine was ahead of the
            monotonic clock when the call began.
        attempts: The number of requests begun.
        is_unknown: Whether a request with an effect may have reached the server and its outcome
            is unknown.
        has_changed: Whether a request of the call is known to have changed something.
        intent: The intent to resume if the outcome of the call stays unknown.
        claim: The claim on this intent, until it is settled.
        is_claiming: Whether the call waits for the journal to record the claim.
        refusal: Why the call may send nothing more, if its right to send is lost or too old.
        on_intent: Awaited with the intent before its first byte leaves; if it raises, nothing is
            sent.
        applied: The intent of a create that is known to be applied, until a caller has the
            sequence.
        leader: The call that does the work, when this call only waits for the result.
        is_wanted: Whether any other call still waits for the result of this call.
        request_id: The id in the call's events, log lines and errors.
        is_watched: Whether a hook or the log receives the call's events.
        key: The key of the last attempt.
        has_renewed: Whether the key was requested again, after a 401.
        attempt_started: When the last attempt began, if the call is watched.
        limiter: The limiter, while the call waits for a slot of its account.
        limited_at: When this wait began.
    """

    context: AccountContext
    operation: str
    subject: str | None = None
    timeout_seconds: float | None = None
    deadline: float = float("inf")
    clock_gap: float = 0.0
    attempts: int = 0
    is_unknown: bool = False
    has_changed: bool = False
    intent: Intent | None = None
    claim: OpenClaim | None = None
    is_claiming: bool = False
    refusal: InvoiceXpressError | None = None
    on_intent: IntentHook | None = None
    applied: Intent | None = None
    leader: "Call | None" = None
    is_wanted: bool = True
    request_id: str = ""
    is_watched: bool = False
    key: Secret | None = attrs.field(default=None, repr=False)
    has_renewed: bool = False
    attempt_started: float = 0.0
    limiter: AccountLimiter | None = None
    limited_at: float = 0.0

    @property
    def active(self) -> "Call":
        """The call that does the work: this call, unless it follows another call."""
        return self.leader or self

    def for_leader(self) -> "Call":
        """Return a new call that does the work for this call and for others that wait."""
        # Built by hand, because `attrs.evolve` is expensive.
        return Call(
            context=self.context,
            operation=self.operation,
            subject=self.subject,
            timeout_seconds=self.timeout_seconds,
            deadline=self.deadline,
            clock_gap=self.clock_gap,
            on_intent=self.on_intent,
            request_id=self.request_id,
            is_watched=self.is_watched,
        )

    def attach_context(self, error: InvoiceXpressError) -> InvoiceXpressError:
        """Write the details of the call into the error, and return the error."""
        error.operation = self.operation
        error.subject = self.subject
        error.account = self.context.account
        error.attempts = self.active.attempts
        error.request_id = self.request_id
        error.may_have_been_processed |= self.active.is_unknown or self.active.has_changed
        return error

    async def persist_intent(self, intent: Intent) -> None:
        """Let the caller store the intent, before its request is sent or looked up."""
        if self.on_intent is not None:
            await self.on_intent(intent)

    def unknown_error(self, why: str, *, was_absent: bool = False) -> OutcomeUnknownError:
        """Return the error for a call whose outcome is unknown."""
        return OutcomeUnknownError(f"Sent once; {why}.", intent=self.intent, was_absent=was_absent)

    def expired(self, *, is_closed: bool) -> InvoiceXpressError:
        """Return the error for a deadline that has passed, or a manager that was closed."""
        waited = "" if is_closed else self._limited_text()
        if self.active.is_unknown and self.active.intent is not None:
            end = "manager was closed" if is_closed else "deadline came"
            why = f"the {end} before its outcome was known{waited}"
            return self.attach_context(self.active.unknown_error(why))
        if is_closed:
            return self.attach_context(
                SessionClosedError("The manager was closed during the call.")
            )
        text = f"The deadline of the call has passed{waited}"
        if self.active.is_claiming:
            text += " before its intent was in the journal, and nothing of that was sent"
        if self.active.has_changed:
            text += "; what it had sent by then has taken effect"
        return self.attach_context(DeadlineExceededError(f"{text}."))

    def _limited_text(self) -> str:
        """Return how long the call had waited for the limit of its account, if it was waiting."""
        limiter, seconds = self.active.limiter, self.deadline - self.active.limited_at
        return "" if limiter is None else f", after {seconds:.1f} s for {limiter.wait_reason()}"


@attrs.define(kw_only=True)
class AttemptResult(Generic[T]):
    """How a request ended: `error` is None exactly when `value` is the requested result."""

    evidence: Evidence
    action: Action = Action.RAISE
    value: T | None = None
    error: InvoiceXpressError | None = None

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # without an error it is the response, which may be None


class CallCounters(TypedDict):
    """How calls have ended.

    Attributes:
        seconds_since_success: Seconds since a call succeeded; None when none has yet.
        errors: The number of calls that have raised each error class.
        seconds_since_error: Seconds since each error class was raised.
    """

    seconds_since_success: float | None
    errors: dict[str, int]
    seconds_since_error: dict[str, float]


class Lifecycle:
    """Accepts calls while the manager is open, and ends them in bounded time when it closes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._prefix = f"{os.getpid():x}-{id(self) >> 4 & 0xFFFF:x}"
        self._numbers = itertools.count(1)
        self._last_success: float | None = None
        self._errors: dict[str, tuple[int, float]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._scopes: set[asyncio.Timeout] = set()
        self._drained: asyncio.Future[None] | None = None
        self.is_closing: bool = False
        self.is_aborting: bool = False

    @property
    def in_flight(self) -> int:
        """The number of calls under way."""
        return len(self._scopes)

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the process that the manager belongs to."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Refuse a call after the closing, and a call of another event loop or process."""
        if self.is_closing:
            raise SessionClosedError("The SessionManager is closed.")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self.is_forked:
            raise SessionClosedError("The SessionManager belongs to the process before fork().")
        if self._loop is not loop:
            raise SessionClosedError("The SessionManager belongs to another event loop.")

    def enter(self, scope: asyncio.Timeout) -> str:
        """Note a call by the scope of its deadline; return its id, unique in this process."""
        self._scopes.add(scope)
        return f"{self._prefix}-{next(self._numbers):x}"

    def leave(self, scope: asyncio.Timeout, failure: BaseException | None) -> None:
        """Note that a call has ended, and count its success or error."""
        now = self._clock.now()
        if failure is None:
            self._last_success = now
        else:
            name = type(failure).__name__
            count, _ = self._errors.get(name, (0, 0.0))
            self._errors[name] = count + 1, now
        self._scopes.discard(scope)
        if not self._scopes and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def counters(self) -> CallCounters:
        """Return the counters of ended calls."""
        now = self._clock.now()
        last = self._last_success
        return CallCounters(
            seconds_since_success=None if last is None else now - last,
            errors={name: count for name, (count, _) in self._errors.items()},
            seconds_since_error={name: now - when for name, (_, when) in self._errors.items()},
        )

    async def drain(self, grace_seconds: float) -> None:
        """Accept no new call, give the calls in flight `grace_seconds`, then end them."""
        self.is_closing = True
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            # The calls' sockets died with their event loop; awaiting them here would never end.
            self._scopes.clear()
        if self._scopes:
            await self._wait(grace_seconds)
        self.is_aborting = True
        for scope in self._scopes:
            with contextlib.suppress(RuntimeError):  # the deadline has fired; the call is unwinding
                scope.reschedule(asyncio.get_running_loop().time())
        if self._scopes:
            # An ended call only has to unwind; a user's callable that ignores its cancellation
            # must not block the shutdown for ever.
            await self._wait(1.0)

    async def _wait(self, seconds: float) -> None:
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._drained], timeout=seconds)
