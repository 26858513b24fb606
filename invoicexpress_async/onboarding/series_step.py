"""The series step: a company's first sequence, ensured as provisioning ensures its rows."""

from typing import Final

import attrs

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.config import Secret
from invoicexpress_async.errors import InvoiceXpressError, OutcomeUnknownError
from invoicexpress_async.jobs.journal import UNRESOLVED, JournalState
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.postgres import PostgresJournal, slice_of
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.onboarding.companies_table import CompanyJournal
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

# Workers try these again, but it may be in vain for ever.
_MAY_STAY: Final = frozenset({*UNRESOLVED, JournalState.PARTIAL})


@attrs.frozen(kw_only=True)
class _CompanyRowRunner(RowRunner):
    """Keeps the intents of one company where its other steps stand."""

    company_journal: CompanyJournal
    company: Company

    def _claims(self, account: AccountSession, task: RowTask) -> Claims | None:  # noqa: ARG002  # of the company, whatever the account
        return self.company_journal.claims(self.company)


@attrs.frozen(kw_only=True)
class SeriesStep:
    """Ensures the first sequence of companies, as their default.

    Attributes:
        manager: Whose connections are used, under the new accounts' own keys and limits.
        journal: Its companies in the journal.
    """

    manager: SessionManager
    journal: CompanyJournal

    async def ensure(self, task: CompanyTask, name: str, key: Secret) -> RowOutcome:
        """Give the sequence a turn: look an unknown outcome up, else ensure it."""
        if task.row_task is None:
            task.row_task = _row_task(task, name, key)
        runner = _CompanyRowRunner(
            manager=self.manager,
            journal=None,
            stop=RunStop(),  # the company's whole turn is cut off, and this with it
            may_default=_always,
            is_staged=False,
            company_journal=self.journal,
            company=task.company,
        )
        outcome = await runner.run(task.row_task)
        task.row_task.last = outcome
        return outcome


@attrs.frozen(kw_only=True)
class SharedSeries:
    """Leaves the first sequence of companies to the workers of a shared journal.

    Attributes:
        journal: That journal, open.
        rows: Its rows.
    """

    journal: PostgresJournal
    rows: RowJournal

    async def ensure(self, task: CompanyTask, name: str, key: Secret) -> None:
        """Enter the sequence as a row if it is new, and return once the row is done.

        Raises:
            SeriesWaitingError: no worker has done it yet; what failed is tried again by one.
            OutcomeUnknownError: a worker has sent it, and has looked it up in vain.
            InvoiceXpressError: what a worker's row was refused for, or was left partial with.
        """
        row = PlanRow(account=name, api_key=key, serie=task.company.serie, is_default=True)
        record = await self.rows.admit(row)
        task.sequence = record.sequence or task.sequence
        if record.state is JournalState.DONE:
            return
        if record.state is JournalState.REFUSED:
            raise recorded_error(record.error, status=record.status, code=record.code)
        if record.state in _MAY_STAY and not await self._is_with_a_worker(name):
            raise _left(record)
        raise SeriesWaitingError(f"Serie {row.serie!r} of account {name} waits for a worker.")

    async def _is_with_a_worker(self, account: str) -> bool:
        """Whether a worker goes on with an account, or the next one does at once."""
        number = slice_of(account, self.journal.slices)
        left = [one for one in await slices_left(self.journal) if one.number == number]
        return not left or left[0].holder is not None or left[0].is_due


def _left(record: RowRecord) -> InvoiceXpressError:
    if record.state in UNRESOLVED:
        return OutcomeUnknownError(
            "Sent once by a worker; no list has shown it.", intent=record.intent
        )
    return recorded_error(record.error, status=record.status, code=record.code)


def _row_task(task: CompanyTask, name: str, key: Secret) -> RowTask:
    row = PlanRow(account=name, api_key=key, serie=task.company.serie, is_default=True)
    if task.intent is None:
        return RowTask(row=row)
    record = task.record
    return RowTask(
        row=row,
        intent=task.intent,
        intended_at=record.intended_at,
        absent_since=record.absent_since,
    )


def _always() -> bool:
    return True
