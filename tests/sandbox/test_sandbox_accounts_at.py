from typing import Any

import attrs
import pytest
from test_sandbox import create
from test_sandbox_accounts import (
    AT_PASSWORD,
    NIF,
    OWNED,
    PARTNER,
    change,
    communicate,
    encoded,
    got,
    open_account,
    opened,
    said,
)

from invoicexpress_async.sandbox import Sandbox


@pytest.mark.parametrize(
    ("password", "status"),
    [pytest.param(AT_PASSWORD, 200, id="right"), pytest.param("wrong", 422, id="wrong")],
)
async def test_an_update_may_bring_at_credentials(password: str, status: int) -> None:
    credentials = {
        "username": f"{NIF}/1",
        "type": "AT",
        "context": "Sequences",
        "password": encoded(password),
    }
    bare = attrs.evolve(OWNED, has_at_credentials=False)
    async with Sandbox(accounts=[PARTNER, bare]) as sandbox:
        reply = await change(sandbox, city="Porto", credentials=credentials)

    account = sandbox.accounts["owned"]
    assert reply.status == status
    assert (account.has_at_credentials, bool(account.details)) == (status == 200, status == 200)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"at_subuser": None}, "at_subuser can't be blank", id="no sub-user"),
        pytest.param({"at_subuser": NIF}, "at_subuser is invalid", id="no number"),
        pytest.param({"at_subuser": f"{NIF}/x"}, "at_subuser is invalid", id="not a number"),
        pytest.param({"at_subuser": "1/1"}, "at_subuser is invalid", id="not a NIF"),
        pytest.param(
            {"at_subuser": "509442013/1"},
            "The sub-user is not of the account's fiscal ID",
            id="another NIF",
        ),
        pytest.param({"at_password": None}, "at_password can't be blank", id="no password"),
        pytest.param({"at_password": "p\u00e1ss"}, "at_password is invalid", id="not ASCII"),
        pytest.param({"at_password": "cGFzc3"}, "at_password is invalid", id="cut base64"),
        pytest.param({"at_password": "a b="}, "at_password is invalid", id="not base64"),
        pytest.param({"at_password": "password"}, "at_password is invalid", id="never encoded"),
        pytest.param(
            {"communication_type": None}, "communication_type can't be blank", id="no type"
        ),
        pytest.param({"communication_type": "none"}, "communication_type is invalid", id="type"),
    ],
)
async def test_an_at_communication_that_is_malformed_never_reaches_at(
    fields: dict[str, Any], text: str
) -> None:
    async with Sandbox(accounts=[OWNED], language="en") as sandbox:
        reply = await communicate(sandbox, **fields)

    assert (reply.status, said(reply)) == (422, text)
    assert sandbox.accounts["owned"].at_failures == {}


@pytest.mark.parametrize("kind", ["auto", "manual", "guides", "portal_at"])
@pytest.mark.parametrize(
    ("form", "body"),
    [
        pytest.param("success", b'{"success":"true"}', id="success"),
        pytest.param("empty", b" ", id="empty"),
    ],
)
async def test_an_at_communication_succeeds_in_every_form(
    kind: str, form: Any, body: bytes
) -> None:
    async with Sandbox(accounts=[OWNED]) as sandbox:
        sandbox.at_communication_body = form
        reply = await communicate(sandbox, communication_type=kind)

    assert (reply.status, reply.body) == (200, body)


async def test_a_sub_user_is_locked_by_three_wrong_passwords() -> None:
    account = attrs.evolve(OWNED, has_at_credentials=False)
    async with Sandbox(accounts=[account], language="en") as sandbox:
        wrong = [await communicate(sandbox, password="wrong") for _ in range(3)]
        locked = await communicate(sandbox)
        still = await create(sandbox, account="owned")
        other = await communicate(sandbox, at_subuser=f"{NIF}/2")

    refused = "The tax authority refused the sub-user or the password"
    assert [(reply.status, said(reply)) for reply in wrong] == [(422, refused)] * 3
    assert (locked.status, said(locked)) == (422, "The sub-user is locked at the tax authority")
    assert still.error == (422, "004")
    assert other.status == 200
    assert sandbox.accounts["owned"].at_failures == {f"{NIF}/1": 3}


async def test_the_right_password_forgives_the_wrong_ones() -> None:
    async with Sandbox(accounts=[OWNED], at_attempts=2) as sandbox:
        words = ("wrong", AT_PASSWORD, "wrong", AT_PASSWORD, "wrong", "wrong", AT_PASSWORD)
        statuses = [(await communicate(sandbox, password=word)).status for word in words]

    assert statuses == [422, 200, 422, 200, 422, 422, 422]
    assert sandbox.accounts["owned"].has_at_credentials


@pytest.mark.parametrize(
    ("passwords", "right", "wrong"),
    [
        pytest.param({NIF: "wrong"}, "wrong", AT_PASSWORD, id="of this NIF"),
        pytest.param({NIF: "\u00e7\u00e3o"}, "\u00e7\u00e3o", "cao", id="beyond ASCII"),
        pytest.param({"509442013": "x"}, AT_PASSWORD, "wrong", id="of another NIF"),
    ],
)
async def test_a_company_may_have_one_right_password(
    passwords: dict[str, str], right: str, wrong: str
) -> None:
    async with Sandbox(accounts=[OWNED], at_passwords=passwords) as sandbox:
        refused = await communicate(sandbox, password=wrong)
        reported = await communicate(sandbox, password=right)

    assert (refused.status, reported.status) == (422, 200)


async def test_right_credentials_take_the_place_of_invalid_ones() -> None:
    account = attrs.evolve(OWNED, has_valid_at_credentials=False)
    async with Sandbox(accounts=[account]) as sandbox:
        before = await create(sandbox, account="owned")
        await communicate(sandbox)
        after = await create(sandbox, account="owned")

    assert (before.error, after.status) == ((422, "004"), 201)


async def test_a_new_account_may_begin_with_a_trial_without_at() -> None:
    name = "sapataria-ideal-lda"
    async with Sandbox(accounts=[PARTNER], is_new_account_trial=True) as sandbox:
        made = await open_account(sandbox)
        shown = opened(await got(sandbox, opened(made)["id"]))
        refused = [await communicate(sandbox, name), await create(sandbox, account=name)]
        sandbox.update_account(attrs.evolve(sandbox.accounts[name], is_trial=False))
        reported = await communicate(sandbox, name)

    assert (shown["trial"], shown["at_configured"]) == (True, False)
    assert [reply.status for reply in refused] == [401, 401]
    assert reported.status == 200


async def test_a_company_without_open_activity_registers_nothing() -> None:
    name = "sapataria-ideal-lda"
    async with Sandbox(accounts=[PARTNER], inactive_fiscal_ids={NIF}) as sandbox:
        await open_account(sandbox)
        reported = await communicate(sandbox, name)
        refused = await create(sandbox, account=name)
        sandbox.inactive_fiscal_ids = ()
        made = await create(sandbox, account=name)

    assert (reported.status, refused.error, made.status) == (200, (422, "005"), 201)
