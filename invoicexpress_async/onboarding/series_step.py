"""The series step: a company's first sequence, ensured as provisioning ensures its rows."""

from typing import Final

import attrs

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.errors import InvoiceXpressError, OutcomeUnknownError
from invoicexpress_async.jobs.claims import joined
from invoicexpress_async.jobs.journal import UNRESOLVED, JournalState
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.postgres import PostgresJournal, slice_of
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.onboarding.companies_table import CompanyJournal, CompanyRecord
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import SeriesWaitingError
from invoicexpress_async.onboarding.task import CompanyTask
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowJournal, RowRecord
from invoicexpress_async.provisioning.runner import RowRunner
from invoicexpress_async.provisioning.slice_work import slices_left
from invoicexpress_async.provisioning.task import RowTask
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.session import SessionManager

# Rows that workers try again, though they may never succeed.
_MAY_STAY: Final = frozenset({*UNRESOLVED, JournalState.PARTIAL})


@attrs.frozen(kw_only=True)
class _CompanyRowRunner(RowRunner):
    """A `RowRunner` that claims its intents in the table of companies."""

    company_journal: CompanyJournal
    company: Company

    def _claims(self, account: AccountSession, task: RowTask) -> Claims | None:  # noqa: ARG002  # of the company
        return joined(self.company_journal.claims(self.company), account.claims)


async def ensure_series(
    manager: SessionManager, journal: CompanyJournal, task: CompanyTask, row: PlanRow
) -> RowOutcome:
    """Run one turn of the sequence: look up an unknown outcome, else ensure the sequence."""
    if task.row_task is None:
        record = task.record if task.intent is not None else CompanyRecord()
        task.row_task = RowTask(
            row=row,
            intent=task.intent,
            intended_at=record.intended_at,
            absent_since=record.absent_since,
        )
    runner = _CompanyRowRunner(
        manager=manager,
        journal=None,
        stop=RunStop(),  # a stop cuts off the company's whole turn, and this turn with it
        settings=RunSettings(),  # a company's first serie is the default at once
        company_journal=journal,
        company=task.company,
    )
    task.row_task.last = await runner.run(task.row_task)
    return task.row_task.last


@attrs.frozen(kw_only=True)
class SharedSeries:
    """Leaves the first sequence of companies to the workers of a shared journal.

    Attributes:
        journal: The shared journal; open.
        rows: The rows of that journal.
    """

    journal: PostgresJournal
    rows: RowJournal

    async def ensure(self, task: CompanyTask, row: PlanRow) -> None:
        """Enter the sequence as a row if it is new, and return once the row is done.

        Raises SeriesWaitingError while workers continue with the row, or the row's error when
        they do not.
        """
        record = await self.rows.admit(row)
        task.sequence = record.sequence or task.sequence
        if record.state is JournalState.DONE:
            return
        if record.state is JournalState.REFUSED:
            raise _left(record)
        if record.state in _MAY_STAY and not await self._is_with_a_worker(row.account):
            raise _left(record)
        raise SeriesWaitingError(
            f"Serie {row.serie!r} of account {row.account} waits for a worker."
        )

    async def _is_with_a_worker(self, account: str) -> bool:
        """Whether a worker holds the account's slice, or may take it now."""
        number = slice_of(account, self.journal.slices)
        left = [one for one in await slices_left(self.journal) if one.number == number]
        return not left or left[0].holder is not None or left[0].is_due


def _left(record: RowRecord) -> InvoiceXpressError:
    if record.state in UNRESOLVED:
        return OutcomeUnknownError(
            "Sent once by a worker; no list has shown it.", intent=record.intent
        )
    return recorded_error(record.error, status=record.status, code=record.code)
