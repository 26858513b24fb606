"""The facts about aiohttp that the promises stand on, each on a real socket."""

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import aiohttp
import pytest
from aiohttp import web
from conftest import ACCOUNT, API_KEY
from yarl import URL

from invoicexpress_async import (
    ConfigurationError,
    ConnectionFailedError,
    InvoiceXpressError,
    MalformedResponseError,
    RetryPolicy,
    SessionManager,
    Timeouts,
    UnexpectedRedirectError,
)
from invoicexpress_async.config import Secret
from invoicexpress_async.transport.session_sender import SecretUrl

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

ONCE = RetryPolicy(attempts=1)
EMPTY_LIST = b'{"sequences":[]}'
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Server:
    """Answers every request with `handler`, and keeps what it saw."""

    def __init__(self) -> None:
        self.handler: Handler = self.answer(EMPTY_LIST)
        self.paths: list[str] = []
        self.headers: list[CIMultiDictProxy[str]] = []
        self.bodies: list[bytes] = []
        self.connections: set[object] = set()
        self.base_url = ""

    @staticmethod
    def answer(body: bytes, status: int = 200, **headers: str) -> Handler:
        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=body, status=status, headers=named)

        return handler

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.raw_path)
        self.headers.append(request.headers)
        self.bodies.append(await request.read())
        self.connections.add(request.transport)
        return await self.handler(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    runner = web.ServerRunner(web.Server(one.handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    one.base_url = f"http://127.0.0.1:{port}/{{account}}"
    yield one
    await runner.cleanup()


@pytest.mark.parametrize("key", ["plain-key", "& # + % é /?=", "%41", "a b", "'\"<>\\"])
async def test_the_key_arrives_byte_for_byte(key: str, server: Server) -> None:
    async with SessionManager(base_url=server.base_url) as manager:
        await manager.account(ACCOUNT, key).sequences.list()

    query = server.paths[0].partition("?")[2]
    assert query.count("&") == 0
    assert unquote_to_bytes(query.removeprefix("api_key=")) == key.encode()


async def test_a_request_has_the_headers_of_the_contract(server: Server) -> None:
    async with SessionManager(base_url=server.base_url, app_name="billing/2") as manager:
        account = manager.account(ACCOUNT, API_KEY)
        await account.sequences.list()
        with pytest.raises(InvoiceXpressError):
            await account.with_options(timeout_seconds=0.5).sequences.create("2027")

    get, post = server.headers[0], server.headers[1]
    assert get["Accept"] == post["Accept"] == "application/json"
    assert post["Content-Type"] == "application/json"
    assert "Content-Type" not in get
    assert get["User-Agent"].startswith("billing/2 invoicexpress-async/")
    assert server.bodies[1] == b'{"sequence":{"serie":"2027"}}'


async def test_no_url_that_other_code_sees_holds_the_key(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    trace, seen = aiohttp.TraceConfig(), []

    async def note(_: object, context: SimpleNamespace, params: Any) -> None:
        seen.append(f"{params} {context} {vars(params) if hasattr(params, '__dict__') else ''}")
        for name in ("url", "response"):
            thing = getattr(params, name, None)
            seen.append(f"{thing} {thing!r} {getattr(thing, 'query_string', '')}")
        response = getattr(params, "response", None)
        if response is not None:
            seen.append(f"{response.url} {response.request_info} {response.real_url}")
            seen.append(f"{response.request_info.url} {response.request_info.real_url!r}")

    for signal in (
        trace.on_request_start, trace.on_request_end, trace.on_request_exception,
        trace.on_request_headers_sent, trace.on_request_chunk_sent,
        trace.on_response_chunk_received, trace.on_connection_create_end,
    ):  # fmt: skip
        signal.append(note)

    async with SessionManager(base_url=server.base_url, trace_configs=[trace]) as manager:
        account = manager.account(ACCOUNT, API_KEY).with_options(timeout_seconds=0.5)
        await account.sequences.list()
        with pytest.raises(InvoiceXpressError):
            await account.sequences.create("2027")

    assert API_KEY in server.paths[0]
    assert len(seen) > 10
    assert not [text for text in [*seen, caplog.text] if API_KEY in text]


def test_a_keyed_url_is_the_clean_url_but_for_the_request_line() -> None:
    clean = URL("https://acme.test/x.json")
    looks: list[str] = []
    keyed = SecretUrl(clean, Secret("/x.json?api_key=canary"), lambda: looks.append("sending"))

    assert looks == []
    assert keyed.raw_path_qs == "/x.json?api_key=canary"
    assert str(keyed) == str(clean)
    assert repr(keyed) == repr(clean)
    assert keyed == clean
    assert keyed.raw_path_qs == "/x.json"
    assert looks == ["sending"]
    assert keyed == SecretUrl(clean, Secret("other"), looks.clear)
    assert hash(keyed) == hash(clean)
    assert keyed.host == "acme.test"
    assert not hasattr(keyed, "__dict__")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_its_target_sees_no_connection(
    status: int, server: Server
) -> None:
    connected: list[object] = []
    target = await asyncio.start_server(lambda *streams: connected.append(streams), "127.0.0.1", 0)
    port = target.sockets[0].getsockname()[1]
    server.handler = server.answer(b"", status, Location=f"http://127.0.0.1:{port}/x")

    async with target, SessionManager(base_url=server.base_url) as manager:
        with pytest.raises(UnexpectedRedirectError, match=r"redirected .* to 127\.0\.0\.1"):
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert connected == []
    assert len(server.paths) == 1


async def test_a_cookie_of_one_account_is_never_sent_for_another(server: Server) -> None:
    server.handler = server.answer(EMPTY_LIST, Set_Cookie="_session=a; domain=127.0.0.1")

    async with SessionManager(base_url=server.base_url) as manager:
        for name in ("acme", "acme", "beta"):
            await manager.account(name, API_KEY).sequences.list()

    assert not [headers for headers in server.headers if "Cookie" in headers]


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async with SessionManager(base_url=server.base_url) as manager:
        await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert "Authorization" not in server.headers[0]


async def test_a_get_that_is_read_and_dropped_is_sent_as_often_as_we_count(server: Server) -> None:
    async def drop(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.handler = drop
    async with SessionManager(base_url=server.base_url) as manager:
        with pytest.raises(InvoiceXpressError, match="connection broke") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert len(server.paths) == caught.value.attempts == 3


async def test_a_refused_connection_is_tried_three_times_and_nothing_was_processed(
    unused_tcp_port: int,
) -> None:
    base_url = f"http://127.0.0.1:{unused_tcp_port}/{{account}}"
    async with SessionManager(base_url=base_url) as manager:
        with pytest.raises(ConnectionFailedError, match="it had no effect") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    error = caught.value
    assert error.attempts == 3
    assert not error.may_have_been_processed
    assert error.__cause__ is None
    assert error.__context__ is None


MEGABYTE = b"x" * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(MEGABYTE * 9, {}, id="plain"),
        pytest.param(gzip.compress(MEGABYTE * 20), {"Content_Encoding": "gzip"}, id="gzip bomb"),
        pytest.param(
            zlib.compress(MEGABYTE * 20), {"Content_Encoding": "deflate"}, id="deflate bomb"
        ),
        pytest.param(
            zlib.compress(MEGABYTE * 20, wbits=-15),
            {"Content_Encoding": "deflate"},
            id="raw deflate bomb",
        ),
        pytest.param(gzip.compress(EMPTY_LIST)[:-12], {"Content_Encoding": "gzip"}, id="cut gzip"),
        pytest.param(b"\x1f\x8bnonsense", {"Content_Encoding": "gzip"}, id="bad gzip"),
        pytest.param(b"br", {"Content_Encoding": "br"}, id="br, which was not requested"),
    ],
)
async def test_a_body_that_is_too_much_or_broken_is_malformed(
    body: bytes, headers: dict[str, Any], server: Server
) -> None:
    server.handler = server.answer(body, **headers)

    async with SessionManager(base_url=server.base_url, retry=ONCE) as manager:
        with pytest.raises(MalformedResponseError, match="cannot be read"):
            await manager.account(ACCOUNT, API_KEY).sequences.list()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(gzip.compress(EMPTY_LIST), "gzip", id="gzip"),
        pytest.param(zlib.compress(EMPTY_LIST), "deflate", id="zlib"),
        pytest.param(zlib.compress(EMPTY_LIST, wbits=-15), "Deflate", id="raw deflate"),
        pytest.param(EMPTY_LIST, "identity", id="identity"),
        pytest.param(b"", "gzip", id="nothing at all"),
    ],
)
async def test_a_compressed_body_is_understood(body: bytes, encoding: str, server: Server) -> None:
    server.handler = server.answer(body, Content_Encoding=encoding)

    async with SessionManager(base_url=server.base_url, retry=ONCE) as manager:
        answer = await manager.account(ACCOUNT, API_KEY).request("GET", "/sequences.json")

    assert answer == ({"sequences": []} if body else None)


async def test_the_key_that_the_server_echoes_is_redacted(server: Server) -> None:
    body = f'{{"errors":{{"error":"bad key {API_KEY}"}}}}'.encode()
    server.handler = server.answer(body, 401)

    async with SessionManager(base_url=server.base_url) as manager:
        with pytest.raises(InvoiceXpressError, match=r"bad key \[redacted\]") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert API_KEY not in str(vars(caught.value))


async def test_pages_are_followed_if_they_ever_come(server: Server) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        number = int(request.query.get("page", "1"))
        row = {"id": number, "serie": str(number), "default_sequence": 0}
        pagination = {"current_page": number, "total_pages": 3}
        return web.json_response({"sequences": [row], "pagination": pagination})

    server.handler = page
    async with SessionManager(base_url=server.base_url) as manager:
        sequences = await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert [one.id for one in sequences] == [1, 2, 3]


async def test_pages_without_end_are_not_followed_for_ever(server: Server) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        number = int(request.query.get("page", "1"))
        pagination = {"current_page": number, "total_pages": number + 1}
        return web.json_response({"sequences": [], "pagination": pagination})

    server.handler = page
    async with SessionManager(base_url=server.base_url) as manager:
        with pytest.raises(MalformedResponseError, match="more than 200 pages"):
            await manager.account(ACCOUNT, API_KEY).sequences.list()


@pytest.mark.parametrize("body", [b" ", b"", b"{}", b'{"success":"true"}'])
async def test_set_current_takes_an_empty_answer(body: bytes, server: Server) -> None:
    server.handler = server.answer(body)

    async with SessionManager(base_url=server.base_url) as manager:
        await manager.account(ACCOUNT, API_KEY).sequences.set_current(7)

    assert server.paths[0].startswith("/acme/sequences/7/set_current.json?")


async def test_the_connection_is_reused(server: Server) -> None:
    async with SessionManager(base_url=server.base_url) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        for _ in range(5):
            await account.sequences.list()

    assert len(server.connections) == 1


async def test_sockets_never_outnumber_the_limit(server: Server) -> None:
    peak = 0

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal peak
        await asyncio.sleep(0.01)
        peak = max(peak, manager.health()["connections"])
        return web.Response(body=EMPTY_LIST)

    server.handler = slow
    async with SessionManager(base_url=server.base_url, max_connections=4) as manager:
        accounts = [manager.account(f"account-{number}", API_KEY) for number in range(40)]
        await asyncio.gather(*(account.sequences.list() for account in accounts))

    assert peak == 4
    assert len(server.connections) <= 4


@pytest.mark.parametrize(
    "settings",
    [
        {"max_connections": 0},
        {"max_connections": "7"},
        {"app_name": "a\r\nb"},
        {"app_name": " "},
        {"base_url": "http://127.0.0.1/{account}", "proxy": "http://127.0.0.1:3128"},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        SessionManager(**settings)


async def test_a_hanging_server_is_left_at_the_attempts_time(server: Server) -> None:
    released = asyncio.Event()

    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        await released.wait()
        return web.Response(body=EMPTY_LIST)

    server.handler = hang
    timeouts = Timeouts(attempt_seconds=0.05)
    async with SessionManager(base_url=server.base_url, timeouts=timeouts, retry=ONCE) as manager:
        with pytest.raises(InvoiceXpressError, match="no response came in time"):
            await manager.account(ACCOUNT, API_KEY).sequences.list()
    released.set()
