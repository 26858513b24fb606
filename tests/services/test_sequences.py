import asyncio
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY, account_of

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    ConfigurationError,
    DocumentType,
    MalformedResponseError,
    NoOpenActivityError,
    NotFoundError,
    PartialRegistrationError,
    Registration,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceNameNotAllowedError,
    SessionManager,
    TaxAuthorityCredentialsError,
    UnexpectedRedirectError,
    Via,
)
from invoicexpress_async.sandbox import Sandbox


def posts(sandbox: Sandbox, account: str = ACCOUNT) -> int:
    return sandbox.count("POST", "/sequences.json", account=account)


async def test_create_returns_the_nested_sequence(
    account: AccountSession, sandbox: Sandbox
) -> None:
    sequence = await account.sequences.create("2027", default=True)

    (row,) = sandbox.sequences(ACCOUNT)
    invoice = sequence.documents[DocumentType.INVOICE]
    assert (sequence.id, sequence.serie, sequence.is_default) == (row.id, "2027", True)
    assert sequence.registration is Registration.REGISTERED
    assert len(sequence.documents) == 15
    assert invoice.sequence_id == row.sequence_ids["invoice"]
    assert invoice.atcud(invoice.next_number) == f"{row.validation_codes['invoice']}-1"


async def test_create_without_default_leaves_the_default_alone(account: AccountSession) -> None:
    first = await account.sequences.create("2026", default=True)
    second = await account.sequences.create("2027")

    assert not second.is_default
    assert (await account.sequences.get(first.id)).is_default


async def test_the_serie_is_sent_exactly_as_given(
    account: AccountSession, sandbox: Sandbox
) -> None:
    await account.sequences.create(" é/ç <&> 日本 ")

    assert sandbox.sequences(ACCOUNT)[0].serie == " é/ç <&> 日本 "


async def test_list_get_and_find_agree(account: AccountSession) -> None:
    created = [await account.sequences.create(serie) for serie in ("A", "B")]

    assert list(await account.sequences.list()) == created
    assert await account.sequences.get(created[1].id) == created[1]
    assert await account.sequences.find("B") == created[1]
    assert await account.sequences.find("b") is None


async def test_an_account_without_sequences_lists_none(account: AccountSession) -> None:
    assert await account.sequences.list() == ()


async def test_set_current_makes_it_the_only_default(account: AccountSession) -> None:
    first = await account.sequences.create("A", default=True)
    second = await account.sequences.create("B")

    await account.sequences.set_current(second.id)

    assert not (await account.sequences.get(first.id)).is_default
    assert (await account.sequences.get(second.id)).is_default


async def test_register_registers_what_is_not(account: AccountSession, sandbox: Sandbox) -> None:
    row = sandbox.add_sequence(ACCOUNT, "old", is_registered=False)
    assert (await account.sequences.get(row.id)).registration is Registration.NOT_REGISTERED

    sequence = await account.sequences.register(row.id)

    assert sequence.registration is Registration.REGISTERED
    with pytest.raises(SequenceAlreadyRegisteredError, match="005"):
        await account.sequences.register(row.id)


@pytest.mark.parametrize(
    ("settings", "error_class"),
    [
        ({"has_at_credentials": False}, TaxAuthorityCredentialsError),
        ({"has_valid_at_credentials": False}, TaxAuthorityCredentialsError),
        ({"has_open_activity": False}, NoOpenActivityError),
    ],
    ids=str,
)
async def test_a_refusal_of_the_tax_authority_is_typed_and_leaves_nothing_unresolved(
    settings: dict[str, Any],
    error_class: type[TaxAuthorityCredentialsError | NoOpenActivityError],
    manager: SessionManager,
    sandbox: Sandbox,
) -> None:
    sandbox.add_account(account_of("other", **settings))
    sequences = manager.account("other", API_KEY).sequences

    with pytest.raises(error_class, match="other: it had no effect") as caught:
        await sequences.create("2027")

    assert caught.value.sequence is None
    assert posts(sandbox, "other") == 1
    assert sequences.unresolved() == ()


async def test_a_name_that_exists_is_refused_by_create(account: AccountSession) -> None:
    await account.sequences.create("2027")

    with pytest.raises(SequenceAlreadyExistsError, match="ensure"):
        await account.sequences.create("2027")


async def test_a_name_that_is_not_allowed_is_refused(
    sandbox: Sandbox, account: AccountSession
) -> None:
    sandbox.refused_names = ("bad",)

    with pytest.raises(SequenceNameNotAllowedError, match="001"):
        await account.sequences.create("bad")


async def test_a_wrong_key_and_an_unknown_account_are_authentication_errors(
    manager: SessionManager,
) -> None:
    for session in (manager.account(ACCOUNT, "wrong"), manager.account("nobody", API_KEY)):
        with pytest.raises(AuthenticationError, match="Check the account's name"):
            await session.check_credentials()


async def test_right_credentials_pass_the_check(account: AccountSession) -> None:
    await account.check_credentials()


async def test_an_id_of_another_account_is_not_found(account: AccountSession) -> None:
    with pytest.raises(NotFoundError, match="sequence 987654321"):
        await account.sequences.get(987_654_321)


async def test_ensure_creates_what_is_absent(account: AccountSession, sandbox: Sandbox) -> None:
    ensured = await account.sequences.ensure("2027", default=True)

    assert (ensured.created, ensured.via) == (True, Via.ANSWERED)
    assert ensured.sequence.is_default
    assert posts(sandbox) == 1


async def test_ensure_again_sends_no_post(account: AccountSession, sandbox: Sandbox) -> None:
    first = await account.sequences.ensure("2027", default=True)

    again = await account.sequences.ensure("2027", default=True)

    assert (again.created, again.via) == (False, Via.LISTED)
    assert again.sequence == first.sequence
    assert posts(sandbox) == 1


async def test_ensure_repairs_the_default_flag_and_verifies_it(
    account: AccountSession, sandbox: Sandbox
) -> None:
    await account.sequences.create("2026", default=True)
    await account.sequences.create("2027")

    ensured = await account.sequences.ensure("2027", default=True)

    assert ensured.sequence.is_default
    assert [row.is_default for row in sandbox.sequences(ACCOUNT)] == [False, True]


async def test_ensure_registers_what_exists_unregistered(
    account: AccountSession, sandbox: Sandbox
) -> None:
    sandbox.add_sequence(ACCOUNT, "2027", is_registered=False)

    ensured = await account.sequences.ensure("2027")

    assert ensured.sequence.registration is Registration.REGISTERED
    assert not ensured.created
    assert posts(sandbox) == 0


async def test_ensure_reports_a_partial_registration_and_never_makes_it_the_default(
    manager: SessionManager, sandbox: Sandbox
) -> None:
    sandbox.add_account(account_of("partial", refused_document_types=("receipt",)))
    sequences = manager.account("partial", API_KEY).sequences
    await sequences.create("2027")

    with pytest.raises(PartialRegistrationError, match="no validation code for: receipt") as caught:
        await sequences.ensure("2027", default=True)

    assert caught.value.sequence is not None
    assert caught.value.sequence.unregistered == (DocumentType.RECEIPT,)
    assert not sandbox.sequences("partial")[0].is_default


async def test_ensure_without_registration_takes_it_as_it_is(
    manager: SessionManager, sandbox: Sandbox
) -> None:
    sandbox.add_account(account_of("lean", has_validation_codes=False))
    sequences = manager.account("lean", API_KEY).sequences

    ensured = await sequences.ensure("2027", registered=False)

    assert ensured.sequence.registration is Registration.UNKNOWN
    with pytest.raises(PartialRegistrationError, match="2027"):
        await sequences.ensure("2027")


async def test_ensure_takes_an_account_abroad_that_needs_no_codes(
    manager: SessionManager, sandbox: Sandbox
) -> None:
    sandbox.add_account(account_of("dublin", country="IE"))

    ensured = await manager.account("dublin", API_KEY).sequences.ensure("2027", default=True)

    assert ensured.sequence.registration is Registration.NOT_APPLICABLE


@pytest.mark.parametrize("there", ["fr2027", "FR 2027", "Fr2027 "])
async def test_ensure_never_guesses_about_a_similar_name(
    there: str, account: AccountSession, sandbox: Sandbox
) -> None:
    sandbox.add_sequence(ACCOUNT, there)

    with pytest.raises(
        ConfigurationError, match="differs from 'FR2027' in case, spaces or look-alike"
    ):
        await account.sequences.ensure("FR2027")

    assert posts(sandbox) == 0


async def test_two_sequences_of_one_name_are_loud(
    account: AccountSession, sandbox: Sandbox
) -> None:
    rows = [sandbox.add_sequence(ACCOUNT, "2027") for _ in range(2)]

    for coroutine in (account.sequences.find("2027"), account.sequences.ensure("2027")):
        with pytest.raises(MalformedResponseError, match=f"{rows[0].id} and {rows[1].id}"):
            await coroutine


async def test_a_thousand_tasks_that_ensure_the_same_make_one_post(
    account: AccountSession, sandbox: Sandbox
) -> None:
    results = await asyncio.gather(*(account.sequences.ensure("2027") for _ in range(1_000)))

    assert posts(sandbox) == 1
    assert all(result == results[0] for result in results)


async def test_one_cancelled_waiter_cancels_no_other(
    account: AccountSession, sandbox: Sandbox
) -> None:
    tasks = [asyncio.create_task(account.sequences.ensure("2027")) for _ in range(5)]
    await asyncio.sleep(0)

    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert len({result.sequence.id for result in results[1:]}) == 1  # type: ignore[union-attr]  # not the cancelled one
    assert posts(sandbox) == 1


async def test_the_escape_hatch_has_the_same_errors_and_responses(account: AccountSession) -> None:
    answer = await account.request("POST", "/sequences.json", {"sequence": {"serie": "2027"}})

    assert isinstance(answer, dict)
    assert await account.request("GET", "/sequences.json")
    with pytest.raises(UnexpectedRedirectError, match="unknown routes"):
        await account.request("GET", "/nowhere.json")
    with pytest.raises(ConfigurationError, match="method"):
        await account.request("DELETE", "/sequences.json")


@pytest.mark.parametrize("language", ["pt", "en"])
@pytest.mark.parametrize("envelope", ["sequence", "sequences"])
@pytest.mark.parametrize("form", ["integer", "string"])
async def test_every_face_of_the_server_is_understood(
    language: Any, envelope: Any, form: Any, sandbox: Sandbox, account: AccountSession
) -> None:
    sandbox.language, sandbox.envelope, sandbox.number_form = language, envelope, form
    sandbox.list_form = "object_when_single"

    ensured = await account.sequences.ensure("2027", default=True)
    again = await account.sequences.ensure("2027", default=True)

    assert ensured.sequence == again.sequence


@pytest.mark.parametrize("value", ["false", 0, None, "1"])
async def test_a_flag_is_a_boolean(value: Any, account: AccountSession, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="give True or False"):
        await account.sequences.ensure("2027", default=value)

    assert sandbox.requests == []


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda one: one.create(""), id="serie"),
        pytest.param(lambda one: one.get(0), id="id"),
        pytest.param(lambda one: one.register("7"), id="id as text"),
        pytest.param(lambda one: one.list(timeout_seconds=0), id="timeout"),
        pytest.param(lambda one: one.create("2027", timeout_seconds=float("nan")), id="NaN"),
        pytest.param(lambda one: one.resume({}), id="intent"),
    ],
)
async def test_bad_input_is_refused_before_anything_is_sent(
    call: Any, account: AccountSession, sandbox: Sandbox
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        await call(account.sequences)

    assert sandbox.requests == []
