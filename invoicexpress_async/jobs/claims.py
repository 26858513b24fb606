"""Claims of intents in a journal: of all processes that share the journal, one sends."""

import asyncio
import functools
import json
import logging
from collections.abc import Callable
from typing import Final

from invoicexpress_async.call.claims import ClaimEnd, Claims
from invoicexpress_async.config import canonical
from invoicexpress_async.jobs.claimers import new_token
from invoicexpress_async.jobs.journal import (
    AT_COMMUNICATION,
    DAMAGED,
    INTENTS,
    UNRESOLVED,
    Change,
    Claim,
    Commit,
    Entry,
    Journal,
    JournalError,
    JournalState,
    Key,
    RightToSend,
)
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.protocol.intents import structure_intent

_LOGGER: Final = logging.getLogger("invoicexpress_async")

ChangesOf = Callable[[Claim, JournalState], tuple[Change, ...]]
"""Returns the changes to write together with a claim: with the state INTENT when it is won, and
with the state of its outcome when it ends."""

_STATES: Final = {
    ClaimEnd.NOT_SENT: JournalState.PLANNED,
    ClaimEnd.REFUSED: JournalState.REFUSED,
    ClaimEnd.APPLIED: JournalState.DONE,
    ClaimEnd.FOUND: JournalState.DONE,
    ClaimEnd.UNKNOWN: JournalState.UNKNOWN,
}


def key_of(intent: Intent) -> Key:
    """Return the key of an intent; intents with the same request have the same key."""
    operation = intent["operation"]
    if operation == "create":
        return operation, intent["account"], canonical(intent["serie"] or "")
    if operation == "register":
        return operation, intent["account"], str(intent["sequence_id"])
    number = intent.get("fiscal_id")
    if number is not None:
        return operation, number, ""
    return operation, intent.get("email", "").casefold(), intent.get("organization_name", "")


def _right_of(journal: Journal) -> RightToSend | None:
    return journal if _is_limited(type(journal)) and isinstance(journal, RightToSend) else None


@functools.cache
def _is_limited(kind: type[Journal]) -> bool:
    # A check of a class against a protocol is a tenth of the cost of a journal for a row.
    return issubclass(kind, RightToSend)


def _no_changes(_claim: Claim, _state: JournalState) -> tuple[Change, ...]:
    return ()


def _no_check() -> None:
    pass


class JournalClaims:
    """Claims intents in one journal, for one manager or for one item of a job.

    Args:
        journal: Open.
        changes_of: Returns further changes to write in the same transactions.
        check: Called before the first byte of each request; raises if it must not be sent.
    """

    def __init__(
        self,
        journal: Journal,
        changes_of: ChangesOf = _no_changes,
        check: Callable[[], None] = _no_check,
    ) -> None:
        self._journal = journal
        self._changes_of = changes_of
        self._check = check
        self._right = _right_of(journal)
        self._open: dict[Key, Claim] = {}
        self._forgotten: dict[Key, Intent] = {}
        self._token: str | None = None
        self.lost_to: str | None = None
        """The token of the claim to which the last one was lost; None when it was won."""

    @property
    def token(self) -> str | None:
        """The token of the last claim that was won, or may have been before a cancellation."""
        return self._token

    async def claim(self, intent: Intent) -> Intent | None:
        """Claim the right to send, or return the intent of its owner."""
        key = key_of(intent)
        claim = Claim(
            key=key,
            token=new_token(),
            intent=json.dumps(intent),
            claimed_at=Timestamp.now().dump(),
        )
        there = await self._take(claim)
        self.lost_to = None if there is None else str(there["token"])
        if there is not None:
            other = read_intent(there)
            if self._forgotten.get(key) != other:
                return other
            claim = Claim(
                key=key,
                token=claim.token,
                intent=claim.intent,
                claimed_at=claim.claimed_at,
                replaces=str(there["token"]),
            )
            there = await self._take(claim)
            self.lost_to = None if there is None else str(there["token"])
            if there is not None:
                return read_intent(there)
        self._forgotten.pop(key, None)
        self._open[key] = claim
        self._token = claim.token
        return None

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a claimed request."""
        claim = self._open.pop(key_of(intent), None)
        if claim is not None:
            self._settle(claim, end).add_done_callback(_report)

    def observe(self, intent: Intent) -> None:
        """Write that the result of an intent was found, even if another process sent it."""
        _keep_quiet(self._journal.observe(key_of(intent)))

    def forget(self, intent: Intent) -> None:
        """Let the next claim replace this intent."""
        self._forgotten[key_of(intent)] = intent

    def check_right(self) -> None:
        """Raise if this process may no longer send for the account."""
        self._check()
        if self._right is not None:
            self._right.check_right()

    async def unresolved(self) -> tuple[Intent, ...]:
        """Return the unresolved intents of all senders."""
        entries = await self._journal.read(INTENTS, states=UNRESOLVED)
        return tuple(read_intent(one) for one in entries if one["kind"] != AT_COMMUNICATION)

    async def _take(self, claim: Claim) -> Entry | None:
        changes = self._changes_of(claim, JournalState.INTENT)
        try:
            return await self._journal.claim(claim, *changes)
        except asyncio.CancelledError:
            # The claim may be won by now, and nothing is sent: release it, after the claim.
            self._token = claim.token
            self._settle(claim, ClaimEnd.NOT_SENT).add_done_callback(_report)
            raise
        except JournalError:
            # The same: the response of a database may be lost, and the claim may exist.
            _keep_quiet(self._settle(claim, ClaimEnd.NOT_SENT))
            raise

    def _settle(self, claim: Claim, end: ClaimEnd) -> Commit:
        state = _STATES[end]
        if claim.replaces is not None and state is JournalState.PLANNED:
            state = JournalState.UNKNOWN  # the replaced intent is still unknown
        return self._journal.settle(claim, state, *self._changes_of(claim, state))


class JoinedClaims:
    """Claims each intent in the journal of a job and in that of its manager, which others share.

    Both may be one journal: the second claim is then lost to the first.
    """

    def __init__(self, own: JournalClaims, shared: JournalClaims) -> None:
        self._own = own
        self._shared = shared

    @property
    def token(self) -> str | None:
        """The token of the last claim that was won in the job's own journal."""
        return self._own.token

    async def claim(self, intent: Intent) -> Intent | None:
        """Win both claims, or neither: then return the intent of the owner."""
        other = await self._own.claim(intent)
        if other is not None:
            return other
        try:
            other = await self._shared.claim(intent)
        except BaseException:
            self._own.end(intent, ClaimEnd.NOT_SENT)
            raise
        if other is None or self._shared.lost_to == self._own.token:
            return None
        self._own.end(intent, ClaimEnd.NOT_SENT)
        return other

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Write the outcome of a claimed request."""
        self._own.end(intent, end)
        self._shared.end(intent, end)

    def observe(self, intent: Intent) -> None:
        """Write that the result of an intent was found, even if another process sent it."""
        self._own.observe(intent)
        self._shared.observe(intent)

    def forget(self, intent: Intent) -> None:
        """Let the next claim replace this intent."""
        self._own.forget(intent)
        self._shared.forget(intent)

    def check_right(self) -> None:
        """Raise if this process may no longer send for the account."""
        self._own.check_right()
        self._shared.check_right()


def observed(key: Key) -> tuple[Change, ...]:
    """Return the changes that end an unresolved intent whose result was seen to exist."""
    done: Entry = {"state": JournalState.DONE}
    unresolved = JournalState.INTENT, JournalState.UNKNOWN
    return tuple(Change(INTENTS, key, done, {"state": state}) for state in unresolved)


def joined(own: JournalClaims, shared: Claims | None) -> JournalClaims | JoinedClaims:
    """Return the claims of a job for an account whose manager may have a journal too."""
    return JoinedClaims(own, shared) if isinstance(shared, JournalClaims) else own


def read_intent(entry: Entry) -> Intent:
    """Return the intent of an entry of `INTENTS`.

    Raises:
        JournalError: the entry is damaged.
    """
    try:
        return structure_intent(json.loads(str(entry["intent"])))
    except ValueError:
        pass
    key = ", ".join(repr(part) for part in INTENTS.key_of(entry))
    raise JournalError(
        f"The journal is damaged in its table intents, entry {key}: intent.", cure=DAMAGED
    )


def _keep_quiet(commit: Commit) -> None:
    commit.add_done_callback(lambda done: done.cancelled() or done.exception())


def _report(commit: Commit) -> None:
    if not commit.cancelled() and (error := commit.exception()) is not None:
        _LOGGER.error("The outcome of an intent was not written: %s", error)
