"""Combines requests into one message to the database: one transaction with few statements."""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import attrs

from invoicexpress_async.jobs.journal import (
    INTENTS,
    Change,
    Claim,
    ClaimLostError,
    Commit,
    Entry,
    JournalState,
    Table,
    Value,
)
from invoicexpress_async.jobs.postgres.connection import Message, Rows
from invoicexpress_async.jobs.postgres.fence import Fence, FencedError
from invoicexpress_async.jobs.postgres.statements import Statements


class Request(NamedTuple):
    """Changes; or a claim to be won, with changes; or the outcome of a claim, with changes.

    Attributes:
        done: Done when the request is durable.
        changes: The changes to write.
        claim: The claim.
        state: The outcome of the claimed request; None while the claim is still to be won.
        fence: The slice that must be held for the request.
        lost: Receives the present entry when another claimer has the claim.
    """

    done: Commit
    changes: tuple[Change, ...] = ()
    claim: Claim | None = None
    state: JournalState | None = None
    fence: Fence | None = None
    lost: list[Entry] = []  # noqa: RUF012  # a claim brings its own


Batch: TypeAlias = list[Request]


@attrs.define(eq=False)
class Transaction:
    """Groups requests that touch different entries; requests on one entry are done in order."""

    statements: Statements
    message: Message = attrs.field(factory=Message)
    _requests: Batch = attrs.field(factory=list[Request])
    _touched: set[tuple[str, ...]] = attrs.field(factory=set[tuple[str, ...]])
    _group: Batch = attrs.field(factory=list[Request])
    # For each group with claims: its requests that have a claim.
    _claiming: list[Batch] = attrs.field(factory=list[Batch])
    _has_fences: bool = False

    @classmethod
    def of(cls, statements: Statements, requests: Batch) -> "Transaction":
        """Return the transaction of some requests."""
        transaction = cls(statements)
        transaction._lock(requests)
        for request in requests:
            touched = _touched(request)
            if touched & transaction._touched:
                transaction._flush()
            transaction._touched |= touched
            transaction._group.append(request)
        transaction._flush()
        transaction._requests = requests
        return transaction

    def results(self, found: list[Rows]) -> list[tuple[Request, Exception | None]]:
        """Return each request with its error or None, from the rows that the message returned."""
        results: dict[int, Exception | None] = {}
        rows = iter(found)
        held: set[Fence] = set()
        if self._has_fences:
            held = {Fence(_int(one["slice"]), _int(one["epoch"])) for one in next(rows)}
        for group, there in zip(self._claiming, rows, strict=True):
            entries = {INTENTS.key_of(entry): entry for entry in there}
            for request in group:
                if request.claim is not None:
                    entry = entries.get(request.claim.key)
                    results[id(request)] = _result(request, request.claim, entry)
        for request in self._requests:
            if request.fence is not None and request.fence not in held:
                results[id(request)] = _fenced(request)
        return [(one, results.get(id(one))) for one in self._requests]

    def _lock(self, requests: Batch) -> None:
        fences = sorted({one.fence for one in requests if one.fence is not None})
        if fences:
            self._has_fences = True
            rows = [{"slice": one.slice, "epoch": one.epoch} for one in fences]
            self.message.add(self.statements.lock_slices(), json.dumps(rows))

    def _flush(self) -> None:
        group, self._group, self._touched = self._group, [], set()
        wins = [one for one in group if one.claim is not None and one.state is None]
        claiming = [one for one in group if one.claim is not None]
        if wins:
            rows = [_claimed(one.claim, one.fence) for one in wins if one.claim is not None]
            self.message.add(self.statements.claim(), json.dumps(rows))
        self._update(change for request in group for change in _changes(request))
        if claiming:
            keys = [_named(INTENTS, one.claim.key) for one in claiming if one.claim is not None]
            self.message.add(self.statements.look_up(INTENTS), json.dumps(keys))
            self._claiming.append(claiming)

    def _update(self, changes: Iterable["_GuardedChange"]) -> None:
        statements: dict[str, list[Mapping[str, Value]]] = {}
        keys: set[tuple[str, ...]] = set()
        for (table, key, values, expected), guards in changes:
            if (table.name, *key) in keys:  # two changes of one request to one entry
                self._add_all(statements)
                statements, keys = {}, set()
            keys.add((table.name, *key))
            columns = {f"n_{name}": value for name, value in values.items()}
            checked = {f"e_{name}": value for name, value in expected.items()}
            row = {**_named(table, key), **columns, **checked, **guards}
            statement = self.statements.update(table, [*values], [*expected])
            statements.setdefault(statement, []).append(row)
        self._add_all(statements)

    def _add_all(self, statements: Mapping[str, list[Mapping[str, Value]]]) -> None:
        for statement, rows in statements.items():
            self.message.add(statement, json.dumps(rows))


_GuardedChange: TypeAlias = tuple[Change, Mapping[str, Value]]


def _changes(request: Request) -> Iterable[_GuardedChange]:
    guards: dict[str, Value] = {}
    if request.fence is not None:
        guards |= {"f_slice": request.fence.slice, "f_epoch": request.fence.epoch}
    claim = request.claim
    if claim is not None:
        if request.state is not None:
            state: Entry = {"state": request.state}
            yield Change(INTENTS, claim.key, state, {"token": claim.token}), guards
        guards = {
            **guards,
            **{f"c_{name}": part for name, part in zip(INTENTS.key, claim.key, strict=True)},
            "c_token": claim.token,
            "c_state": JournalState.INTENT if request.state is None else None,
        }
    for change in request.changes:
        yield change, guards


def _result(request: Request, claim: Claim, there: Entry | None) -> Exception | None:
    if there is None:
        return _lost(claim)
    is_mine = there["token"] == claim.token
    if request.state is not None:
        return None if is_mine else _lost(claim)
    if not is_mine or there["state"] != JournalState.INTENT:
        request.lost.append(there)
    return None


def _lost(claim: Claim) -> ClaimLostError:
    return ClaimLostError(
        f"What was claimed of account {claim.key[1]} ({claim.key[0]} {claim.key[2]!r}) was "
        "taken over by another process. What this one knew of it was not written."
    )


def _fenced(request: Request) -> FencedError:
    of = "some accounts" if request.claim is None else f"account {request.claim.key[1]}"
    return FencedError(
        f"Another process has taken over {of}. What this one knew of it was not written."
    )


def _claimed(claim: Claim, fence: Fence | None) -> Mapping[str, Value]:
    return {
        **_named(INTENTS, claim.key),
        "token": claim.token,
        "replaced": claim.replaces,
        "intent": claim.intent,
        "claimed_at": claim.claimed_at,
        "f_slice": None if fence is None else fence.slice,
        "f_epoch": None if fence is None else fence.epoch,
    }


def _named(table: Table, key: tuple[str, ...]) -> dict[str, Value]:
    return dict(zip(table.key, key, strict=True))


def _touched(request: Request) -> set[tuple[str, ...]]:
    touched = {(table.name, *key) for table, key, _, _ in request.changes}
    if request.claim is not None:
        touched.add((INTENTS.name, *request.claim.key))
    return touched


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
