"""Ensure sequences on many accounts at once: a plan, a journal, a run, a report."""

from invoicexpress_async.provisioning.journal import SqliteJournal
from invoicexpress_async.provisioning.journal_error import (
    Difference,
    JournalDifferenceError,
    JournalError,
)
from invoicexpress_async.provisioning.key import AccountKeys, KeyReference, KeyUnavailableError
from invoicexpress_async.provisioning.outage import OutageError
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.progress import Progress
from invoicexpress_async.provisioning.report import ProvisioningReport, RowOutcome, RowState
from invoicexpress_async.provisioning.row import PlanRow, PlanSummary
from invoicexpress_async.provisioning.run import iter_outcomes, provision
from invoicexpress_async.provisioning.settings import RunSettings
from invoicexpress_async.provisioning.stop import RowCutOffError, RunStop

__all__ = [
    "AccountKeys",
    "Difference",
    "JournalDifferenceError",
    "JournalError",
    "KeyReference",
    "KeyUnavailableError",
    "OutageError",
    "Plan",
    "PlanRow",
    "PlanSummary",
    "Progress",
    "ProvisioningReport",
    "RowCutOffError",
    "RowOutcome",
    "RowState",
    "RunSettings",
    "RunStop",
    "SqliteJournal",
    "iter_outcomes",
    "provision",
]
