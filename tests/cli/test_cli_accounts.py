"""`invoicexpress accounts`: one account of a partner's, read and changed."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import test_cli
from test_cli import KEY, Run, run_process

from invoicexpress_async.sandbox import FaultServer, SandboxAccount

bytecode, run = test_cli.bytecode, test_cli.run

AT_PASSWORD = "canary-at-password-77"
NIF = "500000018"
COMPANY = SandboxAccount(
    name="sapataria",
    id="4711",
    owner="partner",
    organization_name="Sapataria Ideal",
    email="geral@sapataria.example",
    fiscal_id=NIF,
    has_at_credentials=False,
)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    partner = SandboxAccount(name="partner", api_key=KEY, is_partner=True)
    async with FaultServer(accounts=[partner, COMPANY]) as running:
        yield running


@pytest.fixture
def partner(server: FaultServer) -> dict[str, str]:
    return {
        "INVOICEXPRESS_BASE_URL": server.base_url,
        "INVOICEXPRESS_ACCOUNT": "partner",
        "INVOICEXPRESS_API_KEY": KEY,
    }


def check_secrets(*texts: str) -> None:
    for secret in (KEY, AT_PASSWORD, base64.b64encode(AT_PASSWORD.encode()).decode()):
        assert [text for text in texts if secret in text] == []


async def test_an_account_is_shown_to_people_and_machines(
    run: Run, partner: dict[str, str]
) -> None:
    person = await run("accounts", "get", "4711", **partner)
    machine = await run("accounts", "get", "4711", "--json", **partner)

    assert (person.code, machine.code) == (0, 0)
    reported = dict(line.split(maxsplit=1) for line in person.out.splitlines()[2:])
    assert reported["organization_name"].strip() == "Sapataria Ideal"
    assert (reported["at_configured"].strip(), reported["trial"].strip()) == ("no", "no")
    (account,) = machine.lines
    assert (account["id"], account["fiscal_id"], account["at_configured"]) == ("4711", NIF, False)


async def test_what_is_given_is_changed_and_nothing_else(
    run: Run, partner: dict[str, str], server: FaultServer, tmp_path: Path
) -> None:
    del partner["INVOICEXPRESS_ACCOUNT"]
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    partner["INVOICEXPRESS_API_KEY"] = ""
    fields: tuple[str, ...] = ("--phone", "210000000", "--address", "Rua 1", "--city", "Porto")
    fields += ("--postal-code", "4000-001", "--website", "sapataria.example", "--language", "pt")
    fields += ("--email", "nova@sapataria.example", "--organization-name", "Sapataria, Lda")
    given = ("--partner", "partner", "--api-key-file", key)

    person = await run("accounts", "update", "4711", *fields, *given, **partner)
    machine = await run(
        "accounts", "update", "4711", "--fax", "1", "--json", "--account", "partner", *given[2:],
        **partner,
    )  # fmt: skip

    account = server.accounts["sapataria"]
    assert (person.code, machine.code) == (0, 0)
    assert person.out.startswith("Account 4711 updated: organization_name, email, phone,")
    assert machine.lines == [{"id": "4711", "updated": ["fax"]}]
    assert (account.organization_name, account.email) == (
        "Sapataria, Lda",
        "nova@sapataria.example",
    )
    assert dict(account.details)["postal_code"] == "4000-001"
    assert json.loads(server.requests[-1].body) == {"account": {"fax": "1"}}


@pytest.mark.parametrize("kind", ["env", "file"])
async def test_at_credentials_come_from_a_reference(
    run: Run, partner: dict[str, str], server: FaultServer, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "at").write_text(f"{AT_PASSWORD}\n")
    reference = {"env": "env:AT_SECRET", "file": f"file:{tmp_path / 'at'}"}[kind]
    arguments = ("--at-subuser", f"{NIF}/1", "--at-password-from", reference)

    ended = await run("accounts", "update", "4711", *arguments, AT_SECRET=AT_PASSWORD, **partner)

    assert (ended.code, ended.out) == (0, "Account 4711 updated: AT credentials.\n")
    assert server.accounts["sapataria"].has_at_credentials
    assert base64.b64encode(AT_PASSWORD.encode()) in server.requests[-1].body
    check_secrets(ended.out, ended.err)


@pytest.mark.parametrize("kind", ["env", "file"])
async def test_a_password_comes_from_a_reference_and_the_terms_are_accepted_aloud(
    run: Run, partner: dict[str, str], server: FaultServer, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "password").write_text(f"{AT_PASSWORD}\n")
    reference = {"env": "env:USER_SECRET", "file": f"file:{tmp_path / 'password'}"}[kind]
    arguments = ("--password-from", reference, "--accept-terms", "--city", "Porto")

    ended = await run("accounts", "update", "4711", *arguments, USER_SECRET=AT_PASSWORD, **partner)

    sent = json.loads(server.requests[-1].body)
    assert sent == {"account": {"password": AT_PASSWORD, "terms": "1", "city": "Porto"}}
    check_secrets(ended.out, ended.err)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--at-subuser", f"{NIF}/1", "--at-password-from", AT_PASSWORD), id="bare"),
        pytest.param(("--password-from", AT_PASSWORD), id="bare, of the user"),
        pytest.param(("--password-from", "env:NONE"), id="not set, of the user"),
        pytest.param(("--no-accept-terms", "--city", "Porto"), id="terms not accepted"),
        pytest.param(("--at-subuser", f"{NIF}/1", "--at-password", AT_PASSWORD), id="no option"),
        pytest.param((f"--at-password={AT_PASSWORD}",), id="no option, with ="),
        pytest.param((f"--password={AT_PASSWORD}",), id="another"),
        pytest.param((AT_PASSWORD,), id="positional"),
        pytest.param(("--at-password-from", "env:AT_SECRET"), id="no sub-user"),
        pytest.param(("--at-subuser", f"{NIF}/1"), id="no password"),
        pytest.param(("--at-subuser", "1", "--at-password-from", "env:AT_SECRET"), id="sub-user"),
        pytest.param(("--at-subuser", f"{NIF}/1", "--at-password-from", "env:NONE"), id="not set"),
        pytest.param(("--at-subuser", f"{NIF}/1", "--at-password-from", "file:no"), id="no file"),
        pytest.param(("--postal-code", "1"), id="postal code"),
        pytest.param(("--language", "fr"), id="language"),
        pytest.param(("--api-key", KEY), id="key"),
        pytest.param((), id="nothing to change"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_no_secret_is_repeated(
    run: Run, partner: dict[str, str], server: FaultServer, arguments: tuple[str, ...]
) -> None:
    ended = await run("accounts", "update", "4711", *arguments, AT_SECRET=AT_PASSWORD, **partner)

    assert (ended.code, ended.out, server.requests) == (2, "", [])
    assert ended.err.startswith("error: ")
    check_secrets(ended.err)


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        pytest.param(("get", "1"), (1, "NotFoundError", "Check the id"), id="not there"),
        pytest.param(("get", "../1"), (2, "ConfigurationError", ""), id="no id"),
        pytest.param(
            ("update", "4711", "--at-subuser", f"{NIF}/1", "--at-password-from", "env:AT_SECRET"),
            (1, "UnprocessableError", "wrong ones may lock"),
            id="wrong credentials",
        ),
        pytest.param(
            ("update", "4711", "--city", "Porto", "--timeout", "5"),
            (3, "TransportError", "read the account"),
            id="lost response",
        ),
    ],
)
async def test_a_failure_is_reported_with_its_cure(
    partner: dict[str, str],
    server: FaultServer,
    run: Run,
    arguments: tuple[str, ...],
    ending: tuple[int, str, str],
) -> None:
    code, error, cure = ending
    server.at_passwords = {NIF: "the right one"}
    server.faults.next("close_after_read", operation="account_update", commits=True, times=None)
    if error == "UnprocessableError":
        server.faults.clear()

    machine = await run("accounts", *arguments, "--json", AT_SECRET=AT_PASSWORD, **partner)
    person = await run("accounts", *arguments, AT_SECRET=AT_PASSWORD, **partner)

    assert (machine.code, person.code) == (code, code)
    assert machine.failure["error"] == error
    assert cure in str(machine.failure["cure"])
    assert cure in person.err
    check_secrets(machine.out, machine.err, person.out, person.err)


async def test_as_a_process_it_says_what_it_lacks(partner: dict[str, str]) -> None:
    del partner["INVOICEXPRESS_ACCOUNT"]

    ended = await run_process("accounts", "get", "4711", **partner)

    assert ended.code == 2
    assert "No partner: give --partner, or set INVOICEXPRESS_ACCOUNT." in ended.err
