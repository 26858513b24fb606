"""Arguments that are refused, and what the escape hatch sends: nothing of them is shown."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY
from test_secrets import seen_in

from invoicexpress_async import ConfigurationError, InvoiceXpressError, SessionManager
from invoicexpress_async.provisioning import PlanRow
from invoicexpress_async.provisioning.row import AccountRow
from invoicexpress_async.sandbox import FaultServer

CANARY = "canary-7f3a9c51d2"


def key_of_bytes() -> object:
    return CANARY.encode()


def key_in_a_list() -> object:
    return [CANARY]


def no_key() -> object:
    return None


Make = Callable[[Any], object]


@pytest.mark.fault(82)
@pytest.mark.parametrize("key", [key_of_bytes, key_in_a_list, no_key])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda key: SessionManager().account(ACCOUNT, key()), id="account"),
        pytest.param(lambda key: PlanRow(account="a", api_key=key(), serie="27"), id="row"),
        pytest.param(lambda key: AccountRow(account="a", api_key=key()), id="account row"),
    ],
)
def test_a_key_of_another_type_is_refused_and_is_in_no_frame(
    make: Make, key: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", "the-key-of-another-account")

    with pytest.raises(ConfigurationError, match="neither a str nor an async callable") as caught:
        make(key)

    assert CANARY not in seen_in(caught.value)


@pytest.mark.fault(82)
def test_a_row_that_is_wrong_elsewhere_does_not_show_its_key() -> None:
    def given() -> str:
        return CANARY

    with pytest.raises(ConfigurationError, match="not one DNS label") as caught:
        PlanRow(account="not a name", api_key=given(), serie="2027")

    assert CANARY not in seen_in(caught.value)


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda url: SessionManager(base_url=url("https://{}@x/none")), id="address"),
        pytest.param(
            lambda url: SessionManager(base_url=url("https://{}@x/") + "{account}"), id="user"
        ),
        pytest.param(lambda url: SessionManager(proxy=url("socks5://{}@proxy:1")), id="proxy"),
        pytest.param(
            lambda url: SessionManager(proxy=url("http://{}@proxy:1"), max_connections=0),
            id="another argument",
        ),
        pytest.param(
            lambda url: SessionManager().account(ACCOUNT, API_KEY, base_url=url("ftp://{}@x/")),
            id="address of one account",
        ),
    ],
)
def test_an_address_or_proxy_that_is_refused_shows_no_password(make: Make) -> None:
    def url(text: str) -> str:
        return re.sub(r"\{\}", f"user:{CANARY}", text)

    with pytest.raises(ConfigurationError) as caught:
        make(url)

    assert CANARY not in seen_in(caught.value)


@pytest.mark.fault(55)
@pytest.mark.parametrize("fault", ["close_after_read", "truncated_json", "status"])
async def test_the_body_of_the_escape_hatch_is_not_shown(fault: str, faulty: FaultServer) -> None:
    def body() -> Any:
        return {"sequence": {"serie": "2027", "password": CANARY}}

    faulty.faults.next(fault)
    async with SessionManager(base_url=faulty.base_url) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        with pytest.raises(InvoiceXpressError) as caught:
            await account.request("POST", "/sequences.json", body())

    assert CANARY not in seen_in(caught.value)


async def test_a_body_that_is_no_json_is_refused_and_not_shown(faulty: FaultServer) -> None:
    def body() -> Any:
        return {"password": CANARY, "at": object()}

    async with SessionManager(base_url=faulty.base_url) as manager:
        with pytest.raises(ConfigurationError, match="plain data") as caught:
            await manager.account(ACCOUNT, API_KEY).request("POST", "/sequences.json", body())

    assert CANARY not in seen_in(caught.value)
