"""At most one POST for one intent, no success that is not true, and a record that is right."""

import asyncio
import json

import aiohttp
import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock
from test_faults_life import until

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    Ensured,
    InvoiceXpressError,
    OutcomeUnknownError,
    PartialRegistrationError,
    PermissionDeniedError,
    RateLimitedError,
    SequenceAlreadyExistsError,
    SessionManager,
    TaxAuthorityCredentialsError,
)
from invoicexpress_async.sandbox import FaultServer

EMPTY_LIST = '{"sequences":[]}'


@pytest.mark.fault(38)
async def test_ensures_with_other_flags_make_one_post(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.is_name_check_atomic = False
    faulty.faults.next("latency", operation="create", seconds=2.0)

    await asyncio.gather(
        faulty_account.sequences.ensure("2027"),
        faulty_account.sequences.ensure("2027", default=True),
        return_exceptions=True,
    )

    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(11, 38)
@pytest.mark.parametrize("verb", ["create", "ensure"])
async def test_an_unresolved_create_that_is_still_being_read_for_is_not_sent_again(
    verb: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.is_name_check_atomic = False
    faulty.faults.next("status", status=504, operation="create", commits="late", late_seconds=60.0)
    first = asyncio.create_task(faulty_account.sequences.create("2027"))
    await until(lambda: faulty.count("GET", "/sequences.json"))

    await asyncio.gather(
        first, getattr(faulty_account.sequences, verb)("2027"), return_exceptions=True
    )
    await faulty.commit_late()

    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(11, 38)
async def test_a_create_that_waits_while_another_one_ends_unresolved_is_not_sent(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    is_unsealed = asyncio.Event()

    async def vault() -> str:
        await is_unsealed.wait()
        return API_KEY

    slow = faulty_manager.account(ACCOUNT, vault).sequences
    quick = faulty_manager.account(ACCOUNT, API_KEY).sequences
    waiting = asyncio.create_task(slow.create("2027"))
    await asyncio.sleep(0)
    faulty.faults.next("status", status=504, operation="create", commits="late")
    with pytest.raises(OutcomeUnknownError, match="no list has shown"):
        await quick.create("2027")
    assert quick.unresolved()

    is_unsealed.set()
    await asyncio.gather(waiting, return_exceptions=True)

    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(13, 38)
async def test_an_unresolved_register_that_is_still_being_read_for_is_not_sent_again(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next(
        "status", status=504, operation="register", commits="late", late_seconds=60.0
    )
    first = asyncio.create_task(faulty_account.sequences.register(row.id))
    await until(lambda: faulty.count("GET", f"/sequences/{row.id}.json"))

    await asyncio.gather(first, faulty_account.sequences.ensure("2027"), return_exceptions=True)
    await faulty.commit_late()

    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


@pytest.mark.fault(25)
async def test_an_unresolved_set_current_is_not_reported_as_an_unresolved_create(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    strangers = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next("status", operation="list", status=200, body=EMPTY_LIST)
    faulty.faults.next("timeout", operation="set_current", commits=False)
    task = asyncio.create_task(
        faulty_account.sequences.ensure("2027", default=True, timeout_seconds=100)
    )
    await until(lambda: faulty.oracle.puts(ACCOUNT, strangers.id, "set_current"))

    clock.advance(200)

    with pytest.raises(InvoiceXpressError, match="deadline of the call") as caught:
        await task
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.fault(25, 41)
async def test_a_create_of_a_strangers_name_is_refused_after_an_interrupted_set_current(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    strangers = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next("status", operation="list", status=200, body=EMPTY_LIST)
    faulty.faults.next("timeout", operation="set_current", commits=False)
    task = asyncio.create_task(faulty_account.sequences.ensure("2027", default=True))
    await until(lambda: faulty.oracle.puts(ACCOUNT, strangers.id, "set_current"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(SequenceAlreadyExistsError, match="it had no effect"):
        await faulty_account.sequences.create("2027")


@pytest.mark.fault(41)
async def test_a_register_refused_with_007_is_not_unresolved_after_an_interrupted_set_current(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    body = json.dumps({"errors": {"code": "007", "message": "x"}})
    faulty.faults.next("status", operation="register", status=409, body=body, commits=True)
    faulty.faults.next("timeout", operation="set_current", commits=False)
    task = asyncio.create_task(faulty_account.sequences.ensure("2027", default=True))
    await until(lambda: faulty.oracle.puts(ACCOUNT, row.id, "set_current") or task.done())

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.fault(38)
async def test_a_waiter_with_a_short_deadline_learns_that_the_post_was_sent(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("latency", operation="create", seconds=20.0)

    _, impatient = await asyncio.gather(
        faulty_account.sequences.ensure("2027", timeout_seconds=100),
        faulty_account.sequences.ensure("2027", timeout_seconds=5),
        return_exceptions=True,
    )

    assert isinstance(impatient, InvoiceXpressError)
    assert impatient.may_have_been_processed


@pytest.mark.fault(26, 38)
async def test_a_refusal_known_to_the_leader_clears_what_an_earlier_waiter_recorded(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = json.dumps({"errors": {"code": "004", "message": "x"}})
    faulty.faults.next("status", operation="list", status=200, body=EMPTY_LIST)
    faulty.faults.next("status", operation="create", status=422, body=body, commits=False)
    faulty.faults.next("latency", operation="list", seconds=20.0)

    patient, impatient = await asyncio.gather(
        faulty_account.sequences.ensure("2027", timeout_seconds=100),
        faulty_account.sequences.ensure("2027", timeout_seconds=5),
        return_exceptions=True,
    )

    assert isinstance(impatient, OutcomeUnknownError)
    assert isinstance(patient, TaxAuthorityCredentialsError)
    assert not patient.may_have_been_processed
    assert faulty_account.sequences.unresolved() == ()
    assert (await faulty_account.sequences.create("2027")).serie == "2027"


@pytest.mark.fault(20)
async def test_the_cure_of_a_partial_registration_is_sent(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(account_of("other", refused_document_types=("receipt",)))
    row = faulty.add_sequence("other", "2027", is_registered=False)
    sequences = faulty_manager.account("other", API_KEY).sequences
    faulty.faults.next("reset_peer", operation="register")
    with pytest.raises(PartialRegistrationError, match="no validation code for: receipt"):
        await sequences.register(row.id)

    with pytest.raises(PartialRegistrationError, match="no validation code for: receipt"):
        await sequences.register(row.id)

    assert faulty.oracle.puts("other", row.id, "register") == 2


async def test_a_created_default_that_the_response_does_not_show_as_default_is_no_silent_success(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = {"id": 7, "serie": "2027", "default_sequence": 0}
    faulty.faults.next("status", status=201, operation="create", body=json.dumps({"sequence": row}))

    with pytest.raises(InvoiceXpressError, match="it may have taken effect"):
        await faulty_account.sequences.create("2027", default=True)


@pytest.mark.fault(11)
async def test_a_pending_create_without_default_does_not_answer_for_one_with_default(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.add_sequence(ACCOUNT, "2026", is_default=True)
    faulty.faults.next("status", status=504, operation="create", commits="late")
    with pytest.raises(OutcomeUnknownError, match="no list has shown"):
        await faulty_account.sequences.create("2027")
    await faulty.commit_late()

    sequence = await faulty_account.sequences.create("2027", default=True)

    assert sequence.is_default
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(31)
async def test_a_failed_create_does_not_take_a_sequence_with_documents_for_its_own(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = {
        "id": 7,
        "serie": "2027",
        "default_sequence": 0,
        "current_invoice_number": 3,
        "current_invoice_sequence_id": 7,
        "current_invoice_validation_code": "ABCD123",
    }
    body = json.dumps({"sequences": [row]})
    faulty.faults.next("status", operation="create", status=503, commits=False)
    faulty.faults.next("status", operation="list", status=200, body=body)

    with pytest.raises(SequenceAlreadyExistsError, match="has documents already") as caught:
        await faulty_account.sequences.create("2027")

    assert not caught.value.may_have_been_processed
    assert faulty_account.sequences.unresolved() == ()
    assert faulty.oracle.posts(ACCOUNT) == 1


async def test_an_ensure_that_registered_and_then_failed_does_not_say_it_had_no_effect(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next("status", status=403, operation="set_current", commits=False)

    with pytest.raises(PermissionDeniedError, match="it may have taken effect") as caught:
        await faulty_account.sequences.ensure("2027", default=True)

    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1
    assert caught.value.may_have_been_processed
    assert "it had no effect" not in str(caught.value)


@pytest.mark.fault(22, 38)
@pytest.mark.parametrize("is_wrong_first", [True, False])
async def test_a_wrong_key_does_not_fail_the_right_one_nor_work_beside_it(
    faulty_manager: SessionManager, *, is_wrong_first: bool
) -> None:
    wrong, right = "wrong-key-0123456789", API_KEY
    keys = (wrong, right) if is_wrong_first else (right, wrong)

    results = await asyncio.gather(
        *(faulty_manager.account(ACCOUNT, key).sequences.ensure("2027") for key in keys),
        return_exceptions=True,
    )

    ends = dict(zip(keys, results, strict=True))
    assert isinstance(ends[wrong], AuthenticationError)
    assert isinstance(ends[right], Ensured)


@pytest.mark.fault(32)
async def test_the_way_around_the_methods_never_sends_a_registration_again_after_a_429(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.faults.next("status", status=429, operation="register", commits=False)

    with pytest.raises(RateLimitedError, match="HTTP 429"):
        await faulty_account.request("PUT", f"/sequences/{row.id}/register.json")

    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


@pytest.mark.fault(45)
async def test_a_trace_hook_that_raises_after_the_response_leaves_the_outcome_standing(
    faulty: FaultServer, clock: FakeClock
) -> None:
    trace = aiohttp.TraceConfig()

    async def broken(*_: object) -> None:
        raise ValueError("the user's bug")

    trace.on_request_end.append(broken)
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, trace_configs=[trace]
    ) as manager:
        made = await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    assert made.serie == "2027"
