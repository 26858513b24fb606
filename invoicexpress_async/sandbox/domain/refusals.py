"""Refusals of series with the code that belongs to their operation."""

from invoicexpress_async.sandbox.domain.accounts import Operation
from invoicexpress_async.sandbox.domain.answers import RefusedError
from invoicexpress_async.sandbox.domain.behaviour import SandboxBehaviour
from invoicexpress_async.sandbox.domain.codes import (
    CREATE_CODES,
    REGISTER_CODES,
    CreateReason,
    RegisterReason,
    reason_of,
)


def create_refused(reason: CreateReason) -> RefusedError:
    return RefusedError(*CREATE_CODES[reason], reason=reason)


def register_refused(behaviour: SandboxBehaviour, reason: RegisterReason) -> RefusedError:
    pair = behaviour.register_codes.get(reason, REGISTER_CODES[reason])
    return RefusedError(*pair, reason=reason)


def coded_refusal(operation: Operation, status: int, code: str) -> RefusedError:
    """Return the refusal of an operation by a status and a code, with the text that they mean."""
    return RefusedError(status, code, reason=reason_of(operation, status, code))
