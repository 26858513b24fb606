"""What every store of a journal promises. Each test runs on each of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import pytest
from postgres_server import new_schema

from invoicexpress_async.jobs.journal import (
    CLAIMABLE,
    INTENTS,
    UNRESOLVED,
    Change,
    Claim,
    ClaimLostError,
    Column,
    Entry,
    Journal,
    JournalState,
    Table,
)
from invoicexpress_async.jobs.postgres import PostgresJournal
from invoicexpress_async.jobs.postgres.reader import JournalDatabase
from invoicexpress_async.jobs.sqlite import JournalFile, SqliteJournal
from invoicexpress_async.jobs.stored import StoredJournal

THINGS = Table(
    name="things",
    key=("account", "serie"),
    requested=(Column("is_default", int),),
    columns=(Column("note", str), Column("token", str)),
)
KEY = ("create", "acme", "2027")


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    made: SqliteJournal | PostgresJournal
    if request.param == "sqlite":
        made = SqliteJournal(tmp_path / "job.db")
    else:
        name = {"postgres": "postgres_url", "pgbouncer": "pooled_url"}[request.param]
        made = PostgresJournal(request.getfixturevalue(name), schema=new_schema())
    async with made as opened:
        await opened.prepare(THINGS)
        yield opened


@pytest.fixture
def stored(journal: Journal, request: pytest.FixtureRequest) -> Iterator[StoredJournal]:
    """The same journal, read while it is open."""
    reader: StoredJournal
    if isinstance(journal, SqliteJournal):
        reader = JournalFile(journal.path)
    else:
        assert isinstance(journal, PostgresJournal)
        name = f"{'pooled' if 'pgbouncer' in request.node.name else 'postgres'}_url"
        reader = JournalDatabase(request.getfixturevalue(name), schema=journal.schema)
    with reader:
        yield reader


def thing(account: str, *, is_default: int = 0) -> Entry:
    return {"account": account, "serie": "2027", "is_default": is_default}


def claim(token: str, *, replaces: str | None = None) -> Claim:
    intent = json.dumps({"of": token})
    return Claim(
        key=KEY, token=token, intent=intent, claimed_at="[1.0, 1.0, '']", replaces=replaces
    )


async def enter(journal: Journal, *entries: Entry) -> None:
    await journal.begin_plan(THINGS)
    await journal.add_to_plan(THINGS, entries)
    await journal.enter_plan(THINGS)


async def state_of(journal: Journal, account: str) -> object:
    return (await journal.look_up(THINGS, [(account, "2027")]))[0]["state"]


async def intent_state(journal: Journal) -> object:
    return (await journal.look_up(INTENTS, [KEY]))[0]["state"]


async def test_a_new_plan_is_planned_and_differs_in_nothing(journal: Journal) -> None:
    await enter(journal, thing("a"), thing("b"))

    await journal.begin_plan(THINGS)
    await journal.add_to_plan(THINGS, [thing("a"), thing("b")])
    changes = await journal.compare_plan(THINGS)

    assert sum(changes.counts.values()) == 0
    assert [await state_of(journal, name) for name in "ab"] == ["planned", "planned"]


async def test_a_plan_that_differs_says_how(journal: Journal) -> None:
    await enter(journal, thing("a"), thing("b"), thing("c"))
    await journal.write(Change(THINGS, ("b", "2027"), {"state": JournalState.UNKNOWN}))

    await journal.begin_plan(THINGS)
    await journal.add_to_plan(THINGS, [thing("a", is_default=1), thing("c"), thing("d")])
    changes = await journal.compare_plan(THINGS)

    assert changes.counts == {"added": 1, "removed": 1, "changed": 1}
    assert {(one.kind, one.key[0], one.state) for one in changes.first} == {
        ("added", "d", None),
        ("removed", "b", "unknown"),
        ("changed", "a", "planned"),
    }
    assert changes.lost == (("b", "2027"),)


async def test_an_entry_that_left_the_plan_is_added_when_it_is_back(journal: Journal) -> None:
    await enter(journal, thing("a"), thing("b"))
    await enter(journal, thing("a"))

    await journal.begin_plan(THINGS)
    await journal.add_to_plan(THINGS, [thing("a"), thing("b")])
    changes = await journal.compare_plan(THINGS)

    assert changes.counts == {"added": 1, "removed": 0, "changed": 0}
    assert [(one.kind, one.key[0]) for one in changes.first] == [("added", "b")]
    await journal.enter_plan(THINGS)
    planned = await journal.read(THINGS, states=frozenset({JournalState.PLANNED}))
    assert {one["account"] for one in planned} == {"a", "b"}


async def test_of_many_entries_of_a_plan_none_is_lost_and_of_a_key_the_last_counts(
    journal: Journal,
) -> None:
    many = [thing(f"a{number}") for number in range(150)]

    await enter(journal, *many, thing("a3", is_default=1), thing("b"))

    entries = await journal.read(THINGS)
    assert {str(one["account"]): one["is_default"] for one in entries} == {
        **{f"a{number}": int(number == 3) for number in range(150)},
        "b": 0,
    }


@pytest.mark.parametrize("state", sorted(JournalState))
async def test_a_changed_request_is_planned_anew_unless_it_is_unresolved(
    journal: Journal, state: JournalState
) -> None:
    await enter(journal, thing("a"))
    await journal.write(Change(THINGS, ("a", "2027"), {"state": state}))

    await enter(journal, thing("a", is_default=1))

    assert await state_of(journal, "a") == (state if state in UNRESOLVED else "planned")


@pytest.mark.parametrize(
    ("outcome", "now"),
    [("done", "planned"), ("refused", "planned"), ("unknown", "unknown")],
)
async def test_what_was_done_for_another_request_is_planned(
    journal: Journal, outcome: str, now: str
) -> None:
    await enter(journal, thing("a"), thing("b"))
    for account in "ab":
        await journal.write(Change(THINGS, (account, "2027"), {"state": JournalState.INTENT}))
    await enter(journal, thing("a", is_default=1), thing("b"))  # while both are in flight

    for account in "ab":
        values: Entry = {"is_default": 0, "state": outcome, "note": "of 0"}
        await journal.write(Change(THINGS, (account, "2027"), values, {"token": None}))

    entries = await journal.look_up(THINGS, [("a", "2027"), ("b", "2027")])
    found = {one["account"]: (one["state"], one["is_default"], one["note"]) for one in entries}
    assert found == {"a": (now, 1, "of 0"), "b": (outcome, 0, "of 0")}


@pytest.mark.parametrize("state", sorted(UNRESOLVED))
async def test_what_was_done_for_another_request_is_not_written_over_a_send(
    journal: Journal, state: JournalState
) -> None:
    await enter(journal, thing("a", is_default=1))
    await journal.write(Change(THINGS, ("a", "2027"), {"state": state, "note": "sent"}))

    values: Entry = {"is_default": 0, "state": JournalState.DONE, "note": "of 0"}
    await journal.write(Change(THINGS, ("a", "2027"), values))

    (entry,) = await journal.look_up(THINGS, [("a", "2027")])
    assert (entry["state"], entry["note"]) == (state, "sent")


async def test_changes_of_one_entry_are_written_in_their_order(journal: Journal) -> None:
    await enter(journal, thing("a"))

    for number in range(50):
        last = journal.write(Change(THINGS, ("a", "2027"), {"note": f"{number}"}))
    await last

    (entry,) = await journal.look_up(THINGS, [("a", "2027")])
    assert entry["note"] == "49"


async def test_what_is_done_stays_done(journal: Journal) -> None:
    await enter(journal, thing("a"))
    await journal.write(Change(THINGS, ("a", "2027"), {"state": JournalState.DONE}))

    await journal.write(Change(THINGS, ("a", "2027"), {"state": JournalState.FAILED}))

    assert await state_of(journal, "a") == "done"


async def test_a_stream_is_admitted_entry_by_entry(journal: Journal) -> None:
    first = await journal.admit(THINGS, thing("a"))
    await journal.write(Change(THINGS, ("a", "2027"), {"state": JournalState.REFUSED}))

    again = await journal.admit(THINGS, thing("a"))

    assert (first["state"], again["state"]) == ("planned", "refused")


async def test_a_job_is_of_one_kind(journal: Journal) -> None:
    assert await journal.bind("rollover", "2027", unless_used=THINGS) == "2027"
    assert await journal.bind("rollover", "2028", unless_used=THINGS) == "2027"
    await enter(journal, thing("a"))
    assert await journal.bind("another", "x", unless_used=THINGS) is None


async def test_the_first_claim_wins_and_the_second_is_shown_the_first(journal: Journal) -> None:
    assert await journal.claim(claim("mine")) is None

    there = await journal.claim(claim("yours"))

    assert there is not None
    assert (there["token"], json.loads(str(there["intent"]))) == ("mine", {"of": "mine"})


async def test_a_lost_claim_writes_none_of_its_changes(journal: Journal) -> None:
    await enter(journal, thing("a"))
    await journal.claim(claim("mine"))

    await journal.claim(claim("yours"), Change(THINGS, ("a", "2027"), {"note": "sent"}))

    (entry,) = await journal.look_up(THINGS, [("a", "2027")])
    assert entry["note"] is None


@pytest.mark.parametrize("state", sorted(JournalState))
async def test_what_had_no_effect_may_be_claimed_again_and_nothing_else(
    journal: Journal, state: JournalState
) -> None:
    first = claim("first")
    await journal.claim(first)
    await journal.settle(first, state)

    there = await journal.claim(claim("second"))

    assert (there is None) == (state in CLAIMABLE)


async def test_a_claim_is_taken_over_by_its_token_only(journal: Journal) -> None:
    await journal.claim(claim("first"))

    assert await journal.claim(claim("second", replaces="another")) is not None
    assert await journal.claim(claim("third", replaces="first")) is None
    assert await journal.claim(claim("fourth", replaces="first")) is not None


async def test_who_lost_a_claim_writes_nothing_any_more(journal: Journal) -> None:
    await enter(journal, thing("a"))
    first = claim("first")
    await journal.claim(first, Change(THINGS, ("a", "2027"), {"token": "first"}))
    taken = claim("second", replaces="first")
    await journal.claim(taken, Change(THINGS, ("a", "2027"), {"token": "second"}))

    with pytest.raises(ClaimLostError, match="taken over by another process"):
        await journal.settle(first, JournalState.DONE)
    await journal.write(Change(THINGS, ("a", "2027"), {"note": "late"}, {"token": "first"}))
    await journal.write(Change(THINGS, ("a", "2027"), {"state": "unknown"}, {"token": "second"}))

    (entry,) = await journal.look_up(THINGS, [("a", "2027")])
    assert (entry["note"], entry["state"]) == (None, "unknown")
    assert await intent_state(journal) == "intent"


async def test_a_change_that_expects_other_values_writes_nothing(journal: Journal) -> None:
    await enter(journal, thing("a"), thing("b"))
    a, b = ("a", "2027"), ("b", "2027")

    await journal.write(
        Change(THINGS, a, {"note": "first"}, {"note": None}),
        Change(THINGS, b, {"note": "late"}, {"note": "first"}),
    )
    await journal.write(Change(THINGS, a, {"note": "late"}, {"note": None}))
    await journal.write(Change(THINGS, a, {"token": "x"}, {"note": "first", "token": None}))

    entries = await journal.look_up(THINGS, [a, b])
    assert [(one["note"], one["token"]) for one in entries] == [("first", "x"), (None, None)]


async def test_what_was_seen_to_be_there_is_done_whoever_sent_it(journal: Journal) -> None:
    first = claim("first")
    await journal.claim(first)

    await journal.observe(KEY)
    await journal.settle(first, JournalState.UNKNOWN)

    assert await intent_state(journal) == "done"


async def test_unresolved_intents_are_read_by_their_state(journal: Journal) -> None:
    await journal.claim(claim("mine"))
    other = attrs.evolve(claim("other"), key=("create", "acme", "2028"))
    await journal.claim(other)
    await journal.settle(other, JournalState.DONE)

    entries = await journal.read(INTENTS, states=UNRESOLVED)

    assert [INTENTS.key_of(entry) for entry in entries] == [KEY]


async def test_what_was_seen_to_be_done_is_not_sent_again_though_its_claim_may_be_replaced(
    journal: Journal,
) -> None:
    assert await journal.claim(claim("mine")) is None
    await journal.settle(claim("mine"), JournalState.UNKNOWN)
    await journal.observe(KEY)  # another process has seen it on the server

    there = await journal.claim(claim("second", replaces="mine"))

    assert there is not None
    assert await intent_state(journal) == "done"


@pytest.mark.parametrize("bad", ["\ud800", "x" * 10 + "\udfff"], ids=["one", "in a text"])
async def test_a_text_that_cannot_be_written_lets_nobody_wait_for_ever(
    journal: Journal, bad: str
) -> None:
    await enter(journal, thing("a"), thing("b"))
    commits = [
        journal.write(Change(THINGS, (account, "2027"), {"note": note}))
        for account, note in (("a", "innocent"), ("b", bad))
    ]

    _, waiting = await asyncio.wait(commits, timeout=30)

    assert not waiting
    for one in commits:
        one.exception()


NEVER_MADE = attrs.evolve(THINGS, name="never_made")


async def test_entries_are_looked_up_by_their_keys_in_the_order_of_these(
    journal: Journal, stored: StoredJournal
) -> None:
    await enter(journal, *map(thing, "abc"), thing("é'\\\""))
    keys = [(name, "2027") for name in ("c", "x", "é'\\\"", "a", "c")]

    with stored.snapshot():
        found = [one.get("account") for one in stored.look_up(THINGS, keys)]

    assert found == ["c", None, "é'\\\"", "a", "c"]
    assert stored.look_up(NEVER_MADE, keys) == [{}] * len(keys)
    assert stored.look_up(THINGS, []) == []


async def test_entries_come_one_by_one_and_others_may_be_read_in_between(
    journal: Journal, stored: StoredJournal
) -> None:
    names = [f"{number:04}" for number in range(2_500)]
    await enter(journal, *map(thing, names))

    found = []
    for entry in stored.entries(THINGS, order_by="account"):
        found.append(entry["account"])
        if len(found) in (1, 1_500):
            assert stored.count(THINGS, "is_in_plan") == len(names)
    begun = iter(stored.entries(THINGS, order_by="account"))
    first = next(begun)["account"]
    begun.close()  # type: ignore[attr-defined]  # both stores give generators

    assert found == names
    assert first == names[0]
    assert [*stored.entries(NEVER_MADE)] == []
    assert len([*stored.entries(THINGS, states=UNRESOLVED)]) == 0
    assert len([*stored.entries(THINGS, limit=7)]) == 7
