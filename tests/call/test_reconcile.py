"""What reading decides, case by case."""

import asyncio
import json
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    Intent,
    MalformedResponseError,
    OutcomeUnknownError,
    PartialRegistrationError,
    PermissionDeniedError,
    Registration,
    RetryPolicy,
    Sequence,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    ServerError,
    SessionManager,
    TaxAuthorityCredentialsError,
    UnknownSequenceError,
    UnprocessableError,
    Via,
)
from invoicexpress_async.call.reconcile import Listing
from invoicexpress_async.cli.failures import cure_of
from invoicexpress_async.sandbox import FaultServer


def lost(server: FaultServer, operation: str = "create", *, commits: Any = False) -> None:
    server.faults.next("reset_peer", operation=operation, commits=commits)  # type: ignore[arg-type]  # of any operation


def test_a_listing_finds_the_exact_name_among_others() -> None:
    series = ("2026", "2027", "2028", "2027 ")
    listing = Listing(
        sequences=tuple(
            Sequence(id=number, serie=serie, is_default=False, documents={})
            for number, serie in enumerate(series, 1)
        )
    )

    assert [getattr(listing.find(serie), "id", None) for serie in ("2026", "2027", "2025")] == [
        1, 2, None,
    ]  # fmt: skip
    similar = listing.find_similar("2 027")
    assert similar is not None
    assert similar.id == 2
    assert listing.find_similar("2029") is None


async def test_reads_fall_on_the_schedule(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    lost(faulty)
    started = clock.now()

    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.create("2027")

    reads = [one.received_at - started for one in faulty.requests if one.method == "GET"]
    assert reads == pytest.approx([1, 4, 10, 30, 75], abs=0.5)


async def test_a_read_past_the_deadline_is_not_waited_for(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    lost(faulty)
    started = clock.now()

    with pytest.raises(OutcomeUnknownError, match="no list has shown"):
        await faulty_account.sequences.create("2027", timeout_seconds=20)

    assert clock.now() - started == pytest.approx(10, abs=0.5)
    assert faulty.count("GET", "/sequences.json") == 3


async def test_a_resume_reads_at_once(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    lost(faulty, commits=True)
    with pytest.raises(OutcomeUnknownError) as caught:
        await faulty_account.sequences.create("2027", timeout_seconds=0.9)
    assert caught.value.intent is not None
    started = clock.now()

    await faulty_account.sequences.resume(caught.value.intent, timeout_seconds=0.5)

    assert clock.now() == started


async def test_a_failing_list_is_not_an_absence(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty, commits=True)
    faulty.faults.next("status", operation="list", status=401, times=4)

    assert (await faulty_account.sequences.create("2027")).serie == "2027"


async def test_lists_that_all_fail_leave_it_unknown_and_say_so(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty, commits=True)
    faulty.faults.next("login_page", operation="list", times=None)

    with pytest.raises(OutcomeUnknownError, match=r"last list failed \(MalformedResponseError\)"):
        await faulty_account.sequences.create("2027")


async def test_two_of_the_name_after_a_lost_response_are_loud_and_unknown(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty)
    rows = [{"id": number, "serie": "2027", "default_sequence": 0} for number in (7, 8)]
    body = json.dumps({"sequences": rows})
    faulty.faults.next("status", operation="list", status=200, body=body)

    with pytest.raises(OutcomeUnknownError, match="2 are called '2027', with the ids 7 and 8"):
        await faulty_account.sequences.create("2027")

    assert faulty.count("GET", "/sequences.json") == 1


async def test_a_name_that_is_only_similar_is_never_taken_for_ours(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.add_sequence(ACCOUNT, "fr 2027")
    lost(faulty)

    with pytest.raises(
        OutcomeUnknownError, match=r"there is 'fr 2027' .* in case, spaces or look-alike"
    ):
        await faulty_account.sequences.create("FR2027")


@pytest.mark.parametrize(
    ("status", "via"), [(400, Via.OBSERVED), (409, Via.LISTED), (422, Via.OBSERVED)]
)
async def test_a_response_that_the_contract_does_not_know_is_read_for(
    status: int, via: Via, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = '{"errors":{"code":"X42"}}'
    faulty.faults.next("status", operation="create", status=status, body=body)

    ensured = await faulty_account.sequences.ensure("2027")

    assert (ensured.via, ensured.created) == (via, via is Via.OBSERVED)
    assert faulty.oracle.posts(ACCOUNT) == 1


async def test_what_the_server_said_is_raised_when_no_row_is_there(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    body = '{"errors":{"code":"017","message":"Plano expirado"}}'
    faulty.faults.next("status", operation="create", status=422, body=body, commits=False)
    started = clock.now()

    with pytest.raises(UnprocessableError, match=r"Plano expirado\. .*it had no effect"):
        await faulty_account.sequences.create("2027")

    assert clock.now() == started
    assert faulty_account.sequences.unresolved() == ()


async def test_the_text_of_an_unknown_outcome_has_the_servers_response(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = '{"errors":{"code":"000","message":"Erro desconhecido."}}'
    faulty.faults.next("status", operation="create", status=422, body=body, commits=False)

    with pytest.raises(OutcomeUnknownError, match=r"and all .* 000\): Erro desconhecido\. "):
        await faulty_account.sequences.create("2027")


async def test_a_resume_that_finds_nothing_says_only_that(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty)
    with pytest.raises(
        OutcomeUnknownError, match="and all that had come was: No response"
    ) as caught:
        await faulty_account.sequences.create("2027")

    with pytest.raises(OutcomeUnknownError, match=r"Sent once; no list has shown the sequence\. "):
        await faulty_account.sequences.resume(caught.value.intent)


async def test_000_with_a_registered_row_is_a_success(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = '{"errors":{"code":"000"}}'
    faulty.faults.next("status", operation="create", status=422, body=body)

    sequence = await faulty_account.sequences.create("2027")

    assert sequence.registration is Registration.REGISTERED
    assert faulty_account.sequences.unresolved() == ()


async def test_000_with_an_unregistered_row_is_reported_with_it(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.has_row_after_refusal = True
    faulty.add_account(account_of("other", refusals={"create": (422, "000")}))
    sequences = faulty_manager.account("other", API_KEY).sequences

    with pytest.raises(UnknownSequenceError, match="may have taken effect") as caught:
        await sequences.create("2027")

    assert caught.value.sequence is not None
    assert sequences.unresolved() == ()


async def test_a_registration_that_was_found_counts_as_an_effect_of_the_call(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    lost(faulty, "register", commits=True)
    faulty.faults.next("status", operation="set_current", status=403, commits=False)

    with pytest.raises(PermissionDeniedError, match="may have taken effect"):
        await faulty_account.sequences.ensure("2027", default=True)

    assert faulty_account.sequences.unresolved() == ()


async def test_a_create_that_was_found_counts_as_an_effect_of_the_call(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty, commits="late")
    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.create("2027")
    await faulty.commit_late()
    faulty.faults.next("status", operation="set_current", status=403, commits=False)

    with pytest.raises(PermissionDeniedError, match="may have taken effect"):
        await faulty_account.sequences.create("2027", default=True)

    assert faulty_account.sequences.unresolved() == ()


async def test_006_of_another_create_is_not_called_ours(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.registration_seconds = 20.0

    ensured = await faulty_account.sequences.ensure("2027")

    assert (ensured.created, ensured.via) == (False, Via.LISTED)


async def test_006_is_read_for_past_the_schedule_up_to_the_deadline(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    faulty.registration_seconds = 140.0
    started = clock.now()

    sequence = await faulty_account.sequences.create("2027", timeout_seconds=400)

    assert sequence.registration is Registration.REGISTERED
    assert clock.now() - started == pytest.approx(165, abs=1)


async def test_a_refusal_of_the_tax_authority_stays_unresolved_when_nothing_can_be_read(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.has_row_after_refusal = True
    faulty.add_account(account_of("other", has_at_credentials=False))
    faulty.faults.next("status", operation="list", status=500, times=None)
    sequences = faulty_manager.account("other", API_KEY).sequences

    with pytest.raises(TaxAuthorityCredentialsError, match="may have taken effect") as caught:
        await sequences.create("2027")

    assert caught.value.sequence is None
    assert faulty_manager.unresolved() == sequences.unresolved() != ()


async def test_a_register_waits_through_reads_that_fail(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    lost(faulty, "register", commits=True)
    faulty.faults.next("status", operation="get", status=404, times=2)

    sequence = await faulty_account.sequences.register(row.id)

    assert sequence.registration is Registration.REGISTERED


async def test_a_register_that_ends_partial_says_so(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(account_of("other", refused_document_types=("receipt",)))
    row = faulty.add_sequence("other", "2027", is_registered=False)
    sequences = faulty_manager.account("other", API_KEY).sequences

    with pytest.raises(PartialRegistrationError, match="receipt"):
        await sequences.register(row.id)
    lost(faulty, "register", commits=True)
    with pytest.raises(PartialRegistrationError, match="may have taken effect"):
        await sequences.register(row.id)

    assert faulty.oracle.puts("other", row.id, "register") == 2
    assert sequences.unresolved() == ()


async def test_a_sequence_with_documents_is_never_taken_for_the_one_just_sent(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty)
    row = {"id": 7, "serie": "2027", "current_invoice_number": 3, "current_invoice_sequence_id": 7}
    body = json.dumps({"sequences": [row]})
    faulty.faults.next("status", operation="list", status=200, body=body)

    with pytest.raises(SequenceAlreadyExistsError, match="has documents already"):
        await faulty_account.sequences.create("2027")

    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.parametrize("code", ["006", "008"])
async def test_in_progress_for_ever_on_register_ends_with_its_own_error(
    code: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.registration_seconds = float("inf")
    faulty.register_codes = {"being_registered": (409, code)}

    with pytest.raises(SequenceBeingRegisteredError, match=code):
        await faulty_account.sequences.register(row.id)

    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


async def test_a_refusal_of_the_tax_authority_that_left_no_row_leaves_nothing_unresolved(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(account_of("other", has_at_credentials=False))
    sequences = faulty_manager.account("other", API_KEY).sequences

    with pytest.raises(TaxAuthorityCredentialsError, match="it had no effect"):
        await sequences.create("2027")

    assert sequences.unresolved() == ()


async def test_a_refused_register_leaves_nothing_unresolved(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    body = '{"errors":{"code":"002"}}'
    faulty.faults.next("status", operation="register", status=422, body=body, commits=False)

    with pytest.raises(TaxAuthorityCredentialsError, match="it had no effect"):
        await faulty_account.sequences.register(row.id)

    assert faulty_account.sequences.unresolved() == ()


async def test_ensure_reads_again_when_all_is_registered_already(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    body = '{"errors":{"code":"007"}}'
    faulty.faults.next("status", operation="register", status=409, body=body)

    ensured = await faulty_account.sequences.ensure("2027")

    assert ensured.sequence.id == row.id
    assert ensured.sequence.registration is Registration.REGISTERED
    with pytest.raises(SequenceAlreadyRegisteredError, match="005"):
        await faulty_account.sequences.register(row.id)


@pytest.mark.parametrize("commits", [True, False])
async def test_a_lost_set_current_is_read_and_sent_again_if_still_wanted(
    commits: bool, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    lost(faulty, "set_current", commits=commits)

    await faulty_account.sequences.set_current(row.id)

    assert faulty.sequences(ACCOUNT)[0].is_default
    assert faulty.oracle.puts(ACCOUNT, row.id, "set_current") == (1 if commits else 2)


async def test_a_set_current_that_never_works_is_given_up(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next("status", operation="set_current", status=500, commits=False, times=None)

    with pytest.raises(ServerError, match="may have taken effect"):
        await faulty_account.sequences.set_current(row.id)

    assert faulty.oracle.puts(ACCOUNT, row.id, "set_current") == 3


async def test_a_default_that_does_not_stick_is_not_called_a_success(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.add_sequence(ACCOUNT, "2027")
    faulty.faults.next("status", operation="set_current", status=200, commits=False)

    with pytest.raises(Exception, match="not set although set_current succeeded"):
        await faulty_account.sequences.ensure("2027", default=True)


async def test_a_lost_create_with_default_gets_its_flag_repaired(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty, commits=True)
    faulty.faults.next("status", operation="set_current", status=504, commits=True)
    other = asyncio.create_task(faulty_account.sequences.ensure("2027", default=True))
    ensured = await other

    assert ensured.sequence.is_default
    assert faulty.oracle.posts(ACCOUNT) == 1


_PAGE = b'{"sequences":[{"id":%d,"serie":"S%d"}],"pagination":{"current_page":%d,"total_pages":%d}}'


@pytest.mark.parametrize(("total", "is_refused"), [(200, False), (201, True)])
async def test_a_list_has_two_hundred_pages_at_the_most(
    faulty: FaultServer, faulty_account: AccountSession, total: int, *, is_refused: bool
) -> None:
    for page in range(1, 202):
        body = _PAGE % (page, page, page, total)
        faulty.faults.next("status", operation="list", status=200, body=body)

    if is_refused:
        with pytest.raises(MalformedResponseError, match="more than 200 pages"):
            await faulty_account.sequences.list()
    else:
        assert len(await faulty_account.sequences.list()) == 200

    assert faulty.count("GET", "/sequences.json") == 200


@pytest.mark.parametrize(
    ("had_sequences", "there", "was_absent"),
    [
        pytest.param(None, (), True, id="no list before, none now"),
        pytest.param(False, (), True, id="none before, none now"),
        pytest.param(True, (), False, id="some before and none now: not believed"),
        pytest.param(True, ("2026",), True, id="others are there"),
        pytest.param(None, ("2026",), True, id="others are there, no list before"),
        pytest.param(True, ("2026", "2 027"), False, id="a name that is only similar"),
    ],
)
async def test_an_absence_is_believed_from_a_whole_list_only(
    faulty: FaultServer,
    faulty_account: AccountSession,
    had_sequences: bool | None,  # a column of the table
    there: tuple[str, ...],
    was_absent: bool,  # a column of the table
) -> None:
    for serie in there:
        faulty.add_sequence(ACCOUNT, serie)
    intent = Intent(
        version=1,
        operation="create",
        account=ACCOUNT,
        serie="2027",
        sequence_id=None,
        is_default=False,
        had_sequences=had_sequences,
        sent_at=1.0,
    )
    once = faulty_account.with_options(retry=RetryPolicy(read_after_seconds=()))

    with pytest.raises(OutcomeUnknownError) as caught:
        await once.sequences.resume(intent)

    assert caught.value.was_absent is was_absent
    assert ("sequences.forget(error.intent)" in str(caught.value)) is was_absent
    assert "forget" not in cure_of(caught.value)  # a new process has nothing to forget
    assert faulty.count("GET", "/sequences.json") == 1


async def test_a_create_that_never_took_effect_is_sent_again_only_after_it_was_forgotten(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty)
    once = faulty_account.with_options(retry=RetryPolicy(attempts=1, read_after_seconds=(1.0,)))

    for _ in range(3):
        with pytest.raises(OutcomeUnknownError) as caught:
            await once.sequences.ensure("2027")
        assert caught.value.was_absent
    assert once.sequences.unresolved() == (caught.value.intent,)
    once.sequences.forget(caught.value.intent)
    ensured = await once.sequences.ensure("2027")

    assert ensured.created
    assert once.sequences.unresolved() == ()
    assert faulty.count("POST", "/sequences.json") == 2


async def test_a_list_that_fails_after_one_that_did_not_show_it_takes_the_absence_back(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    lost(faulty)
    twice = faulty_account.with_options(
        retry=RetryPolicy(attempts=1, read_after_seconds=(1.0, 2.0))
    )
    faulty.faults.next("byte_order_mark", operation="list")  # accepted: a whole list
    faulty.faults.next("status", operation="list", status=403)

    with pytest.raises(OutcomeUnknownError) as caught:
        await twice.sequences.create("2027")

    assert not caught.value.was_absent


async def test_a_register_is_first_read_for_a_second_after_it_was_sent(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    sequence = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    lost(faulty, "register", commits=True)
    started = clock.now()

    await faulty_account.sequences.register(sequence.id)

    assert clock.now() - started == 1.0


async def test_without_a_schedule_a_lost_create_is_unknown_at_once(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    lost(faulty, commits=True)
    started = clock.now()
    unread = faulty_account.with_options(retry=RetryPolicy(read_after_seconds=()))

    with pytest.raises(OutcomeUnknownError) as caught:
        await unread.sequences.create("2027")

    assert not caught.value.was_absent
    assert faulty.count("GET", "/sequences.json") == 0
    assert clock.now() == started


async def test_without_a_schedule_006_is_reported_at_once(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    started = clock.now()
    body = b'{"code":"006","message":"x"}'
    faulty.faults.next("status", operation="create", status=409, body=body)
    unread = faulty_account.with_options(retry=RetryPolicy(read_after_seconds=()))

    with pytest.raises(SequenceBeingRegisteredError):
        await unread.sequences.create("2027")

    assert clock.now() == started


@pytest.mark.parametrize("other", ["2026", "2028", "A2027"])
def test_another_name_is_not_similar(other: str) -> None:
    listing = Listing(sequences=(Sequence(id=1, serie=other, is_default=False, documents={}),))

    assert listing.find_similar("2027") is None


async def test_a_register_that_never_shows_is_unknown_and_not_partial(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    sequence = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    lost(faulty, "register")

    with pytest.raises(OutcomeUnknownError, match="no read has shown the sequence as registered"):
        await faulty_account.sequences.register(sequence.id)


async def test_a_register_after_which_no_read_works_is_unknown(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    sequence = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    lost(faulty, "register")
    faulty.faults.next("status", operation="get", status=403, times=None)

    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.register(sequence.id)
