"""One call of the user's: whose it is, what it has done so far, and how a request of it ended."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs

from invoicexpress_async.call.claims import Claims, OpenClaim
from invoicexpress_async.call.keys import KeySource
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import (
    DeadlineExceededError,
    InvoiceXpressError,
    OutcomeUnknownError,
    SessionClosedError,
)
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.decision import Action, Evidence, RetryPolicy
from invoicexpress_async.transport.address import Address

T = TypeVar("T")


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

    @property
    def account(self) -> str:
        """The account's name."""
        return self.address.account

    def with_options(
        self, total_seconds: float | None, policy: RetryPolicy | None
    ) -> "AccountContext":
        """Return the same with another deadline or policy; what is None stays."""
        # By hand: `attrs.evolve` is expensive, and a bulk job does this for each row.
        return AccountContext(
            address=self.address,
            keys=self.keys,
            total_seconds=total_seconds or self.total_seconds,
            policy=policy or self.policy,
            owner=self.owner,
            claims=self.claims,
        )


@attrs.define(kw_only=True)
class Call:
    """One call of the user's: its budget, and what it has done so far.

    Attributes:
        deadline: On the monotonic clock; None until `Dispatcher.run` starts it.
        attempts: The requests begun.
        is_unknown: Whether a request with an effect may have reached the server and its outcome
            is not known.
        has_changed: Whether a request of it is known to have changed something.
        intent: What can be resumed if the outcome of the call stays unknown.
        claim: The right to send it, until that is settled.
        refusal: Why no byte of its last attempt could be sent, when its right to send was gone.
        on_intent: Awaited with the intent before its first byte leaves; what it raises keeps it
            from being sent.
        leader: The call that does the work, when this one only waits for it.
        request_id: What events, log lines and errors of it carry.
        key: What its last attempt was made with.
        has_renewed: Whether the key was requested again, after a 401.
        attempt_started: When its last attempt was, if anybody wants to know.
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
    refusal: InvoiceXpressError | None = None
    on_intent: Callable[[Intent], Awaitable[None]] | None = None
    leader: "Call | None" = None
    request_id: str = ""
    key: Secret | None = attrs.field(default=None, repr=False)
    has_renewed: bool = False
    attempt_started: float = 0.0

    @property
    def active(self) -> "Call":
        """The call that does the work: this one, unless it follows another."""
        return self.leader or self

    def for_leader(self) -> "Call":
        """Return the call that does the work for this one and others, with what this one has."""
        # By hand: `attrs.evolve` is expensive.
        return Call(
            context=self.context,
            operation=self.operation,
            subject=self.subject,
            timeout_seconds=self.timeout_seconds,
            deadline=self.deadline,
            on_intent=self.on_intent,
            request_id=self.request_id,
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
