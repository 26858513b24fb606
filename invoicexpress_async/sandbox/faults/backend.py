"""The part that all connections share: the engine, the plan, the oracle, and late requests."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import attrs

from invoicexpress_async.sandbox.admin import respond_to_admin
from invoicexpress_async.sandbox.domain.account_forms import NewAccount
from invoicexpress_async.sandbox.domain.accounts import READ_OPERATIONS, SandboxAccount
from invoicexpress_async.sandbox.domain.engine import Engine, Pending
from invoicexpress_async.sandbox.domain.responses import (
    RefusedError,
    Response,
    at_communication_response,
    created_response,
    empty_response,
    json_response,
)
from invoicexpress_async.sandbox.faults.fault import Commits
from invoicexpress_async.sandbox.faults.plan import FaultPlan
from invoicexpress_async.sandbox.http import Head
from invoicexpress_async.sandbox.oracle import Oracle, serie_of
from invoicexpress_async.sandbox.requests import Request
from invoicexpress_async.sandbox.routes import Command

# More than a cancelled task needs, but limited: an injected sleep might swallow the cancellation.
_CLOSE_SECONDS = 1.0


@attrs.define(kw_only=True, eq=False)
class Backend:
    engine: Engine
    plan: FaultPlan
    oracle: Oracle
    sleep: Callable[[float], Awaitable[None]]
    note_change: Callable[[], None]
    _late: dict[int, Pending] = attrs.field(factory=dict[int, Pending], init=False)
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set[asyncio.Task[None]], init=False)

    def receive(self, request: Request) -> Pending:
        pending = self.engine.receive(request)
        self.oracle.note_read(pending)
        return pending

    def respond_to_admin(self, head: Head, body: bytes, *, remote: str) -> Response:
        response = respond_to_admin(
            self.engine, method=head.method, path=head.target, body=body, remote=remote
        )
        self.note_change()
        return response

    def commit(self, pending: Pending) -> Response:
        states = self.engine.states
        state = states.get(pending.request.account)
        rows, accounts = state.size if state is not None else 0, len(states)
        response = pending.commit()
        if state is not None and state.size > rows:
            self.oracle.note_commit(pending, rows=state.size - rows)
        if len(states) > accounts:
            self.oracle.accounts.note_commit(next(reversed(states.values())).account)
        self.note_change()
        return response

    def settle(self, pending: Pending, commits: Commits, *, late_seconds: float | None) -> Response:
        """Apply a request now, later or never; return the response to send at once."""
        if commits is True or not _has_effect(pending):
            return self.commit(pending)
        if commits == "late":
            self._late[pending.index] = pending
            if late_seconds is not None:
                _ = self.spawn(self._commit_after(pending, late_seconds))
        return false_success(self.engine, pending)

    def commit_late(self) -> int:
        late, self._late = self._late, {}
        for pending in late.values():
            self.commit(pending)
        return len(late)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    async def _commit_after(self, pending: Pending, seconds: float) -> None:
        await self.sleep(seconds)
        if self._late.pop(pending.index, None) is not None:
            self.commit(pending)


def _has_effect(pending: Pending) -> bool:
    command = pending.command
    return not isinstance(command, RefusedError) and command.operation not in READ_OPERATIONS


# No row and no account has these, so that a client that trusts such a response is detected.
_NO_ID = 999_999_999
_NO_ACCOUNT = "promised-and-never-made"


def false_success(engine: Engine, pending: Pending) -> Response:
    """Return the success response for a request that should have an effect and has none."""
    match pending.command:
        case Command(operation="create"):
            promised = {"id": _NO_ID, "serie": serie_of(pending), "default_sequence": 0}
            return json_response(201, {engine.behaviour.envelope: promised})
        case Command(operation="register", id=id_):
            row = engine.states[pending.request.account].by_id(id_)
            serie = row.serie if row is not None else ""
            return json_response(200, {"sequences": [{"id": id_, "serie": serie}]})
        case Command(form=NewAccount() as new):
            return _account(engine, new)
        case Command(operation="at_communication"):
            return at_communication_response(engine.behaviour)
        case _:
            return empty_response(engine.behaviour)


def _account(engine: Engine, new: NewAccount) -> Response:
    account = SandboxAccount(
        name=_NO_ACCOUNT, id=str(_NO_ID), organization_name=new.texts["organization_name"]
    )
    status = engine.behaviour.existing_user_status if new.is_user_known else 201
    return created_response(engine.behaviour, account, status=status)
