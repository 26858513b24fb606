"""`invoicexpress live-check`: what is as assumed, what differs, what is new, and what it sends."""

import io
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from conftest import ACCOUNT, API_KEY
from live_server import (
    COOKIE,
    DESCRIPTION,
    HTML,
    JSON,
    DescribedServer,
    Received,
    Response,
    described_server,
    example,
    json_response,
)
from test_cli import on_terminal

from invoicexpress_async.__main__ import main
from invoicexpress_async.cli.connection import ask_yes_or_no
from invoicexpress_async.config import BaseUrl, Secret
from invoicexpress_async.live_check.checks import check_reads
from invoicexpress_async.live_check.inspection import Inspection
from invoicexpress_async.live_check.probe import NoReplyError, Probe, ProbeRequest
from invoicexpress_async.live_check.writes import check_writes
from invoicexpress_async.sandbox import FaultServer
from invoicexpress_async.sandbox.domain.behaviour import ErrorShape
from invoicexpress_async.testing import SandboxThread

Run = Callable[..., tuple[int, dict[str, dict[str, Any]]]]
WRITE = ("--write", "--serie", "2028")
READS = {"GET"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the exit code and the findings by check, of which each is there once."""

    def call(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code = main(["live-check", "--json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        result = json.loads(out)
        assert result["is_as_assumed"] == (code == 0)
        found = {one["check"]: one for one in result["checks"]}
        assert len(found) == len(result["checks"])
        return code, found

    return call


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DescribedServer]:
    with described_server() as one:
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", one.base_url)
        monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", ACCOUNT)
        monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)
        yield one


def of_verdict(found: dict[str, dict[str, Any]], *verdicts: str) -> dict[str, str]:
    return {name: one["found"] for name, one in found.items() if one["verdict"] in verdicts}


def change(sandbox: SandboxThread, **knobs: Any) -> None:
    def apply(server: FaultServer) -> None:
        for name, value in knobs.items():
            setattr(server, name, value)

    sandbox.call(apply)


# On the sandbox.


@pytest.mark.parametrize(
    "knobs",
    [
        pytest.param({"envelope": "sequences"}, id="newest-envelope"),
        pytest.param({"envelope": "sequence"}, id="older-envelope"),
        pytest.param({"unauthorized_body": "empty"}, id="older-401"),
        pytest.param({"not_found_body": "html"}, id="404-page"),
        pytest.param({"not_found_body": "empty", "empty_body": "empty"}, id="no-byte"),
        pytest.param({"number_form": "string", "flag_form": "string"}, id="texts"),
        pytest.param({"flag_form": "boolean"}, id="booleans"),
        pytest.param({"flag_form": "word"}, id="words"),
    ],
)
def test_every_known_form_is_as_assumed(
    invoicexpress_sandbox: SandboxThread, run: Run, knobs: dict[str, Any]
) -> None:
    change(invoicexpress_sandbox, **knobs)
    invoicexpress_sandbox.add_sequence("2026", is_default=True)
    invoicexpress_sandbox.add_sequence("2025")

    code, found = run()

    assert of_verdict(found, "differs", "new", "no response", "skipped") == {}
    assert code == 0
    assert {one.method for one in invoicexpress_sandbox.requests} == READS


def test_a_list_that_is_one_object_is_as_assumed(
    invoicexpress_sandbox: SandboxThread, run: Run
) -> None:
    change(invoicexpress_sandbox, list_form="object_when_single")
    invoicexpress_sandbox.add_sequence("2026", is_default=True)

    code, found = run()

    assert code == 0
    assert found["list"]["found"] == "200, sequences, an object in place of a list of one"


@pytest.mark.parametrize("shape", sorted(ErrorShape))
def test_a_refusal_is_as_assumed_in_every_shape_that_was_seen(
    invoicexpress_sandbox: SandboxThread, run: Run, shape: ErrorShape
) -> None:
    change(invoicexpress_sandbox, error_shape=shape)
    invoicexpress_sandbox.add_sequence("2026", is_default=True)

    _, found = run("--write")

    # A refusal with status 200 is a trap that the description leaves out, and the flat list of
    # field and text is that of an account's update.
    is_left_out = shape.startswith("success_false") or shape is ErrorShape.FIELD_TEXT
    expected = "differs" if is_left_out else "as assumed"
    assert found["register again"]["verdict"] == expected
    has_code = "code" in shape
    if expected == "as assumed":
        verdict = "as assumed" if has_code else "differs"
        assert found["code of registered"]["verdict"] == verdict


@pytest.mark.parametrize("options", [(), ("--write",)], ids=["reading", "writing"])
def test_the_older_shapes_are_as_assumed(
    invoicexpress_sandbox: SandboxThread, run: Run, options: tuple[str, ...]
) -> None:
    invoicexpress_sandbox.call(lambda server: server.use_older_shapes())
    invoicexpress_sandbox.add_sequence("2026", is_default=True)

    code, found = run(*options)

    assert of_verdict(found, "differs", "no response") == {}
    assert code == 0


def test_the_steps_that_write_are_sent_once_each(
    invoicexpress_sandbox: SandboxThread, run: Run
) -> None:
    row = invoicexpress_sandbox.add_sequence("2026", is_default=True)

    code, found = run(*WRITE)

    assert code == 0
    assert of_verdict(found, "differs", "new", "skipped") == {}
    sent = [(one.method, one.path) for one in invoicexpress_sandbox.requests if one.method != "GET"]
    assert sent == [
        ("PUT", f"/sequences/{row.id}/set_current.json"),
        ("PUT", f"/sequences/{row.id}/register.json"),
        ("POST", "/sequences.json"),
    ]
    assert [str(one.serie) for one in invoicexpress_sandbox.sequences()] == ["2026", "2028"]
    assert [one.is_default for one in invoicexpress_sandbox.sequences()] == [True, False]


@pytest.mark.parametrize(
    ("knobs", "check", "text"),
    [
        pytest.param({"list_lag_seconds": 3600.0}, "listed at once", "lags", id="list-lags"),
        pytest.param(
            {"has_row_after_refusal": True, "inactive_fiscal_ids": [""]},
            "row after create",
            "a row is there",
            id="refused-and-left-a-row",
        ),
        pytest.param(
            {"registration_seconds": 3600.0, "is_listed_while_registering": True},
            "row after create",
            "a row is there",
            id="listed-while-registering",
        ),
    ],
)
def test_what_is_unknown_becomes_a_fact(
    invoicexpress_sandbox: SandboxThread, run: Run, knobs: dict[str, Any], check: str, text: str
) -> None:
    invoicexpress_sandbox.add_sequence("2026", is_default=True)
    change(invoicexpress_sandbox, **knobs)

    _, found = run(*WRITE)

    assert found[check]["verdict"] == "new"
    assert text in found[check]["found"]


def test_an_account_without_series_skips_what_needs_one(
    invoicexpress_sandbox: SandboxThread, run: Run
) -> None:
    code, found = run("--write")

    assert code == 0
    assert set(of_verdict(found, "skipped")) >= {"get", "paging", "register again", "create"}
    assert {one.method for one in invoicexpress_sandbox.requests} == READS


@pytest.mark.usefixtures("invoicexpress_sandbox")
def test_a_wrong_key_of_the_users_is_the_first_difference(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", "the-wrong-key-of-a-user")

    code, found = run()

    assert code == 1
    assert "401" in found["list"]["found"]
    assert "expected 200" in found["list"]["found"]


# On a server of the description's own examples.

_CHECKS = {
    ("list_sequences", "200"): "list",
    ("get_sequence", "200"): "get",
    ("list_sequences", "401"): "wrong key",
    ("register_sequence", "409"): "register again",
    ("register_sequence", "422"): "register again",
    ("create_sequence", "201"): "create",
    ("create_sequence", "409"): "create",
    ("create_sequence", "422"): "create",
}
_PLACES = {"wrong key": "wrong_key"}


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    found = DESCRIPTION["components"][kind][name]
    assert isinstance(found, dict)
    return found


def _examples() -> Iterator[Any]:
    """Return an example, where it is the response, and the check that must take it."""
    for methods in DESCRIPTION["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                check = _CHECKS.get((operation["operationId"], status))
                if check is None:
                    continue
                content = _resolved(response)["content"]["application/json"]
                for name, one in content["examples"].items():
                    place = _PLACES.get(check, operation["operationId"])
                    body = _resolved(one)["value"]
                    yield pytest.param(
                        place,
                        json_response(int(status), body),
                        check,
                        id=f"{place}-{status}-{name}",
                    )


def test_the_examples_of_the_description_are_all_as_assumed(
    server: DescribedServer, run: Run
) -> None:
    code, found = run("--write")

    assert code == 0
    assert of_verdict(found, "differs", "new", "no response") == {}
    assert set(of_verdict(found, "skipped")) == {"create"}
    assert server.sent("POST") == []


@pytest.mark.parametrize(("place", "response", "check"), list(_examples()))
def test_each_example_is_as_assumed(
    server: DescribedServer, run: Run, place: str, response: Response, check: str
) -> None:
    server.special[place] = response

    _, found = run(*WRITE)

    assert found[check]["verdict"] == "as assumed"


# On a server that deviates.


def _rows(**fields: Any) -> dict[str, Any]:
    first, second = example("list")["sequences"]
    return {"sequences": [{**first, **fields}, second]}


def _lists(value: Any, **more: Any) -> dict[str, Response]:
    """The same list for each request, and its first row for a get."""
    row = value["sequences"][0]
    return {
        "list_sequences": json_response(200, {**value, **more}),
        "paged": json_response(200, {**value, **more}),
        "get_sequence": json_response(200, {"sequences": row}),
    }


@pytest.mark.parametrize(
    ("special", "check", "verdict", "text"),
    [
        pytest.param(
            {"list_sequences": json_response(200, {})}, "list", "differs", "not as", id="no-list"
        ),
        pytest.param(
            {"list_sequences": Response(200, b"<html>")}, "list", "differs", "HTML", id="page"
        ),
        pytest.param(
            _lists(_rows(current_invoice_validation_code="0")),
            "validation codes", "differs", "zeros: 1", id="code-of-zeros",
        ),
        pytest.param(
            _lists(_rows(current_invoice_number="many")),
            "list", "differs", "sequences", id="number-in-words",
        ),
        pytest.param(
            _lists(_rows(id=700199)), "row id", "differs", "1 of 2 rows", id="row-id",
        ),
        pytest.param(
            _lists(_rows(default_sequence=0)), "default series", "differs", "0 of 2", id="none",
        ),
        pytest.param(
            _lists(_rows(default_sequence=[1])), "field forms", "differs", "default", id="flag-list"
        ),
        pytest.param(
            _lists(_rows(colour="red")), "list", "new", "colour", id="another-field"
        ),
        pytest.param(
            _lists(_rows(), pagination={"total": 1}), "list", "new", "pagination", id="pagination"
        ),
        pytest.param(
            _lists(_rows(current_guia_global_number=0)),
            "document types", "new", "guia_global", id="another-type",
        ),
        pytest.param(
            {"paged": json_response(200, {"sequences": []})},
            "paging", "differs", "another list", id="pages",
        ),
        pytest.param(
            {"get_sequence": json_response(200, {"sequences": example("list")["sequences"][1]})},
            "get beside list", "differs", "not the same", id="another-row",
        ),
        pytest.param({"not_found": Response(403)}, "unknown id", "differs", "403", id="not-404"),
        pytest.param(
            {"not_found": json_response(404, {"errors": "none"})},
            "unknown id", "differs", "body of this kind", id="404-with-json",
        ),
        pytest.param({"wrong_key": Response(403)}, "wrong key", "differs", "403", id="not-401"),
        pytest.param(
            {"unknown_route": Response(404, b"<p>", (HTML, COOKIE))},
            "unknown route", "differs", "404", id="route-404",
        ),
        pytest.param(
            {"unknown_route": Response(302, b"", (HTML, COOKIE, ("Location", "//other.example/")))},
            "unknown route", "as assumed", "another host", id="other-host",
        ),
        pytest.param(
            {"unknown_route": Response(302, b"", (COOKIE, ("Location", f"/?api_key={API_KEY}")))},
            "the key", "differs", "in a response", id="key-echoed",
        ),
        pytest.param(
            {"wrong_key": Response(401, b"", (JSON, COOKIE, ("X-RateLimit-Limit", "780")))},
            "limit headers", "new", "x-ratelimit-limit", id="limit-header",
        ),
        pytest.param(
            {"wrong_key": Response(401, json.dumps(example("key")).encode(), (HTML, COOKIE))},
            "content type", "differs", "4 of 5", id="label",
        ),
        pytest.param(
            {"wrong_key": Response(401, b"", (JSON, ("Set-Cookie", "a=1; path=/")))},
            "session cookie", "differs", "this host only", id="cookie-of-the-host",
        ),
        *(
            pytest.param({place: None}, check, "no response", "no complete", id=f"closed-{place}")
            for place, check in (
                ("not_found", "unknown id"), ("get_sequence", "get"), ("paged", "paging"),
                ("unknown_route", "unknown route"),
            )
        ),
        *(
            pytest.param(
                _lists(_rows(current_invoice_validation_code=code)),
                "validation codes", "differs", f"{kind}: 1", id=f"code-of-{kind}",
            )
            for code, kind in (
                (" ", "blank"), (None, "null"), (7, "no text"), ("A-1", "another text"),
            )
        ),
        pytest.param(
            {"not_found": Response(404, b"some", is_cut=True)},
            "unknown id", "no response", "cut", id="cut",
        ),
        pytest.param(
            {"register_sequence": json_response(200, example("list-registered"))},
            "register again", "differs", "200", id="registered-again",
        ),
        pytest.param(
            {"register_sequence": json_response(422, {"errors": {"code": "042", "message": "x"}})},
            "register again", "differs", "not as described", id="unknown-code",
        ),
        pytest.param(
            {"register_sequence": json_response(422, {"errors": {"code": "002", "message": "x"}})},
            "code of registered", "differs", "002", id="another-cause",
        ),
        pytest.param(
            {"register_sequence": json_response(409, {"errors": {"code": None}})},
            "code of registered", "differs", "no code", id="null-code",
        ),
        pytest.param(
            {"set_current_sequence": Response(500)},
            "set the default again", "differs", "500", id="default-fails",
        ),
    ],
)  # fmt: skip
def test_what_deviates_is_reported(  # noqa: PLR0917  # a table
    server: DescribedServer,
    run: Run,
    special: dict[str, Response | None],
    check: str,
    verdict: str,
    text: str,
) -> None:
    server.special |= special

    code, found = run("--write")

    assert found[check]["verdict"] == verdict
    assert text in found[check]["found"]
    assert code == bool(of_verdict(found, "differs", "no response"))


@pytest.mark.parametrize(
    ("new_row", "default", "check", "verdict"),
    [
        pytest.param({"serie": "2028"}, 1, "stored name", "as assumed", id="as-sent"),
        pytest.param({"serie": 2028}, 1, "stored name", "differs", id="as-a-number"),
        pytest.param({"serie": "2028"}, 1, "default after create", "as assumed", id="default-kept"),
        pytest.param(
            {"serie": "2028", "default_sequence": 1}, 0, "default after create", "differs",
            id="becomes-the-default",
        ),
    ],
)  # fmt: skip
def test_a_new_row_shows_how_it_was_stored(  # noqa: PLR0917  # a table
    server: DescribedServer,
    run: Run,
    new_row: dict[str, Any],
    default: int,
    check: str,
    verdict: str,
) -> None:
    row = {**example("registered")["sequences"], "id": 700300, "default_sequence": 0, **new_row}
    before = _rows()

    def listing(_: Received) -> Response:
        if not server.sent("POST"):
            return json_response(200, before)
        return json_response(
            200, {"sequences": [*_rows(default_sequence=default)["sequences"], row]}
        )

    server.special["list_sequences"] = listing
    server.special["create_sequence"] = json_response(201, {"sequences": row})

    _, found = run(*WRITE)

    assert found["create"]["verdict"] == "as assumed"
    assert found[check]["verdict"] == verdict


def test_a_create_without_a_response_is_unknown_and_never_sent_again(
    server: DescribedServer, run: Run
) -> None:
    server.special["create_sequence"] = None

    code, found = run(*WRITE)

    assert code == 3
    assert found["create"]["verdict"] == "unknown"
    assert "do not send it again" in found["create"]["found"]
    assert server.sent("POST") == ["/sequences.json"]
    assert found["row after create"]["found"] == "no row is there"


def test_after_an_unknown_outcome_no_other_step_is_sent(server: DescribedServer, run: Run) -> None:
    server.special["set_current_sequence"] = None

    code, found = run(*WRITE)

    assert code == 3
    assert [path.rpartition("/")[2] for path in server.sent("PUT")] == ["set_current.json"]
    assert server.sent("POST") == []
    assert "create" not in found


@pytest.mark.parametrize("name", ["2027", " 2027", "２０２７"])
def test_a_name_that_is_there_or_looks_like_it_is_not_sent(
    server: DescribedServer, run: Run, name: str
) -> None:
    _, found = run("--write", "--serie", name)

    assert found["create"]["verdict"] == "skipped"
    assert server.sent("POST") == []


# What is asked, and refused.


def _inspection(server: DescribedServer) -> Inspection:
    probe = Probe(
        base_url=BaseUrl.parse(server.base_url),
        account=ACCOUNT,
        key=Secret(API_KEY),
        timeout_seconds=30.0,
    )
    return Inspection(probe=probe)


def test_each_step_has_its_question_and_a_no_sends_nothing(server: DescribedServer) -> None:
    inspection = _inspection(server)
    rows = check_reads(inspection)
    questions: list[str] = []

    def refuse(question: str) -> bool:
        questions.append(question)
        return False

    check_writes(inspection, rows, serie="2028", ask=refuse)

    assert [question.partition(" ")[0] for question in questions] == ["Set", "Register", "Create"]
    assert {one.method for one in server.received} == READS
    assert [one.found for one in inspection.findings[-3:]] == ["not agreed to"] * 3


def test_on_a_terminal_only_the_steps_with_a_yes_are_sent(
    authority: trustme.CA, tmp_path: Path
) -> None:
    # Over TLS: a server on plain HTTP is on this machine, and nothing is asked.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")

    with described_server(context) as server:
        code, shown = on_terminal(
            "live-check", "--write", "--serie", "2028", answer="n\ny\nn\n",
            SSL_CERT_FILE=str(tmp_path / "trusted.pem"), INVOICEXPRESS_BASE_URL=server.base_url,
            INVOICEXPRESS_ACCOUNT=ACCOUNT, INVOICEXPRESS_API_KEY=API_KEY,
        )  # fmt: skip

    assert code == 0
    assert server.sent("PUT") == ["/sequences/700100/register.json"]
    assert server.sent("POST") == []
    assert "Create the series '2028', which can never be deleted or renamed? [y/N]" in shown
    assert shown.count("not agreed to") == 2
    assert API_KEY not in shown


@pytest.mark.parametrize(
    ("typed", "is_yes"),
    [
        pytest.param("y\n", True, id="yes"),
        pytest.param("sim\n", True, id="sim"),
        pytest.param("n\n", False, id="no"),
        pytest.param("\n", False, id="return"),
        pytest.param("", False, id="end-of-file"),
    ],
)
def test_only_a_yes_is_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, *, is_yes: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))

    assert ask_yes_or_no("Create it?") is is_yes
    assert capsys.readouterr().err == "Create it? [y/N] "


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(("--write",), "no terminal to ask on", id="nobody-to-ask"),
        pytest.param(("--write", "--yes"), "--yes", id="yes-is-no-option"),
        pytest.param(("--serie", "2028"), "add --write", id="serie-alone"),
        pytest.param(("--write", "--serie", " "), "The serie is empty", id="no-name"),
        pytest.param(("--timeout", "0"), "--timeout is 0", id="no-time"),
        pytest.param(("--record", "/no-such-folder/x.json"), "cannot be made", id="no-folder"),
        pytest.param(("--record", __file__), "cannot be made", id="file-is-there"),
    ],
)
def test_a_wrong_usage_sends_nothing(
    server: DescribedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
) -> None:
    if arguments == ("--write",):
        # Only a server on this machine may be written to without a question.
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", "https://{account}.invoicexpress.invalid")

    assert main(["live-check", *arguments]) == 2

    assert text in capsys.readouterr().err
    assert server.received == []


def test_without_its_extra_it_names_it(
    server: DescribedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    assert main(["live-check"]) == 2

    assert "pip install '.[cli,live]' in a checkout of this package" in capsys.readouterr().err
    assert server.received == []


def test_people_see_a_table(server: DescribedServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live-check"]) == 0

    out, err = capsys.readouterr()
    assert "as assumed" in out
    assert "200, sequences, a list" in out
    assert err == ""
    assert API_KEY not in out
    assert len(server.received) == 8


def test_a_server_that_is_not_there_is_one_line(
    server: DescribedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.received == []
    monkeypatch.setenv("INVOICEXPRESS_BASE_URL", "http://127.0.0.1:9/{account}")

    code, found = run("--write")

    assert code == 1
    assert found["list"] == {"check": "list", "verdict": "no response", "found": "no connection"}


def test_a_name_of_a_field_that_is_a_value_is_not_shown(server: DescribedServer, run: Run) -> None:
    inner = {"geral@sapataria.example": "x", API_KEY.replace("-", "_"): "y", "Nome": "z"}
    server.special |= _lists(_rows(**inner))

    _, found = run()

    shown = found["list"]["found"]
    assert "sapataria" not in shown
    assert "Nome" not in shown
    assert "<name>" in shown


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(server: DescribedServer) -> None:
    is_over = threading.Event()
    server.special["list_sequences"] = lambda _: Response(200) if is_over.wait(60.0) else None
    # Connecting to this machine takes no time, so that only the response can be late.
    probe = attrs.evolve(_inspection(server).probe, timeout_seconds=0.1)

    with pytest.raises(NoReplyError, match="no complete response in time") as caught:
        probe.send(ProbeRequest(method="GET", path="/sequences.json"))

    is_over.set()
    assert caught.value.was_sent


def test_a_body_of_any_size_is_not_taken(server: DescribedServer, run: Run) -> None:
    server.special["not_found"] = Response(404, bytes(8 * 1024 * 1024 + 1))

    _, found = run()

    assert found["unknown id"]["found"] == "the response is too large"


@pytest.mark.parametrize(
    ("is_trusted", "verdict", "text"),
    [
        pytest.param(True, "as assumed", "200, sequences, a list", id="trusted"),
        pytest.param(False, "no response", "the certificate is not trusted", id="not-trusted"),
    ],
)
def test_the_certificate_of_the_server_is_checked(  # noqa: PLR0917  # fixtures and a table
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: Run,
    is_trusted: bool,
    verdict: str,
    text: str,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "trusted.pem"
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)

    with described_server(context) as server:
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", server.base_url)
        _, found = run()

    assert (found["list"]["verdict"], found["list"]["found"]) == (verdict, text)
    assert bool(server.received) is is_trusted


def test_every_response_is_compared_with_its_own_operation(server: DescribedServer) -> None:
    inspection = _inspection(server)

    check_reads(inspection)

    assert [one.check for one in inspection.exchanges] == [
        "list", "get", "paging", "unknown id", "unknown account id", "wrong key",
        "unknown account", "unknown route",
    ]  # fmt: skip
    keys = {one.check: received.key for one, received in
            zip(inspection.exchanges, server.received, strict=True)}  # fmt: skip
    assert keys["wrong key"] == keys["unknown account"] == "live-check-wrong-key"
    assert {API_KEY} == {key for check, key in keys.items()
                         if check not in {"wrong key", "unknown account"}}  # fmt: skip
