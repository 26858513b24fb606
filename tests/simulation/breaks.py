"""Breaks promises on purpose. The simulation must catch each break, or it proves nothing."""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final
from unittest import mock

import attrs

from invoicexpress_async.call import execute
from invoicexpress_async.call.claims import OpenClaim
from invoicexpress_async.jobs.journal import Change
from invoicexpress_async.jobs.sqlite import SqliteJournal, batch
from invoicexpress_async.jobs.sqlite.statements import win as genuine_win
from invoicexpress_async.protocol.decision import Action, Decision, Evidence, Operation
from invoicexpress_async.protocol.decision import decide as genuine_decide
from invoicexpress_async.provisioning import rows_table, task
from invoicexpress_async.provisioning.task import ReschedulePolicy, RowClaims

Break = Callable[[], contextlib.AbstractContextManager[object]]


def _claim_before_durable() -> contextlib.AbstractContextManager[object]:
    """A claim counts as won before it is committed."""

    async def claim(journal: SqliteJournal, claim: Any, *changes: Any) -> None:
        task = asyncio.ensure_future(journal.writer.claim(claim, changes))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    return mock.patch.object(SqliteJournal, "claim", claim)


def _ignore_the_token() -> contextlib.AbstractContextManager[object]:
    """Every claim wins, whatever is in the journal."""

    def take(rows: int) -> str:
        return genuine_win(rows).partition(" WHERE intents.")[0]

    return mock.patch.object(batch, "win", take)


def _forget_the_withdrawal() -> contextlib.AbstractContextManager[object]:
    """An intent is sent, however long it has waited."""
    return mock.patch.object(execute, "MAX_SECONDS_BEFORE_SEND", float("inf"))


def _measure_the_wait_late() -> contextlib.AbstractContextManager[object]:
    """The time until a claim is durable does not count."""

    def opened(*, since: float, **rest: Any) -> OpenClaim:
        del since
        return OpenClaim(since=asyncio.get_running_loop().now, **rest)  # type: ignore[attr-defined]  # a simulated loop has it

    return mock.patch.object(execute, "OpenClaim", opened)


def _resend_on_absence() -> contextlib.AbstractContextManager[object]:
    """One list without the sequence is enough to send again."""
    genuine = ReschedulePolicy.next_turn_at

    def next_turn_at(policy: ReschedulePolicy, task: Any, outcome: Any) -> float | None:
        due = genuine(policy, task, outcome)
        if task.intent is not None and outcome.state == "absent":
            task.resend_allowed = True
            return policy.clock.now()
        return due

    return mock.patch.object(ReschedulePolicy, "next_turn_at", next_turn_at)


def _resend_soon() -> contextlib.AbstractContextManager[object]:
    """Two lists without the sequence, a few minutes apart, are enough to send again."""
    genuine = ReschedulePolicy.of_run.__func__  # type: ignore[attr-defined]  # the function of a class method

    def of_run(kind: type[ReschedulePolicy], *rest: Any) -> ReschedulePolicy:
        policy: ReschedulePolicy = genuine(kind, *rest)
        is_allowed = policy.resend_absent_after is not None
        return attrs.evolve(policy, resend_absent_after=240.0 if is_allowed else None)

    return mock.patch.object(task.ReschedulePolicy, "of_run", classmethod(of_run))


def _retry_blindly() -> contextlib.AbstractContextManager[object]:
    """A create whose response was lost is sent again at once."""

    def decide(operation: Operation, evidence: Evidence, *rest: Any, **named: Any) -> Decision:
        if operation is Operation.CREATE and evidence is Evidence.UNKNOWN and named["attempt"] < 2:
            return Decision(action=Action.RETRY, after_seconds=1.0)
        return genuine_decide(operation, evidence, *rest, **named)

    return mock.patch.object(execute, "decide", decide)


def _write_when_behind() -> contextlib.AbstractContextManager[object]:
    """An outcome is written, whatever the row has become meanwhile."""

    def change(table: Any, key: Any, values: Any, *_: object) -> Change:
        return Change(table, key, values)

    return mock.patch.object(rows_table, "Change", change)


def _forget_the_first_send() -> contextlib.AbstractContextManager[object]:
    """A second send that was withdrawn leaves nothing unknown."""
    genuine = RowClaims.end

    def end(claims: RowClaims, *rest: Any) -> None:
        genuine(claims, *rest)
        claims.task.superseded_intent = None

    return mock.patch.object(RowClaims, "end", end)


BREAKS: Final[dict[str, Break]] = {
    "a claim counts as won before it is durable": _claim_before_durable,
    "every claim wins": _ignore_the_token,
    "an intent is sent however long it has waited": _forget_the_withdrawal,
    "the time until a claim is durable does not count": _measure_the_wait_late,
    "one list without the sequence is enough to send again": _resend_on_absence,
    "two lists a few minutes apart are enough to send again": _resend_soon,
    "a create whose response was lost is sent again at once": _retry_blindly,
}
CONTENDED_BREAKS: Final[dict[str, Break]] = {
    "a run that is behind still writes its outcome": _write_when_behind,
}
# Two of 900 contended histories catch it on Python 3.11, and none of these on a later version.
RARE_BREAKS: Final[dict[str, Break]] = {
    "a withdrawn second send leaves nothing unknown": _forget_the_first_send,
}


@contextlib.contextmanager
def broken(name: str | None) -> Generator[None]:
    """Break one promise for the block, or none for None."""
    breaks = BREAKS | CONTENDED_BREAKS | RARE_BREAKS
    with breaks[name]() if name is not None else contextlib.nullcontext():
        yield


def first_caught(name: str, seeds: Sequence[int], run: Callable[[int], bool]) -> int | None:
    """Return how many seeds it takes until `run` finds a violation; None if it never does."""
    with broken(name):
        return next((at for at, seed in enumerate(seeds, 1) if run(seed)), None)
