"""What stands behind every connection: the engine, the plan, the oracle, and what is late."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import attrs

from invoicexpress_async.sandbox._admin import answer_admin
from invoicexpress_async.sandbox._answers import Answer, empty_answer, json_answer
from invoicexpress_async.sandbox._engine import Engine, Pending
from invoicexpress_async.sandbox._fault import Commits
from invoicexpress_async.sandbox._fault_plan import FaultPlan
from invoicexpress_async.sandbox._http import Head
from invoicexpress_async.sandbox._oracle import Oracle, serie_of
from invoicexpress_async.sandbox._requests import Request
from invoicexpress_async.sandbox._routes import Order

# No row has it: whoever believes an answer without effect is found out.
_NO_ID = 999_999_999

# More than a cancelled task needs; an injected sleep might swallow its cancelling.
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

    def receive(self, request: Request, head: Head) -> Pending:
        pending = self.engine.receive(request)
        self.oracle.note_read(pending, head)
        return pending

    def answer_admin(self, head: Head, body: bytes, *, remote: str) -> Answer:
        answer = answer_admin(
            self.engine, method=head.method, path=head.target, body=body, remote=remote
        )
        self.note_change()
        return answer

    def commit(self, pending: Pending) -> Answer:
        ledger = self.engine.ledgers.get(pending.request.account)
        before = ledger.size if ledger is not None else 0
        answer = pending.commit()
        if ledger is not None and ledger.size > before:
            self.oracle.note_commit(pending, rows=ledger.size - before)
        self.note_change()
        return answer

    def settle(self, pending: Pending, commits: Commits, *, late_seconds: float | None) -> Answer:
        """Let a request take effect now, later or never, and return what to answer at once."""
        if commits is True or not _has_effect(pending):
            return self.commit(pending)
        if commits == "late":
            self._late[pending.index] = pending
            if late_seconds is not None:
                _ = self.spawn(self._commit_after(pending, late_seconds))
        return self._promise(pending)

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

    def _promise(self, pending: Pending) -> Answer:
        """Return what a server answers that thinks it has done what it has not."""
        match pending.order:
            case Order(operation="create"):
                row = {"id": _NO_ID, "serie": serie_of(pending), "default_sequence": 0}
                return json_answer(201, {"sequence": row})
            case Order(operation="register", id=id_):
                family = self.engine.ledgers[pending.request.account].by_id(id_)
                serie = family.serie if family is not None else ""
                return json_answer(200, {"sequences": [{"id": id_, "serie": serie}]})
            case _:
                return empty_answer(self.engine.behaviour)

    async def _commit_after(self, pending: Pending, seconds: float) -> None:
        await self.sleep(seconds)
        if self._late.pop(pending.index, None) is not None:
            self.commit(pending)


def _has_effect(pending: Pending) -> bool:
    return isinstance(pending.order, Order) and pending.order.operation not in ("list", "get")
