import copy
import json
import math
import pickle
import traceback
from typing import Any

import attrs
import cattrs
import pytest

from invoicexpress_async import ConfigurationError, SessionManager, Timeouts
from invoicexpress_async.config import (
    DEFAULT_BASE_URL,
    BaseUrl,
    Secret,
    check_account_name,
    check_api_key,
    check_id,
    check_path,
    check_seconds,
    check_serie,
)

CANARY = "canary & # + % é 0123"


def test_a_secret_shows_itself_to_reveal_only() -> None:
    secret = Secret(CANARY)

    @attrs.frozen
    class Holder:
        secret: Secret

    seen = [
        repr(secret),
        str(secret),
        f"{secret:}",
        repr(Holder(secret)),
        repr(attrs.asdict(Holder(secret))),
        repr(cattrs.Converter().unstructure(Holder(secret))),
        repr(copy.deepcopy(secret)),
    ]
    assert not any("canary" in text for text in seen)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == CANARY


def test_a_secret_does_not_pickle() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(CANARY))


def test_secrets_compare_by_their_text_and_copy_to_themselves() -> None:
    secret = Secret(CANARY)

    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    assert len({secret, Secret(CANARY)}) == 1
    assert copy.copy(secret) is secret


@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(CANARY, id="as it is"),
        pytest.param("canary%20%26%20%23%20%2B%20%25%20%C3%A9%200123", id="percent"),
        pytest.param("canary+%26+%23+%2B+%25+%C3%A9+0123", id="form"),
        pytest.param(json.dumps(CANARY), id="JSON"),
        pytest.param("Y2FuYXJ5ICYgIyArICUgw6kgMDEyMw==", id="base64"),
    ],
)
def test_an_echoed_secret_is_redacted_in_every_escaping(echo: str) -> None:
    redacted = Secret(CANARY).redact(f"before {echo} after".encode()).decode()

    assert "[redacted]" in redacted
    assert "0123" not in redacted
    assert redacted.startswith("before ")


def test_a_short_key_is_not_searched_for_in_data() -> None:
    assert Secret("2027").redact(b'{"serie":"2027"}') == b'{"serie":"2027"}'


@pytest.mark.parametrize("key", ["", " ", "\t", "key\r\n", "a\x00b", "x\ud800"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key") as caught:
        SessionManager().account("acme", "canary" + key if key.strip() else key)

    lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [line for line in lines.format() if "invoicexpress_async" in line]
    assert not any("canary" in line for line in ours)


def test_a_key_with_special_characters_is_taken() -> None:
    assert check_api_key(Secret("& # + % é")).reveal() == "& # + % é"


@pytest.mark.parametrize(
    "name",
    [
        "evil.com/#", "evil.com?", "x@evil.com", "127.0.0.1#", "..", "", "a.b", "a" * 64,
        "ａｃｍｅ", "аcme", "xn--acme-9na", "XN--x", "acme\x00", "acme\r\n", "acme ",
        "https://acme.app.invoicexpress.com", "-acme", "acme-", "a_b", "İ", None, 7, b"acme",
        "acme\n",
    ],
    ids=ascii,
)  # fmt: skip
def test_an_account_name_that_could_mean_another_place_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="account name"):
        check_account_name(name)


@pytest.mark.parametrize(
    ("name", "lowered"), [("acme", "acme"), ("ACME-2", "acme-2"), ("7", "7"), ("a" * 63, "a" * 63)]
)
def test_an_account_name_is_lowered(name: str, lowered: str) -> None:
    assert check_account_name(name) == lowered


@pytest.mark.parametrize(
    "serie", ["", " ", "\t", "a\nb", "a\x00", "\x7f", "a" * 36, "\ud800", None, 2027, b"2027"]
)
def test_a_serie_that_is_certainly_wrong_is_refused(serie: Any) -> None:
    with pytest.raises(ConfigurationError, match="serie"):
        check_serie(serie)


@pytest.mark.parametrize("serie", ["2027", "FR 2027", " x", "é/ç", "日本", "a" * 35, "<&>'\"\\"])
def test_any_other_serie_is_taken_exactly_as_given(serie: str) -> None:
    assert check_serie(serie) == serie


@pytest.mark.parametrize("value", [0, -1, True, "7", 1.0, None])
def test_an_id_is_a_positive_integer(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="positive integer"):
        check_id(value)


@pytest.mark.parametrize(
    "seconds", [0, -1, math.nan, math.inf, -math.inf, 10**400, "1", None, True]
)
def test_a_duration_is_finite_and_above_zero(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout_seconds"):
        check_seconds("timeout_seconds", seconds)
    with pytest.raises(ConfigurationError, match="total_seconds"):
        Timeouts(total_seconds=seconds)


@pytest.mark.parametrize(
    "template",
    [
        DEFAULT_BASE_URL,
        "https://{account}.example.test:8443/",
        "https://gateway.example.test/invoicexpress/{account}",
        "http://127.0.0.1:8080/{account}",
        "http://[::1]:8080/{account}",
        "http://localhost/{account}",
        "http://{account}.localhost:80",
    ],
)
def test_a_base_url_has_the_account_in_its_host_or_path(template: str) -> None:
    base = BaseUrl.parse(template).for_account("acme")

    assert "acme" in base
    assert not base.endswith("/")


@pytest.mark.parametrize(
    "template",
    [
        "", None, 7, "https://example.test", "https://{account}.{account}.test",
        "http://{account}.app.invoicexpress.com", "http://10.0.0.1/{account}",
        "http://127.0.0.1.evil.test/{account}", "http://localhost.evil.test/{account}",
        "ftp://{account}.test", "//{account}.test", "{account}", "https:///{account}",
        "https://user:pw@{account}.test", "https://{account}.test?x=1", "https://{account}.test#x",
        "https://{account}.test/?", "https://{account}.te st", "https://{account}.tést",
        "https://{account}.test:0", "https://{account}.test:99999", "https://[{account}",
        "https://{account}.test\\evil", "https://{account}.test\r\n",
    ],
    ids=ascii,
)  # fmt: skip
def test_any_other_base_url_is_refused(template: Any) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        BaseUrl.parse(template)


def test_a_refused_base_url_does_not_show_a_password() -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        BaseUrl.parse("https://user:canary@{account}.test")

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["", "sequences.json", "//evil.test", "/../x", "/a/./b", "/a?b", "/a#b", "/a b", "/é", 7],
)
def test_a_path_that_could_leave_the_account_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        check_path(path)


def test_a_path_of_the_api_is_taken() -> None:
    assert check_path("/api/v3/accounts/at_communication.json")
    assert check_path("/sequences/12/register.json")
