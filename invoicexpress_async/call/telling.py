"""What is told of a call, and when; nothing is made for nobody."""

from typing import Final, TypedDict

from invoicexpress_async.call.context import Call
from invoicexpress_async.call.observer import Observer
from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.events import (
    AccountSlowed,
    AttemptEnded,
    AttemptStarted,
    BecameDefault,
    CallEnded,
    LimiterWaited,
    Reconciled,
    RetryScheduled,
)
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.protocol.decision import Evidence, Operation

# A clock read twice in a row differs too.
_SHORTEST_WAIT_SECONDS: Final = 1e-3


class _About(TypedDict):
    request_id: str
    account: str
    operation: str


class Telling:
    """Makes the events of calls."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants to know of single attempts."""
        return self._observer.is_wanted

    def next_id(self) -> str:
        """Return an id for a call."""
        return self._observer.next_id()

    def attempt_started(self, call: Call, operation: Operation, asked_at: float) -> None:
        """Say that an attempt begins, which had asked the limiter at `asked_at`."""
        call.attempt_started = self._clock.now()
        waited = call.attempt_started - asked_at
        if waited > _SHORTEST_WAIT_SECONDS:
            self._observer.tell(LimiterWaited(**_about(call), seconds=waited))
        self._observer.tell(
            AttemptStarted(**_about(call), attempt=call.attempts + 1, request=operation)
        )

    def attempt_ended(
        self,
        call: Call,
        operation: Operation,
        evidence: Evidence,
        status: int | None,
        error: InvoiceXpressError | None,
    ) -> None:
        """Say how it ended."""
        self._observer.tell(
            AttemptEnded(
                **_about(call),
                attempt=call.attempts,
                request=operation,
                seconds=self._clock.now() - call.attempt_started,
                evidence=evidence,
                status=status,
                error=None if error is None else type(error).__name__,
            )
        )

    def retry_scheduled(self, call: Call, seconds: float, error: InvoiceXpressError | None) -> None:
        """Say that a request is made again."""
        if self._observer.is_wanted:
            name = type(error).__name__
            self._observer.tell(RetryScheduled(**_about(call), after_seconds=seconds, error=name))

    def account_slowed(self, call: Call, seconds: float) -> None:
        """Say that the whole account waits."""
        if self._observer.is_wanted:
            self._observer.tell(AccountSlowed(**_about(call), seconds=seconds))

    def reconciled(self, call: Call, *, is_found: bool) -> None:
        """Say what reading for a lost answer came to."""
        if self._observer.is_wanted:
            self._observer.tell(Reconciled(**_about(call), is_found=is_found))

    def became_default(self, call: Call, sequence: Sequence) -> None:
        """Say that a new sequence is the default although nobody asked for that."""
        event = BecameDefault(**_about(call), serie=sequence.serie, sequence_id=sequence.id)
        self._observer.warn_of_default(event)

    def call_ended(self, call: Call, started: float, failure: BaseException | None) -> None:
        """Count the call, and say how it ended."""
        name = None if failure is None else type(failure).__name__
        if name is None:
            self._observer.note_success()
        else:
            self._observer.note_error(name)
        if self._observer.is_listening:
            event = CallEnded(
                **_about(call),
                seconds=self._clock.now() - started,
                attempts=call.doing.attempts,
                error=name,
                is_in_doubt=call.doing.is_in_doubt,
            )
            self._observer.tell_end(event, call.subject)


def _about(call: Call) -> _About:
    return _About(request_id=call.request_id, account=call.link.account, operation=call.operation)
