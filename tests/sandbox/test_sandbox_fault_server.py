import asyncio
import contextlib
import gc
import json
import logging
import resource
import socket
import ssl
import time
import warnings
from pathlib import Path

import aiohttp
import pytest
import trustme

from invoicexpress_async.sandbox import FaultServer, SandboxAccount, serve

ACME = SandboxAccount(name="acme", api_key="canary")
HOST = "acme.app.invoicexpress.com"
GET = b"GET /acme/sequences.json?api_key=canary HTTP/1.1\r\nHost: x\r\n"
LAST = b"Connection: close\r\n\r\n"
POST = b"POST /acme/sequences.json?api_key=canary HTTP/1.1\r\nHost: x\r\n"
TYPED = b"Content-Type: application/json\r\nContent-Length: 31\r\n\r\n"
BODY = b'{"sequence": {"serie": "2027"}}'

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    """Return a server's context for the real domain, and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.app.invoicexpress.com").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def talk(server: FaultServer, *sent: bytes, context: ssl.SSLContext | None = None) -> bytes:
    name = HOST if context is not None else None
    reader, writer = await asyncio.open_connection(
        server.host, server.port, ssl=context, server_hostname=name
    )
    try:
        writer.writelines(sent)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.transport.abort()


async def until_met(server: FaultServer, number: int = 1) -> None:
    async with asyncio.timeout(60):
        while sum(server.oracle.faults.values()) < number:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)


async def test_a_client_of_aiohttp_is_served_on_one_connection() -> None:
    async with FaultServer(accounts=[ACME]) as server, aiohttp.ClientSession() as session:
        url = f"{server.base_url.format(account='acme')}/sequences.json?api_key=canary"
        async with session.post(url, json={"sequence": {"serie": "2027"}}) as made:
            row = (await made.json())["sequences"]
        async with session.get(url) as listed:
            assert (await listed.json())["sequences"] == [row]
        continued = await session.post(url, json={"sequence": {"serie": "A"}}, expect100=True)
        continued.release()

    assert (made.status, listed.status, continued.status) == (201, 200, 201)
    assert server.oracle.connections_total == server.oracle.connections_peak == 1


async def test_requests_in_a_row_and_in_pieces_are_all_read() -> None:
    post = POST + TYPED + BODY
    everything = post + GET + b"\r\n" + post + GET + LAST
    async with FaultServer(accounts=[ACME]) as server:
        at_once = await talk(server, everything)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for index in range(len(everything)):
            writer.write(everything[index : index + 1])
            await asyncio.sleep(0)
        in_pieces = await reader.read()
        writer.transport.abort()

    assert at_once.count(b"HTTP/1.1 ") == in_pieces.count(b"HTTP/1.1 ") == 4
    assert server.count("POST", "/sequences.json", account="acme") == 4
    assert server.oracle.bytes_received == 2 * len(everything)


async def test_a_request_behind_a_fault_is_served_after_it() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("status", status=503)
        answers = await talk(server, GET + b"\r\n" + GET + LAST)

    assert answers.startswith(b"HTTP/1.1 503 ")
    assert b"HTTP/1.1 200 " in answers


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\r\n\r\n", id="TLS"),
        pytest.param(b"GET /\r\n\r\n", id="no version"),
        pytest.param(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", id="no header"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="no length"),
        pytest.param(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked"),
        pytest.param(b"x" * 70_000, id="no end"),
    ],
)
async def test_bytes_that_are_no_request_are_refused(sent: bytes) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        answer = await talk(server, sent)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert server.requests == []


@pytest.mark.parametrize(
    ("version", "connection", "is_kept"),
    [
        pytest.param(b"1.0", b"close", False, id="1.0"),
        pytest.param(b"1.0", b"keep-alive", True, id="1.0 kept"),
        pytest.param(b"1.1", b"keep-alive", True, id="1.1"),
        pytest.param(b"1.1", b"close", False, id="1.1 closed"),
    ],
)
async def test_a_connection_is_kept_as_its_client_requests(
    version: bytes, connection: bytes, *, is_kept: bool
) -> None:
    first = GET.replace(b"1.1", version) + b"Connection: " + connection + b"\r\n\r\n"
    async with FaultServer(accounts=[ACME]) as server:
        answers = await talk(server, first, GET + LAST)

    assert answers.count(b"HTTP/1.1 200") == 1 + is_kept


async def test_the_admin_pages_are_there_and_never_faulty() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("close_unread", times=None)
        answer = await talk(server, b"GET /_sandbox/state.json HTTP/1.1\r\n" + LAST)
        created = await talk(
            server,
            b"POST /_sandbox/accounts.json HTTP/1.1\r\nContent-Length: 32\r\n"
            b'Connection: close\r\n\r\n{"accounts": [{"name": "beta"}]}',
        )

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["requests"] == 0
    assert created.startswith(b"HTTP/1.1 201 ")
    assert set(server.accounts) == {"acme", "beta"}


async def test_a_port_goes_down_and_comes_up_again() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        port = server.port
        await server.go_down()
        await server.go_down()
        with pytest.raises(ConnectionRefusedError):
            await talk(server, GET + LAST)
        assert server.port == port

        await server.go_up()
        await server.go_up()
        answer = await talk(server, GET + LAST)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.port == port


@pytest.mark.parametrize("drops", [False, True])
async def test_going_down_may_spare_the_connections(*, drops: bool) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(GET + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")

        await server.go_down(drops_connections=drops)
        writer.write(GET + LAST)
        async with asyncio.timeout(60):
            rest = await asyncio.gather(reader.read(), return_exceptions=True)
        writer.transport.abort()

    assert (isinstance(rest[0], bytes) and b"HTTP/1.1 200" in rest[0]) is not drops


async def test_a_server_comes_back_on_its_port_with_its_state(tmp_path: Path) -> None:
    server = FaultServer(accounts=[ACME], state_file=tmp_path / "state.json")
    await server.go_down()
    await server.go_up()
    await server.start()
    url = server.base_url
    server.add_sequence("acme", "2027")
    await server.close()
    await server.close()

    async with server:
        assert server.base_url == url
        assert b'"2027"' in await talk(server, GET + LAST)
    assert len(FaultServer(state_file=tmp_path / "state.json").sequences("acme")) == 1


async def test_a_port_that_is_taken_is_refused() -> None:
    async with FaultServer() as first:
        with pytest.raises(OSError, match="in use"):
            await FaultServer(port=first.port).start()


async def test_it_serves_until_it_is_cancelled() -> None:
    started: asyncio.Queue[FaultServer] = asyncio.Queue()
    task = asyncio.create_task(serve(FaultServer(accounts=[ACME]), on_start=started.put_nowait))
    server = await started.get()

    answer = await talk(server, GET + LAST)
    task.cancel()

    assert answer.startswith(b"HTTP/1.1 200 ")
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_serves_again_when_file_descriptors_are_freed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with FaultServer(accounts=[ACME]) as server:
        with socket.create_connection((server.host, server.port)) as client:
            # Accepted by the kernel, not yet by the server: its socket needs a number more.
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                await asyncio.sleep(0.02)
                refused = server.oracle.connections_total
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, GET + LAST)
            answer = await loop.sock_recv(client, 1000)

    assert refused == 0
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_fault_that_goes_wrong_itself_is_reported() -> None:
    async def sleep(seconds: float) -> None:
        raise ZeroDivisionError(seconds)

    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with FaultServer(accounts=[ACME], sleep=sleep) as server:
        server.faults.next("latency")
        answer = await talk(server, GET + LAST)
        again = await talk(server, GET + LAST)

    assert answer == b""
    assert again.startswith(b"HTTP/1.1 200 ")
    assert [type(one["exception"]) for one in reported] == [ZeroDivisionError]


HANGS = [
    "hang_on_accept",
    "hang_unread",
    "timeout",
    "latency",
    "slicer",
    "slow_close",
    "big_body",
    "stall",
]


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
async def test_closing_ends_everything_in_bounded_time(
    contexts: Contexts, *, is_secure: bool
) -> None:
    server_context, client_context = contexts if is_secure else (None, None)
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
            idle = [await asyncio.open_connection(server.host, server.port) for _ in range(3)]
            await asyncio.sleep(0.01)
            for name in HANGS:
                server.faults.next(name)
            server.faults.next("status", operation="create", commits="late", late_seconds=3600.0)
            talks = [
                asyncio.create_task(talk(server, sent, context=client_context))
                for sent in [*[GET + LAST] * len(HANGS), POST + TYPED + BODY]
            ]
            await until_met(server, len(HANGS) + 1)
            started = time.monotonic()
        seconds = time.monotonic() - started
        assert asyncio.all_tasks() <= before | set(talks)
        await asyncio.gather(*talks, return_exceptions=True)
        for _, writer in idle:
            writer.transport.abort()
        gc.collect()

    assert seconds < 20  # it waits for nobody: each of them stays for an hour
    assert server.oracle.connections_open == 0
    assert [one.message for one in caught] == []


async def test_tls_takes_the_account_from_the_host(contexts: Contexts) -> None:
    server_context, client_context = contexts
    async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
        host = f"{HOST}:{server.port}".encode()
        get = b"GET /sequences.json?api_key=canary HTTP/1.1\r\nHost: " + host + b"\r\n"
        answer = await talk(server, get + LAST, context=client_context)
        url = server.base_url

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert url == f"https://{{account}}.app.invoicexpress.com:{server.port}"
    with pytest.raises(RuntimeError, match="no port"):
        _ = FaultServer(ssl_context=server_context).base_url


async def test_a_handshake_that_fails_brings_no_byte_of_http(contexts: Contexts) -> None:
    server_context, _ = contexts
    async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await talk(server, GET + LAST, context=ssl.create_default_context())
        with contextlib.suppress(ConnectionError):
            assert await talk(server, GET + LAST) == b""
        while server.oracle.connections_open:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)

    assert (server.oracle.handshake_failures, server.oracle.bytes_received) == (2, 0)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("close_on_accept", ConnectionError, id="closed"),
        pytest.param("reset_on_accept", ConnectionError, id="reset"),
        pytest.param("hang_on_accept", TimeoutError, id="hangs"),
    ],
)
async def test_an_arrival_fault_comes_before_the_handshake(
    contexts: Contexts, name: str, error: type[Exception]
) -> None:
    server_context, client_context = contexts
    async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
        server.faults.next(name)
        with pytest.raises(error):
            async with asyncio.timeout(0.05):
                await asyncio.open_connection(
                    server.host, server.port, ssl=client_context, server_hostname=HOST
                )

    assert (server.oracle.connections_total, server.oracle.bytes_received) == (1, 0)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_it_runs_on_uvloop(contexts: Contexts, *, is_secure: bool) -> None:
    server_context, client_context = contexts if is_secure else (None, None)
    uvloop = pytest.importorskip("uvloop")
    host = f"Host: {HOST}\r\n".encode() if is_secure else b"Host: x\r\n"
    path = b"/sequences.json" if is_secure else b"/acme/sequences.json"
    get = b"GET " + path + b"?api_key=canary HTTP/1.1\r\n" + host + LAST

    async def answers() -> list[bytes]:
        async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
            first = await talk(server, get, context=client_context)
            server.faults.next("reset_on_accept")
            with pytest.raises(ConnectionResetError):
                await talk(server, get, context=client_context)
            await server.go_down()
            with pytest.raises(ConnectionRefusedError):
                await talk(server, get, context=client_context)
            await server.go_up()
            return [first, await talk(server, get, context=client_context)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(answers())

    assert [answer.partition(b"\r\n")[0] for answer in found] == [b"HTTP/1.1 200 OK"] * 2


@pytest.mark.parametrize("name", ["reset_peer", "reset_unread", "reset_half_body"])
async def test_a_reset_over_tls_is_a_reset(contexts: Contexts, name: str) -> None:
    server_context, client_context = contexts
    async with FaultServer(accounts=[ACME], ssl_context=server_context) as server:
        server.faults.next(name)
        with pytest.raises(ConnectionResetError):
            await talk(server, GET + LAST, context=client_context)


async def test_nothing_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FaultServer(accounts=[ACME]) as server:
        for name in ("garbage", "limit_data", "reset_half_body", "timeout"):
            server.faults.next(name)
            with_key = asyncio.create_task(talk(server, GET + LAST))
            await until_met(server, len(server.oracle.faults) + 1)
            with_key.cancel()
            await asyncio.wait([with_key])

    shown = f"{server!r}{server.requests!r}{server.oracle.partial!r}{server.oracle!r}{caplog.text}"
    assert "canary" not in shown
