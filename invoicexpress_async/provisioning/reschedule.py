"""When a row that is not done is looked at again, if it is."""

from typing import Final

import attrs

from invoicexpress_async.clock import Clock
from invoicexpress_async.errors import InvoiceXpressError, StatusError, TransportError
from invoicexpress_async.jobs.keys import KeyUnavailableError
from invoicexpress_async.jobs.outage import Outage
from invoicexpress_async.jobs.timestamps import Moment
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.task import Ticket

# A failure without effect, each of them after the retries of its calls.
_TRY_AGAIN_AFTER_SECONDS: Final = (2.0, 8.0)


@attrs.frozen(kw_only=True)
class Waiting:
    """Decides it. A row in doubt is read for on the schedule of the manager's `RetryPolicy`.

    Attributes:
        clock: The run's.
        outage: What is known of the server as a whole.
        schedule: The seconds after the doubt at which to read for it.
        resend_absent_after: The seconds between a send, a first list without the sequence and a
            second one, after which it may be sent again; None for never.
    """

    clock: Clock
    outage: Outage
    schedule: tuple[float, ...]
    resend_absent_after: float | None

    def due(self, ticket: Ticket, outcome: RowOutcome) -> float | None:
        """Return when its next turn is, on the clock; None when this outcome is the last."""
        if ticket.intent is not None:
            return self._due_in_doubt(ticket, outcome)
        if outcome.error is None or not is_transient(outcome.error):
            return None
        if self.outage.is_on and not isinstance(outcome.error, KeyUnavailableError):
            return self.clock.now()  # its failures are the server's, and are not counted
        ticket.tries += 1
        if ticket.tries > len(_TRY_AGAIN_AFTER_SECONDS):
            return None
        return self.clock.now() + _TRY_AGAIN_AFTER_SECONDS[ticket.tries - 1]

    def _due_in_doubt(self, ticket: Ticket, outcome: RowOutcome) -> float | None:
        now = self.clock.now()
        if ticket.doubt_seconds is None:
            ticket.doubt_seconds, ticket.reads = now, 0
        elif ticket.read_failure is None or not self.outage.is_on:
            ticket.reads += 1  # a read that a failing server did not answer is made up for
        if isinstance(ticket.read_failure, StatusError) and not is_transient(ticket.read_failure):
            return None  # the key is refused: every later read would be, too
        resend_in = self._resend_in(ticket, outcome)
        if ticket.may_resend:
            return now
        if ticket.reads < len(self.schedule):
            return max(now, ticket.doubt_seconds + self.schedule[ticket.reads])
        return None if resend_in is None else now + resend_in

    def _resend_in(self, ticket: Ticket, outcome: RowOutcome) -> float | None:
        """Return the seconds until the next list that counts towards sending again."""
        needed, intent = self.resend_absent_after, ticket.intent
        if needed is None or intent is None or intent["operation"] != "create":
            return None
        now = Moment.now()
        since_send = ticket.sent().seconds_until(now)
        if since_send < needed:
            return needed - since_send
        if outcome.state is RowState.ABSENT and ticket.absent_since is None:
            ticket.absent_since = now
        if ticket.absent_since is None:
            return self.schedule[-1] if self.schedule else needed
        since_absent = ticket.absent_since.seconds_until(now)
        ticket.may_resend = outcome.state is RowState.ABSENT and since_absent >= needed
        return max(needed - since_absent, 0.0)


def is_transient(error: InvoiceXpressError) -> bool:
    """Whether the same could go well later, without anybody changing anything."""
    if isinstance(error, StatusError):
        return error.is_transient
    return isinstance(error, TransportError | KeyUnavailableError)
