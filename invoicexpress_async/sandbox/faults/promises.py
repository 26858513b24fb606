"""The responses of a server that reports an effect without having had it."""

from invoicexpress_async.sandbox.domain.account_answers import (
    at_communication_answer,
    created_answer,
)
from invoicexpress_async.sandbox.domain.account_forms import NewAccount
from invoicexpress_async.sandbox.domain.accounts import SandboxAccount
from invoicexpress_async.sandbox.domain.answers import Answer, empty_answer, json_answer
from invoicexpress_async.sandbox.domain.engine import Engine, Pending
from invoicexpress_async.sandbox.oracle import serie_of
from invoicexpress_async.sandbox.routes import AccountOrder, Order

# Neither a row nor an account has it: a client that believes such a response is detected.
_NO_ID = 999_999_999
_NO_ACCOUNT = "promised-and-never-made"


def promise(engine: Engine, pending: Pending) -> Answer:
    """Return the response to a request with an effect, that has none."""
    match pending.order:
        case Order(operation="create"):
            row = {"id": _NO_ID, "serie": serie_of(pending), "default_sequence": 0}
            return json_answer(201, {engine.behaviour.envelope: row})
        case Order(operation="register", id=id_):
            family = engine.ledgers[pending.request.account].by_id(id_)
            serie = family.serie if family is not None else ""
            return json_answer(200, {"sequences": [{"id": id_, "serie": serie}]})
        case AccountOrder(form=NewAccount() as new):
            return _account(engine, new)
        case AccountOrder(operation="at_communication"):
            return at_communication_answer(engine.behaviour)
        case _:
            return empty_answer(engine.behaviour)


def _account(engine: Engine, new: NewAccount) -> Answer:
    account = SandboxAccount(
        name=_NO_ACCOUNT, id=str(_NO_ID), organization_name=new.texts["organization_name"]
    )
    status = engine.behaviour.existing_user_status if new.is_user_known else 201
    return created_answer(engine.behaviour, account, status=status)
