"""Instrumentation: events for a hook, and lines for the log.

Events are only built when a hook or the log receives them. An error in a hook does not affect the
call.
"""

import logging
import sys
from collections.abc import Callable
from typing import Final, TypedDict

from invoicexpress_async.call.context import Call
from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.events import (
    AccountSlowed,
    AttemptEnded,
    AttemptStarted,
    BecameDefault,
    CallEnded,
    Event,
    LimiterWaited,
    Reconciled,
    RetryScheduled,
)
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.protocol.decision import Evidence, Operation

LOG_VARIABLE: Final = "INVOICEXPRESS_LOG"
_LOGGER: Final = logging.getLogger("invoicexpress_async")
_LEVELS: Final = {"info": logging.INFO, "debug": logging.DEBUG}
# Less than this is not a wait: two reads of the clock in a row differ too.
_MIN_WAIT_SECONDS: Final = 1e-3

EventHook = Callable[[Event], None]


class _About(TypedDict):
    request_id: str
    account: str
    operation: str


class Instrumentation:
    """Emits the events of the watched calls of one manager."""

    def __init__(self, hook: EventHook | None, clock: Clock) -> None:
        self._hook = hook
        self._clock = clock

    def attempt_started(self, call: Call, operation: Operation, requested_at: float) -> None:
        """Emit that an attempt begins; `requested_at` is when it requested its limiter slot."""
        if not self._wants_attempts:
            return
        call.attempt_started = self._clock.now()
        waited = call.attempt_started - requested_at
        if waited > _MIN_WAIT_SECONDS:
            self._emit(LimiterWaited(**_about(call), seconds=waited))
        self._emit(AttemptStarted(**_about(call), attempt=call.attempts + 1, request=operation))

    def attempt_ended(
        self,
        call: Call,
        operation: Operation,
        evidence: Evidence,
        status: int | None,
        error: InvoiceXpressError | None,
    ) -> None:
        """Emit how an attempt ended."""
        if not self._wants_attempts:
            return
        event = AttemptEnded(
            **_about(call),
            attempt=call.attempts,
            request=operation,
            seconds=self._clock.now() - call.attempt_started,
            evidence=evidence,
            status=status,
            error=None if error is None else type(error).__name__,
        )
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug("%s", _attempt_line(event))
        self._emit(event)

    def retry_scheduled(self, call: Call, seconds: float, error: InvoiceXpressError | None) -> None:
        """Emit that a request will be sent again."""
        if self._hook is not None:
            name = type(error).__name__
            self._emit(RetryScheduled(**_about(call), after_seconds=seconds, error=name))

    def account_slowed(self, call: Call, seconds: float) -> None:
        """Emit that the whole account waits."""
        if self._hook is not None:
            self._emit(AccountSlowed(**_about(call), seconds=seconds))

    def reconciled(self, call: Call, *, is_found: bool) -> None:
        """Emit the result of reading after an unknown outcome."""
        if self._hook is not None:
            self._emit(Reconciled(**_about(call), is_found=is_found))

    def became_default(self, call: Call, sequence: Sequence) -> None:
        """Emit and log that a new sequence is the default although that was not requested."""
        event = BecameDefault(**_about(call), serie=sequence.serie, sequence_id=sequence.id)
        _LOGGER.warning(
            "%s %s: the new sequence %r (id %s) became the default by itself",
            event.request_id, event.account, event.serie, event.sequence_id,
        )  # fmt: skip
        self._emit(event)

    def call_ended(self, call: Call, started: float, failure: BaseException | None) -> None:
        """Emit and log how a call ended."""
        event = CallEnded(
            **_about(call),
            seconds=self._clock.now() - started,
            attempts=call.active.attempts,
            error=None if failure is None else type(failure).__name__,
            is_in_doubt=call.active.is_unknown,
        )
        if _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info("%s", _call_line(event, call.subject))
        self._emit(event)

    @property
    def _wants_attempts(self) -> bool:
        return self._hook is not None or _LOGGER.isEnabledFor(logging.DEBUG)

    def _emit(self, event: Event) -> None:
        if self._hook is None:
            return
        try:
            self._hook(event)
        except Exception:
            _LOGGER.exception("The on_event hook raised; the call goes on without it.")


def _about(call: Call) -> _About:
    return _About(
        request_id=call.request_id, account=call.context.account, operation=call.operation
    )


def _call_line(event: CallEnded, subject: str | None) -> str:
    what = f"{event.operation} of {subject}" if subject else event.operation
    end = event.error or "done"
    unknown = ", outcome unknown" if event.is_in_doubt else ""
    return (
        f"{event.request_id} {event.account}: {what}: {end}{unknown} "
        f"in {event.seconds:.3f} s, {event.attempts} requests"
    )


def _attempt_line(event: AttemptEnded) -> str:
    status = event.status if event.error is None else event.error
    return (
        f"{event.request_id} {event.account}: {event.request} {event.attempt}: {event.evidence} "
        f"({status}) in {event.seconds:.3f} s"
    )


def set_up_logging(level: str | None) -> None:
    """Write the log to stderr at `level`, info or debug; without a level change nothing."""
    if not level:
        return
    if level.lower() not in _LEVELS:
        raise ConfigurationError(f"{LOG_VARIABLE} is {level!r:.20}: give info or debug.")
    _LOGGER.setLevel(_LEVELS[level.lower()])
    if not _LOGGER.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        _LOGGER.addHandler(handler)
