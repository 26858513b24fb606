"""One call under one deadline: limiter, attempt, evidence, decision, back-off."""

import functools
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Generic, TypeVar

import attrs

from invoicexpress_async._address import Address
from invoicexpress_async._clock import Clock
from invoicexpress_async._credentials import KeySource
from invoicexpress_async._keyed_lock import KeyedLock
from invoicexpress_async._life import LifeGuard
from invoicexpress_async._refused import RefusalMemory
from invoicexpress_async._transport import Attempt, Transport
from invoicexpress_async._wire import Request, decipher
from invoicexpress_async.errors import (
    ConnectionFailedError,
    DeadlineExceededError,
    InvoiceXpressError,
    OutcomeUnknownError,
    RateLimitedError,
    SessionClosedError,
    TransportError,
)
from invoicexpress_async.models import Intent
from invoicexpress_async.ratelimit import LimiterRegistry
from invoicexpress_async.retry import (
    Action,
    Evidence,
    Operation,
    RetryPolicy,
    RetryQuota,
    classify,
    decide,
    pause_seconds,
)

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Link:
    """An account as a call sees it."""

    address: Address
    keys: KeySource
    total_seconds: float
    policy: RetryPolicy
    owner: object = attrs.field(default=None, eq=False, repr=False)
    """The manager, which a handle keeps alive."""

    @property
    def account(self) -> str:
        """The account's name."""
        return self.address.account


@attrs.define(kw_only=True)
class Call:
    """One call of the user's: its budget, and what it has done so far.

    Attributes:
        deadline: On the monotonic clock; None until `Dispatcher.run` starts it.
        attempts: The requests begun.
        is_in_doubt: Whether a request with an effect may have reached the server and its outcome
            is not known.
        has_changed: Whether a request of it is known to have changed something.
        intent: What can be resumed if the call ends in doubt.
        on_intent: Awaited with the intent before its first byte leaves; what it raises keeps it
            from being sent.
        leader: The call that does the work, when this one only waits for it.
    """

    link: Link
    operation: str
    subject: str | None = None
    timeout_seconds: float | None = None
    deadline: float = float("inf")
    attempts: int = 0
    is_in_doubt: bool = False
    has_changed: bool = False
    intent: Intent | None = None
    on_intent: Callable[[Intent], Awaitable[None]] | None = None
    leader: "Call | None" = None

    @property
    def doing(self) -> "Call":
        """The call that does the work: this one, unless it follows another."""
        return self.leader or self

    def sign(self, error: InvoiceXpressError) -> InvoiceXpressError:
        """Write into the error which call it belongs to."""
        error.operation = self.operation
        error.subject = self.subject
        error.account = self.link.account
        error.attempts = self.doing.attempts
        error.may_have_been_processed |= self.doing.is_in_doubt or self.doing.has_changed
        return error

    async def announce(self, intent: Intent) -> None:
        """Let the caller keep the intent, before anything of it is sent or read for."""
        if self.on_intent is not None:
            await self.on_intent(intent)

    def outcome_unknown(self, why: str) -> OutcomeUnknownError:
        """Return the error for a call that ends in doubt."""
        return OutcomeUnknownError(f"Sent once; {why}.", intent=self.intent)

    def expired(self, *, is_closed: bool) -> InvoiceXpressError:
        """Return the error for a deadline that has passed, or a manager that was closed."""
        if self.doing.is_in_doubt and self.doing.intent is not None:
            end = "manager was closed" if is_closed else "deadline came"
            why = f"the {end} before its outcome was known"
            return self.sign(self.doing.outcome_unknown(why))
        if is_closed:
            return self.sign(SessionClosedError("The manager was closed during the call."))
        return self.sign(DeadlineExceededError("The deadline of the call has passed."))


@attrs.define(kw_only=True)
class Outcome(Generic[T]):
    """How a request ended: `error` is None exactly when `value` is the answer asked for."""

    evidence: Evidence
    action: Action = Action.RAISE
    value: T | None = None
    error: InvoiceXpressError | None = None

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # without an error it is the answer, which may be None


class Dispatcher:
    """Carries calls out over one transport."""

    def __init__(
        self,
        transport: Transport,
        limiters: LimiterRegistry,
        quota: RetryQuota,
        clock: Clock,
        guard: LifeGuard,
    ) -> None:
        self.clock = clock
        self.sending = KeyedLock()
        """Held over each request that is sent at most once, by account and subject."""
        self.refusals = RefusalMemory()
        self._guard = guard
        self._transport = transport
        self._limiters = limiters
        self._quota = quota
        self._random = random.Random()  # noqa: S311  # jitter, not cryptography
        self._unresolved: dict[tuple[object, ...], Intent] = {}

    async def run(self, call: Call, work: Coroutine[object, object, T]) -> T:
        """Await `work` under the call's deadline.

        Raises:
            DeadlineExceededError: the deadline passed and nothing is in doubt.
            OutcomeUnknownError: it passed after a send whose outcome is not known.
            SessionClosedError: the manager is closed, or was closed meanwhile.
        """
        try:
            self._guard.check()
        except SessionClosedError:
            work.close()
            raise
        total = call.timeout_seconds or call.link.total_seconds
        call.deadline = self.clock.now() + total
        scope = self.clock.timeout_at(call.deadline)
        self._guard.enter(scope)
        try:
            async with scope:
                return await work
        except InvoiceXpressError as error:
            call.sign(error)
            raise
        except TimeoutError:
            if not scope.expired():
                raise  # a key callable's own
        finally:
            self._guard.leave(scope)
            if call.doing.is_in_doubt:
                self._note_doubt(call.doing)
        raise call.expired(is_closed=self._guard.is_aborting)

    async def send(self, call: Call, request: Request[T]) -> Outcome[T]:
        """Send, again where the decision table allows it, until it is accepted or decided."""
        self._quota.earn()
        for number in itertools.count(1):
            outcome = await self._attempt(call, request)
            decision = decide(
                request.operation,
                outcome.evidence,
                outcome.error,
                attempt=number,
                seconds_left=call.deadline - self.clock.now(),
                policy=call.link.policy,
                jitter=self._random.random(),
            )
            if decision.action is not Action.RETRY or not self._quota.spend():
                outcome.action = _without_retry(decision.action)
                self._pause(call, outcome.error)
                return outcome
            await self._wait(call, decision.after_seconds, outcome.error)
        raise AssertionError("count() does not end")

    async def fetch(self, call: Call, request: Request[T]) -> T:
        """Send a request that nothing needs to be read for, and return its value or raise."""
        return (await self.send(call, request)).result()

    def unresolved(self) -> tuple[Intent, ...]:
        """Return the intents of this process that are in doubt."""
        return tuple(self._unresolved.values())

    def pending(self, intent: Intent) -> Intent | None:
        """Return the intent of an earlier call in doubt that asked for the same."""
        return self._unresolved.get(_identity(intent))

    def resolve(self, call: Call, intent: Intent | None = None) -> None:
        """Note that the outcome of the call's intent, or of `intent`, is known."""
        known = intent or call.intent
        if known is not None:
            self._unresolved.pop(_identity(known), None)
        call.intent, call.is_in_doubt = None, False

    def forget(self, intent: Intent) -> None:
        """Take what was sent for lost: the caller has decided so."""
        self._unresolved.pop(_identity(intent), None)

    def settle(self, call: Call) -> None:
        """Let go of the call's intent unless its outcome is in doubt."""
        if not call.is_in_doubt:
            self.resolve(call)

    def _note_doubt(self, call: Call) -> None:
        """Keep on record what is in doubt, from the moment of the send until it is known."""
        if call.intent is None:
            return
        if call.is_in_doubt:
            self._unresolved[_identity(call.intent)] = call.intent
        else:
            self._unresolved.pop(_identity(call.intent), None)

    async def _attempt(self, call: Call, request: Request[T]) -> Outcome[T]:
        was_in_doubt = call.is_in_doubt
        attempt = await self._exchange(call, request)
        value: T | None = None
        error: InvoiceXpressError | None = None
        if attempt.answer is None:
            error = _no_answer(attempt, call.link)
        else:
            try:
                value = decipher(request, attempt.answer, wall_seconds=time.time())
            except InvoiceXpressError as refusal:
                error = refusal
        evidence = classify(error, is_sent=attempt.is_sent, is_untrusted=attempt.is_untrusted)
        if request.operation.has_effect:
            # A request that is repeated after an unknown one leaves that one in doubt.
            is_open = was_in_doubt and evidence is not Evidence.APPLIED
            call.is_in_doubt = is_open or evidence is Evidence.UNKNOWN
            call.has_changed |= evidence is Evidence.APPLIED
            self._note_doubt(call)
        return Outcome(evidence=evidence, value=value, error=error)

    async def _exchange(self, call: Call, request: Request[T]) -> Attempt:
        key = await call.link.keys.get()
        limiter = self._limiters.of(call.link.account)
        attempt = Attempt(on_sent=functools.partial(self._begin_doubt, call, request.operation))
        await limiter.acquire()
        try:
            self._check_still_wanted(call)
            await self._transport.attempt(call.link.address, request, key, attempt)
        finally:
            call.attempts += attempt.is_begun
            (limiter.release if attempt.is_begun else limiter.give_back)()
        return attempt

    def _begin_doubt(self, call: Call, operation: Operation) -> None:
        """From the first byte until an answer is deciphered, the outcome is in doubt."""
        if operation.has_effect:
            call.is_in_doubt = True
            self._note_doubt(call)

    def _check_still_wanted(self, call: Call) -> None:
        # A key callable may have swallowed the cancellation that the deadline or close() sent.
        is_closed = self._guard.is_aborting
        if is_closed or self.clock.now() >= call.deadline:
            raise call.expired(is_closed=is_closed)

    def _pause(self, call: Call, error: InvoiceXpressError | None) -> None:
        """Slow the whole account down after a 429 that is told to the caller, too."""
        if isinstance(error, RateLimitedError):
            self._limiters.of(call.link.account).pause(pause_seconds(error))

    async def _wait(self, call: Call, seconds: float, error: InvoiceXpressError | None) -> None:
        if isinstance(error, RateLimitedError):
            # The whole account waits, in the limiter's queue.
            self._limiters.of(call.link.account).pause(seconds)
        else:
            await self.clock.sleep(seconds)


def _without_retry(action: Action) -> Action:
    return Action.RAISE if action is Action.RETRY else action


def _no_answer(attempt: Attempt, link: Link) -> InvoiceXpressError:
    text = f"No answer from {link.address.origin}: {attempt.failure}."
    return TransportError(text) if attempt.is_sent else ConnectionFailedError(text)


def _identity(intent: Intent) -> tuple[object, ...]:
    return (
        intent["account"],
        intent["operation"],
        intent["serie"],
        intent["sequence_id"],
        intent.get("email"),
        intent.get("organization_name"),
        intent.get("fiscal_id"),
    )
