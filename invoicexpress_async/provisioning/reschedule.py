"""When a row that is not done gets another turn, if it does."""

from typing import Final

import attrs

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import (
    InvoiceXpressError,
    StatusError,
    TransportError,
    UntrustedConnectionError,
)
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.keys import KeyUnavailableError
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.task import RowTask
from invoicexpress_async.session import SessionManager

# A failure without effect, each of them after the retries of its calls.
RETRY_AFTER_SECONDS: Final = (2.0, 8.0)
# So many lists in a row that cannot be believed, each after the longest wait of the schedule: more
# would end no differently.
_MAX_UNBELIEVED: Final = 20


@attrs.frozen(kw_only=True)
class ReschedulePolicy:
    """Decides it. A row whose outcome is unknown is looked up on the schedule of `RetryPolicy`.

    Attributes:
        clock: The run's.
        breaker: What is known of the server as a whole.
        schedule: The seconds after the outcome was first unknown at which to look it up.
        resend_absent_after: The seconds between a send, a first list without the sequence and a
            second one, after which it may be sent again; None for never.
    """

    clock: Clock
    breaker: CircuitBreaker
    schedule: tuple[float, ...]
    resend_absent_after: float | None

    @classmethod
    def of_run(
        cls, manager: SessionManager, breaker: CircuitBreaker, settings: RunSettings
    ) -> "ReschedulePolicy":
        """Return the policy of a run: a row is looked up no longer than one call would be."""
        at_seconds = manager.retry.read_after_seconds
        return cls(
            clock=manager.clock,
            breaker=breaker,
            schedule=tuple(one for one in at_seconds if one < manager.total_seconds),
            resend_absent_after=settings.resend_absent_after,
        )

    def next_turn_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return when its next turn is, on the clock; None when this outcome is the last."""
        if task.intent is not None:
            return self._next_read_at(task, outcome)
        if outcome.error is None or not is_transient(outcome.error):
            return None
        if self.breaker.is_open and not isinstance(outcome.error, KeyUnavailableError):
            return self.clock.now()  # its failures are the server's, and are not counted
        task.tries += 1
        if task.tries > len(RETRY_AFTER_SECONDS):
            return None
        return self.clock.now() + RETRY_AFTER_SECONDS[task.tries - 1]

    def _next_read_at(self, task: RowTask, outcome: RowOutcome) -> float | None:
        now = self.clock.now()
        if task.unknown_since is None:
            task.unknown_since, task.reads = now, 0
        elif task.read_failure is None or not self.breaker.is_open:
            task.reads += 1  # a read that a failing server did not complete is made up for
        if isinstance(task.read_failure, StatusError) and not is_transient(task.read_failure):
            return None  # the key is refused: every later read would be, too
        resend_in = self._resend_in(task, outcome)
        if task.resend_allowed:
            return now
        if task.reads < len(self.schedule):
            return max(now, task.unknown_since + self.schedule[task.reads])
        if task.unbelieved > _MAX_UNBELIEVED:
            _explain_end(outcome)
            return None
        return None if resend_in is None else now + resend_in

    def _resend_in(self, task: RowTask, outcome: RowOutcome) -> float | None:
        """Return the seconds until the next list that counts towards sending again."""
        needed, intent = self.resend_absent_after, task.intent
        if needed is None or intent is None or intent["operation"] != "create":
            return None
        now = Timestamp.now()
        since_send = task.sent_at().seconds_until(now)
        if since_send < needed:
            return needed - since_send
        if outcome.state is not RowState.ABSENT:
            task.unbelieved += not self.breaker.is_open
            return self.schedule[-1] if self.schedule else needed
        task.unbelieved = 0
        task.absent_since = task.absent_since or now
        since_absent = task.absent_since.seconds_until(now)
        task.resend_allowed = since_absent >= needed
        return max(needed - since_absent, 0.0)


def _explain_end(outcome: RowOutcome) -> None:
    error = outcome.error
    if error is not None:
        text = f"{_MAX_UNBELIEVED} lists in a row could not be believed: it was not sent again."
        error.args = (f"{error.args[0]} {text}", *error.args[1:])


def is_transient(error: InvoiceXpressError) -> bool:
    """Whether the same could go well later, without anybody changing anything."""
    if isinstance(error, StatusError):
        return error.is_transient
    if isinstance(error, UntrustedConnectionError):
        return False
    if isinstance(error, KeyUnavailableError):
        return error.is_transient
    return isinstance(error, TransportError)
