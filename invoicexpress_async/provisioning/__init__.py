"""Ensure sequences on many accounts at once: a plan, a journal, a run, a report."""

from invoicexpress_async.jobs.circuit_breaker import OutageError
from invoicexpress_async.jobs.journal import (
    Difference,
    JournalDifferenceError,
    JournalError,
)
from invoicexpress_async.jobs.keys import AccountKeys, KeyReference, KeyUnavailableError
from invoicexpress_async.jobs.postgres import FencedError, HeldSlice, PostgresJournal, SliceLeft
from invoicexpress_async.jobs.settings import RunSettings
from invoicexpress_async.jobs.sqlite import SqliteJournal
from invoicexpress_async.jobs.stop import RowCutOffError, RunStop
from invoicexpress_async.provisioning.audit import (
    AccountAudit,
    AuditReport,
    Lack,
    WantedSerie,
    audit,
    iter_audit,
)
from invoicexpress_async.provisioning.journal_status import JournalStatus, read_status
from invoicexpress_async.provisioning.key_source import load_keys
from invoicexpress_async.provisioning.plan import AccountList, Plan
from invoicexpress_async.provisioning.report import (
    Progress,
    ProvisioningReport,
    RowOutcome,
    RowState,
)
from invoicexpress_async.provisioning.rollover import (
    RolloverPlan,
    RolloverReport,
    RolloverStep,
    plan_rollover,
    rollover,
)
from invoicexpress_async.provisioning.row import AccountRow, PlanRow, PlanSummary
from invoicexpress_async.provisioning.run import enter_plan, iter_outcomes, provision
from invoicexpress_async.provisioning.slice_run import SliceReport
from invoicexpress_async.provisioning.slice_work import (
    slices_left,
    work_free_slice,
    work_slice,
)
from invoicexpress_async.provisioning.worker import run_worker

__all__ = [
    "AccountAudit",
    "AccountKeys",
    "AccountList",
    "AccountRow",
    "AuditReport",
    "Difference",
    "FencedError",
    "HeldSlice",
    "JournalDifferenceError",
    "JournalError",
    "JournalStatus",
    "KeyReference",
    "KeyUnavailableError",
    "Lack",
    "OutageError",
    "Plan",
    "PlanRow",
    "PlanSummary",
    "PostgresJournal",
    "Progress",
    "ProvisioningReport",
    "RolloverPlan",
    "RolloverReport",
    "RolloverStep",
    "RowCutOffError",
    "RowOutcome",
    "RowState",
    "RunSettings",
    "RunStop",
    "SliceLeft",
    "SliceReport",
    "SqliteJournal",
    "WantedSerie",
    "audit",
    "enter_plan",
    "iter_audit",
    "iter_outcomes",
    "load_keys",
    "plan_rollover",
    "provision",
    "read_status",
    "rollover",
    "run_worker",
    "slices_left",
    "work_free_slice",
    "work_slice",
]
