"""What each refusal means, how often it is requested, and what helps: on a real socket."""

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
from conftest import ACCOUNT
from fakes import FakeClock
from scripted import REGISTERED, UNREGISTERED, Scripted, row_of, serving_scripted

from invoicexpress_async import (
    AccountNotPortugueseError,
    AccountSession,
    AuthenticationError,
    ConflictError,
    InvalidSequenceError,
    InvoiceXpressError,
    NoOpenActivityError,
    NotFoundError,
    OutcomeUnknownError,
    PartialRegistrationError,
    PermissionDeniedError,
    RetryPolicy,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    SequenceNameNotAllowedError,
    StatusError,
    TaxAuthorityCredentialsError,
    UnprocessableError,
    Via,
)

SCHEDULE = (1.0, 4.0)
ROW = 7
Place = tuple[Scripted, AccountSession]


@pytest.fixture
async def place(clock: FakeClock) -> AsyncIterator[Place]:
    policy = RetryPolicy(attempts=1, read_after_seconds=SCHEDULE)
    async with serving_scripted(clock=clock, retry=policy) as served:
        yield served


@attrs.frozen
class Meaning:
    """One line of the provider's two tables, and what is made of it."""

    status: int
    code: int
    kind: type[InvoiceXpressError]
    reads: int
    cure: str


UNKNOWN, EACH, ONCE, NEVER = OutcomeUnknownError, len(SCHEDULE), 1, 0
OF_CREATE = [
    Meaning(409, 6, SequenceBeingRegisteredError, EACH, "Do not send it again"),
    Meaning(409, 7, SequenceAlreadyRegisteredError, ONCE, "read the sequence"),
    Meaning(422, 0, UNKNOWN, EACH, r"sequences\.resume\(\) later"),
    Meaning(422, 1, SequenceNameNotAllowedError, NEVER, "Choose another name"),
    Meaning(422, 2, SequenceAlreadyExistsError, NEVER, "or choose another name"),
    Meaning(422, 3, InvalidSequenceError, NEVER, "Correct the name"),
    Meaning(422, 4, TaxAuthorityCredentialsError, ONCE, "Do not repeat wrong ones"),
    Meaning(422, 5, NoOpenActivityError, ONCE, "Have the activity opened"),
]
OF_REGISTER = [
    Meaning(404, 6, NotFoundError, NEVER, "Check the id"),
    Meaning(409, 5, SequenceAlreadyRegisteredError, ONCE, "read the sequence"),
    Meaning(409, 6, SequenceBeingRegisteredError, EACH, "Do not send it again"),
    Meaning(409, 7, SequenceAlreadyRegisteredError, ONCE, "read the sequence"),
    Meaning(409, 8, SequenceBeingRegisteredError, EACH, "Do not send it again"),
    Meaning(422, 0, UNKNOWN, EACH, r"sequences\.resume\(\) later"),
    Meaning(422, 1, SequenceNameNotAllowedError, NEVER, "cannot be renamed: create another"),
    Meaning(422, 2, TaxAuthorityCredentialsError, NEVER, "Do not repeat .* register the sequence"),
    Meaning(422, 3, NoOpenActivityError, NEVER, "Have the activity .* register the sequence"),
    Meaning(422, 4, AccountNotPortugueseError, NEVER, "registered=False"),
    Meaning(422, 7, SequenceAlreadyRegisteredError, ONCE, "read the sequence"),
]
SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "flat": lambda code: {"code": f"00{code}", "message": "Não."},
    "nested": lambda code: {"errors": {"code": f"00{code}", "message": "Não."}},
    "number": lambda code: {"errors": {"code": code, "message": "Não."}},
}
CASES = [
    pytest.param(
        operation, meaning, shape, id=f"{operation}-{meaning.status}/{meaning.code}-{name}"
    )
    for operation, meanings in (("create", OF_CREATE), ("register", OF_REGISTER))
    for meaning, (name, shape) in itertools.product(meanings, SHAPES.items())
]


async def send(account: AccountSession, operation: str) -> object:
    if operation == "create":
        return await account.sequences.create("2027", timeout_seconds=30)
    return await account.sequences.register(ROW, timeout_seconds=30)


@pytest.mark.fault(73)
@pytest.mark.parametrize(("operation", "meaning", "shape"), CASES)
async def test_each_code_has_its_class_its_sends_its_reads_and_its_cure(
    operation: str, meaning: Meaning, shape: Callable[[int], dict[str, Any]], place: Place
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2026", UNREGISTERED)]
    server.says(operation, meaning.status, shape(meaning.code))

    with pytest.raises(InvoiceXpressError, match=meaning.cure) as caught:
        await send(account, operation)

    assert type(caught.value) is meaning.kind
    read = "list" if operation == "create" else "get"
    assert server.sent == {operation: 1} | ({read: meaning.reads} if meaning.reads else {})
    assert bool(account.sequences.unresolved()) is (meaning.reads == EACH)
    assert ".." not in str(caught.value)


REFUSALS = [
    pytest.param(status, document, kind, id=f"{status}-{name}")
    for status, kind in (
        (400, StatusError), (402, StatusError), (405, StatusError), (409, ConflictError),
        (410, StatusError), (418, StatusError), (422, UnprocessableError), (451, StatusError),
    )
    for name, document in (
        ("nothing", None),
        ("one space", b" "),
        ("a text", {"errors": {"error": "Serie has already been taken."}}),
        ("an unknown code", {"errors": {"code": "X42", "message": "Não."}}),
    )
]  # fmt: skip


@pytest.mark.fault(73)
@pytest.mark.parametrize("operation", ["create", "register"])
@pytest.mark.parametrize(("status", "document", "kind"), REFUSALS)
async def test_a_4xx_of_no_table_is_raised_after_one_read(
    operation: str,
    status: int,
    document: Any,
    kind: type[StatusError],
    place: Place,
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2026", UNREGISTERED)]
    server.says(operation, status, document)

    with pytest.raises(StatusError, match="it had no effect") as caught:
        await send(account, operation)

    assert (type(caught.value), caught.value.status) == (kind, status)
    assert server.sent == {operation: 1, "list" if operation == "create" else "get": 1}
    assert account.sequences.unresolved() == ()
    assert ".." not in str(caught.value)


@pytest.mark.parametrize("operation", ["create", "register"])
async def test_a_refusal_is_raised_with_no_time_lost(
    operation: str, place: Place, clock: FakeClock
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2026", UNREGISTERED)]
    server.says(operation, 422)
    started = clock.now()

    with pytest.raises(UnprocessableError, match="it had no effect"):
        await send(account, operation)

    assert clock.now() == started


@pytest.mark.parametrize(
    ("status", "document", "via"),
    [
        pytest.param(409, None, Via.LISTED, id="409"),
        pytest.param(409, {"code": "007"}, Via.LISTED, id="409/007"),
        pytest.param(422, None, Via.OBSERVED, id="422"),
        pytest.param(400, {"message": "Bad."}, Via.OBSERVED, id="400"),
    ],
)
async def test_a_registered_row_after_a_refused_create_is_what_ensure_returns(
    status: int, document: Any, via: Via, place: Place
) -> None:
    server, account = place
    server.says("create", status, document, does=True)

    ensured = await account.sequences.ensure("2027")

    assert (ensured.sequence.serie, ensured.via) == ("2027", via)
    assert ensured.created is (via is Via.OBSERVED)
    assert server.sent == {"list": 2, "create": 1}
    assert account.sequences.unresolved() == ()


@pytest.mark.parametrize(
    ("status", "document", "kind", "effect"),
    [
        pytest.param(409, None, ConflictError, "may have taken effect", id="409"),
        pytest.param(409, {"code": 7}, SequenceAlreadyRegisteredError, "had no effect", id="007"),
        pytest.param(422, None, UnprocessableError, "may have taken effect", id="422"),
    ],
)
async def test_create_raises_its_refusal_with_the_row_that_is_there(
    status: int, document: Any, kind: type[StatusError], effect: str, place: Place
) -> None:
    server, account = place
    server.says("create", status, document, does=True)

    with pytest.raises(kind, match=effect) as caught:
        await account.sequences.create("2027")

    assert caught.value.sequence is not None
    assert caught.value.sequence.serie == "2027"
    assert account.sequences.unresolved() == ()


async def test_a_row_with_documents_was_there_before_the_refused_create(place: Place) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2027") | {"current_invoice_number": 3}]
    server.says("create", 422, {"errors": {"serie": ["has already been taken"]}})

    with pytest.raises(UnprocessableError, match=r"already been taken.*it had no effect") as caught:
        await account.sequences.create("2027")

    assert caught.value.sequence is not None
    assert caught.value.sequence.id == ROW


@pytest.mark.parametrize("code", [None, "004", "005"])
async def test_an_unregistered_row_after_a_refused_create_is_not_registered_at_once(
    code: str | None, place: Place
) -> None:
    server, account = place
    server.new_codes = UNREGISTERED
    server.says("create", 422, {"code": code, "message": "Não"}, does=True)

    with pytest.raises(UnprocessableError, match="may have taken effect") as caught:
        await account.sequences.ensure("2027")

    assert caught.value.sequence is not None
    assert caught.value.sequence.serie == "2027"
    assert server.sent == {"list": 2, "create": 1}


async def test_an_unregistered_row_after_a_refused_create_is_enough_where_none_is_needed(
    place: Place,
) -> None:
    server, account = place
    server.new_codes = UNREGISTERED
    server.says("create", 422, does=True)

    ensured = await account.sequences.ensure("2027", registered=False)

    assert ensured.sequence.serie == "2027"
    assert server.sent == {"list": 2, "create": 1}


@pytest.mark.parametrize("operation", ["create", "register"])
async def test_a_refusal_that_cannot_be_read_for_stays_unresolved(
    operation: str, place: Place
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2026", UNREGISTERED)]
    server.says(operation, 422, {"message": "Não"})
    server.says("list", 503)
    server.says("get", 503)

    with pytest.raises(UnprocessableError, match=r"Não\. .*may have taken effect"):
        await send(account, operation)

    (intent,) = account.sequences.unresolved()
    assert intent["operation"] == operation


@pytest.mark.parametrize("operation", ["create", "register"])
async def test_a_408_may_have_been_passed_on_and_stays_unknown(
    operation: str, place: Place
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2026", UNREGISTERED)]
    server.says(operation, 408)

    with pytest.raises(OutcomeUnknownError, match="Sent once"):
        await send(account, operation)

    assert server.sent == {operation: 1, "list" if operation == "create" else "get": 2}


ALREADY = [(409, 5), (409, 7), (422, 7)]


@pytest.mark.parametrize(("status", "code"), ALREADY)
async def test_already_registered_is_what_ensure_wants_and_register_raises(
    status: int, code: int, place: Place
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2027", UNREGISTERED)]
    server.says("register", status, {"errors": {"code": code}}, does=True)

    ensured = await account.sequences.ensure("2027")
    with pytest.raises(SequenceAlreadyRegisteredError, match="had no effect") as caught:
        await account.sequences.register(ROW)

    assert (ensured.sequence.id, ensured.created) == (ROW, False)
    assert caught.value.sequence == ensured.sequence
    assert caught.value.status == status
    assert server.sent == {"list": 1, "register": 2, "get": 2}


@pytest.mark.parametrize(("status", "code"), ALREADY)
async def test_already_registered_is_not_believed_against_what_a_read_shows(
    status: int, code: int, place: Place
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2027", UNREGISTERED)]
    server.says("register", status, {"errors": {"code": code}})

    with pytest.raises(PartialRegistrationError, match="no validation code for: invoice"):
        await account.sequences.ensure("2027")

    assert server.count("register") == 1


@pytest.mark.parametrize("code", [6, 8])
async def test_in_progress_is_read_until_it_has_settled(code: int, place: Place) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2027", UNREGISTERED)]
    server.says("register", 409, {"errors": {"code": code}}, does=True)

    sequence = await account.sequences.register(ROW)

    assert sequence.documents["invoice"].validation_code == REGISTERED[0]
    assert server.sent == {"register": 1, "get": 1}


async def test_a_register_that_was_refused_and_took_effect_is_what_ensure_wants(
    place: Place,
) -> None:
    server, account = place
    server.rows[ACCOUNT] = [row_of(ROW, "2027", UNREGISTERED)]
    server.says("register", 400, does=True)

    ensured = await account.sequences.ensure("2027")

    assert ensured.sequence.documents["receipt"].validation_code == REGISTERED[1]
    assert server.sent == {"list": 1, "register": 1, "get": 1}


OTHERS: dict[str, Callable[[AccountSession], Any]] = {
    "list": lambda account: account.sequences.list(),
    "get": lambda account: account.sequences.get(ROW),
    "set_current": lambda account: account.sequences.set_current(ROW),
}
BY_STATUS = {
    400: StatusError, 401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError,
    409: ConflictError, 418: StatusError, 422: UnprocessableError,
}  # fmt: skip


@pytest.mark.parametrize("operation", OTHERS)
@pytest.mark.parametrize("status", BY_STATUS)
async def test_every_other_operation_has_the_classes_of_its_status_at_once(
    operation: str, status: int, place: Place
) -> None:
    server, account = place
    for number, code in enumerate(("001", "002", "004", "006", "007"), 1):
        server.says(operation, status, {"errors": {"code": code, "message": "Não."}})

        with pytest.raises(StatusError, match="it had no effect") as caught:
            await OTHERS[operation](account)

        assert type(caught.value) is BY_STATUS[status], code
        assert server.sent == {operation: number}


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_a_request_of_the_callers_own_is_refused_at_once_and_may_have_had_an_effect(
    status: int, place: Place
) -> None:
    server, account = place
    server.says("create", status, {"errors": {"code": "004"}})

    with pytest.raises(StatusError, match="may have taken effect") as caught:
        await account.request("POST", "/sequences.json", {"sequence": {"serie": "2027"}})

    assert type(caught.value) is BY_STATUS[status]
    assert server.sent == {"create": 1}
