"""One call under one deadline: limiter, attempt, evidence, decision, back-off."""

import asyncio
import functools
import itertools
import logging
import random
import time
from collections.abc import Coroutine
from typing import Final, TypeVar, cast

from invoicexpress_async.call.claims import MAX_SECONDS_BEFORE_SEND, OpenClaim
from invoicexpress_async.call.context import AccountContext, AttemptResult, Call, Lifecycle
from invoicexpress_async.call.instrumentation import EventHook, Instrumentation
from invoicexpress_async.call.keys import RefusedCredentials
from invoicexpress_async.call.limiter import AccountLimiter, RateLimit
from invoicexpress_async.call.realm import Realm
from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvoiceXpressError,
    RateLimitedError,
    SessionClosedError,
    TransportError,
    UntrustedConnectionError,
)
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.decision import (
    Action,
    Evidence,
    Operation,
    classify,
    decide,
    pause_seconds,
)
from invoicexpress_async.protocol.exchange import Request, decipher
from invoicexpress_async.transport import Attempt, Transport

T = TypeVar("T")
_LOGGER: Final = logging.getLogger("invoicexpress_async")


class Dispatcher:
    """Executes calls over one transport."""

    def __init__(  # noqa: PLR0913  # its parts, each used by name
        self,
        *,
        transport: Transport,
        realm: Realm,
        rate_limit: RateLimit | None,
        clock: Clock,
        lifecycle: Lifecycle,
        on_event: EventHook | None,
    ) -> None:
        self.clock = clock
        self.instrumentation: Instrumentation = Instrumentation(on_event, clock)
        self.realm: Realm = realm
        self.refused_credentials: RefusedCredentials = RefusedCredentials()
        self._lifecycle = lifecycle
        self._transport = transport
        self._rate_limit = rate_limit
        self._has_hook = on_event is not None
        self._random = random.Random()  # noqa: S311  # jitter, not cryptography

    async def run(self, call: Call, work: Coroutine[object, object, T]) -> T:
        """Await `work` under the call's deadline.

        Raises:
            DeadlineExceededError: the deadline passed and no outcome is unknown.
            OutcomeUnknownError: the deadline passed after a send whose outcome is unknown.
            SessionClosedError: the manager is closed, or was closed meanwhile.
        """
        try:
            self._lifecycle.check()
        except SessionClosedError:
            work.close()
            raise
        total = call.timeout_seconds or call.context.total_seconds
        started = self.clock.now()
        call.deadline = started + total
        call.clock_gap = self.clock.uptime() - started
        call.is_watched = self._has_hook or _LOGGER.isEnabledFor(logging.INFO)
        scope = self.clock.timeout(total)
        call.request_id = self._lifecycle.enter(scope)
        failure: BaseException | None = None
        try:
            async with scope:
                return await work
        except InvoiceXpressError as error:
            failure = call.attach_context(error)
            raise
        except TimeoutError as error:
            if not scope.expired():
                failure = error  # raised by a key callable
                raise
            failure = call.expired(is_closed=self._lifecycle.is_aborting)
        except asyncio.CancelledError as error:
            failure = error
            self._keep_applied(call)
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            self._lifecycle.leave(scope, failure)
            if call.is_watched:
                self.instrumentation.call_ended(call, started, failure)
        # Raised here, without a context; pyright does not infer that it is an InvoiceXpressError.
        raise cast("InvoiceXpressError", failure)  # type: ignore[redundant-cast]

    async def send(self, call: Call, request: Request[T]) -> AttemptResult[T]:
        """Send a request, and again where the decision table allows it; return the final result."""
        self.realm.retry_budget.deposit()
        for number in itertools.count(1):
            outcome = await self._attempt(call, request)
            if outcome.evidence is Evidence.APPLIED:
                outcome.action = Action.ACCEPT
                return outcome
            decision = decide(
                request.operation,
                outcome.evidence,
                outcome.error,
                attempt=number,
                seconds_left=call.deadline - self.clock.now(),
                policy=call.context.policy,
                jitter=self._random.random(),
            )
            if await self._has_new_key(call, outcome.error):
                continue
            is_retry = decision.action is Action.RETRY
            if not is_retry or call.refusal is not None or not self.realm.retry_budget.withdraw():
                outcome.action = Action.RAISE if is_retry else decision.action
                if isinstance(outcome.error, RateLimitedError):
                    # The whole account waits, also when the caller gets the error.
                    self._slow_down(call, pause_seconds(outcome.error))
                return outcome
            await self._wait(call, decision.after_seconds, outcome.error)
        raise AssertionError("count() does not end")

    async def fetch(self, call: Call, request: Request[T]) -> T:
        """Send a request that needs no look-up afterwards; return its value or raise its error."""
        return (await self.send(call, request)).result()

    async def begin(self, call: Call, intent: Intent) -> Intent | None:
        """Make an intent durable, before the first byte of its request may leave.

        Returns the intent of another sender that has the right to send the same request: then
        nothing is sent, and that intent is looked up. None if this call must send and `settle` it.
        """
        claims = call.context.claims
        # Read before the claim: a process may be frozen between the commit and its return.
        since = self.clock.uptime()
        intent = {**intent, "sent_at": time.time()}  # it may have waited for others
        if claims is not None:
            call.is_claiming = True
            other = await claims.claim(intent)
            call.is_claiming = False
            if other is not None:
                await call.persist_intent(other)
                return other
        if claims is not None or call.on_intent is not None:
            call.claim = OpenClaim(intent=intent, since=since, had_changed=call.has_changed)
            call.has_changed = False
        try:
            await call.persist_intent(intent)
        except BaseException:
            self.settle(call)
            raise
        call.intent = intent
        return None

    def resolve(self, call: Call) -> None:
        """Note that the outcome of the call's intent is known."""
        if call.intent is not None:
            self.realm.unresolved.discard(call.intent)
        call.intent, call.is_unknown = None, False

    def settle(self, call: Call) -> None:
        """End the claim of the call; keep the call's intent as unresolved, or remove it."""
        claim, call.claim = call.claim, None
        if claim is not None:
            end = claim.end_of(is_unknown=call.is_unknown, has_changed=call.has_changed)
            call.has_changed |= claim.had_changed
            if call.context.claims is not None:
                call.context.claims.end(claim.intent, end)
        if call.is_unknown:
            self._track_unresolved(call)
        else:
            if (
                call.has_changed
                and call.intent is not None
                and call.intent["operation"] == "create"
            ):
                call.applied = call.intent
            self.resolve(call)

    def _keep_applied(self, call: Call) -> None:
        """Keep a create on record whose caller is cancelled before it has the sequence."""
        worker = call.active
        if worker.applied is not None and (call.leader is None or not worker.is_wanted):
            self.realm.unresolved.add(worker.applied)

    def forget(self, context: AccountContext, intent: Intent) -> None:
        """Treat an intent as lost: its request may be sent again."""
        self.realm.unresolved.forget(intent)
        if context.claims is not None:
            context.claims.forget(intent)

    def observe(self, call: Call, intent: Intent) -> None:
        """Note that the result of an intent exists, whichever process sent it."""
        self.realm.unresolved.discard(intent)
        if call.context.claims is not None:
            call.context.claims.observe(intent)

    def _track_unresolved(self, call: Call) -> None:
        """Record the call's intent as unresolved, from the send until its outcome is known."""
        if call.intent is None:
            return
        if call.is_unknown:
            self.realm.unresolved.add(call.intent)
        else:
            self.realm.unresolved.discard(call.intent)

    async def _attempt(self, call: Call, request: Request[T]) -> AttemptResult[T]:
        was_unknown = call.is_unknown
        attempt = await self._exchange(call, request)
        value: T | None = None
        error: InvoiceXpressError | None = None
        if call.refusal is not None:
            # A frame of the traceback contains the request line, and so the key.
            error = call.refusal.with_traceback(None)
        elif attempt.response is None:
            error = _no_response(attempt, call.context)
        else:
            try:
                value = decipher(request, attempt.response, wall_seconds=time.time())
            except InvoiceXpressError as refusal:
                error = refusal
        # The response has the requested content; only other results need the table.
        evidence = Evidence.APPLIED
        if error is not None or not attempt.is_sent:
            evidence = classify(
                request.operation,
                error,
                is_sent=attempt.is_sent,
                is_untrusted=attempt.is_untrusted,
            )
        if request.operation.has_effect:
            # Repeating a request does not settle an earlier one whose outcome is unknown.
            is_open = was_unknown and evidence is not Evidence.APPLIED
            call.is_unknown = is_open or evidence is Evidence.UNKNOWN
            if evidence is Evidence.APPLIED:
                call.has_changed = True
                if call.claim is not None:
                    call.claim.is_accepted = True
            self._track_unresolved(call)
        if call.is_watched:
            status = attempt.response.status if attempt.response else None
            self.instrumentation.attempt_ended(call, request.operation, evidence, status, error)
        return AttemptResult(evidence=evidence, value=value, error=error)

    async def _exchange(self, call: Call, request: Request[T]) -> Attempt:
        keys = call.context.keys
        key = call.key = keys.known or await keys.get()
        limiter = self._limiter(call)
        attempt = Attempt(on_sent=functools.partial(self._begin_unknown, call, request.operation))
        requested_at = self.clock.now()
        if not limiter.acquire_at_once():
            call.limiter, call.limited_at = limiter, requested_at
            await limiter.acquire()
            call.limiter = None
        if call.is_watched:
            self.instrumentation.attempt_started(call, request.operation, requested_at)
        try:
            self._check_in_time(call)
            await self._transport.attempt(call.context.address, request, key, attempt)
        finally:
            call.attempts += attempt.is_begun
            (limiter.release if attempt.is_begun else limiter.release_unused)()
        return attempt

    def _limiter(self, call: Call) -> AccountLimiter:
        return self.realm.limiters.of(call.context.account, self._rate_limit)

    async def _has_new_key(self, call: Call, error: InvoiceXpressError | None) -> bool:
        """After a 401, which comes before any effect, return whether there is another key now."""
        if not isinstance(error, AuthenticationError) or call.key is None or call.has_renewed:
            return False
        call.has_renewed = True
        return await call.context.keys.renew(call.key)

    def _begin_unknown(self, call: Call, operation: Operation) -> None:
        """Mark the outcome as unknown: from the first byte until a response is deciphered.

        If this raises, no byte is sent: the right to send may be lost, or too old.
        """
        claims, claim = call.context.claims, call.claim if operation.has_effect else None
        try:
            if claims is not None:
                claims.check_right()
            if claim is not None:
                _check_not_late(self.clock.uptime() - claim.since)
                claim.is_sent = True
            elif operation.has_effect and self.clock.uptime() - call.clock_gap >= call.deadline:
                # The machine slept: what the call has read is old, and others may have acted on it.
                raise call.expired(is_closed=False)
        except InvoiceXpressError as error:
            call.refusal = error
            raise
        if operation.has_effect:
            if claim is None and call.intent is not None:  # no caller has it yet
                call.intent = {**call.intent, "sent_at": time.time()}
            call.is_unknown = True
            self._track_unresolved(call)

    def _check_in_time(self, call: Call) -> None:
        # A key callable may have swallowed the cancellation that the deadline or close() sent.
        is_closed = self._lifecycle.is_aborting
        if is_closed or self.clock.now() >= call.deadline:
            raise call.expired(is_closed=is_closed)

    def _slow_down(self, call: Call, seconds: float) -> None:
        self._limiter(call).pause(seconds)
        self.instrumentation.account_slowed(call, seconds)

    async def _wait(self, call: Call, seconds: float, error: InvoiceXpressError | None) -> None:
        self.instrumentation.retry_scheduled(call, seconds, error)
        if isinstance(error, RateLimitedError):
            # The whole account waits, in the limiter's queue.
            self._slow_down(call, seconds)
        else:
            await self.clock.sleep(seconds)


def _no_response(attempt: Attempt, context: AccountContext) -> InvoiceXpressError:
    text = f"No response from {context.address.origin}: {attempt.failure}."
    if attempt.is_sent:
        return TransportError(text)
    return (UntrustedConnectionError if attempt.is_untrusted else ConnectionFailedError)(text)


def _check_not_late(waited: float) -> None:
    if waited > MAX_SECONDS_BEFORE_SEND:
        raise DeadlineExceededError(
            f"It was not sent: {waited:.0f} seconds had passed since its intent was written, in "
            "which others may have looked it up."
        )
