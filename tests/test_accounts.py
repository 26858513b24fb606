import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from test_secrets import seen_in

from invoicexpress_async import (
    AccountService,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    NewAccount,
    OutcomeUnknownError,
    SessionManager,
    TaxCountry,
    UnprocessableError,
)
from invoicexpress_async.account_models import is_nif

PASSWORD = "canary-password-0123456789"
NEW_KEY = "canary-new-key-0123456789"
COMPANY: dict[str, Any] = {
    "organization_name": "Sapataria Ideal, Lda",
    "email": "geral@sapataria.example",
    "password": PASSWORD,
    "accepts_terms": True,
    "fiscal_id": "501964843",
}
CREATED = {
    "id": "12345",
    "name": "Sapataria Ideal",
    "url": "https://sapataria.app.invoicexpress.com",
    "api_key": NEW_KEY,
    "state": "active",
}


class Partner:
    """The one route, answering as it is told."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
        self.service: AccountService

    def says(self, status: int, document: Any) -> None:
        async def answer(_: web.BaseRequest) -> web.StreamResponse:
            return web.json_response(document, status=status)

        self.answer = answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.path == "/acme/api/accounts/create.json"
        self.bodies.append(await request.json())
        return await self.answer(request)


@pytest.fixture
async def partner(clock: FakeClock) -> AsyncIterator[Partner]:
    one = Partner()
    runner = web.ServerRunner(web.Server(one.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/{{account}}"
    async with SessionManager(base_url=base_url, clock=clock) as manager:
        one.service = manager.account(ACCOUNT, API_KEY).accounts
        yield one
    await runner.cleanup()


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
    ("status", "document"),
    [
        pytest.param(500, {}, id="500"),
        pytest.param(422, {"errors": {"code": "000"}}, id="422/000"),
        pytest.param(201, {"account": CREATED | {"id": None}}, id="no id"),
        pytest.param(201, {"account": CREATED | {"api_key": ""}}, id="no key"),
        pytest.param(201, {"account": []}, id="a list"),
        pytest.param(201, {}, id="nothing"),
        pytest.param(302, {}, id="a redirect"),
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


async def test_two_creates_of_one_email_at_once_are_never_both_in_doubt(partner: Partner) -> None:
    partner.says(500, {})

    results = await asyncio.gather(
        *(partner.service.create(NewAccount(**COMPANY)) for _ in range(3)), return_exceptions=True
    )

    assert {type(result) for result in results} == {OutcomeUnknownError}
    assert len(partner.bodies) == 1


async def test_a_lost_connection_is_unknown(partner: Partner) -> None:
    async def drop(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    partner.answer = drop

    with pytest.raises(OutcomeUnknownError, match="connection broke"):
        await partner.service.create(NewAccount(**COMPANY))

    assert len(partner.bodies) == 1


@pytest.mark.parametrize(
    ("status", "error_class"), [(401, AuthenticationError), (422, UnprocessableError)]
)
async def test_a_refusal_is_told_and_may_be_followed_by_a_corrected_one(
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
    ],
    ids=str,
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
