"""faults.md, "While and after sending": at most one POST, and what became of it is read."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    Intent,
    InvoiceXpressError,
    OutcomeUnknownError,
    Registration,
    Sequence,
    SessionManager,
    Timeouts,
    TransportError,
    Via,
)
from invoicexpress_async.sandbox import FAULT_NAMES, FaultServer, describe_fault

BROKEN_BEFORE_A_COMMIT = [
    ("close_on_accept", {}),
    ("reset_on_accept", {}),
    ("close_unread", {}),
    ("reset_unread", {}),
    ("reset_half_body", {}),
    ("close_after_read", {"commits": False}),
    ("reset_peer", {"commits": False}),
]


@pytest.fixture
async def impatient(faulty: FaultServer, clock: FakeClock) -> AsyncIterator[AccountSession]:
    """An account whose attempts hang for a moment only."""
    timeouts = Timeouts(attempt_seconds=0.15)
    async with SessionManager(base_url=faulty.base_url, timeouts=timeouts, clock=clock) as manager:
        yield manager.account(ACCOUNT, API_KEY)


@pytest.mark.fault(8, 10)
@pytest.mark.parametrize(
    ("name", "options"), BROKEN_BEFORE_A_COMMIT, ids=[row[0] for row in BROKEN_BEFORE_A_COMMIT]
)
async def test_a_create_that_broke_and_never_shows_is_unknown_and_resumable(
    name: str,
    options: dict[str, Any],
    faulty: FaultServer,
    faulty_account: AccountSession,
    clock: FakeClock,
) -> None:
    is_on_accept = name.endswith("accept")
    faulty.faults.next(name, operation=None if is_on_accept else "create", **options)
    started = clock.now()

    with pytest.raises(OutcomeUnknownError, match="no list has shown") as caught:
        await faulty_account.sequences.create("2027")

    assert faulty.oracle.posts(ACCOUNT) <= 1
    assert faulty.oracle.rows(ACCOUNT) == 0
    assert 75 <= clock.now() - started <= 80
    assert faulty.count("GET", "/sequences.json") == 5
    made = faulty.add_sequence(ACCOUNT, "2027")
    intent: Intent = json.loads(json.dumps(caught.value.intent))
    assert (await faulty_account.sequences.resume(intent)).id == made.id
    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    ("name", "options"), BROKEN_BEFORE_A_COMMIT, ids=[row[0] for row in BROKEN_BEFORE_A_COMMIT]
)
async def test_a_get_that_broke_is_sent_again(
    name: str, options: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next(name, times=2, **options)

    assert (await faulty_account.sequences.get(row.id)).serie == "2027"


@pytest.mark.fault(9)
@pytest.mark.parametrize("name", ["close_after_read", "reset_peer"])
async def test_a_create_that_was_committed_without_a_response_is_found(
    name: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next(name, operation="create")

    ensured = await faulty_account.sequences.ensure("2027", default=True)

    assert (ensured.created, ensured.via) == (True, Via.OBSERVED)
    assert ensured.sequence.is_default
    assert faulty.oracle.posts(ACCOUNT) == faulty.oracle.rows(ACCOUNT) == 1


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("name", "options"), [("status", {"status": 504}), ("reset_peer", {}), ("login_page", {})]
)
async def test_a_create_that_commits_late_is_found_by_a_later_list(
    name: str, options: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next(name, operation="create", commits="late", late_seconds=60.0, **options)

    sequence = await faulty_account.sequences.create("2027")

    assert sequence.serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == faulty.oracle.rows(ACCOUNT) == 1


@pytest.mark.fault(11)
async def test_a_create_that_commits_after_the_schedule_is_found_by_resume(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=504, operation="create", commits="late")
    with pytest.raises(OutcomeUnknownError) as caught:
        await faulty_account.sequences.create("2027")
    assert caught.value.intent is not None

    await faulty.commit_late()
    sequence = await faulty_account.sequences.resume(caught.value.intent)

    assert sequence.registration is Registration.REGISTERED
    assert faulty.oracle.posts(ACCOUNT) == faulty.oracle.rows(ACCOUNT) == 1


@pytest.mark.fault(11, 42)
@pytest.mark.parametrize("verb", ["create", "ensure"])
async def test_the_same_call_after_an_unknown_outcome_reads_and_never_sends(
    verb: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=504, operation="create", commits="late")
    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.create("2027")

    with pytest.raises(OutcomeUnknownError):
        await getattr(faulty_account.sequences, verb)("2027")
    await faulty.commit_late()
    result = await getattr(faulty_account.sequences, verb)("2027")

    assert (result if isinstance(result, Sequence) else result.sequence).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == faulty.oracle.rows(ACCOUNT) == 1
    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.fault(12)
async def test_the_deadline_holds_against_a_server_that_hangs_for_ever(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("timeout", operation="create", commits=False)
    loop = asyncio.get_running_loop()
    real_deadline = SessionManager(base_url=faulty.base_url)
    started = loop.time()

    async with real_deadline as manager:
        with pytest.raises(OutcomeUnknownError, match="deadline came"):
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027", timeout_seconds=0.7)

    # Half a second is the promise; the rest is for a machine that is busy with other things.
    assert loop.time() - started < 0.7 + 0.5 + 2.0
    assert faulty.oracle.posts(ACCOUNT) == 1
    assert faulty_account.name == ACCOUNT


@pytest.mark.fault(12)
async def test_an_attempt_that_hangs_leaves_time_to_read(
    faulty: FaultServer, impatient: AccountSession
) -> None:
    faulty.faults.next("timeout", operation="create")

    assert (await impatient.sequences.create("2027")).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(13)
@pytest.mark.parametrize("name", ["close_after_read", "reset_peer"])
async def test_a_register_that_broke_is_sent_once_and_a_read_decides(
    name: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next(name, operation="register")

    sequence = await faulty_account.sequences.register(row.id)

    assert sequence.registration is Registration.REGISTERED
    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


@pytest.mark.fault(13)
async def test_a_register_that_shows_no_effect_is_unknown_and_resumable(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next("reset_peer", operation="register", commits="late")

    with pytest.raises(OutcomeUnknownError, match="as registered") as caught:
        await faulty_account.sequences.register(row.id)
    with pytest.raises(OutcomeUnknownError, match="as registered"):
        await faulty_account.sequences.register(row.id)
    await faulty.commit_late()
    assert caught.value.intent is not None
    sequence = await faulty_account.sequences.resume(caught.value.intent)

    assert sequence.registration is Registration.REGISTERED
    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


@pytest.mark.fault(14)
@pytest.mark.parametrize("operation", ["list", "get"])
async def test_a_read_that_breaks_again_and_again_is_sent_as_often_as_we_count(
    operation: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("close_after_read", times=None)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "list": faulty_account.sequences.list,
        "get": lambda: faulty_account.sequences.get(7),
    }

    with pytest.raises(TransportError, match="connection broke") as caught:
        await calls[operation]()

    assert len(faulty.requests) == caught.value.attempts == 3


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("name", "options"),
    [("slicer", {"seconds": 0.05}), ("bandwidth", {}), ("slow_close", {"seconds": 1_000.0})],
    ids=["slicer", "bandwidth", "slow_close"],
)
async def test_the_total_deadline_holds_against_a_drip_and_the_next_call_is_not_affected(
    name: str, options: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next(name, operation="get", **options)

    with pytest.raises(TransportError, match="deadline of the call has passed"):
        await faulty_account.sequences.get(row.id, timeout_seconds=1.0)

    assert (await faulty_account.sequences.get(row.id, timeout_seconds=1.0)).id == row.id


@pytest.mark.fault(16)
async def test_a_stale_connection_that_closes_as_the_post_starts_gets_at_most_one_post(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    await faulty_account.sequences.list()
    faulty.faults.next("stale_keep_alive", operation="create")

    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.create("2027")

    assert faulty.oracle.posts(ACCOUNT) == 0
    assert len(faulty.oracle.partial) == 1


@pytest.mark.fault(16)
async def test_a_connection_that_was_closed_while_idle_is_not_used(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    await faulty_account.sequences.list()
    await faulty.go_down()
    await faulty.go_up()

    assert (await faulty_account.sequences.create("2027")).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1


# These answer as if nothing were wrong: without a commit, the server would simply be lying.
TRUTHFUL = frozenset(
    {
        "interim_answer", "close_after_answer", "trailing_answer", "shared_cookie", "two_ids",
        "byte_order_mark", "other_envelope", "other_list", "gzip", "latency", "slicer",
        "bandwidth", "slow_close",
    }
)  # fmt: skip
ON_ACCEPT = frozenset(name for name in FAULT_NAMES if name.endswith("on_accept"))


@pytest.mark.fault(8, 9, 10, 17, 18, 29, 30)
@pytest.mark.parametrize(
    ("name", "commits"),
    [
        pytest.param(name, commits, id=f"{name}-{'' if commits else 'not '}committed")
        for name in FAULT_NAMES
        for commits in ((True,) if name in TRUTHFUL else (True, False))
    ],
)
async def test_whatever_happens_to_a_create_the_result_is_true(
    name: str, commits: bool, faulty: FaultServer, impatient: AccountSession
) -> None:
    options: dict[str, Any] = (
        {"commits": commits} if "commits" in describe_fault(name).split("\n")[0] else {}
    )
    operation: Literal["create"] | None = None if name in ON_ACCEPT else "create"
    faulty.faults.next(name, operation=operation, **options)

    result: object
    try:
        result = await impatient.sequences.create("2027")
    except InvoiceXpressError as error:
        result = error

    rows = faulty.oracle.rows(ACCOUNT, "2027")
    assert faulty.oracle.posts(ACCOUNT) <= 1
    if isinstance(result, Sequence):
        assert rows == 1
        assert result.serie == faulty.sequences(ACCOUNT)[0].serie
    else:
        assert rows == 0
        assert isinstance(result, OutcomeUnknownError)
        assert impatient.sequences.unresolved() == (result.intent,)


@pytest.mark.fault(8, 17, 19, 27, 29, 30)
@pytest.mark.parametrize("name", FAULT_NAMES)
async def test_whatever_happens_to_a_read_it_is_right_or_one_of_our_errors(
    name: str, faulty: FaultServer, impatient: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next(name, times=None)

    try:
        sequences = await impatient.sequences.list()
    except InvoiceXpressError as error:
        assert not error.may_have_been_processed
        assert error.__context__ is None
    else:
        # A list cannot know which names are right; a create that reads "2027X" knows.
        expected = "2027X" if name == "another_serie" else row.serie
        assert [one.serie for one in sequences] == [expected]
