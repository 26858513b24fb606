"""faults.md, "Answers": each is understood, or an error of ours, and never an empty success."""

import asyncio
import resource
import tracemalloc
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    DeadlineExceededError,
    MalformedResponseError,
    NoOpenActivityError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    Registration,
    SequenceAlreadyExistsError,
    SequenceBeingRegisteredError,
    SessionManager,
    TaxAuthorityCredentialsError,
    UnexpectedRedirectError,
    UnknownSequenceError,
    Via,
)
from invoicexpress_async.sandbox import FaultServer

APPLIED = [
    "status_line_only", "limit_data", "cut_chunk", "bad_chunk", "cut_without_length",
    "truncated_json", "invalid_json", "empty", "one_space", "null", "empty_list", "empty_object",
    "without_id", "another_serie", "garbage", "big_header", "many_headers", "two_lengths",
    "nan", "deep_nesting", "huge_integer", "invalid_utf8", "nonsense_charset",
    "bad_gzip", "truncated_gzip", "gzip_bomb", "deflate_bomb", "brotli_bomb", "big_body",
    "huge_length", "login_page",
]  # fmt: skip


@pytest.mark.fault(17, 18, 27, 29, 30)
@pytest.mark.parametrize("name", APPLIED)
async def test_a_create_whose_answer_is_unusable_was_applied_and_is_found_by_reading(
    name: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next(name, operation="create")

    ensured = await faulty_account.sequences.ensure("2027", default=True)

    assert ensured.via is Via.OBSERVED
    assert ensured.sequence.id == faulty.sequences(ACCOUNT)[0].id
    assert faulty.oracle.posts(ACCOUNT) == faulty.oracle.rows(ACCOUNT) == 1


@pytest.mark.fault(19)
@pytest.mark.parametrize("name", ["other_envelope", "other_list", "byte_order_mark", "gzip"])
async def test_another_wrapping_of_the_same_answer_is_understood(
    name: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next(name, operation="create")

    assert (await faulty_account.sequences.create("2027")).serie == "2027"
    assert len(faulty.requests) == 1


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    "changes",
    [
        {"number_form": "string"},
        {"flag_form": "boolean"},
        {"flag_form": "string"},
        {"flag_form": "word"},
        {"envelope": "sequences"},
        {"list_form": "object_when_single"},
    ],
    ids=str,
)
async def test_every_recorded_form_of_the_row_is_understood(
    changes: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    for name, value in changes.items():
        setattr(faulty, name, value)

    ensured = await faulty_account.sequences.ensure("2027", default=True)

    assert ensured.sequence.is_default
    assert await faulty_account.sequences.list() == (ensured.sequence,)


@pytest.mark.fault(19)
async def test_types_that_were_only_recorded_are_kept(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    types = ("invoice", "purchase_order", "type_of_tomorrow")
    faulty.add_account(account_of("old", document_types=types, has_validation_codes=False))

    sequence = await faulty_manager.account("old", API_KEY).sequences.create("2027")

    assert tuple(sequence.documents) == types
    assert sequence.registration is Registration.UNKNOWN


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("settings", "registration"),
    [
        ({}, Registration.REGISTERED),
        ({"refused_document_types": ("receipt", "quote")}, Registration.PARTIAL),
        ({"country": "IE"}, Registration.NOT_APPLICABLE),
        ({"has_validation_codes": False}, Registration.UNKNOWN),
    ],
    ids=str,
)
async def test_the_codes_give_the_registration(
    settings: dict[str, Any],
    registration: Registration,
    faulty: FaultServer,
    faulty_manager: SessionManager,
) -> None:
    faulty.add_account(account_of("other", **settings))

    sequence = await faulty_manager.account("other", API_KEY).sequences.create("2027")

    assert sequence.registration is registration


@pytest.mark.fault(21)
@pytest.mark.parametrize("form", ["padded", "bare", "integer"])
@pytest.mark.parametrize("language", ["pt", "en"])
async def test_a_code_is_the_same_error_in_every_form_and_language(
    form: Any, language: Any, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.code_form, faulty.language = form, language
    faulty.add_sequence(ACCOUNT, "2027")

    with pytest.raises(SequenceAlreadyExistsError, match="code 002"):
        await faulty_account.sequences.create("2027")


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("account", "key", "body"),
    [
        (ACCOUNT, "wrong-key-0123456789", "object"),
        (ACCOUNT, "wrong-key-0123456789", "list"),
        (ACCOUNT, "wrong-key-0123456789", "empty"),
        ("nobody", API_KEY, "object"),
        ("trial", API_KEY, "object"),
    ],
)
async def test_401_is_an_authentication_error_and_is_not_repeated(
    account: str, key: str, body: Any, faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(account_of("trial", is_trial=True))
    faulty.unauthorized_body = body

    with pytest.raises(AuthenticationError, match="an unknown name gets 401 too"):
        await faulty_manager.account(account, key).sequences.create("2027")

    assert len(faulty.requests) == 1


@pytest.mark.fault(23)
@pytest.mark.parametrize("body", ["empty", "space", "html"])
async def test_404_is_not_found_whatever_its_body(
    body: Any, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.not_found_body = body

    with pytest.raises(NotFoundError, match="Check the id") as caught:
        await faulty_account.sequences.get(1)

    assert caught.value.messages == ()
    assert len(faulty.requests) == 1


@pytest.mark.fault(24)
@pytest.mark.parametrize("is_listed", [True, False])
async def test_006_is_waited_for_by_reading_until_it_shows_registered(
    is_listed: bool, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.registration_seconds = 20.0
    faulty.is_listed_while_registering = is_listed

    sequence = await faulty_account.sequences.create("2027")

    assert sequence.registration is Registration.REGISTERED
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(24)
async def test_006_for_ever_ends_at_the_deadline_with_its_own_error(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    faulty.registration_seconds = float("inf")
    started = clock.now()

    with pytest.raises(SequenceBeingRegisteredError, match="Do not send it again"):
        await faulty_account.sequences.create("2027", timeout_seconds=300)

    assert 200 <= clock.now() - started <= 300
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(24)
async def test_006_on_register_is_read_until_settled(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027", is_registered=False)
    faulty.registration_seconds = 20.0

    sequence = await faulty_account.sequences.register(row.id)

    assert sequence.registration is Registration.REGISTERED
    assert faulty.oracle.puts(ACCOUNT, row.id, "register") == 1


@pytest.mark.fault(25)
async def test_002_on_a_strangers_sequence_is_its_own_error_and_ensure_takes_it(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    faulty.list_lag_seconds = 0.0
    faulty.faults.next("status", operation="list", status=200, body=b'{"sequences":[]}')

    ensured = await faulty_account.sequences.ensure("2027")

    assert (ensured.created, ensured.via) == (False, Via.LISTED)
    assert ensured.sequence.id == row.id
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(25)
async def test_002_on_our_own_lost_create_cannot_come_as_nothing_is_sent_again(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("reset_peer", operation="create", commits="late")
    with pytest.raises(OutcomeUnknownError):
        await faulty_account.sequences.create("2027")
    await faulty.commit_late()

    assert (await faulty_account.sequences.create("2027")).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("settings", "error_class"),
    [
        ({"has_at_credentials": False}, TaxAuthorityCredentialsError),
        ({"has_open_activity": False}, NoOpenActivityError),
        ({"refusals": {"create": (422, "000")}}, UnknownSequenceError),
    ],
    ids=["004", "005", "000"],
)
async def test_a_row_that_a_refusal_left_behind_is_reported_and_at_gets_no_second_request(
    settings: dict[str, Any],
    error_class: type[TaxAuthorityCredentialsError],
    faulty: FaultServer,
    faulty_manager: SessionManager,
) -> None:
    faulty.has_row_after_refusal = True
    faulty.add_account(account_of("other", **settings))

    with pytest.raises(error_class, match="it may have taken effect") as caught:
        await faulty_manager.account("other", API_KEY).sequences.ensure("2027", default=True)

    (row,) = faulty.sequences("other")
    assert caught.value.sequence is not None
    assert caught.value.sequence.id == row.id
    assert caught.value.sequence.registration is Registration.NOT_REGISTERED
    assert {request.method for request in faulty.requests} == {"GET", "POST"}
    assert faulty.oracle.posts("other") == 1


@pytest.mark.fault(27)
async def test_a_login_page_in_place_of_a_list_is_malformed_with_a_short_excerpt(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("login_page", operation="list")

    with pytest.raises(MalformedResponseError, match="web page") as caught:
        await faulty_account.sequences.list()

    assert caught.value.is_html
    assert 0 < len(caught.value.excerpt) <= 512
    assert len(faulty.requests) == 1


@pytest.mark.fault(28)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_create_is_read_for_and_the_target_sees_no_connection(
    status: int, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    seen: list[object] = []
    target = await asyncio.start_server(lambda *streams: seen.append(streams), "127.0.0.1", 0)
    location = f"http://127.0.0.1:{target.sockets[0].getsockname()[1]}/x"
    for operation in ("create", "list"):
        faulty.faults.next("status", operation=operation, status=status, location=location)

    async with target:
        ensured = await faulty_account.sequences.create("2027")

    assert ensured.serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1
    assert seen == []


@pytest.mark.fault(28)
async def test_a_redirected_read_shows_the_host_only(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    location = "https://user:canary@evil.test/?api_key=canary"
    faulty.faults.next("status", status=302, location=location)

    with pytest.raises(UnexpectedRedirectError, match=r"to evil\.test") as caught:
        await faulty_account.sequences.list()

    assert caught.value.location_host == "evil.test"
    assert "canary" not in str(caught.value) + repr(vars(caught.value))


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    "name", ["gzip_bomb", "deflate_bomb", "big_body", "huge_length", "endless_chunks"]
)
async def test_a_body_without_measure_is_refused_at_the_cap(
    name: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next(name, operation="list")
    await faulty_account.check_credentials(timeout_seconds=600)
    faulty.faults.next(name, operation="list", times=None)
    tracemalloc.start()

    with pytest.raises(MalformedResponseError, match="over 8 MiB"):
        await faulty_account.sequences.list()

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The server of the test lives in the same process and holds pieces of its own.
    assert peak < (8 + 4 + 8) * 1024 * 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.fault(31)
@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("retry_after", [None, "1"])
@pytest.mark.parametrize("commits", [True, False])
async def test_a_server_error_after_a_create_is_found_or_unknown(
    status: int,
    retry_after: str | None,
    commits: bool,
    faulty: FaultServer,
    faulty_account: AccountSession,
) -> None:
    faulty.faults.next(
        "status", operation="create", status=status, retry_after=retry_after, commits=commits
    )

    if commits:
        assert (await faulty_account.sequences.create("2027")).serie == "2027"
    else:
        with pytest.raises(OutcomeUnknownError, match="no list has shown"):
            await faulty_account.sequences.create("2027")

    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("retry_after", "waited"),
    [
        pytest.param(None, 5.0, id="bare"),
        pytest.param("0", 0.5, id="0"),
        pytest.param("1", 1.0, id="1"),
        pytest.param("-5", 0.5, id="negative"),
        pytest.param("1e309", 5.0, id="1e309"),
        pytest.param("NaN", 5.0, id="NaN"),
        pytest.param("Sat, 01 Jan 2000 00:00:00 GMT", 0.5, id="a past date"),
    ],
)
async def test_a_429_slows_the_whole_account_inside_the_clamp_and_no_other(
    retry_after: str | None,
    waited: float,
    faulty: FaultServer,
    faulty_manager: SessionManager,
    clock: FakeClock,
) -> None:
    faulty.add_account(account_of("other"))
    mine, other = (faulty_manager.account(name, API_KEY) for name in (ACCOUNT, "other"))
    faulty.faults.next(
        "status", operation="create", status=429, retry_after=retry_after, commits=False
    )
    started = clock.now()

    first = asyncio.create_task(mine.sequences.create("2027"))
    while not faulty_manager.health()["accounts_slowed"]:  # noqa: ASYNC110  # no event for it
        await asyncio.sleep(0)
    await other.sequences.list()
    unhindered = clock.now()
    await mine.sequences.list()
    await first

    assert unhindered == started
    assert waited <= clock.now() - started <= waited + 0.1
    assert faulty.oracle.commits(ACCOUNT) == 1


@pytest.mark.fault(32)
@pytest.mark.parametrize("retry_after", ["86400", "Fri, 01 Jan 2100 00:00:00 GMT"])
async def test_a_429_for_longer_than_the_clamp_is_reported_at_once(
    retry_after: str, faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    faulty.faults.next("status", status=429, retry_after=retry_after, commits=False)

    with pytest.raises(RateLimitedError, match="HTTP 429") as caught:
        await faulty_account.sequences.create("2027")

    assert (caught.value.retry_after_seconds or 0) > 120
    assert clock.slept == []


@pytest.mark.fault(32)
async def test_a_429_past_the_deadline_is_not_waited_for(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=429, retry_after="60", commits=False)

    with pytest.raises((RateLimitedError, DeadlineExceededError), match="429"):
        await faulty_account.sequences.create("2027", timeout_seconds=10)
