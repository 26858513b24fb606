"""Where a secret could still show: hooks, headers, other escapings, a vault's result, a proxy."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from hanging_server import hanging_server
from test_secrets import seen_in

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    Intent,
    InvoiceXpressError,
    SessionManager,
)
from invoicexpress_async.call.claims import ClaimEnd
from invoicexpress_async.sandbox import FaultServer, SandboxAccount


@pytest.mark.fault(41, 42, 55)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_a_cancellation_inside_a_users_hook_does_not_carry_the_key(
    how: str, faulty: FaultServer, clock: FakeClock
) -> None:
    trace = aiohttp.TraceConfig()
    is_inside = asyncio.Event()

    async def endless(*_: object) -> None:
        is_inside.set()
        await asyncio.Event().wait()

    trace.on_request_headers_sent.append(endless)
    scope = asyncio.timeout(None)
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, trace_configs=[trace]
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences

        async def list_in_time() -> None:
            async with scope:
                await sequences.list()

        task = asyncio.create_task(list_in_time())
        await is_inside.wait()
        if how == "cancel":
            task.cancel()
        else:
            scope.reschedule(asyncio.get_running_loop().time())
        with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
            await task

    assert API_KEY not in seen_in(caught.value)


@pytest.mark.fault(55)
async def test_a_users_hook_does_not_see_the_key_in_the_url(
    faulty: FaultServer, clock: FakeClock
) -> None:
    seen: list[str] = []
    trace = aiohttp.TraceConfig()

    async def note(_session: object, _context: object, params: object) -> None:
        url = getattr(params, "url", None)
        if url is not None:
            seen.extend([str(url), url.path_qs, url.raw_path_qs, url.raw_query_string])

    for name in dir(trace):
        if name.startswith("on_"):
            getattr(trace, name).append(note)

    async with SessionManager(
        base_url=faulty.base_url, clock=clock, trace_configs=[trace]
    ) as manager:
        await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert seen
    assert API_KEY not in "\n".join(seen)


@pytest.mark.fault(56)
@pytest.mark.parametrize("header", ["Content-Type", "Retry-After"])
async def test_an_echo_in_a_header_is_not_in_the_locals_of_the_traceback(
    header: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=403, headers=[(header, f"text/plain; k={API_KEY}")])

    with pytest.raises(InvoiceXpressError, match="403") as caught:
        await faulty_account.sequences.list()

    assert API_KEY not in seen_in(caught.value)


KEY_TO_ESCAPE = "canary&/é<0123456789"
KEY_AS_JSON = json.dumps(KEY_TO_ESCAPE)[1:-1]


@pytest.mark.fault(35, 56)
@pytest.mark.parametrize(
    "escaped",
    [
        pytest.param(KEY_AS_JSON.replace("&", "\\u0026").replace("<", "\\u003c"), id="as Rails"),
        pytest.param(KEY_AS_JSON.replace("/", "\\/"), id="slash"),
        pytest.param(KEY_AS_JSON.replace("\\u00e9", "\\u00E9"), id="upper case"),
        pytest.param("".join(f"\\u{ord(one):04x}" for one in KEY_TO_ESCAPE), id="all"),
    ],
)
@pytest.mark.parametrize("end", ['"}}', ' \\ud800"}}', '"}'], ids=["whole", "half a pair", "cut"])
async def test_an_echo_in_another_escaping_of_json_is_redacted(
    escaped: str, end: str, faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(SandboxAccount(name="other", api_key=KEY_TO_ESCAPE))
    assert json.loads(f'"{escaped}"') == KEY_TO_ESCAPE
    body = '{"errors":{"error":"bad key ' + escaped + end
    faulty.faults.next("status", status=401, body=body)

    with pytest.raises(AuthenticationError, match="bad key") as caught:
        await faulty_manager.account("other", KEY_TO_ESCAPE).sequences.list()

    assert KEY_TO_ESCAPE not in str(caught.value)
    assert escaped not in str(caught.value)


async def _bytes() -> Any:
    return API_KEY.encode()


@pytest.mark.fault(45, 55)
@pytest.mark.parametrize(
    ("vault", "message"),
    [(_bytes, "did not return a str"), (lambda: API_KEY, "is not async")],
    ids=["bytes", "not async"],
)
async def test_a_key_callable_of_another_kind_is_a_configuration_error_without_the_key(
    vault: Any, message: str, faulty_manager: SessionManager
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        await faulty_manager.account(ACCOUNT, vault).sequences.list()

    assert API_KEY not in seen_in(caught.value)


@pytest.mark.fault(41, 55)
async def test_a_cancellation_does_not_carry_the_proxys_password() -> None:
    async with hanging_server() as (port, has_come):
        url = f"http://user:canary-password@127.0.0.1:{port}"
        async with SessionManager(proxy=url) as manager:
            task = asyncio.create_task(manager.account(ACCOUNT, API_KEY).sequences.list())
            await has_come.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

    assert "canary-password" not in seen_in(caught.value)


async def test_a_code_with_control_characters_is_cleaned(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = json.dumps({"errors": {"code": "\x1b[2J\nFAKE LOG", "message": "x"}})
    faulty.faults.next("status", status=403, body=body)

    with pytest.raises(InvoiceXpressError, match="403") as caught:
        await faulty_account.sequences.list()

    assert str(caught.value).isprintable()


class LostRight:
    """Every claim is won, and the right to send is lost before the first byte."""

    token = None

    async def claim(self, intent: Intent) -> Intent | None:
        del intent
        return None

    def end(self, intent: Intent, end: ClaimEnd) -> None:
        """Nothing is kept."""

    def observe(self, intent: Intent) -> None:
        """Nothing is kept."""

    def forget(self, intent: Intent) -> None:
        """Nothing is kept."""

    def check_right(self) -> None:
        raise DeadlineExceededError("Another process has the account.")


@pytest.mark.fault(55)
@pytest.mark.parametrize("hooks", [[], [aiohttp.TraceConfig()]], ids=["raw", "session"])
async def test_a_request_that_may_not_be_sent_any_more_does_not_show_the_key(
    faulty: FaultServer, clock: FakeClock, hooks: list[aiohttp.TraceConfig]
) -> None:
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, trace_configs=hooks
    ) as manager:
        account = manager.account(ACCOUNT, API_KEY).claiming(LostRight())
        with pytest.raises(DeadlineExceededError, match="Another process") as caught:
            await account.sequences.create("2027")

    assert faulty.oracle.posts(ACCOUNT) == 0
    assert API_KEY not in seen_in(caught.value)
