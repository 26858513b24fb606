"""What a partner reads and changes of its accounts, and what helps when it is refused."""

import base64
import copy
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from account_partner import COMPANY, PASSWORD, RESET, Partner, serving_partner
from fakes import FakeClock

from invoicexpress_async import (
    AccountDetails,
    AccountService,
    AccountUpdate,
    AtCredentials,
    ConfigurationError,
    Language,
    MalformedResponseError,
    NewAccount,
    NotFoundError,
    RateLimitedError,
    RepeatedCredentialsError,
    ServerError,
    StatusError,
    TaxCountry,
    TransportError,
    UnexpectedRedirectError,
    UnprocessableError,
)

CREDENTIALS = AtCredentials(subuser="123456789/3", password="palavra-passe")
DETAILS = {
    "organization_name": "Sapataria Ideal, Lda",
    "fiscal_id": "501964843",
    "email": None,
    "state": "active",
    "at_configured": True,
    "trial": False,
}


@pytest.fixture
async def partner(clock: FakeClock) -> AsyncIterator[Partner]:
    async with serving_partner(clock) as one:
        yield one


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {}, id="as documented"),
        pytest.param({"fiscal_id": 501964843}, {}, id="a number for digits"),
        pytest.param({"at_configured": "true", "trial": "0"}, {}, id="flags as text"),
        pytest.param({"at_configured": 1, "trial": 0}, {}, id="flags as numbers"),
        pytest.param(
            {"at_configured": None, "trial": None},
            {"at_configured": None, "trial": None},
            id="flags not given",
        ),
        pytest.param({"email": "a@b.c"}, {"email": "a@b.c"}, id="an e-mail"),
        pytest.param({"plan": "X"}, {"extra": {"plan": "X"}}, id="a new field"),
        pytest.param({"api_key": "secret"}, {}, id="a key is not kept"),
    ],
)
async def test_an_account_is_read(
    changes: dict[str, Any], expected: dict[str, Any], partner: Partner
) -> None:
    partner.says(200, {"account": DETAILS | changes})

    details = await partner.service.get("12345")

    plain: dict[str, Any] = DETAILS | expected
    assert details == AccountDetails(**plain)
    assert partner.requests == [("GET", "/acme/api/accounts/12345/get.json")]
    assert pickle.loads(pickle.dumps(details)) == copy.deepcopy(details) == details


async def test_a_response_that_says_little_is_read_as_such(partner: Partner) -> None:
    partner.says(200, {"account": {"organization_name": "A"}})

    details = await partner.service.get(12345)

    assert details == AccountDetails(organization_name="A")
    assert details.at_configured is None


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "account: expected an object"),
        (None, "account: expected an object"),
        ({"account": []}, "account: expected an object"),
        ({"account": {}}, "account.organization_name: expected text"),
        ({"account": DETAILS | {"trial": "maybe"}}, "account.trial: expected 1 or 0, got text"),
        ({"account": DETAILS | {"email": {}}}, "account.email: expected text, got an object"),
    ],
    ids=str,
)
async def test_a_response_that_is_no_account_is_malformed(
    document: Any, problem: str, partner: Partner
) -> None:
    partner.says(200, document)

    with pytest.raises(MalformedResponseError, match="not what was requested") as caught:
        await partner.service.get("12345")

    assert caught.value.problems == (problem,)


@pytest.mark.parametrize("account_id", ["", "..", "1/2", "1?x", 0, -1, True, None, "é", "1" * 65])
async def test_an_id_that_cannot_be_is_refused_before_anything_is_sent(
    account_id: Any, partner: Partner
) -> None:
    with pytest.raises(ConfigurationError, match="not that of an account"):
        await partner.service.get(account_id)
    with pytest.raises(ConfigurationError, match="not that of an account"):
        await partner.service.update(account_id, AccountUpdate(city="Lisboa"))

    assert partner.requests == []


async def test_an_update_sends_what_is_set_and_nothing_else(partner: Partner) -> None:
    partner.says(200)

    await partner.service.update(12345, AccountUpdate(city="Porto", accepts_marketing=False))

    assert partner.requests == [("PUT", "/acme/api/accounts/12345/update.json")]
    assert partner.bodies == [{"account": {"city": "Porto", "marketing": "0"}}]


async def test_an_update_of_everything(partner: Partner) -> None:
    partner.says(200, b" ")
    texts: dict[str, Any] = {
        "organization_name": "A", "email": "a@b.c", "first_name": "B", "last_name": "C",
        "phone": "1", "fax": "2", "website": "https://a.example", "address": "Rua A\nPorta 1",
        "city": "Porto", "postal_code": "4000-001",
    }  # fmt: skip

    await partner.service.update(
        "12345",
        AccountUpdate(
            **texts,
            password=PASSWORD,
            accepts_terms=True,
            tax_country=TaxCountry.PORTUGAL,
            language=Language.ENGLISH,
            accepts_marketing=True,
            credentials=CREDENTIALS,
        ),
    )

    credentials = {
        "username": "123456789/3",
        "type": "AT",
        "context": "Sequences",
        "password": base64.b64encode(b"palavra-passe").decode(),
    }
    expected = {
        **texts,
        "password": PASSWORD,
        "terms": "1",
        "tax_country": "1",
        "language": "en",
        "marketing": "1",
        "credentials": credentials,
    }
    assert partner.bodies == [{"account": expected}]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"postal_code": "4000"},
        {"postal_code": "4000-0001"},
        {"postal_code": "٤000-001"},
        {"postal_code": 4000001},
        {"organization_name": ""},
        {"email": "nobody"},
        {"city": "a\nb"},
        {"address": "a\x00"},
        {"address": 1},
        {"language": "pt"},
        {"accepts_marketing": 1},
        {"credentials": {"username": "123456789/3"}},
        {"password": ""},
        {"password": "a\n"},
        {"password": 1},
        {"accepts_terms": False},
        {"accepts_terms": "1"},
    ],
    ids=ascii,
)
def test_an_update_that_cannot_be_is_refused_before_anything_is_sent(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        AccountUpdate(**changes)


def test_a_fiscal_number_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="fiscal_id"):
        AccountUpdate(fiscal_id="501964843")  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize(
    ("status", "document", "error_class"),
    [
        pytest.param(RESET, None, TransportError, id="reset"),
        pytest.param(500, None, ServerError, id="500"),
        pytest.param(302, None, UnexpectedRedirectError, id="redirect"),
        pytest.param(200, [1], MalformedResponseError, id="malformed"),
    ],
)
async def test_an_update_of_unknown_outcome_is_reported_and_not_repeated(
    status: int, document: Any, error_class: type[Exception], partner: Partner
) -> None:
    partner.says(status, document)

    with pytest.raises(error_class, match=r"may have taken effect.*read the account"):
        await partner.service.update("12345", AccountUpdate(city="Porto"))

    assert len(partner.bodies) == 1


async def test_an_update_that_is_limited_is_waited_for(partner: Partner) -> None:
    partner.says(429)
    partner.then_says(200)

    await partner.service.update("12345", AccountUpdate(city="Porto"))

    assert len(partner.bodies) == 2


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"errors": {"code": "004"}}, id="a code"),
        pytest.param(None, id="nothing"),
        pytest.param(["credentials", "are invalid"], id="the field"),
        pytest.param(["password", "is invalid"], id="a field of that name"),
        pytest.param({"errors": {"city": ["a"], "username": ["b"]}}, id="among others"),
        pytest.param({"message": "AT: inválidas"}, id="a text"),
    ],
)
async def test_credentials_of_an_update_are_held_back_when_they_may_have_been_refused(
    document: object, partner: Partner
) -> None:
    update = partner.service.update
    partner.says(422, document)
    with pytest.raises(UnprocessableError, match="lock the sub-user"):
        await update("12345", AccountUpdate(credentials=CREDENTIALS))
    partner.says(200)

    with pytest.raises(RepeatedCredentialsError, match="123456789/3"):
        await update("12345", AccountUpdate(city="Porto", credentials=CREDENTIALS))
    await update("67890", AccountUpdate(credentials=CREDENTIALS))
    await update("12345", AccountUpdate(credentials=CREDENTIALS), resend_refused=True)
    await update("12345", AccountUpdate(credentials=CREDENTIALS))

    assert len(partner.bodies) == 4


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"errors": {"website": ["is invalid"]}}, id="nested"),
        pytest.param(["website", "is invalid"], id="flat, as the provider describes it"),
    ],
)
async def test_a_refusal_of_another_field_does_not_hold_the_credentials_back(
    document: object, partner: Partner
) -> None:
    changes = AccountUpdate(website="https://a.example", credentials=CREDENTIALS)
    partner.says(422, document)
    with pytest.raises(UnprocessableError, match="website: is invalid"):
        await partner.service.update("12345", changes)
    partner.says(200)

    await partner.service.update("12345", changes)

    assert len(partner.bodies) == 2


Operate = Callable[[AccountService], Awaitable[object]]
COMPANY_TO_BE = NewAccount(**COMPANY)


def create(service: AccountService) -> Awaitable[object]:
    return service.create(COMPANY_TO_BE)


def create_for_user(service: AccountService) -> Awaitable[object]:
    return service.create_for_existing_user(COMPANY_TO_BE)


def get(service: AccountService) -> Awaitable[object]:
    return service.get("12345")


def update(service: AccountService) -> Awaitable[object]:
    return service.update("12345", AccountUpdate(city="Porto"))


@pytest.mark.parametrize(
    ("operate", "status", "code", "cure"),
    [
        (create, 401, None, "partner's right"),
        (create, 403, None, "partner's right"),
        (create, 422, None, "used already"),
        (create, 422, "002", "used already"),
        (create, 409, None, "used already"),
        (create, 429, None, "Wait error.retry_after_seconds"),
        (create, 422, "004", "A key that is no partner's"),
        (create, 400, None, "Look at error.status"),
        (create_for_user, 400, None, "is wrong: correct them"),
        (create_for_user, 401, None, "user's own e-mail and password"),
        (create_for_user, 403, None, "right to create accounts"),
        (create_for_user, 422, None, "user's own e-mail and password"),
        (get, 404, None, "not created with this key"),
        (get, 401, None, "Check the account's name"),
        (update, 404, None, "not created with this key"),
        (update, 422, None, "Correct what error.messages names"),
        (update, 403, None, "Check the account's plan"),
    ],
)
async def test_a_refusal_names_the_cure_of_its_operation(
    operate: Operate, status: int, code: str | None, cure: str, partner: Partner
) -> None:
    partner.says(status, {"errors": {"code": code, "message": "Não."}})

    with pytest.raises(StatusError, match=str(status)) as caught:
        await operate(partner.service)

    assert cure in caught.value.cure
    assert cure in str(caught.value)
    assert ".." not in str(caught.value)
    assert not caught.value.may_have_been_processed
    assert pickle.loads(pickle.dumps(caught.value)).cure == caught.value.cure
    assert isinstance(caught.value, RateLimitedError) or len(partner.requests) == 1


async def test_a_cure_of_one_error_is_not_that_of_its_class(partner: Partner) -> None:
    before = NotFoundError.cure
    partner.says(404)

    with pytest.raises(NotFoundError, match="this key"):
        await partner.service.get("12345")

    assert NotFoundError.cure == before


async def test_an_account_service_is_not_pickled(partner: Partner) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(partner.service)
