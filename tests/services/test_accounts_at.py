"""AT credentials: sent in base64 once, repeated after 5xx only, and never when refused before."""

import asyncio
import base64
import pickle
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from account_partner import RESET, Partner, serving_partner
from conftest import ACCOUNT
from fakes import FakeClock

from invoicexpress_async import (
    AtCredentials,
    AuthenticationError,
    CommunicationType,
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RepeatedCredentialsError,
    Secret,
    ServerError,
    SessionManager,
    StatusError,
    TransportError,
    UnexpectedRedirectError,
    UnknownSequenceError,
    UnprocessableError,
)

CREDENTIALS = AtCredentials(subuser="123456789/3", password="palavra-passe")


@pytest.fixture
async def partner(clock: FakeClock) -> AsyncIterator[Partner]:
    async with serving_partner(clock) as one:
        yield one


@pytest.mark.parametrize(
    ("status", "document"),
    [(200, {"success": "true"}), (200, None), (201, b" "), (204, None), (200, {})],
    ids=str,
)
async def test_credentials_are_sent_in_base64_once_and_any_success_is_one(
    status: int, document: Any, partner: Partner
) -> None:
    partner.says(status, document)

    await partner.service.configure_at_communication(
        attrs.evolve(CREDENTIALS, communication_type=CommunicationType.PORTAL_AT)
    )

    assert partner.requests == [("POST", "/acme/api/v3/accounts/at_communication.json")]
    assert partner.bodies == [
        {
            "at_communication": {
                "at_subuser": "123456789/3",
                "at_password": base64.b64encode(b"palavra-passe").decode(),
                "communication_type": "portal_at",
            }
        }
    ]


REFUSALS = [
    pytest.param(401, None, AuthenticationError, "own handle", id="401"),
    pytest.param(403, None, PermissionDeniedError, "trial", id="403"),
    pytest.param(404, None, NotFoundError, "own handle", id="404"),
    pytest.param(422, None, UnprocessableError, "lock the sub-user", id="422"),
    pytest.param(
        422,
        {"errors": {"code": "004"}},
        UnprocessableError,
        "lock the sub-user",
        id="422/004",
    ),
    pytest.param(422, {"code": 5}, UnprocessableError, "lock the sub-user", id="422/005"),
    pytest.param(200, {"success": "false"}, StatusError, "lock the sub-user", id="no success"),
]


@pytest.mark.parametrize(("status", "document", "error_class", "cure"), REFUSALS)
async def test_refused_credentials_are_never_sent_again_and_changed_ones_are(
    status: int, document: Any, error_class: type[StatusError], cure: str, partner: Partner
) -> None:
    partner.says(status, document)
    with pytest.raises(error_class, match=cure) as caught:
        await partner.service.configure_at_communication(CREDENTIALS)
    assert not caught.value.may_have_been_processed
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    partner.says(200)
    for again in (
        CREDENTIALS,
        attrs.evolve(CREDENTIALS, communication_type=CommunicationType.MANUAL),
    ):
        with pytest.raises(RepeatedCredentialsError, match="were refused for this account"):
            await partner.account.accounts.configure_at_communication(again)
    assert len(partner.bodies) == 1

    changed = attrs.evolve(CREDENTIALS, password=Secret("outra"))
    await partner.service.configure_at_communication(changed)
    assert len(partner.bodies) == 2


async def test_refused_credentials_are_sent_again_on_request(partner: Partner) -> None:
    partner.says(403)
    with pytest.raises(PermissionDeniedError, match="paid plan"):
        await partner.service.configure_at_communication(CREDENTIALS)
    partner.says(200)

    await partner.service.configure_at_communication(CREDENTIALS, resend_refused=True)
    await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 3


@pytest.mark.parametrize(
    ("status", "is_sent"), [(401, True), (403, True), (404, False), (422, False)]
)
async def test_another_key_helps_where_the_key_was_refused_and_not_the_credentials(
    status: int, is_sent: bool, partner: Partner
) -> None:
    partner.says(status)
    with pytest.raises(StatusError, match=str(status)):
        await partner.service.configure_at_communication(CREDENTIALS)
    partner.says(200)
    other = partner.manager.account(ACCOUNT, "another-key").accounts

    if is_sent:
        await other.configure_at_communication(CREDENTIALS)
    else:
        with pytest.raises(RepeatedCredentialsError, match="123456789/3"):
            await other.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == (2 if is_sent else 1)


async def test_what_one_account_refused_another_may_accept(partner: Partner) -> None:
    partner.says(422)
    with pytest.raises(UnprocessableError, match="422"):
        await partner.service.configure_at_communication(CREDENTIALS)
    partner.says(200)

    await partner.manager.account("beta", "key").accounts.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 2


async def test_the_same_wrong_credentials_at_once_are_sent_once(partner: Partner) -> None:
    partner.says(422, {"code": "004"})

    results = await asyncio.gather(
        *(partner.service.configure_at_communication(CREDENTIALS) for _ in range(5)),
        return_exceptions=True,
    )

    assert len(partner.bodies) == 1
    kinds = [type(result) for result in results]
    assert kinds == [UnprocessableError, *[RepeatedCredentialsError] * 4]


async def test_a_5xx_is_followed_by_two_more_attempts_and_no_third(partner: Partner) -> None:
    partner.says(503)

    with pytest.raises(ServerError, match="at_configured") as caught:
        await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == caught.value.attempts == 3
    assert caught.value.may_have_been_processed


async def test_a_5xx_that_passes_ends_well(partner: Partner) -> None:
    partner.says(500)
    partner.then_says(502)
    partner.then_says(200)

    await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 3


async def test_a_refusal_after_a_5xx_ends_it(partner: Partner) -> None:
    partner.says(500)
    partner.then_says(422, {"code": "004"})

    with pytest.raises(UnprocessableError, match="it had no effect"):
        await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 2


@pytest.mark.parametrize(
    ("status", "document", "content_type", "error_class"),
    [
        pytest.param(RESET, None, "", TransportError, id="reset"),
        pytest.param(200, b"<html>login</html>", "text/html", MalformedResponseError, id="html"),
        pytest.param(200, b'{"succ', "", MalformedResponseError, id="cut"),
        pytest.param(200, [1], "", MalformedResponseError, id="a list"),
        pytest.param(302, None, "", UnexpectedRedirectError, id="redirect"),
        pytest.param(422, {"code": "000"}, "", UnknownSequenceError, id="422/000"),
    ],
)
async def test_after_an_unknown_outcome_nothing_is_repeated(
    status: int, document: Any, content_type: str, error_class: type[Exception], partner: Partner
) -> None:
    partner.says(status, document, content_type=content_type)

    with pytest.raises(error_class, match=r"may have taken effect.*at_configured") as caught:
        await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 1
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


async def test_an_unknown_error_of_422_is_remembered_as_a_refusal(partner: Partner) -> None:
    partner.says(422, {"code": "000"})
    with pytest.raises(UnknownSequenceError, match="000"):
        await partner.service.configure_at_communication(CREDENTIALS)

    with pytest.raises(RepeatedCredentialsError, match="refused for this account"):
        await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 1


@pytest.mark.parametrize("status", [RESET, 500, 429])
async def test_what_does_not_speak_of_the_credentials_does_not_hold_them_back(
    status: int, partner: Partner
) -> None:
    partner.says(status)
    with pytest.raises((TransportError, ServerError, RateLimitedError)):
        await partner.service.configure_at_communication(CREDENTIALS)
    partner.says(200)

    await partner.service.configure_at_communication(CREDENTIALS)

    assert partner.bodies[-1]["at_communication"]["at_subuser"] == CREDENTIALS.subuser


async def test_a_429_is_waited_for(partner: Partner, clock: FakeClock) -> None:
    partner.says(429)
    partner.then_says(200)
    before = clock.now()

    await partner.service.configure_at_communication(CREDENTIALS)

    assert len(partner.bodies) == 2
    assert clock.now() - before >= 5.0


async def test_a_repetition_that_is_limited_leaves_the_first_unresolved(partner: Partner) -> None:
    partner.says(500)
    partner.then_says(429)

    with pytest.raises(RateLimitedError) as caught:
        await partner.service.configure_at_communication(CREDENTIALS)

    assert caught.value.may_have_been_processed
    assert "at_configured" in caught.value.cure


async def test_what_was_never_sent_is_tried_again_and_had_no_effect(clock: FakeClock) -> None:
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    async with SessionManager(base_url=f"http://127.0.0.1:{port}/{{account}}", clock=clock) as one:
        service = one.account(ACCOUNT, "key").accounts

        with pytest.raises(ConnectionFailedError, match="no effect") as caught:
            await service.configure_at_communication(CREDENTIALS)

    assert caught.value.attempts == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"subuser": "123456789"},
        {"subuser": "123456780/3"},
        {"subuser": "123456789/"},
        {"subuser": "123456789/a"},
        {"subuser": "123456789/٣"},
        {"subuser": "123456789/3/4"},
        {"subuser": "/3"},
        {"subuser": 1234567893},
        {"subuser": None},
        {"password": ""},
        {"password": "a\n"},
        {"password": None},
        {"communication_type": "auto"},
        {"communication_type": None},
    ],
    ids=ascii,
)
def test_credentials_that_cannot_be_are_refused_before_anything_is_sent(
    changes: dict[str, Any],
) -> None:
    fields: dict[str, Any] = {"subuser": "123456789/3", "password": "palavra-passe"}

    with pytest.raises(ConfigurationError, match="nothing was sent"):
        AtCredentials(**(fields | changes))
