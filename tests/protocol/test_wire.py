import json
from typing import Any

import aioresponses
import pytest
from conftest import ACCOUNT, API_KEY
from hypothesis import given
from hypothesis import strategies as st

import invoicexpress_async
from invoicexpress_async import (
    AccountNotPortugueseError,
    AuthenticationError,
    ConflictError,
    InvalidSequenceError,
    InvoiceXpressError,
    MalformedResponseError,
    NoOpenActivityError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RetryPolicy,
    SequenceAlreadyExistsError,
    SequenceAlreadyRegisteredError,
    SequenceBeingRegisteredError,
    SequenceNameNotAllowedError,
    ServerError,
    SessionManager,
    StatusError,
    TaxAuthorityCredentialsError,
    UnexpectedRedirectError,
    UnknownSequenceError,
    UnprocessableError,
)
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.exchange import Request, Response, decipher

WALL = 1_700_000_000.0


def as_it_is(payload: JsonValue) -> JsonValue:
    return payload


def requested(operation: Operation) -> Request[JsonValue]:
    return Request(operation=operation, method="GET", path="/x.json", structure=as_it_is)


READ = requested(Operation.GET)


def answered(
    status: int, body: Any = b"", *, operation: Operation = Operation.GET, **headers: Any
) -> JsonValue:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Response(status=status, body=raw, **headers)
    return decipher(requested(operation), answer, wall_seconds=WALL)


def refusal(status: int, body: Any = b"", **headers: Any) -> StatusError:
    with pytest.raises(StatusError, match="refused") as caught:
        answered(status, body, **headers)
    return caught.value


CREATE, REGISTER = Operation.CREATE, Operation.REGISTER
CODES: list[tuple[Operation, int, str, type[StatusError]]] = [
    (CREATE, 409, "006", SequenceBeingRegisteredError),
    (CREATE, 409, "007", SequenceAlreadyRegisteredError),
    (CREATE, 422, "000", UnknownSequenceError),
    (CREATE, 422, "001", SequenceNameNotAllowedError),
    (CREATE, 422, "002", SequenceAlreadyExistsError),
    (CREATE, 422, "003", InvalidSequenceError),
    (CREATE, 422, "004", TaxAuthorityCredentialsError),
    (CREATE, 422, "005", NoOpenActivityError),
    (REGISTER, 404, "006", NotFoundError),
    (REGISTER, 409, "005", SequenceAlreadyRegisteredError),
    (REGISTER, 409, "006", SequenceBeingRegisteredError),
    (REGISTER, 409, "007", SequenceAlreadyRegisteredError),
    (REGISTER, 409, "008", SequenceBeingRegisteredError),
    (REGISTER, 422, "000", UnknownSequenceError),
    (REGISTER, 422, "001", SequenceNameNotAllowedError),
    (REGISTER, 422, "002", TaxAuthorityCredentialsError),
    (REGISTER, 422, "003", NoOpenActivityError),
    (REGISTER, 422, "004", AccountNotPortugueseError),
    (REGISTER, 422, "007", SequenceAlreadyRegisteredError),
]
MEANT = {(operation, status, code) for operation, status, code, _ in CODES}
BY_STATUS = {404: NotFoundError, 409: ConflictError, 422: UnprocessableError}


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda code: {"code": code, "message": "Não"}, id="at the top"),
        pytest.param(lambda code: {"errors": {"code": code, "message": "Não"}}, id="nested"),
        pytest.param(lambda code: {"errors": [{"code": code, "error": "Não"}]}, id="in a list"),
        pytest.param(
            lambda code: {"code": "999", "errors": {"code": code, "message": "Não"}},
            id="nested wins over the top",
        ),
    ],
)
@pytest.mark.parametrize("form", [str, int, lambda code: str(int(code))], ids=["006", "6", "'6'"])
def test_a_code_is_found_in_every_shape_and_form(form: Any, shape: Any) -> None:
    found = [
        (operation, error.status, error.code, type(error), error.messages)
        for operation, status, code, _ in CODES
        for error in [refusal(status, shape(form(code)), operation=operation)]
    ]

    assert found == [(*meaning, ("Não",)) for meaning in CODES]


def test_a_code_means_nothing_under_another_operation_or_status() -> None:
    found = {
        (operation, status, code): type(
            refusal(status, {"errors": {"code": code}}, operation=operation)
        )
        for operation in Operation
        for status in BY_STATUS
        for code in (f"00{digit}" for digit in range(1, 10))
    }

    without = {key: found[key] for key in found.keys() - MEANT}
    assert without
    assert without == {key: BY_STATUS[key[1]] for key in without}


@pytest.mark.parametrize("operation", Operation)
def test_an_unknown_error_says_nothing_whatever_was_requested(operation: Operation) -> None:
    assert type(refusal(422, {"code": 0}, operation=operation)) is UnknownSequenceError


@pytest.mark.parametrize(("operation", "status", "code", "error_class"), CODES)
def test_a_cure_is_that_of_the_operation(
    operation: Operation, status: int, code: str, error_class: type[StatusError]
) -> None:
    error = refusal(status, {"code": code}, operation=operation)

    is_renamed = "choose another name" in error.cure.lower()
    assert is_renamed is (operation is CREATE and code in {"001", "002"})
    if operation is REGISTER and error_class in {TaxAuthorityCredentialsError, NoOpenActivityError}:
        assert "register the sequence again" in error.cure
    assert error.cure in str(error)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Série inválida.", "(HTTP 422): Série inválida."),
        ("Série inválida", "(HTTP 422): Série inválida."),
        ("Espere... ", "(HTTP 422): Espere."),
        ("...", "(HTTP 422)."),
        ("Sim?", "(HTTP 422): Sim?."),
    ],
)
def test_a_message_with_a_full_stop_gets_no_second_one(message: str, text: str) -> None:
    assert str(refusal(422, {"message": message}).args[0]).endswith(text)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        pytest.param(b"", (), id="empty"),
        pytest.param(b" ", (), id="one space"),
        pytest.param({"errors": {"error": "a"}}, ("a",), id="errors.error"),
        pytest.param({"errors": [{"error": "a"}, {"error": "b"}]}, ("a", "b"), id="errors[].error"),
        pytest.param({"errors": ["a", "b"]}, ("a", "b"), id="errors[]"),
        pytest.param({"errors": "a"}, ("a",), id="errors"),
        pytest.param({"errors": {"serie": ["a"]}}, ("serie: a",), id="errors.field[]"),
        pytest.param({"serie": ["a", "b"]}, ("serie: a", "serie: b"), id="field[]"),
        pytest.param({"error": "a"}, ("a",), id="error"),
        pytest.param({"message": "a"}, ("a",), id="message"),
        pytest.param([["serie", "a"]], ("serie: a",), id="pairs"),
        pytest.param(["fiscal_id", "is invalid"], ("fiscal_id: is invalid",), id="a flat pair"),
        pytest.param(["Not a field", "b"], ("Not a field", "b"), id="a list of texts"),
        pytest.param(["a", "b", "c"], ("a", "b", "c"), id="a list of three"),
        pytest.param(b"<html>login</html>", (), id="HTML"),
        pytest.param(b"plain text", ("plain text",), id="plain text"),
        pytest.param({"message": "a\x1b[2Jb\r\n"}, ("a [2Jb",), id="control characters"),
        pytest.param({"message": "x" * 9_000}, ("x" * 512,), id="endless"),
        pytest.param({"a": {"b": {"c": {"d": {"e": "deep"}}}}}, (), id="too deep"),
        pytest.param({"message": None, "code": True}, (), id="nothing to say"),
    ],
)
def test_every_shape_of_an_error_body_gives_the_same_typed_error(
    body: Any, messages: tuple[str, ...]
) -> None:
    error = refusal(422, body)

    assert type(error) is UnprocessableError
    assert error.code is None
    assert error.messages == messages


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, StatusError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (418, StatusError),
        (422, UnprocessableError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_without_a_code_the_status_decides(status: int, error_class: type[StatusError]) -> None:
    error = refusal(status)

    assert type(error) is error_class
    assert error.status == status


@pytest.mark.parametrize(("code", "kept"), [("X42", "X42"), (42, "42"), ("0099", "0099")])
def test_an_unknown_code_is_kept_as_it_came(code: Any, kept: str) -> None:
    error = refusal(422, {"errors": {"code": code}})

    assert type(error) is UnprocessableError
    assert error.code == kept


def test_a_html_404_is_not_found_and_not_parsed() -> None:
    error = refusal(404, b"<!DOCTYPE html><h1>404</h1>", content_type="text/html")

    assert type(error) is NotFoundError
    assert error.messages == ()


def test_a_retry_after_is_reported() -> None:
    assert refusal(429, retry_after="7").retry_after_seconds == 7.0
    assert refusal(503, retry_after="nonsense").retry_after_seconds is None


@pytest.mark.parametrize("success", [False, "false", "False", 0, "0"])
def test_a_success_that_says_failure_is_a_refusal(success: object) -> None:
    error = refusal(200, {"success": success, "message": "Não"})

    assert error.status == 200
    assert error.messages == ("Não",)


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n"])
def test_an_empty_success_has_no_payload(body: bytes) -> None:
    assert answered(200, body) is None


def test_a_byte_order_mark_is_accepted() -> None:
    assert answered(200, b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="truncated"),
        pytest.param(b"{'a':1}", id="not JSON"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
        pytest.param(b'"' + "ã".encode("utf-16") + b'"', id="UTF-16"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep nesting"),
        pytest.param(b"<html>login</html>", id="HTML"),
        pytest.param(b"PHP Warning: x", id="text"),
    ],
)
def test_a_success_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedResponseError, match="cannot be read") as caught:
        answered(200, body)

    error = caught.value
    assert len(error.excerpt) <= 512
    assert error.__context__ is None
    assert error.is_html is body.startswith(b"<")


def test_an_integer_of_thousands_of_digits_is_never_an_id() -> None:
    body = b'{"a":' + b"9" * 5_000 + b"}"

    try:
        payload = answered(200, body)
    except MalformedResponseError:
        return
    assert isinstance(payload, dict)
    assert isinstance(payload["a"], float)  # orjson reads it so, and a float is no id


@pytest.mark.parametrize("is_sped_up", [True, False])
def test_half_a_surrogate_pair_is_malformed_and_a_whole_one_is_a_character(
    monkeypatch: pytest.MonkeyPatch, *, is_sped_up: bool
) -> None:
    if not is_sped_up:
        monkeypatch.setattr("invoicexpress_async.protocol.exchange.orjson", None)

    assert answered(200, b'{"a":"\\uD83D\\ude00"}') == {"a": "\N{GRINNING FACE}"}
    for half in (b'{"a":"\\uD83D"}', b'{"\\ude00":1}', b'["\\ude00\\ud83d"]'):
        with pytest.raises(MalformedResponseError, match="not valid JSON"):
            answered(200, half)


@pytest.mark.parametrize(
    ("content_type", "is_read"),
    [
        ("application/json; charset=utf-8", True),
        ('application/json; charset="UTF-8"', True),
        ("application/json; charset=utf-8; v=2", True),
        ("application/json", True),
        ("", True),
        ("application/json; charset=klingon-8", False),
        ("application/json; charset=iso-8859-1", False),
    ],
)
def test_json_is_read_as_utf8_or_not_at_all(content_type: str, is_read: bool) -> None:
    if is_read:
        assert answered(200, b"{}", content_type=content_type) == {}
    else:
        with pytest.raises(MalformedResponseError, match="charset"):
            answered(200, b"{}", content_type=content_type)


@pytest.mark.parametrize("status", [0, 99, 101, 199, 206])
def test_what_is_no_complete_response_is_neither_a_refusal_nor_a_success(status: int) -> None:
    with pytest.raises(MalformedResponseError, match=r"no complete response|only a part"):
        answered(status, {"sequences": []})


def test_a_body_that_cannot_be_kept_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="it is over 8 MiB"):
        answered(200, b"", problem="it is over 8 MiB")


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://evil.test/x?api_key=canary", "evil.test"),
        ("/login", None),
        (None, None),
        ("http://[", None),
    ],
)
def test_a_redirect_is_refused_and_only_its_host_is_reported(
    status: int, location: str | None, host: str | None
) -> None:
    with pytest.raises(UnexpectedRedirectError, match="redirected") as caught:
        answered(status, location=location)

    assert caught.value.location_host == host
    assert "canary" not in str(caught.value)


@given(
    st.integers(200, 599),
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    st.text(max_size=20),
    st.none() | st.text(max_size=30),
)
def test_any_answer_is_a_payload_or_one_of_our_errors(
    status: int, body: bytes, content_type: str, header: str | None
) -> None:
    answer = Response(
        status=status, body=body, content_type=content_type, retry_after=header, location=header
    )
    try:
        decipher(READ, answer, wall_seconds=WALL)
    except InvoiceXpressError as error:
        assert str(error)
        assert error.__context__ is None


async def test_a_response_reaches_the_caller_as_its_error(
    mocked: aioresponses.aioresponses,
) -> None:
    url = "https://acme.app.invoicexpress.com/sequences/7.json"
    mocked.get(url, status=401, payload={"errors": {"error": "Não"}})

    async with SessionManager(retry=RetryPolicy(attempts=1)) as manager:
        with pytest.raises(AuthenticationError, match=r"\[get of sequence 7 on account acme"):
            await manager.account(ACCOUNT, API_KEY).sequences.get(7)


def test_the_public_errors_are_all_reachable_from_a_response_or_the_client() -> None:
    assert {row[3].__name__ for row in CODES} <= set(dir(invoicexpress_async))
