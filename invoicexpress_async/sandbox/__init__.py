"""A local InvoiceXpress server: series and accounts on a real socket, with an oracle.

It shares no code with the client, on purpose: every wire name is spelled by hand here, so that a
wrong name in the client cannot match the same wrong name in the server.
"""

from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.behaviour import ErrorShape, SandboxBehaviour
from invoicexpress_async.sandbox.domain.rows import SandboxSequence
from invoicexpress_async.sandbox.faults.fault import Fault
from invoicexpress_async.sandbox.faults.plan import FaultPlan
from invoicexpress_async.sandbox.faults.registry import FAULT_NAMES, describe_fault, make_fault
from invoicexpress_async.sandbox.oracle import (
    AccountOracle,
    Duplicate,
    DuplicateAccount,
    Oracle,
    PartialRequest,
)
from invoicexpress_async.sandbox.requests import RecordedRequest
from invoicexpress_async.sandbox.server import FaultServer, Sandbox, serve

__all__ = [
    "FAULT_NAMES",
    "AccountOracle",
    "Duplicate",
    "DuplicateAccount",
    "ErrorShape",
    "Fault",
    "FaultPlan",
    "FaultServer",
    "Oracle",
    "PartialRequest",
    "RecordedRequest",
    "Sandbox",
    "SandboxAccount",
    "SandboxBehaviour",
    "SandboxSequence",
    "describe_fault",
    "make_fault",
    "serve",
]
