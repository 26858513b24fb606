"""The series step: a company's first sequence, ensured as provisioning ensures its rows."""

import attrs

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.onboarding.companies_table import CompanyJournal, CompanyRecord
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.errors import SeriesWaitingError
from invoicexpress_async.onboarding.task import CompanyTask
from invoicexpress_async.provisioning.report import RowOutcome
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.provisioning.runner import RowRunner
from invoicexpress_async.provisioning.task import RowTask
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.session import SessionManager


@attrs.frozen(kw_only=True)
class _CompanyRowRunner(RowRunner):
    """Keeps the intents of one company where its other steps stand."""

    company_journal: CompanyJournal
    company: Company

    def _claims(self, account: AccountSession, task: RowTask) -> Claims | None:  # noqa: ARG002  # of the company, whatever the account
        return self.company_journal.claims(self.company)


async def ensure_series(
    manager: SessionManager, journal: CompanyJournal, task: CompanyTask, row: PlanRow
) -> RowOutcome:
    """Give the sequence a turn: look an unknown outcome up, else ensure it."""
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
        stop=RunStop(),  # the company's whole turn is cut off, and this with it
        may_default=lambda: True,
        is_staged=False,
        company_journal=journal,
        company=task.company,
    )
    task.row_task.last = await runner.run(task.row_task)
    return task.row_task.last


async def await_workers(rows: RowJournal, task: CompanyTask, row: PlanRow) -> None:
    """Enter the sequence as a row of a shared journal if it is new; return once the row is done.

    Until then it raises: SeriesWaitingError, or what a worker's row was refused for.
    """
    record = await rows.admit(row)
    task.sequence = record.sequence or task.sequence
    if record.state is JournalState.DONE:
        return
    if record.state is JournalState.REFUSED:
        raise recorded_error(record.error, status=record.status, code=record.code)
    raise SeriesWaitingError(f"Serie {row.serie!r} of account {row.account} waits for a worker.")
