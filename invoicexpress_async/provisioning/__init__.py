"""Ensure sequences on many accounts at once: a plan, a run, a report."""

from invoicexpress_async.provisioning.key import KeyReference
from invoicexpress_async.provisioning.plan import Plan
from invoicexpress_async.provisioning.report import ProvisioningReport, RowOutcome, RowState
from invoicexpress_async.provisioning.row import PlanRow
from invoicexpress_async.provisioning.run import iter_outcomes, provision
from invoicexpress_async.provisioning.stop import RowCutOffError, RunStop

__all__ = [
    "KeyReference",
    "Plan",
    "PlanRow",
    "ProvisioningReport",
    "RowCutOffError",
    "RowOutcome",
    "RowState",
    "RunStop",
    "iter_outcomes",
    "provision",
]
