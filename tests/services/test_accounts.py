import asyncio
import json
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest
from account_partner import COMPANY, CREATED, NEW_KEY, PASSWORD, RESET, Partner, serving_partner
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from test_secrets import seen_in

from invoicexpress_async import (
    AuthenticationError,
    ConfigurationError,
    CreatedAccount,
    Intent,
    MalformedResponseError,
    NewAccount,
    NotFoundError,
    OutcomeUnknownError,
    SessionManager,
    TaxCountry,
    UnprocessableError,
)
from invoicexpress_async.models.account_fields import is_nif


@pytest.fixture
async def partner(clock: FakeClock) -> AsyncIterator[Partner]:
    async with serving_partner(clock) as one:
        yield one


async def test_an_account_is_created_with_strings_for_flags_and_its_key_is_a_secret(
    partner: Partner,
) -> None:
    partner.says(201, {"account": CREATED})
    company = NewAccount(**COMPANY, tax_country=TaxCountry.PORTUGAL, accepts_marketing=False)

    created = await partner.service.create(company)

    assert (created.id, created.name, created.state) == ("12345", "sapataria", "active")
    assert created.api_key.reveal() == NEW_KEY
    assert NEW_KEY not in repr(created)
    assert PASSWORD not in repr(company)
    assert partner.requests == [("POST", "/acme/api/accounts/create.json")]
    assert partner.bodies == [
        {
            "account": {
                "organization_name": "Sapataria Ideal, Lda",
                "email": "geral@sapataria.example",
                "password": PASSWORD,
                "password_confirmation": PASSWORD,
                "terms": "1",
                "fiscal_id": "501964843",
                "tax_country": "1",
                "marketing": "0",
            }
        }
    ]


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://sapataria.app.invoicexpress.com.evil.example",
        "https://sapataria.app.invoicexpress.com:8443",
        "https://x@sapataria.app.invoicexpress.com",
        "http://sapataria.app.invoicexpress.com",
        "https://a.b.app.invoicexpress.com",
        "https://app.invoicexpress.com",
        "https://[",
        "sapataria",
    ],
)
async def test_a_url_that_leads_elsewhere_gives_no_name_and_the_key_all_the_same(
    url: str, partner: Partner
) -> None:
    partner.says(201, {"account": CREATED | {"url": url}})

    created = await partner.service.create(NewAccount(**COMPANY))

    with pytest.raises(MalformedResponseError, match="leads elsewhere"):
        _ = created.name
    assert created.api_key.reveal() == NEW_KEY


@pytest.mark.parametrize(
    ("document", "identifier", "name"),
    [
        pytest.param({"account": CREATED | {"id": None}}, "", "sapataria", id="no id"),
        pytest.param({"account": CREATED | {"id": [1]}}, "", "sapataria", id="an odd id"),
        pytest.param({"account": {"id": 7, "api_key": NEW_KEY}}, "7", None, id="no url"),
        pytest.param({"account": {"api_key": NEW_KEY, "url": 1}}, "", None, id="only a key"),
        pytest.param({"account": [CREATED]}, "12345", "sapataria", id="a list of one"),
        pytest.param({"accounts": CREATED}, "12345", "sapataria", id="another envelope"),
        pytest.param(CREATED, "12345", "sapataria", id="no envelope"),
        pytest.param(
            {"account": CREATED, "errors": ["no e-mail was sent"]},
            "12345",
            "sapataria",
            id="errors",
        ),
        pytest.param({"account": CREATED, "success": "false"}, "12345", "sapataria", id="failure"),
    ],
)
async def test_a_response_with_a_key_is_taken_whatever_else_it_lacks(
    document: Any, identifier: str, name: str | None, partner: Partner
) -> None:
    kept: list[CreatedAccount] = []
    partner.says(201, document)

    created = await partner.service.create(NewAccount(**COMPANY), on_created=kept.append)

    assert kept == [created]
    assert (created.id, created.api_key.reveal()) == (identifier, NEW_KEY)
    if name is None:
        with pytest.raises(MalformedResponseError, match="url of the new account"):
            _ = created.name
    else:
        assert created.name == name


@pytest.mark.parametrize(
    ("status", "document"),
    [
        pytest.param(500, {}, id="500"),
        pytest.param(422, {"errors": {"code": "000"}}, id="422/000"),
        pytest.param(201, {"account": CREATED | {"api_key": ""}}, id="no key"),
        pytest.param(201, {"account": []}, id="a list"),
        pytest.param(201, {"errors": ["no account was made"]}, id="errors only"),
        pytest.param(201, {}, id="nothing"),
        pytest.param(201, {"account": CREATED | {"api_key": " "}}, id="a blank key"),
        pytest.param(302, {}, id="a redirect"),
        pytest.param(101, {}, id="another protocol"),
    ],
)
async def test_a_create_without_a_usable_answer_is_unknown_and_never_sent_again(
    status: int, document: Any, partner: Partner
) -> None:
    partner.says(status, document)

    with pytest.raises(OutcomeUnknownError, match="A new key would be lost") as caught:
        await partner.service.create(NewAccount(**COMPANY))
    with pytest.raises(OutcomeUnknownError, match="earlier create of this e-mail"):
        await partner.service.create(NewAccount(**COMPANY))

    assert len(partner.bodies) == 1
    assert caught.value.intent["email"] == COMPANY["email"]
    assert json.dumps(caught.value.intent)
    seen = seen_in(caught.value)
    assert PASSWORD not in seen
    assert NEW_KEY not in seen
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_two_creates_of_one_email_at_once_are_never_both_unresolved(partner: Partner) -> None:
    partner.says(500, {})

    results = await asyncio.gather(
        *(partner.service.create(NewAccount(**COMPANY)) for _ in range(3)), return_exceptions=True
    )

    assert {type(result) for result in results} == {OutcomeUnknownError}
    assert len(partner.bodies) == 1


async def test_a_lost_connection_is_unknown(partner: Partner) -> None:
    partner.says(RESET)

    with pytest.raises(OutcomeUnknownError, match="connection broke"):
        await partner.service.create(NewAccount(**COMPANY))

    assert len(partner.bodies) == 1


@pytest.mark.parametrize(
    ("status", "error_class"), [(401, AuthenticationError), (422, UnprocessableError)]
)
async def test_a_refusal_is_reported_and_may_be_followed_by_a_corrected_one(
    status: int, error_class: type[UnprocessableError], partner: Partner
) -> None:
    partner.says(status, {"errors": [{"error": "Fiscal id already used in another account"}]})
    with pytest.raises(error_class, match="already used"):
        await partner.service.create(NewAccount(**COMPANY))

    partner.says(201, {"account": CREATED})
    created = await partner.service.create(NewAccount(**COMPANY))

    assert created.id == "12345"


async def test_an_account_create_is_not_resumed_by_reading(
    partner: Partner, clock: FakeClock
) -> None:
    partner.says(500, {})
    with pytest.raises(OutcomeUnknownError) as caught:
        await partner.service.create(NewAccount(**COMPANY))

    async with SessionManager(clock=clock) as manager:
        with pytest.raises(ConfigurationError, match="geral@sapataria"):
            await manager.account(ACCOUNT, API_KEY).sequences.resume(caught.value.intent)


@pytest.mark.parametrize("status", [200, 201])
async def test_an_account_of_an_existing_user_is_created_with_the_users_own_password(
    status: int, partner: Partner
) -> None:
    partner.says(status, {"account": CREATED | {"id": 12345}})

    created = await partner.service.create_for_existing_user(NewAccount(**COMPANY))

    assert (created.id, created.name, created.api_key.reveal()) == ("12345", "sapataria", NEW_KEY)
    assert partner.requests == [("POST", "/acme/api/accounts/create_already_user.json")]
    assert partner.bodies[0]["account"]["password"] == PASSWORD
    assert partner.bodies[0]["account"]["password_confirmation"] == PASSWORD


async def test_one_user_may_have_many_accounts_and_an_unresolved_one_stops_no_other(
    partner: Partner,
) -> None:
    create = partner.service.create_for_existing_user
    partner.says(500)
    with pytest.raises(OutcomeUnknownError):
        await create(NewAccount(**COMPANY))

    with pytest.raises(OutcomeUnknownError, match="earlier create"):
        await create(NewAccount(**COMPANY))
    partner.says(201, {"account": CREATED})
    other = COMPANY | {"organization_name": "Padaria", "fiscal_id": "999999990"}
    await create(NewAccount(**other))

    names = [body["account"]["organization_name"] for body in partner.bodies]
    assert names == ["Sapataria Ideal, Lda", "Padaria"]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        pytest.param({}, {}, True, id="the same"),
        pytest.param({}, {"email": "GERAL@sapataria.example"}, True, id="case of the e-mail"),
        pytest.param({}, {"email": "b@c.example"}, True, id="fiscal number"),
        pytest.param({}, {"organization_name": "B"}, True, id="fiscal number, renamed"),
        pytest.param({"fiscal_id": None}, {"fiscal_id": None}, True, id="name"),
        pytest.param({"fiscal_id": None}, {}, True, id="name, number on one"),
        pytest.param(
            {"fiscal_id": None}, {"organization_name": "B", "fiscal_id": None}, False, id="name, B"
        ),
        pytest.param({}, {"fiscal_id": "999999990"}, False, id="two numbers"),
        pytest.param({"fiscal_id": None}, {"email": "b@c.example"}, False, id="another user"),
    ],
)
async def test_which_creates_for_existing_users_are_held_back_by_an_unresolved_one(
    first: dict[str, Any], second: dict[str, Any], is_same: bool, partner: Partner
) -> None:
    partner.says(500)
    create = partner.service.create_for_existing_user
    with pytest.raises(OutcomeUnknownError):
        await create(NewAccount(**(COMPANY | first)))

    with pytest.raises(OutcomeUnknownError):
        await create(NewAccount(**(COMPANY | second)))

    assert len(partner.bodies) == (1 if is_same else 2)


async def test_an_unresolved_create_holds_back_the_other_way_of_creating_it(
    partner: Partner,
) -> None:
    partner.says(500)
    with pytest.raises(OutcomeUnknownError):
        await partner.service.create(NewAccount(**COMPANY))

    with pytest.raises(OutcomeUnknownError, match="earlier create") as caught:
        await partner.service.create_for_existing_user(NewAccount(**COMPANY))

    assert len(partner.bodies) == 1
    assert caught.value.intent["fiscal_id"] == COMPANY["fiscal_id"]


async def test_an_unresolved_create_holds_no_other_partner_back(partner: Partner) -> None:
    partner.says(500)
    for name in (ACCOUNT, "beta"):
        with pytest.raises(OutcomeUnknownError, match="HTTP 500"):
            await partner.manager.account(name, API_KEY).accounts.create(NewAccount(**COMPANY))

    assert len(partner.manager.unresolved()) == len(partner.bodies) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda service: service.create(COMPANY), id="no NewAccount"),
        pytest.param(lambda service: service.update("1", {"phone": "1"}), id="no AccountUpdate"),
        pytest.param(
            lambda service: service.configure_at_communication("x"), id="no AtCredentials"
        ),
        pytest.param(
            lambda service: service.create(NewAccount(**COMPANY), on_created="x"), id="on_created"
        ),
        pytest.param(
            lambda service: service.create(NewAccount(**COMPANY), on_created=asyncio.sleep),
            id="an async on_created, which would keep nothing",
        ),
        pytest.param(
            lambda service: service.create(NewAccount(**COMPANY), on_intent="x"), id="on_intent"
        ),
    ],
)
async def test_an_argument_of_another_type_is_refused_before_anything_is_sent(
    wrong: Any, partner: Partner
) -> None:
    with pytest.raises(ConfigurationError, match="give") as caught:
        await wrong(partner.service)

    assert not partner.bodies
    assert COMPANY["password"] not in str(caught.value)


async def test_a_timeout_that_cannot_be_is_refused_before_anything_is_sent(
    partner: Partner,
) -> None:
    with pytest.raises(ConfigurationError, match="timeout_seconds"):
        await partner.service.create(NewAccount(**COMPANY), timeout_seconds=0)
    await_in_time = partner.service.get("1", timeout_seconds=5)
    partner.says(404)
    with pytest.raises(NotFoundError, match="404"):
        await await_in_time

    assert partner.bodies == [None]


async def test_a_create_that_is_declared_lost_may_be_sent_again(partner: Partner) -> None:
    partner.says(500)
    with pytest.raises(OutcomeUnknownError, match=r"accounts\.forget") as caught:
        await partner.service.create_for_existing_user(NewAccount(**COMPANY))
    partner.says(201, {"account": CREATED})

    partner.service.forget(json.loads(json.dumps(caught.value.intent)))
    created = await partner.service.create_for_existing_user(NewAccount(**COMPANY))

    assert created.id == "12345"
    assert partner.manager.unresolved() == ()


@pytest.mark.parametrize("changes", [{"account": "beta"}, {"operation": "create", "serie": "2027"}])
async def test_only_intents_of_account_creates_of_this_partner_are_forgotten(
    changes: dict[str, Any], partner: Partner
) -> None:
    partner.says(500)
    with pytest.raises(OutcomeUnknownError) as caught:
        await partner.service.create(NewAccount(**COMPANY))

    with pytest.raises(ConfigurationError, match="not of an account create by acme"):
        partner.service.forget({**caught.value.intent, **changes})  # type: ignore[typeddict-item]  # the point

    assert len(partner.manager.unresolved()) == 1


@pytest.mark.parametrize("name", ["create", "create_for_existing_user"])
async def test_the_intent_of_a_create_is_reported_before_it_is_sent(
    name: str, partner: Partner
) -> None:
    partner.says(201, {"account": CREATED})
    reported: list[tuple[Intent, int]] = []

    async def keep(intent: Intent) -> None:
        reported.append((intent, len(partner.bodies)))

    await getattr(partner.service, name)(NewAccount(**COMPANY), on_intent=keep)

    assert [(intent["email"], sent) for intent, sent in reported] == [(COMPANY["email"], 0)]


async def test_an_intent_that_cannot_be_kept_keeps_the_create_from_being_sent(
    partner: Partner,
) -> None:
    async def fail(_: Intent) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await partner.service.create(NewAccount(**COMPANY), on_intent=fail)

    assert partner.bodies == []
    assert partner.manager.unresolved() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"organization_name": ""},
        {"organization_name": "x" * 101},
        {"email": "nobody"},
        {"email": "a b@c"},
        {"password": ""},
        {"accepts_terms": False},
        {"accepts_terms": "1"},
        {"fiscal_id": "501964844"},
        {"fiscal_id": "5019648"},
        {"fiscal_id": 501964843},
        {"fiscal_id": "501964844", "tax_country": TaxCountry.PORTUGAL},
        {"organization_name": None},
        {"organization_name": "a\nb"},
        {"organization_name": "\ud800"},
        {"email": None},
        {"email": "a@b\x00"},
        {"email": "a@b.pt\u200b"},
        {"fiscal_id": "IE1\u00ad", "tax_country": TaxCountry.IRELAND},
        {"password": "  "},
        {"password": "from a file\n"},
        {"password": "\ud800"},
        {"password": b"bytes"},
        {"password": None},
        {"first_name": 1},
        {"phone": "\x1b[2J"},
        {"tax_country": "PT"},
        {"language": "fr"},
        {"accepts_marketing": "0"},
    ],
    ids=ascii,
)
def test_a_company_that_cannot_be_is_refused_before_anything_is_sent(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        NewAccount(**(COMPANY | changes))


def test_a_foreign_fiscal_number_is_the_servers_to_judge() -> None:
    company = NewAccount(**(COMPANY | {"fiscal_id": "IE1"}), tax_country=TaxCountry.IRELAND)

    assert company.fiscal_id == "IE1"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("501964843", True),
        ("999999990", True),
        ("123456789", True),
        ("123456780", False),
        ("12345678", False),
        ("١٢٣٤٥٦٧٨٩", False),
        ("abcdefghi", False),
    ],
)
def test_the_check_digit_of_a_nif(text: str, is_one: bool) -> None:
    assert is_nif(text) is is_one
