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

If it raises, the request is not sent, and the call raises the same. It is also given an
intent that an earlier call of this process left unresolved, before that one is looked up.
"""
ListCheck: TypeAlias = Callable[[tuple[Sequence, ...]], None]


@attrs.frozen(kw_only=True)
class AccountContext:
    """An account as a call sees it."""

    address: Address
    keys: KeySource
    total_seconds: float
    policy: RetryPolicy
    owner: object = attrs.field(default=None, eq=False, repr=False)
    """The manager, which a handle keeps alive."""
    claims: Claims | None = attrs.field(default=None, eq=False, repr=False)
    """Where intents are claimed before they are sent; None when this process is the only sender."""
    check_list: ListCheck | None = attrs.field(default=None, eq=False, repr=False)
    """Called by `ensure` with what the account has; if it raises, nothing is changed."""

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
        """Return the same with another deadline, policy, claims or check; what is None stays."""
        # By hand: `attrs.evolve` is expensive, and a bulk job does this for each row.
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
    """One call of the user's: its budget, and what it has done so far.

    Attributes:
        deadline: On the monotonic clock; infinite until `Dispatcher.run` starts it.
        attempts: The requests begun.
        is_unknown: Whether a request with an effect may have reached the server and its outcome
            is not known.
        has_changed: Whether a request of it is known to have changed something.
        intent: What can be resumed if the outcome of the call stays unknown.
        claim: The right to send it, until that is settled.
        is_claiming: Whether it waits for the journal to have that right.
        refusal: Why nothing more of it may be sent, if its right to send is lost or too old.
        on_intent: Awaited with the intent before its first byte leaves; if it raises, nothing is
            sent.
        applied: The intent of a create that is known to have been applied, until a caller has the
            sequence.
        leader: The call that does the work, when this one only waits for it.
        is_wanted: Whether any call still waits for this one, which does their work.
        request_id: What events, log lines and errors of it carry.
        is_watched: Whether a hook or the log takes its events.
        key: What its last attempt was made with.
        has_renewed: Whether the key was requested again, after a 401.
        attempt_started: When its last attempt began, if it is watched.
    """

    context: AccountContext
    operation: str
    subject: str | None = None
    timeout_seconds: float | None = None
    deadline: float = float("inf")
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

    @property
    def active(self) -> "Call":
        """The call that does the work: this one, unless it follows another."""
        return self.leader or self

    def for_leader(self) -> "Call":
        """Return a new call that does the work for this one and for others that wait."""
        # By hand: `attrs.evolve` is expensive.
        return Call(
            context=self.context,
            operation=self.operation,
            subject=self.subject,
            timeout_seconds=self.timeout_seconds,
            deadline=self.deadline,
            on_intent=self.on_intent,
            request_id=self.request_id,
            is_watched=self.is_watched,
        )

    def attach_context(self, error: InvoiceXpressError) -> InvoiceXpressError:
        """Write into the error which call it belongs to."""
        error.operation = self.operation
        error.subject = self.subject
        error.account = self.context.account
        error.attempts = self.active.attempts
        error.request_id = self.request_id
        error.may_have_been_processed |= self.active.is_unknown or self.active.has_changed
        return error

    async def persist_intent(self, intent: Intent) -> None:
        """Let the caller store the intent, before anything of it is sent or looked up."""
        if self.on_intent is not None:
            await self.on_intent(intent)

    def unknown_error(self, why: str) -> OutcomeUnknownError:
        """Return the error for a call whose outcome is unknown."""
        return OutcomeUnknownError(f"Sent once; {why}.", intent=self.intent)

    def expired(self, *, is_closed: bool) -> InvoiceXpressError:
        """Return the error for a deadline that has passed, or a manager that was closed."""
        if self.active.is_unknown and self.active.intent is not None:
            end = "manager was closed" if is_closed else "deadline came"
            why = f"the {end} before its outcome was known"
            return self.attach_context(self.active.unknown_error(why))
        if is_closed:
            return self.attach_context(
                SessionClosedError("The manager was closed during the call.")
            )
        text = "The deadline of the call has passed"
        if self.active.is_claiming:
            text += " before its intent was in the journal, and nothing of that was sent"
        if self.active.has_changed:
            text += "; what it had sent by then has taken effect"
        return self.attach_context(DeadlineExceededError(f"{text}."))


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
        seconds_since_success: None when there was none yet.
        errors: How many calls have raised each class.
        seconds_since_error: Of each class.
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
        """The calls under way."""
        return len(self._scopes)

    @property
    def is_forked(self) -> bool:
        """Whether this process is a child of the one that it belongs to."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Refuse a call once it is closed, and one of another event loop or process."""
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
        """Note a call by the scope of its deadline; return its id, the only one in this process."""
        self._scopes.add(scope)
        return f"{self._prefix}-{next(self._numbers):x}"

    def leave(self, scope: asyncio.Timeout, failure: BaseException | None) -> None:
        """Count that a call has ended, and how."""
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
        """Return how calls have ended."""
        now = self._clock.now()
        last = self._last_success
        return CallCounters(
            seconds_since_success=None if last is None else now - last,
            errors={name: count for name, (count, _) in self._errors.items()},
            seconds_since_error={name: now - when for name, (_, when) in self._errors.items()},
        )

    async def drain(self, grace_seconds: float) -> None:
        """Accept no new call, give those in flight `grace_seconds`, then end them."""
        self.is_closing = True
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            # Its sockets died with its loop; awaiting them here would never end.
            self._scopes.clear()
        if self._scopes:
            await self._wait(grace_seconds)
        self.is_aborting = True
        for scope in self._scopes:
            with contextlib.suppress(RuntimeError):  # its deadline has fired, and it is unwinding
                scope.reschedule(asyncio.get_running_loop().time())
        if self._scopes:
            # An ended call only has to unwind; a user's callable that ignores cancellation must
            # not block the shutdown for ever.
            await self._wait(1.0)

    async def _wait(self, seconds: float) -> None:
        if self._drained is None or self._drained.done():
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._drained], timeout=seconds)
