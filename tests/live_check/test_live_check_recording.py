"""Recordings of `live-check`: they hold no value of the account, and the client reads them."""

import base64
import itertools
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from account_partner import serving_partner
from conftest import ACCOUNT
from fakes import FakeClock
from live_server import DescribedServer, Received, Response, described_server, example
from recorded_server import RECORDINGS, Recording

from invoicexpress_async import (
    AuthenticationError,
    MalformedResponseError,
    NotFoundError,
    SequenceAlreadyRegisteredError,
)
from invoicexpress_async.__main__ import main
from invoicexpress_async.config import Secret
from invoicexpress_async.live_check.redaction import Redactor
from invoicexpress_async.testing import SandboxThread

CANARY = 'canary é&+"/%<'
KEY = f"{CANARY}key-0123456789"
CANARY_ACCOUNT = "canary-account"
SERIE = f"{CANARY} serie"
NUMBERS = itertools.count(500_100_200)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DescribedServer]:
    with described_server() as one:
        one.account, one.key = CANARY_ACCOUNT, KEY
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", one.base_url)
        monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", CANARY_ACCOUNT)
        monkeypatch.setenv("INVOICEXPRESS_API_KEY", KEY)
        yield one


def escaped(text: str) -> set[str]:
    """The text as it may stand in a URL, in JSON, in base64 and in HTML."""
    plain = text.encode()
    return {
        text,
        quote(text, safe=""),
        quote(text),
        quote_plus(text),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        base64.b64encode(plain).decode(),
        base64.urlsafe_b64encode(plain).decode(),
        plain.hex(),
    }


class Canaries:
    """Puts a canary of its own into every place of a value."""

    def __init__(self, *, keeps_flags: bool) -> None:
        self._keeps_flags = keeps_flags
        self.all: set[str] = {KEY, CANARY_ACCOUNT, SERIE}

    def instead_of(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {inner: self.instead_of(one, inner) for inner, one in value.items()}
        if isinstance(value, list):
            return [self.instead_of(one, name) for one in value]
        if self._keeps_flags and name == "default_sequence":
            return value
        if isinstance(value, int):
            return self._keep(next(NUMBERS))
        if self._keeps_flags and name.endswith("_validation_code"):
            return self._keep(f"CANARY{next(NUMBERS)}")
        return self._keep(self.text())

    def text(self) -> str:
        return str(self._keep(f"{CANARY}{next(NUMBERS)}"))

    def header(self) -> str:
        return str(self._keep(f"canary-{next(NUMBERS)}"))

    def _keep(self, value: Any) -> Any:
        self.all.add(str(value))
        return value

    def response(self, status: int, body: bytes) -> Response:
        names = (
            "Content-Type",
            "Retry-After",
            "X-RateLimit-Limit",
            "X-Request-Id",
            "Server",
            "ETag",
        )
        headers = [(name, self.header()) for name in names]
        headers += [
            ("Content-Type", f"{self.header()}/{self.header()}; charset={self.header()}"),
            ("Set-Cookie", f"{self.header()}={self.header()}; domain={self.header()}"),
            ("Location", f"https://{self.header()}/{self.header()}?api_key={quote(KEY, safe='')}"),
        ]
        return Response(status, body, tuple(headers))


BODIES: dict[str, tuple[int, Any]] = {
    "get_sequence": (200, example("registered")),
    "wrong_key": (401, example("key")),
    "unknown_account": (401, example("older-key")),
    "not_found": (404, {"errors": {"code": "006", "message": "x"}}),
    "unknown_account_id": (404, example("codeless-pairs")),
    "unknown_route": (302, {"message": "x", "email": "x", "url": "x"}),
    "set_current_sequence": (422, {"errors": ["x", {"error": "x"}]}),
    "register_sequence": (409, {"code": "x", "message": "x"}),
    "create_sequence": (201, example("registered")),
}


@pytest.mark.parametrize("keeps_flags", [True, False], ids=["some-write", "every-value"])
@pytest.mark.parametrize("is_json", [True, False], ids=["json", "text"])
def test_no_value_of_any_body_or_header_is_shown_or_recorded(
    server: DescribedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    keeps_flags: bool,
    is_json: bool,
) -> None:
    canaries = Canaries(keeps_flags=keeps_flags)
    listing = canaries.instead_of(example("list"))
    server.special["list_sequences"] = canaries.response(200, json.dumps(listing).encode())
    for place, (status, body) in BODIES.items():
        content = json.dumps(canaries.instead_of(body)) if is_json else f"<p>{canaries.text()}"
        server.special[place] = canaries.response(status, content.encode())
    file = tmp_path / "recording.json"

    main(["live-check", "--write", "--serie", SERIE, "--record", str(file)])

    out, err = capsys.readouterr()
    # Rich breaks lines: a canary must not hide in the break.
    shown = re.sub(r"\s", "", out + err) + re.sub(r"\s", "", file.read_text(encoding="utf-8"))
    assert len(canaries.all) > 100
    for canary in canaries.all:
        for form in escaped(canary):
            assert re.sub(r"\s", "", form) not in shown
    assert "canary" not in shown.casefold()
    assert "127.0.0.1" not in shown.replace(server.base_url, "")
    sent = {"PUT": 2, "POST": 1} if keeps_flags else {"PUT": 0, "POST": 1}
    assert {method: len(server.sent(method)) for method in sent} == sent
    names = {"sequences", "current_invoice_validation_code", "set-cookie", "x-ratelimit-limit"}
    assert all(f'"{name}"' in file.read_text(encoding="utf-8") for name in names)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        pytest.param("current_invoice_validation_code", "N/D", "N/D", id="not-registered"),
        pytest.param("current_invoice_validation_code", "N/A", "N/A", id="not-applicable"),
        pytest.param("current_invoice_validation_code", "JFX7K001", "<code:1>", id="a-code"),
        pytest.param("current_invoice_validation_code", "0", "0", id="zero"),
        pytest.param("current_invoice_validation_code", "JFX 7K", "<text:1>", id="no-code"),
        pytest.param("code", "006", "006", id="error-code"),
        pytest.param("code", 6, 6, id="error-code-as-a-number"),
        pytest.param("code", "500100200", "<digits:1>", id="no-error-code"),
        pytest.param("serie", "2027", "<digits:1>", id="a-year-is-a-name"),
        pytest.param("serie", 2027, "<integer:1>", id="and-as-a-number"),
        pytest.param("default_sequence", 1, 1, id="flag"),
        pytest.param("trial", True, True, id="boolean"),
        pytest.param("email", None, None, id="null"),
        pytest.param("email", "geral@example.com", "<email:1>", id="e-mail"),
        pytest.param("url", "https://a.example.com/x", "<url:1>", id="url"),
        pytest.param("state", "active", "active", id="state"),
        pytest.param("rate", 0.5, "<number:1>", id="fraction"),
        pytest.param("success", "true", "true", id="success"),
        pytest.param("message", "O nome não é permitido", "<text:1>", id="message"),
    ],
)
def test_a_value_becomes_a_placeholder_of_its_type(name: str, value: Any, kept: Any) -> None:
    redactor = Redactor(key=Secret(KEY), account=ACCOUNT, own_host="127.0.0.1")

    assert redactor.value({name: value}) == {name: kept}


def test_equal_values_are_equal_and_others_are_not() -> None:
    redactor = Redactor(key=Secret(KEY), account=ACCOUNT, own_host="127.0.0.1")

    first, second = redactor.value({"id": 41, "other": 42}), redactor.value([42, "41"])

    assert (first, second) == (
        {"id": "<integer:1>", "other": "<integer:2>"},
        ["<integer:2>", "<digits:3>"],
    )


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        pytest.param(
            ("Content-Type", "text/html; charset=UTF-8"), "text/html; charset=utf-8", id="type",
        ),
        pytest.param(("Content-Type", "application/json"), "application/json", id="type-alone"),
        pytest.param(("Retry-After", "30"), "30", id="seconds"),
        pytest.param(("Retry-After", "500100200"), "<value>", id="no-seconds"),
        pytest.param(("Location", "/login"), "<location: the same host>", id="path"),
        pytest.param(
            ("Location", "https://a.example/"), "<location: another host>", id="elsewhere",
        ),
        pytest.param(("Location", "http://[bad"), "<location: no address>", id="no-address"),
        pytest.param(
            ("Set-Cookie", "a=b; domain=.app.invoicexpress.com"),
            "<cookie: shared by all accounts>", id="cookie",
        ),
        pytest.param(("Date", "Mon, 01 Jan 2027"), "<value>", id="date"),
    ],
)  # fmt: skip
def test_of_a_header_only_what_is_harmless_is_kept(header: tuple[str, str], kept: str) -> None:
    redactor = Redactor(key=Secret(KEY), account=ACCOUNT, own_host="127.0.0.1")

    assert redactor.header(*header) == [header[0].lower(), kept]


def test_names_that_may_be_values_are_replaced() -> None:
    redactor = Redactor(key=Secret("abcdef0123456789"), account="acme", own_host="127.0.0.1")

    assert redactor.value({"abcdef0123456789": 1, "acme": 1, "Nome Próprio": 1}) == {
        "<name:1>": 1, "<name:2>": 1, "<name:3>": 1,
    }  # fmt: skip
    assert redactor.header("X-abcdef0123456789", "1") == ["<name>", "<value>"]


def test_a_request_without_a_response_is_recorded_too(
    server: DescribedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.special["create_sequence"] = None
    file = tmp_path / "recording.json"

    assert main(["live-check", "--write", "--serie", "2028", "--record", str(file)]) == 3

    recorded = json.loads(file.read_text())
    (create,) = (one for one in recorded["exchanges"] if one["check"] == "create")
    assert create["response"] is None
    assert create["request"]["body"]["sequence"]["serie"].startswith("<digits:")
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "check", "verdict"),
    [
        pytest.param("get_sequence", "get", "no response", id="read"),
        pytest.param("register_sequence", "register again", "unknown", id="write"),
    ],
)
def test_what_was_found_before_an_interruption_is_shown_and_recorded(  # noqa: PLR0917  # a table
    server: DescribedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    place: str,
    check: str,
    verdict: str,
) -> None:
    def interrupt(_: Received) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    server.special[place] = interrupt
    file = tmp_path / "recording.json"

    assert main(["live-check", "--write", "--json", "--record", str(file)]) == 130

    recorded = json.loads(file.read_text())
    out, err = capsys.readouterr()
    assert recorded["exchanges"][-1]["check"] == check
    assert recorded["findings"][-1]["verdict"] == verdict
    assert json.loads(out)["checks"] == recorded["findings"]
    assert "Interrupted" in err


def test_a_recording_that_cannot_be_written_is_one_line(
    server: DescribedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "recording.json"

    def remove(_: Received) -> None:
        file.unlink()
        folder.rmdir()

    server.special["unknown_route"] = remove

    assert main(["live-check", "--record", str(file)]) == 1

    assert f"The recording {file} cannot be written" in capsys.readouterr().err.replace("\n", " ")


# The client on recordings: a maintainer adds one by putting it into data/recordings.


@pytest.fixture
def fresh(invoicexpress_sandbox: SandboxThread, tmp_path: Path) -> Path:
    """A recording of the sandbox as it is now."""
    invoicexpress_sandbox.add_sequence("2026", is_default=True)
    file = tmp_path / "fresh.json"
    assert main(["live-check", "--write", "--serie", "2027", "--record", str(file)]) == 0
    return file


async def replay(file: Path, clock: FakeClock) -> None:
    """Give each recorded response to the client, and see that it understands it."""
    recording = Recording(file)

    async with serving_partner(clock) as partner:

        def say(check: str) -> bool:
            if not recording.has(check):
                return False
            status, content_type, body = recording.response(check)
            partner.says(status, body, content_type=content_type.partition(";")[0])
            return True

        sequences = partner.account.sequences
        assert say("list")
        listed = await sequences.list()
        assert listed
        assert say("get")
        assert await sequences.get(listed[0].id) == listed[0]
        for check, error in (("unknown id", NotFoundError), ("wrong key", AuthenticationError)):
            assert say(check)
            with pytest.raises(error, match=r"\S"):
                await sequences.get(listed[0].id)
        if say("set the default again"):
            await sequences.set_current(listed[0].id)
        if say("register again"):
            status, content_type, body = recording.response("list")
            partner.then_says(status, body, content_type=content_type.partition(";")[0])
            with pytest.raises(SequenceAlreadyRegisteredError, match="registered"):
                await sequences.register(listed[0].id)
        if say("create"):
            serie = recording.request("create")["body"]["sequence"]["serie"]
            assert (await sequences.create(serie)).serie == serie


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
async def test_the_client_understands_what_was_recorded(file: Path, clock: FakeClock) -> None:
    await replay(file, clock)


async def test_the_client_understands_a_fresh_recording(fresh: Path, clock: FakeClock) -> None:
    await replay(fresh, clock)


@pytest.fixture
def changed(fresh: Path) -> Path:
    """The same with another envelope around the list."""
    recorded = json.loads(fresh.read_text())
    body = recorded["exchanges"][0]["response"]["body"]
    recorded["exchanges"][0]["response"]["body"] = {"series": body["sequences"]}
    fresh.write_text(json.dumps(recorded))
    return fresh


async def test_a_recording_of_what_the_client_does_not_understand_fails(
    changed: Path, clock: FakeClock
) -> None:
    with pytest.raises(MalformedResponseError, match="series"):
        await replay(changed, clock)
