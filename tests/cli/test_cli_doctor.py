"""`invoicexpress doctor`: what it finds, what it advises, and that it sends nothing but reads."""

import asyncio
import datetime as dt
import email.utils
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import test_cli
import trustme
from postgres_server import PostgresServer
from test_cli import Ended, Json, Run

from invoicexpress_async.__main__ import main
from invoicexpress_async.cli.commands.checks import Check, server_checks
from invoicexpress_async.jobs.postgres.schema import VERSION
from invoicexpress_async.provisioning import PostgresJournal
from invoicexpress_async.sandbox import FaultServer
from invoicexpress_async.testing import SandboxThread

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(
    invoicexpress_sandbox: SandboxThread, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return the exit code and the checks by name; no output holds the key."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main(["doctor", "--json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        assert invoicexpress_sandbox.api_key not in out
        reported = json.loads(out)
        assert reported["is_fine"] == (code == 0)
        return code, {check["name"]: check for check in reported["checks"]}

    return run


def states(checks: dict[str, Any]) -> dict[str, str]:
    return {name: check["state"] for name, check in checks.items()}


def test_all_is_well(invoicexpress_sandbox: SandboxThread, ask: Ask) -> None:
    invoicexpress_sandbox.add_sequence("2026", is_default=True)

    code, checks = ask()

    assert code == 0
    assert {name for name, state in states(checks).items() if state == "wrong"} == set()
    assert "works: 1 of 1" in checks["AT registration"]["found"]
    assert "aiohttp 3." in checks["versions"]["found"]
    assert checks["settings"]["state"] == checks["key"]["state"] == "fine"
    assert {(one.method, one.path) for one in invoicexpress_sandbox.requests} <= {
        ("HEAD", "/"),
        ("GET", "/sequences.json"),
    }


def test_people_see_what_to_fix(
    invoicexpress_sandbox: SandboxThread,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    assert "Nothing to fix." in capsys.readouterr().out
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", "a-key-that-is-wrong")

    assert main(["doctor"]) == 1

    out = capsys.readouterr().out
    assert "To fix, key: Check the account's name and its API key" in out
    assert "a-key-that-is-wrong" not in out
    assert invoicexpress_sandbox.sequences() == ()


def test_an_account_without_sequences_shows_nothing_of_at(ask: Ask) -> None:
    code, checks = ask()

    assert code == 0
    assert checks["AT registration"]["state"] == "skipped"


@pytest.mark.parametrize(
    ("rows", "state", "code"),
    [
        pytest.param(("bad",), "wrong", 1, id="the-newest-lacks-codes"),
        pytest.param(("bad", "good"), "doubtful", 0, id="an-old-one-lacks-codes"),
    ],
)
def test_sequences_without_codes_are_named(
    rows: tuple[str, ...], state: str, code: int, invoicexpress_sandbox: SandboxThread, ask: Ask
) -> None:
    def add(server: FaultServer) -> None:
        for row in rows:
            server.add_sequence("acme", row, is_registered=row == "good")

    invoicexpress_sandbox.call(add)

    found = ask()

    assert (found[0], found[1]["AT registration"]["state"]) == (code, state)
    assert "'bad'" in found[1]["AT registration"]["found"]
    assert "sequences register ID" in found[1]["AT registration"]["cure"]


def test_an_account_outside_portugal_needs_no_registration(
    invoicexpress_sandbox: SandboxThread, ask: Ask
) -> None:
    account = invoicexpress_sandbox.call(lambda server: server.accounts["acme"])
    abroad = attrs.evolve(account, country="ES")
    invoicexpress_sandbox.call(lambda server: server.update_account(abroad))
    invoicexpress_sandbox.add_sequence("2026")

    _, checks = ask()

    assert "not needed" in checks["AT registration"]["found"]


def test_wrong_settings_are_usage_and_nothing_is_sent(
    invoicexpress_sandbox: SandboxThread, ask: Ask
) -> None:
    code, checks = ask("--account", "not a name")

    assert code == 2
    assert checks["settings"]["state"] == "wrong"
    assert states(checks)["key"] == states(checks)["server"] == "skipped"
    assert invoicexpress_sandbox.requests == ()


def test_a_server_that_is_away_is_distinguished_from_a_wrong_key(
    invoicexpress_sandbox: SandboxThread, ask: Ask
) -> None:
    invoicexpress_sandbox.go_down()

    code, checks = ask()

    assert code == 1
    assert "no connection to 127.0.0.1" in checks["server"]["found"]
    assert states(checks)["key"] == "skipped"


def test_a_limit_that_is_reached_is_not_a_wrong_key(
    invoicexpress_sandbox: SandboxThread, ask: Ask
) -> None:
    invoicexpress_sandbox.fail_next("status", status=429, operation="list", times=None)

    code, checks = ask("--timeout", "1")

    assert code == 1
    assert (states(checks)["limit"], states(checks)["key"]) == ("wrong", "skipped")


def test_too_few_open_files_and_a_proxy_are_reported(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_MAX_CONNECTIONS", "100000000")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary-proxy-password@proxy.example:3128")

    code, checks = ask()

    assert code == 1
    assert "ulimit -n" in checks["open files"]["cure"]
    assert checks["proxy"]["state"] == "doubtful"
    assert "canary" not in json.dumps(checks)


@pytest.mark.parametrize("number", ["0", "many", "9" * 5_000])
def test_a_number_of_connections_that_cannot_be_is_reported(
    number: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_MAX_CONNECTIONS", number)

    code, checks = ask()

    assert code == 1
    assert states(checks)["open files"] == "wrong"
    assert "1 or more" in checks["open files"]["cure"]


@asynccontextmanager
async def tls_server(authority: trustme.CA, *, skew_seconds: float = 0) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            reported = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=skew_seconds)
            date = email.utils.format_datetime(reported, usegmt=True)
            writer.write(f"HTTP/1.1 302 Found\r\nDate: {date}\r\n\r\n".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "localhost", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/acme"


async def checks_of(address: str) -> dict[str, Check]:
    found = await asyncio.to_thread(lambda: list(server_checks(address)))
    return {check.name: check for check in found}


async def test_a_certificate_and_a_clock_are_looked_at(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async with tls_server(authority) as address:
        checks = await checks_of(address)
    async with tls_server(authority, skew_seconds=400) as address:
        late = await checks_of(address)

    assert "TLSv1." in checks["TLS"].found
    assert (checks["TLS"].state, checks["clock"].state) == ("fine", "fine")
    assert late["clock"].state == "doubtful"
    assert re.fullmatch(r"(399|400) s behind the server's", late["clock"].found)


async def test_a_certificate_of_nobody_we_trust_is_wrong(authority: trustme.CA) -> None:
    async with tls_server(authority) as address:
        checks = await checks_of(address)

    assert "not trusted" in checks["server"].found
    assert checks["TLS"].state == "skipped"


async def test_a_name_that_is_not_found_is_wrong() -> None:
    checks = await checks_of("https://acme.invalid")

    assert "was not found" in checks["server"].found


bytecode, run = test_cli.bytecode, test_cli.run


def checks(ended: Ended) -> dict[str, Json]:
    found = cast("list[Json]", json.loads(ended.out)["checks"])
    return {str(one["name"]): one for one in found}


async def test_a_database_that_is_fit_has_nothing_to_fix(
    run: Run, postgres: PostgresServer
) -> None:
    url = postgres.database()

    before = await run("doctor", "--journal", url, "--json")
    async with PostgresJournal(url):
        after = await run("doctor", "--journal", url, "--json")

    assert (before.code, after.code) == (0, 0)
    states = {name: one["state"] for name, one in checks(after).items()}
    names = ("PostgreSQL", "durability", "journal clock", "pooler", "journal rights")
    assert [states[name] for name in names] == ["fine"] * 5
    assert "key" not in states
    assert "not there yet" in str(checks(before)["journal schema"]["found"])
    assert f"version {VERSION}" in str(checks(after)["journal schema"]["found"])


async def test_a_pooler_in_between_is_seen(run: Run, pooled_url: str) -> None:
    ended = await run("doctor", "--journal", pooled_url, "--json")

    assert "passes transactions" in str(checks(ended)["pooler"]["found"])


@pytest.mark.parametrize(
    ("spoil", "name", "cure"),
    [
        pytest.param(
            "UPDATE {at}.journal SET version = 99",
            "journal schema",
            "a later one",
            id="newer schema",
        ),
        pytest.param("REVOKE ALL ON {at}.rows FROM poor", "journal rights", "GRANT", id="rights"),
        pytest.param(
            "REVOKE DELETE ON {at}.rows FROM poor", "journal rights", "DELETE", id="delete"
        ),
    ],
)
async def test_what_is_wrong_with_a_database_is_said_with_its_cure(
    run: Run, postgres: PostgresServer, spoil: str, name: str, cure: str
) -> None:
    url = postgres.database()
    async with PostgresJournal(url):
        pass
    at = "invoicexpress"
    postgres.ask(f"CREATE TABLE IF NOT EXISTS {at}.rows (a int)", at=url)
    postgres.ask(
        "DO $$BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object THEN END$$", at=url
    )
    postgres.ask(f"GRANT USAGE ON SCHEMA {at} TO poor", at=url)
    postgres.ask(f"GRANT ALL ON ALL TABLES IN SCHEMA {at} TO poor", at=url)
    postgres.ask(spoil.format(at=at), at=url)

    ended = await run("doctor", "--journal", url.replace("ix@", "poor@"), "--json")

    assert ended.code == 1
    assert checks(ended)[name]["state"] == "wrong"
    assert cure in str(checks(ended)[name]["cure"])


async def test_a_database_that_is_not_reached_or_named_wrongly_is_said(run: Run) -> None:
    away = await run("doctor", "--journal", "postgresql://ix@/x?host=/no/such/folder", "--json")
    secret = await run("doctor", "--journal", "postgresql://ix:canary-pw@host/x", "--json")

    assert (away.code, secret.code) == (1, 2)  # wrong usage is 2, as everywhere
    assert checks(away)["PostgreSQL"]["state"] == "wrong"
    assert "PGPASSFILE" in str(checks(away)["PostgreSQL"]["cure"])
    assert checks(away)["durability"]["state"] == "skipped"
    assert "canary-pw" not in secret.out + secret.err
