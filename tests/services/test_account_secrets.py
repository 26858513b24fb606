"""Canaries of account operations: passwords, in clear and in base64, and a new account's key."""

import asyncio
import base64
import copy
import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import attrs
import cattrs
import pytest
from account_partner import CREATED, NEW_KEY, RESET, Partner, serving_partner
from fakes import FakeClock
from hanging_server import hanging_server
from test_secrets import Spy, seen_in
from test_secrets import sinks as sinks  # noqa: PLC0414  # a fixture

from invoicexpress_async import (
    AccountService,
    AccountUpdate,
    AtCredentials,
    ConfigurationError,
    InvoiceXpressError,
    NewAccount,
    OutcomeUnknownError,
    RepeatedCredentialsError,
    Secret,
    SessionManager,
    StatusError,
    UnprocessableError,
)
from invoicexpress_async.call.keys import RefusedCredentials

PASSWORD = 'canary&/é"<user 0123456789'
AT_PASSWORD = 'canary%\\ü"at 0123456789'
PIN = "q7Z!"
"""Too short to be cut out of ordinary words."""


def forms_of(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
    }


FORMS = forms_of(PASSWORD) | forms_of(AT_PASSWORD) | forms_of(NEW_KEY) | forms_of(PIN)


def sightings(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def company(password: str = PASSWORD) -> NewAccount:
    return NewAccount(
        organization_name="Sapataria",
        email="geral@sapataria.example",
        password=password,
        accepts_terms=True,
    )


def credentials(password: str = AT_PASSWORD) -> AtCredentials:
    return AtCredentials(subuser="123456789/3", password=password)


OPERATIONS: dict[str, Callable[[AccountService], Awaitable[object]]] = {
    "create": lambda service: service.create(company()),
    "existing": lambda service: service.create_for_existing_user(company()),
    "update": lambda service: service.update("1", AccountUpdate(credentials=credentials())),
    "password": lambda service: service.update("1", AccountUpdate(password=PASSWORD)),
    "configure": lambda service: service.configure_at_communication(credentials()),
    "short": lambda service: service.create(company(PIN)),
    "short AT": lambda service: service.configure_at_communication(credentials(PIN)),
}
SECRETS = {
    "create": PASSWORD,
    "existing": PASSWORD,
    "update": AT_PASSWORD,
    "password": PASSWORD,
    "configure": AT_PASSWORD,
    "short": PIN,
    "short AT": PIN,
}


def answers_with(secret: str) -> dict[str, tuple[int, Any, str]]:
    """What a server may say that was sent this secret and has made a new key."""
    said = " ".join([secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()])
    page = f"<html>{said} {NEW_KEY}</html>".encode()
    echo = {"errors": {"code": f"x{secret}", "password": [said, secret]}}
    as_rails = json.dumps(echo).replace("&", "\\u0026").replace("<", "\\u003c").encode()
    return {
        "echo": (422, echo, ""),
        "escaped as Rails does": (422, as_rails, ""),
        "echo in text": (401, said.encode(), "text/plain"),
        "echo in a page": (403, page, "text/html"),
        "no success": (200, {"success": False, "message": said}, ""),
        "error in a success": (200, {"errors": [said], "account": CREATED}, ""),
        "failure that made it": (500, {"account": CREATED, "message": said}, ""),
        "failure in text": (502, f"{said} {NEW_KEY}".encode(), "text/plain"),
        "refusal with a key": (422, {"account": {"api_key": NEW_KEY, "password": said}}, ""),
        "cut": (201, json.dumps({"account": {"api_key": NEW_KEY}}).encode()[:-1], ""),
        "no id": (201, {"account": CREATED | {"id": None}}, ""),
        "a list": (201, [{"account": CREATED}, said], ""),
        "a page": (200, page, "text/html"),
        "another charset": (200, page, "application/json; charset=utf-16"),
        "a reset": (RESET, None, ""),
        "a redirect": (302, said.encode(), ""),
        "a limit": (429, echo, ""),
        "all well": (201, {"account": CREATED}, ""),
    }


@pytest.fixture
async def watched(clock: FakeClock) -> AsyncIterator[tuple[Partner, Spy]]:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.005
    spy = Spy()
    for name in ("on_request_chunk_sent", "on_response_chunk_received"):
        getattr(spy.trace, name).append(spy_on_chunk(spy))
    async with serving_partner(clock, trace_configs=[spy.trace]) as partner:
        yield partner, spy


def spy_on_chunk(spy: Spy) -> Callable[[object, object, Any], Awaitable[None]]:
    async def note(_session: object, _context: object, params: Any) -> None:
        spy.texts.append(params.chunk.decode("latin-1"))

    return note


@pytest.mark.fault(55, 56)
@pytest.mark.parametrize("answer", answers_with(""))
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_response_shows_a_secret(
    operation: str, answer: str, watched: tuple[Partner, Spy], sinks: Callable[[], str]
) -> None:
    partner, spy = watched
    status, document, content_type = answers_with(SECRETS[operation])[answer]
    partner.says(status, document, content_type=content_type)

    try:
        shown = repr(await OPERATIONS[operation](partner.service))
    except InvoiceXpressError as error:
        shown = seen_in(error) + error.cure
    shown += repr(partner.manager.unresolved())

    assert partner.requests
    assert sightings("\n".join([shown, sinks(), *spy.texts])) == []


@pytest.mark.fault(55)
async def test_a_hook_of_a_users_sees_how_much_was_sent_and_not_what(
    watched: tuple[Partner, Spy],
) -> None:
    partner, spy = watched
    partner.says(200)

    await partner.service.configure_at_communication(credentials())
    await partner.service.update("1", AccountUpdate(city="Porto"))

    chunks = [text for text in spy.texts if text.startswith(("**", '{"'))]
    assert chunks[0] == "*" * len(chunks[0])
    assert len(chunks[0]) > 100
    assert chunks[-1] == '{"account":{"city":"Porto"}}'


@pytest.mark.fault(56)
async def test_what_is_no_secret_of_a_refusal_is_reported(watched: tuple[Partner, Spy]) -> None:
    partner, _ = watched
    message = f"{AT_PASSWORD} não é válida"
    partner.says(422, {"errors": {"code": "004", "message": message}})

    with pytest.raises(UnprocessableError, match="não é válida") as caught:
        await partner.service.configure_at_communication(credentials())

    assert caught.value.messages == ("[redacted] não é válida",)


@pytest.mark.fault(56)
async def test_a_message_with_a_short_secret_in_it_is_not_reported(
    watched: tuple[Partner, Spy],
) -> None:
    partner, _ = watched
    partner.says(422, {"errors": ["abc is wrong", "the rest"]})

    with pytest.raises(StatusError, match="422") as caught:
        await partner.service.configure_at_communication(credentials("abc"))

    assert caught.value.messages == ("[redacted]", "the rest")


async def test_a_password_that_is_part_of_the_response_does_not_harm_it(
    watched: tuple[Partner, Spy],
) -> None:
    partner, _ = watched
    partner.says(201, {"account": CREATED})

    created = await partner.service.create(company("sapataria"))

    assert created.name == "sapataria"


@pytest.mark.fault(41, 42, 55)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_cancellation_carries_no_secret(operation: str, clock: FakeClock) -> None:
    async with hanging_server() as (port, has_come):
        base_url = f"http://127.0.0.1:{port}/{{account}}"
        async with SessionManager(base_url=base_url, clock=clock) as manager:
            service = manager.account("acme", "key").accounts
            task = asyncio.ensure_future(OPERATIONS[operation](service))
            await has_come.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

    assert sightings(seen_in(caught.value)) == []


@pytest.mark.fault(55)
async def test_what_is_refused_here_carries_no_secret(watched: tuple[Partner, Spy]) -> None:
    partner, _ = watched
    partner.says(422)
    with pytest.raises(StatusError, match="422"):
        await partner.service.configure_at_communication(credentials())

    with pytest.raises(RepeatedCredentialsError, match="123456789/3") as caught:
        await partner.service.configure_at_communication(credentials())

    assert sightings(seen_in(caught.value)) == []


GIVEN: dict[type[object], dict[str, Any]] = {
    NewAccount: attrs.asdict(company(), recurse=False) | {"password": PASSWORD},
    AtCredentials: {"subuser": "123456789/3", "password": AT_PASSWORD},
    AccountUpdate: {"password": PASSWORD},
}


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (NewAccount, {"email": "nobody"}),
        (NewAccount, {"fiscal_id": "1"}),
        (NewAccount, {"password": f"{PASSWORD}\n"}),
        (NewAccount, {"accepts_terms": 0}),
        (AtCredentials, {"subuser": "x"}),
        (AtCredentials, {"no_such_field": 1}),
        (AccountUpdate, {"email": "x"}),
        (AccountUpdate, {"no_such_field": 1}),
        (AccountUpdate, {"accepts_terms": False}),
    ],
    ids=ascii,
)
def test_a_value_that_cannot_be_made_does_not_show_its_password(
    kind: type[object], wrong: dict[str, Any]
) -> None:
    with pytest.raises(
        (ConfigurationError, TypeError), match=r"nothing was sent|no_such_field"
    ) as caught:
        kind(**GIVEN[kind] | wrong)

    assert sightings(seen_in(caught.value)) == []


@pytest.mark.fault(55)
def test_no_value_of_accounts_shows_its_secret() -> None:
    update = AccountUpdate(credentials=credentials(), password=PASSWORD, accepts_terms=True)
    values = (company(), credentials(), update)

    for value in values:
        for shown in (value, attrs.asdict(value), attrs.astuple(value), copy.deepcopy(value)):
            assert sightings(repr(shown) + str(shown)) == []
        assert sightings(repr(cattrs.unstructure(value))) == []
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)


@pytest.mark.fault(55)
async def test_no_service_shows_what_it_has_refused(watched: tuple[Partner, Spy]) -> None:
    partner, _ = watched
    partner.says(422)
    with pytest.raises(StatusError, match="422"):
        await partner.service.configure_at_communication(credentials())

    dispatcher = vars(partner.service)["_dispatcher"]
    texts = [
        repr(vars(one)) for one in (partner.service, dispatcher, dispatcher.refused_credentials)
    ]

    assert "set()" not in texts[-1]
    assert sightings("\n".join(texts)) == []


def test_the_memory_of_refusals_is_worth_nothing_elsewhere() -> None:
    one, other = RefusedCredentials(), RefusedCredentials()

    assert one.digest("a", "b") == one.digest("a", "b")
    assert one.digest("a", "b") != one.digest("ab", "")
    assert one.digest("a", "b") != other.digest("a", "b")


async def test_the_outcome_that_is_unknown_names_no_secret(watched: tuple[Partner, Spy]) -> None:
    partner, _ = watched
    partner.says(500, {"account": CREATED})

    with pytest.raises(OutcomeUnknownError, match="HTTP 500") as caught:
        await partner.service.create(company())

    assert set(caught.value.intent) >= {"email", "sent_at"}
    assert sightings(json.dumps(caught.value.intent)) == []


def test_a_secret_that_is_given_stays_the_same() -> None:
    secret = Secret(AT_PASSWORD)

    assert AtCredentials(subuser="123456789/3", password=secret).password is secret
