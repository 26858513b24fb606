"""A run: workers over one line of tickets, each outcome on the disk before it is told."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from invoicexpress_async.call.locks import KeyedLock
from invoicexpress_async.errors import (
    AuthenticationError,
    InvoiceXpressError,
    NoOpenActivityError,
    OutcomeUnknownError,
    ServerError,
    TaxAuthorityCredentialsError,
    TransportError,
)
from invoicexpress_async.jobs.journal import JournalError
from invoicexpress_async.jobs.outage import Outage, OutageError
from invoicexpress_async.jobs.scheduler import Line
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.sqlite_writer import Written
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.provisioning.recorded import recorded_outcome
from invoicexpress_async.provisioning.report import RowOutcome, RowState
from invoicexpress_async.provisioning.reschedule import Waiting
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.runner import Carrier
from invoicexpress_async.provisioning.task import Ticket

# What says something of the account as a whole: its other rows would be told the same, and wrong
# tax-authority credentials, tried again and again, lock the sub-user.
_SETS_ASIDE: Final = (AuthenticationError, TaxAuthorityCredentialsError, NoOpenActivityError)

Ended = tuple[RowOutcome, Written | None]
"""An outcome, and what is done when it is on the disk: nobody is told of it before."""

Deliver = Callable[[Ended], Awaitable[None]]


@attrs.define(kw_only=True, eq=False)
class Engine:
    """Carries all tickets of a line out.

    Attributes:
        problem: What ended the run early, if something did.
    """

    line: Line[Ticket]
    carrier: Carrier
    waiting: Waiting
    outage: Outage
    settings: RunSettings
    stop: RunStop
    deliver: Deliver
    on_change: Callable[[], None]
    problem: InvoiceXpressError | None = None
    _set_aside: dict[str, InvoiceXpressError] = attrs.field(
        factory=dict[str, InvoiceXpressError], init=False
    )
    # Two rows of one account at a time could both be the one that sets it aside.
    _turns: KeyedLock = attrs.field(factory=KeyedLock, init=False)

    async def run(self, workers: int) -> None:
        """Work until the line is empty or a stop is asked for; then tell of those that wait."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work())
        finally:
            left = await self.line.close()
        for ticket in left:
            if ticket.last is not None:
                await self.deliver((ticket.last, None))

    async def _work(self) -> None:
        while (ticket := await self._take()) is not None:
            try:
                ended = await self._turn(ticket)
                if ended is not None:
                    await self.deliver(ended)
            finally:
                self.line.leave()

    async def _take(self) -> Ticket | None:
        try:
            return await self.line.take()
        except InvoiceXpressError as error:  # of the journal or of the file of the plan
            self._end(error)
        return None

    async def _turn(self, ticket: Ticket) -> Ended | None:
        """Return the last outcome of a row, or None when it has another turn."""
        if recorded := recorded_outcome(ticket, retry_refused=self.settings.retry_refused):
            return recorded, None
        if ticket.refusal is not None:
            return RowOutcome.of_error(ticket.row, ticket.refusal, seconds=0.0, intent=None), None
        async with self._turns.hold(ticket.row.account):
            if self.stop.is_requested and ticket.last is None:
                return None  # it waited for its account's other row, and has not begun
            outcome = self._refused(ticket) or await self.carrier.carry(ticket)
        ticket.last = outcome
        self._judge(ticket, outcome)
        due = self.waiting.due(ticket, outcome)
        kept = self.carrier.keep(ticket, outcome)
        if due is None:
            return outcome, kept
        await self.wait_until(kept)
        if not self.line.has_time_until(due):
            return outcome, None
        self.line.park(ticket, due)
        self.on_change()
        return None

    async def wait_until(self, kept: Written | None) -> None:
        """Wait until an outcome is on the disk; a journal that fails ends the run."""
        if kept is not None:
            try:
                await kept
            except JournalError as error:
                self._end(error)

    def _refused(self, ticket: Ticket) -> RowOutcome | None:
        error = self._set_aside.get(ticket.row.account)
        if error is None or ticket.intent is not None:
            return None  # what is in doubt is read for all the same
        return RowOutcome.of_error(ticket.row, _copy_for(error, ticket.row), seconds=0, intent=None)

    def _judge(self, ticket: Ticket, outcome: RowOutcome) -> None:
        """Draw from one outcome what it says of its account, the server and the journal."""
        error, account = outcome.error, ticket.row.account
        was_down = self.outage.is_on
        if isinstance(error, JournalError):
            self._end(error)
        elif self.stop.is_requested:
            pass  # rows that are cut off say nothing of the server
        elif _may_be_the_servers(ticket, error):
            self.outage.failed(account)
            self._end_a_long_outage()
        elif error is None or (error.attempts and outcome.state is not RowState.ABSENT):
            # A list without it is no proof: a server can list, and fail whatever it is to create.
            self.outage.succeeded()
        cause = ticket.read_failure or error
        if isinstance(cause, _SETS_ASIDE):
            self._set_aside[account] = cause
        if was_down is not self.outage.is_on:
            self.on_change()

    def _end_a_long_outage(self) -> None:
        if self.outage.seconds > self.settings.outage_patience_seconds:
            text = f"The server has failed for every account for {self.outage.seconds:.0f} seconds."
            self._end(OutageError(text))

    def _end(self, problem: InvoiceXpressError) -> None:
        if self.problem is None:
            self.problem = problem.with_traceback(None)
        self.stop.request()
        self.line.end()


def _may_be_the_servers(ticket: Ticket, error: InvoiceXpressError | None) -> bool:
    if isinstance(error, OutcomeUnknownError):
        if ticket.is_old_doubt:
            error = ticket.read_failure
        else:
            return not error.was_absent
    return isinstance(error, TransportError | ServerError)


def _copy_for(error: InvoiceXpressError, row: PlanRow) -> InvoiceXpressError:
    mine = copy.copy(error)
    mine.subject = f"sequence {row.serie!r}"
    mine.attempts = 0
    mine.may_have_been_processed = False
    if isinstance(mine, TaxAuthorityCredentialsError | NoOpenActivityError):
        mine.sequence = None
    return mine
