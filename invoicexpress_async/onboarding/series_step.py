"""The series step: a company's first sequence, ensured as provisioning ensures its rows."""

import attrs

from invoicexpress_async.call.claims import Claims
from invoicexpress_async.config import Secret
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.jobs.outcomes import recorded_error
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.onboarding.companies_table import CompanyJournal
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


@attrs.frozen(kw_only=True)
class SeriesStep:
    """Ensures the first sequence of companies as their default, under their own keys and limits."""

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
    """Leaves the first sequence of companies to the workers of a shared journal."""

    rows: RowJournal

    async def ensure(self, task: CompanyTask, name: str, key: Secret) -> None:
        """Enter the sequence as a row if it is new, and return once the row is done.

        Until then it raises: SeriesWaitingError, or what a worker's row was refused for.
        """
        row = PlanRow(account=name, api_key=key, serie=task.company.serie, is_default=True)
        record = await self.rows.admit(row)
        task.sequence = record.sequence or task.sequence
        if record.state is JournalState.DONE:
            return
        if record.state is JournalState.REFUSED:
            raise recorded_error(record.error, status=record.status, code=record.code)
        raise SeriesWaitingError(f"Serie {row.serie!r} of account {name} waits for a worker.")


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
