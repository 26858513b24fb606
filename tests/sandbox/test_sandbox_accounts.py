import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from test_sandbox import FakeClock, Json, Reply, admin, call, create, listing

from invoicexpress_async.sandbox import ErrorShape, Sandbox, SandboxAccount

CREATE = "/api/accounts/create.json"
CREATE_FOR_USER = "/api/accounts/create_already_user.json"
COMMUNICATE = "/api/v3/accounts/at_communication.json"
KEY = "canary-partner-key"
PASSWORD = "canary-user-password"
AT_PASSWORD = "canary-at-password"
NIF = "501964843"
PARTNER = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
OTHER_PARTNER = SandboxAccount(name="rival", is_partner=True)
USED = SandboxAccount(
    name="used",
    organization_name="Usada, Lda",
    email="Used@example.pt",
    user_password=PASSWORD,
    fiscal_id="503504564",
)
OWNED = attrs.evolve(
    USED, name="owned", id="7", owner="partner", email="owned@example.pt", fiscal_id=NIF
)
COMPANY: Mapping[str, object] = {
    "organization_name": "Sapataria Ideal, Lda",
    "email": "geral@sapataria.example",
    "password": PASSWORD,
    "password_confirmation": PASSWORD,
    "terms": "1",
    "fiscal_id": NIF,
}
EXISTING: Mapping[str, Any] = {
    "email": "used@example.pt",
    "password": PASSWORD,
    "password_confirmation": None,
}


def company(**fields: object) -> Json:
    """Return a create's body; a field of None is left out."""
    wanted = {**COMPANY, **fields}
    return {"account": {name: value for name, value in wanted.items() if value is not None}}


async def open_account(
    sandbox: Sandbox, path: str = CREATE, *, account: str = "partner", **fields: Any
) -> Reply:
    return await call(sandbox, "POST", path, account=account, content=company(**fields))


async def got(sandbox: Sandbox, account_id: object = "7", *, account: str = "partner") -> Reply:
    return await call(sandbox, "GET", f"/api/accounts/{account_id}/get.json", account=account)


async def change(sandbox: Sandbox, account_id: object = "7", **fields: object) -> Reply:
    path = f"/api/accounts/{account_id}/update.json"
    return await call(sandbox, "PUT", path, account="partner", content={"account": fields})


def encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()


async def communicate(
    sandbox: Sandbox, account: str = "owned", *, password: str = AT_PASSWORD, **fields: Any
) -> Reply:
    content = {
        "at_subuser": f"{NIF}/1",
        "at_password": encoded(password),
        "communication_type": "auto",
        **fields,
    }
    body = {"at_communication": content}
    return await call(sandbox, "POST", COMMUNICATE, account=account, content=body)


def opened(reply: Reply) -> Json:
    return cast("Json", reply.json["account"])


def said(reply: Reply) -> str:
    """Return the text of a refusal; that of an update is the second of a field and a text."""
    document = json.loads(reply.body)
    return str(document[1] if isinstance(document, list) else document["errors"]["error"])


async def test_a_partner_creates_an_account_and_is_given_its_key_once() -> None:
    async with Sandbox(accounts=[PARTNER]) as sandbox:
        reply = await open_account(sandbox)
        again = await got(sandbox, opened(reply)["id"])

    key = sandbox.accounts["sapataria-ideal-lda"].api_key
    assert reply.status == 201
    assert opened(reply) == {
        "id": "12346",
        "name": "Sapataria Ideal, Lda",
        "url": "https://sapataria-ideal-lda.app.invoicexpress.com",
        "api_key": key,
        "state": "active",
    }
    assert key != KEY
    assert again.status == 200
    assert key.encode() not in again.body


async def test_what_a_create_requests_is_kept() -> None:
    optional = {"first_name": "Ana", "phone": "210", "marketing": "0", "language": "en"}
    async with Sandbox(accounts=[PARTNER]) as sandbox:
        await open_account(sandbox, tax_country="2", **optional)

    account = sandbox.accounts["sapataria-ideal-lda"]
    assert (account.email, account.fiscal_id, account.owner) == (
        "geral@sapataria.example",
        NIF,
        "partner",
    )
    assert (account.country, account.language, account.is_partner) == ("IE", "en", False)
    assert account.details == {"first_name": "Ana", "phone": "210", "marketing": "0"}
    assert (account.is_trial, account.has_at_credentials) == (False, False)


async def test_a_new_account_is_usable_at_once_and_registers_after_at_communication() -> None:
    async with Sandbox(accounts=[PARTNER]) as sandbox:
        name = "sapataria-ideal-lda"
        await open_account(sandbox)
        rows = await listing(sandbox, name)
        with_the_partners_key = await call(
            sandbox, "GET", "/sequences.json", account=name, query=f"?api_key={KEY}"
        )
        before = await create(sandbox, account=name)
        reported = await communicate(sandbox, name)
        after = await create(sandbox, account=name, default_sequence="1")

    assert [(row["serie"], row["default_sequence"]) for row in rows] == [(name.upper(), 1)]
    assert "N/D" in rows[0].values()
    assert with_the_partners_key.status == 401
    assert before.error == (422, "004")
    assert (reported.status, reported.json) == (200, {"success": "true"})
    assert (after.status, after.row["default_sequence"]) == (201, 1)
    assert [row.is_registered for row in sandbox.sequences(name)] == [False, True]


async def test_a_new_account_has_a_minute_of_its_own() -> None:
    clock = FakeClock()
    async with Sandbox(accounts=[PARTNER], requests_per_minute=2, clock=clock) as sandbox:
        made = [await open_account(sandbox), await open_account(sandbox, email="b@c.pt")]
        refused = await open_account(sandbox, email="c@c.pt")
        own = [await communicate(sandbox, "sapataria-ideal-lda") for _ in range(3)]
        clock.now += 60.0
        later = await open_account(sandbox, email="c@c.pt", fiscal_id="509442013")

    assert [reply.status for reply in made] == [201, 422]
    assert [reply.status for reply in own] == [200, 200, 429]
    assert (refused.status, later.status) == (429, 201)


@pytest.mark.parametrize(
    ("organization_name", "name"),
    [
        pytest.param("Padaria", "padaria-2", id="taken"),
        pytest.param("  São João & Filhos, S.A. ", "sao-joao-filhos-s-a", id="accents"),
        pytest.param("日本", "account", id="no letter that a host name has"),
        pytest.param("x" * 100, "x" * 40, id="long"),
    ],
)
async def test_an_account_is_named_like_its_organization(organization_name: str, name: str) -> None:
    async with Sandbox(accounts=[PARTNER, "padaria"]) as sandbox:
        reply = await open_account(sandbox, organization_name=organization_name)

    assert opened(reply)["url"] == f"https://{name}.app.invoicexpress.com"
    assert opened(reply)["name"] == organization_name
    assert name in sandbox.accounts


async def test_the_url_may_lead_elsewhere() -> None:
    async with Sandbox(accounts=[PARTNER], account_url="https://evil.example/{account}") as sandbox:
        reply = await open_account(sandbox)

    assert opened(reply)["url"] == "https://evil.example/sapataria-ideal-lda"


# What is refused with 422, and what is said of it.
INVALID = [
    pytest.param({"organization_name": None}, "organization_name can't be blank", id="no name"),
    pytest.param({"organization_name": " "}, "organization_name can't be blank", id="blank name"),
    pytest.param({"organization_name": "x" * 101}, "organization_name is too long", id="101"),
    pytest.param({"organization_name": 5}, "organization_name is invalid", id="a number"),
    pytest.param({"email": None}, "email can't be blank", id="no e-mail"),
    pytest.param({"email": "geral"}, "email is invalid", id="no address"),
    pytest.param({"email": "a b@c.pt"}, "email is invalid", id="a space in the address"),
    pytest.param({"password": None}, "password can't be blank", id="no password"),
    pytest.param({"terms": None}, "terms can't be blank", id="no terms"),
    pytest.param({"terms": "0"}, "Terms must be accepted", id="terms 0"),
    pytest.param({"terms": "true"}, "Terms must be accepted", id="terms true"),
    pytest.param({"terms": 1}, "terms is invalid", id="terms as an integer"),
    pytest.param(
        {"password_confirmation": "other"},
        "Password confirmation doesn't match password",
        id="another confirmation",
    ),
    pytest.param({"tax_country": "4"}, "tax_country is invalid", id="tax country"),
    pytest.param({"tax_country": "PT"}, "tax_country is invalid", id="tax country by name"),
    pytest.param({"language": "fr"}, "language is invalid", id="language"),
    pytest.param({"marketing": "yes"}, "marketing is invalid", id="marketing"),
    pytest.param({"marketing": False}, "marketing is invalid", id="marketing as a boolean"),
    pytest.param({"postal_code": "1000"}, "postal_code is invalid", id="postal code"),
    pytest.param({"phone": ["210"]}, "phone is invalid", id="a list"),
    pytest.param(
        {"fiscal_id": "503504564"}, "Fiscal ID is already used in another account", id="NIF"
    ),
]


@pytest.mark.parametrize(("fields", "text"), INVALID)
@pytest.mark.parametrize("path", [CREATE, CREATE_FOR_USER])
async def test_a_create_that_is_wrong_is_refused(
    path: str, fields: dict[str, Any], text: str
) -> None:
    known: Mapping[str, Any] = EXISTING if path == CREATE_FOR_USER else {}
    async with Sandbox(accounts=[PARTNER, USED], language="en") as sandbox:
        reply = await open_account(sandbox, path, **{**known, **fields})

    assert (reply.status, said(reply)) == (422, text)
    assert set(sandbox.accounts) == {"partner", "used"}


async def test_a_new_user_is_new() -> None:
    async with Sandbox(accounts=[PARTNER, USED], language="en") as sandbox:
        reply = await open_account(sandbox, email="used@EXAMPLE.pt")

    assert (reply.status, said(reply)) == (422, "Email has already been taken")


async def test_the_password_need_not_be_said_twice() -> None:
    async with Sandbox(accounts=[PARTNER]) as sandbox:
        reply = await open_account(sandbox, password_confirmation=None)

    assert reply.status == 201


@pytest.mark.parametrize("status", [200, 201])
async def test_an_existing_user_is_given_a_further_account(status: Any) -> None:
    async with Sandbox(accounts=[PARTNER, USED]) as sandbox:
        sandbox.existing_user_status = status
        reply = await open_account(sandbox, CREATE_FOR_USER, **EXISTING)
        rows = await listing(sandbox, "sapataria-ideal-lda")
        third = await open_account(
            sandbox, CREATE_FOR_USER, **{**EXISTING, "fiscal_id": "509442013"}
        )

    assert (reply.status, third.status, len(rows)) == (status, status, 1)
    assert opened(reply)["api_key"] == sandbox.accounts["sapataria-ideal-lda"].api_key


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"password": "other"}, id="wrong password"),
        pytest.param({"email": "nobody@example.pt"}, id="unknown user"),
        pytest.param({"email": "keyless@example.pt"}, id="a user without a password"),
    ],
)
async def test_the_users_wrong_password_can_be_distinguished_from_a_wrong_key(
    fields: dict[str, Any],
) -> None:
    keyless = SandboxAccount(name="keyless", email="keyless@example.pt")
    async with Sandbox(accounts=[PARTNER, USED, keyless]) as sandbox:
        wrong_user = await open_account(sandbox, CREATE_FOR_USER, **{**EXISTING, **fields})
        wrong_key = await call(
            sandbox,
            "POST",
            CREATE_FOR_USER,
            account="partner",
            query="?api_key=wrong",
            content=company(**EXISTING),
        )

    assert wrong_user.status == 400
    assert said(wrong_user) == "O e-mail ou a password do utilizador não estão corretos"
    assert (wrong_key.status, said(wrong_key)) == (401, "Invalid API key")
    assert len(sandbox.accounts) == 3


@pytest.mark.parametrize("path", [CREATE, CREATE_FOR_USER])
async def test_an_account_without_a_partners_rights_creates_nothing(path: str) -> None:
    async with Sandbox(accounts=["acme", USED]) as sandbox:
        reply = await open_account(sandbox, path, account="acme", **EXISTING)

    assert (reply.status, said(reply)) == (422, "A conta não tem permissões de parceiro")
    assert set(sandbox.accounts) == {"acme", "used"}


@pytest.mark.parametrize("content", [None, [], {}, {"account": []}, {"accounts": {}}, COMPANY])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", CREATE, id="create"),
        pytest.param("POST", CREATE_FOR_USER, id="create for a user"),
        pytest.param("PUT", "/api/accounts/7/update.json", id="update"),
        pytest.param("POST", COMMUNICATE, id="communicate"),
    ],
)
async def test_a_body_without_its_envelope_is_refused(
    method: str, path: str, content: object
) -> None:
    async with Sandbox(accounts=[PARTNER, OWNED]) as sandbox:
        reply = await call(sandbox, method, path, account="partner", content=content)

    # The empty object was seen to break the real server.
    assert reply.status == (500 if path == COMMUNICATE and content == {} else 422)
    assert set(sandbox.accounts) == {"partner", "owned"}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        pytest.param("pt", "O e-mail já está a ser utilizado", id="Portuguese"),
        pytest.param("en", "Email has already been taken", id="English"),
        pytest.param("es", "Email has already been taken", id="Spanish"),
    ],
)
async def test_messages_are_in_the_accounts_own_language(language: Any, text: str) -> None:
    async with Sandbox(accounts=[attrs.evolve(PARTNER, language=language), USED]) as sandbox:
        reply = await open_account(sandbox, email="used@example.pt")

    assert said(reply) == text


@pytest.mark.parametrize(
    ("shape", "status", "expected"),
    [
        pytest.param(ErrorShape.FIELD, 422, {"email": ["{}"]}, id="field"),
        pytest.param(ErrorShape.ERRORS_FIELD, 422, {"errors": {"email": ["{}"]}}, id="in errors"),
        pytest.param(ErrorShape.PAIRS, 422, [["email", "{}"]], id="pairs"),
        pytest.param(ErrorShape.MESSAGE, 422, {"message": "{}"}, id="message"),
        pytest.param(
            ErrorShape.SUCCESS_FALSE, 200, {"success": False, "errors": {"message": "{}"}}, id="200"
        ),
    ],
)
async def test_a_refused_create_comes_in_every_shape(
    shape: ErrorShape, status: int, expected: object
) -> None:
    async with Sandbox(accounts=[PARTNER, USED], account_error_shape=shape) as sandbox:
        reply = await open_account(sandbox, email="used@example.pt")
        sequence = await create(sandbox, " ", account="used")

    text = reply.body.decode().replace("O e-mail já está a ser utilizado", "{}")
    assert (reply.status, json.loads(text)) == (status, expected)
    assert sequence.error == (422, "003")


@pytest.mark.parametrize(
    ("knobs", "email", "configured", "trial"),
    [
        pytest.param({}, "owned@example.pt", True, False, id="as it is"),
        pytest.param({"is_email_shown": False}, None, True, False, id="without its e-mail"),
        pytest.param({"account_flag_form": "string"}, "owned@example.pt", "1", "0", id="strings"),
    ],
)
async def test_a_partner_gets_its_account(
    knobs: dict[str, object], email: str | None, configured: object, trial: object
) -> None:
    async with Sandbox(accounts=[PARTNER, OWNED]) as sandbox:
        for knob, value in knobs.items():
            setattr(sandbox, knob, value)
        reply = await got(sandbox)

    assert reply.status == 200
    assert opened(reply) == {
        "organization_name": "Usada, Lda",
        "fiscal_id": NIF,
        "email": email,
        "state": "active",
        "at_configured": configured,
        "trial": trial,
    }


@pytest.mark.parametrize(
    ("account", "account_id"),
    [
        pytest.param("rival", "7", id="another partner's"),
        pytest.param("owned", "7", id="its own"),
        pytest.param("partner", "8", id="unknown"),
        pytest.param("partner", "owned", id="a name"),
    ],
)
async def test_an_account_that_the_key_does_not_own_is_not_found(
    account: str, account_id: str
) -> None:
    async with Sandbox(accounts=[PARTNER, OTHER_PARTNER, OWNED]) as sandbox:
        read = await got(sandbox, account_id, account=account)
        changed = await call(
            sandbox,
            "PUT",
            f"/api/accounts/{account_id}/update.json",
            account=account,
            content={"account": {"city": "Porto"}},
        )

    assert (read.status, read.body, changed.status) == (404, b" ", 404)
    assert sandbox.accounts["owned"] == OWNED


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", CREATE, id="no create"),
        pytest.param("DELETE", "/api/accounts/7/get.json", id="accounts cannot be deleted"),
        pytest.param("POST", "/api/accounts/at_communication.json", id="without its version"),
        pytest.param("PATCH", "/api/accounts/7/update.json", id="wrong verb"),
    ],
)
async def test_an_unknown_account_route_redirects(method: str, path: str) -> None:
    async with Sandbox(accounts=[PARTNER, OWNED]) as sandbox:
        reply = await call(sandbox, method, path, account="partner")

    assert reply.status == 302


async def test_an_update_may_be_posted_and_may_change_the_password() -> None:
    path = "/api/accounts/7/update.json"
    fields = {"password": "canary-second-password", "terms": "1", "city": "Porto"}
    async with Sandbox(accounts=[PARTNER, OWNED]) as sandbox:
        reply = await call(sandbox, "POST", path, account="partner", content={"account": fields})

    account = sandbox.accounts["owned"]
    assert (reply.status, account.user_password) == (200, "canary-second-password")
    assert account.details == {"city": "Porto"}


async def test_an_update_may_have_to_be_whole() -> None:
    required = ("organization_name", "email", "password", "terms")
    whole = {"organization_name": "A", "email": "a@b.pt", "password": PASSWORD, "terms": "1"}
    async with Sandbox(accounts=[PARTNER, OWNED], required_update_fields=required) as sandbox:
        part = await change(sandbox, organization_name="A", email="a@b.pt")
        done = await change(sandbox, **whole)

    assert (part.status, json.loads(part.body)[0], done.status) == (422, "password", 200)


async def test_an_update_changes_what_it_names_and_responds_with_nothing() -> None:
    async with Sandbox(accounts=[PARTNER, OWNED]) as sandbox:
        first = await change(sandbox, city="Porto", postal_code="4000-123", email="new@x.pt")
        sandbox.empty_body = "empty"
        second = await change(sandbox, fiscal_id=NIF, city="Braga", language="es", tax_country="3")

    account = sandbox.accounts["owned"]
    assert (first.status, first.body, second.status, second.body) == (200, b" ", 200, b"")
    assert account.details == {"city": "Braga", "postal_code": "4000-123"}
    assert (account.email, account.language, account.country) == ("new@x.pt", "es", "GB")
    assert (account.organization_name, account.fiscal_id) == ("Usada, Lda", NIF)
    assert account.user_password == PASSWORD


async def test_an_update_of_a_user_with_further_accounts_may_repeat_their_email() -> None:
    second = attrs.evolve(OWNED, name="second", id="8", fiscal_id="509442013")
    async with Sandbox(accounts=[PARTNER, OWNED, second]) as sandbox:
        reply = await change(sandbox, email=str(OWNED.email), phone="210000000")

    assert (reply.status, reply.body) == (200, b" ")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"fiscal_id": "509442013"}, "Fiscal ID cannot be changed", id="fiscal id"),
        pytest.param({"email": "used@example.pt"}, "Email has already been taken", id="e-mail"),
        pytest.param({"postal_code": "4000 123"}, "postal_code is invalid", id="postal code"),
        pytest.param({"organization_name": "x" * 101}, "organization_name is too long", id="long"),
        pytest.param({"credentials": "x"}, "credentials is invalid", id="credentials"),
        pytest.param({"credentials": {}}, "username can't be blank", id="no credentials"),
        pytest.param({"credentials": {"type": "MB"}}, "type is invalid", id="their type"),
    ],
)
async def test_an_update_that_is_wrong_changes_nothing(fields: dict[str, Any], text: str) -> None:
    async with Sandbox(accounts=[PARTNER, USED, OWNED], language="en") as sandbox:
        reply = await change(sandbox, **{"city": "Porto", **fields})

    assert (reply.status, said(reply)) == (422, text)
    assert sandbox.accounts["owned"] == OWNED


@pytest.mark.parametrize(
    ("operation", "method", "path", "content"),
    [
        pytest.param("account_create", "POST", CREATE, company(fiscal_id="1"), id="create"),
        pytest.param(
            "account_create_already_user",
            "POST",
            CREATE_FOR_USER,
            company(fiscal_id="1", email="owned@example.pt"),
            id="create for a user",
        ),
        pytest.param("account_get", "GET", "/api/accounts/7/get.json", None, id="get"),
        pytest.param(
            "account_update", "PUT", "/api/accounts/7/update.json", {"account": {}}, id="update"
        ),
        pytest.param(
            "at_communication",
            "POST",
            COMMUNICATE,
            {
                "at_communication": {
                    "at_subuser": f"{NIF}/1",
                    "at_password": "eA==",
                    "communication_type": "auto",
                }
            },
            id="communicate",
        ),
    ],
)
async def test_any_account_operation_can_be_refused_with_any_code(
    operation: Any, method: str, path: str, content: object
) -> None:
    partner = attrs.evolve(PARTNER, refusals={operation: (401, "")})
    async with Sandbox(accounts=[partner, OWNED]) as sandbox:
        unauthorized = await call(sandbox, method, path, account="partner", content=content)
        sandbox.update_account(attrs.evolve(PARTNER, refusals={operation: (422, "004")}))
        refused = await call(sandbox, method, path, account="partner", content=content)

    assert (unauthorized.status, refused.error) == (401, (422, "004"))
    assert set(sandbox.accounts) == {"partner", "owned"}


async def test_a_restart_forgets_no_account(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    async with Sandbox(accounts=[PARTNER], state_file=path) as sandbox:
        await open_account(sandbox, city="Porto")
        await communicate(sandbox, "sapataria-ideal-lda", password="wrong")
        accounts = dict(sandbox.accounts)

    async with Sandbox(accounts=["partner"], state_file=path) as again:
        restored = dict(again.accounts)
        refused = await open_account(again, email="other@example.pt")
        made = await open_account(again, email="other@example.pt", fiscal_id="509442013")

    assert restored == accounts
    assert restored["sapataria-ideal-lda"].at_failures == {f"{NIF}/1": 1}
    assert (refused.status, opened(made)["id"]) == (422, "12347")


async def test_the_state_shows_accounts_without_a_key_or_a_password() -> None:
    async with Sandbox(accounts=[PARTNER], at_passwords={NIF: AT_PASSWORD}) as sandbox:
        made = await open_account(sandbox, city="Porto")
        await communicate(sandbox, "sapataria-ideal-lda", password="wrong")
        await communicate(sandbox, "sapataria-ideal-lda")
        _, state = await admin(sandbox, "GET", "state.json")

        shown = f"{sandbox!r}{sandbox.accounts!r}{sandbox.requests!r}{state}"

    entry = cast("dict[str, Json]", state["accounts"])["sapataria-ideal-lda"]
    assert entry["account"] == {
        "id": "12346",
        "owner": "partner",
        "organization_name": "Sapataria Ideal, Lda",
        "email": "geral@sapataria.example",
        "fiscal_id": NIF,
        "state": "active",
        "is_partner": False,
        "is_trial": False,
        "has_at_credentials": True,
        "has_open_activity": True,
        "at_failures": {},
        "details": {"city": "Porto"},
    }
    assert entry["at_communications"] == {"wrong": 1, "right": 1}
    secrets = (KEY, PASSWORD, AT_PASSWORD, encoded(AT_PASSWORD), str(opened(made)["api_key"]))
    assert [secret for secret in secrets if secret in shown] == []


async def test_a_partner_can_be_made_over_http() -> None:
    content = {"accounts": [{"name": "partner", "api_key": KEY, "is_partner": True}]}
    async with Sandbox() as sandbox:
        await admin(sandbox, "POST", "accounts.json", content=content)
        reply = await open_account(sandbox)

    assert reply.status == 201


async def test_two_accounts_given_with_one_id_are_distinguished_by_their_owner() -> None:
    twin = attrs.evolve(OWNED, name="twin", owner="rival", organization_name="Twin")
    async with Sandbox(accounts=[PARTNER, OTHER_PARTNER, OWNED, twin]) as sandbox:
        replies = [await got(sandbox), await got(sandbox, account="rival")]

    assert [opened(reply)["organization_name"] for reply in replies] == ["Usada, Lda", "Twin"]


async def test_a_new_id_is_unused() -> None:
    given = attrs.evolve(OWNED, id="12347", fiscal_id="")
    async with Sandbox(accounts=[PARTNER, given]) as sandbox:
        reply = await open_account(sandbox)

    assert opened(reply)["id"] == "12348"
