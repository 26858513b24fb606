"""A kept connection and aiohttp's own session are two ways to send; they behave alike."""

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any

import aiohttp
import attrs
import pytest
from aioresponses import aioresponses
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import AccountSession, SessionManager, Timeouts
from invoicexpress_async.errors import (
    InvoiceXpressError,
    OutcomeUnknownError,
    StatusError,
    TransportError,
)
from invoicexpress_async.sandbox import FAULT_NAMES, FaultServer
from invoicexpress_async.transport import raw_connection

EMPTY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    b'{"sequences":[]}'
)
ROW = b'[{"id":1,"serie":"2027"}]'
STRANGER = EMPTY.replace(b"Content-Length: 16", b"Content-Length: 39").replace(b"[]", ROW)


@attrs.define
class RawServer:
    """Keeps every byte it is sent; answers each request with `EMPTY` between two other things."""

    requests: list[bytes] = attrs.field(factory=list[bytes])
    connections: int = 0
    before: bytes = b""
    after: bytes = b""
    base_url: str = ""
    _writers: list[asyncio.StreamWriter] = attrs.field(factory=list[asyncio.StreamWriter])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, rest = head.lower().partition(b"content-length: ")
                body = await reader.readexactly(int(rest.split(b"\r\n")[0] or 0)) if rest else b""
                self.requests.append(head + body)
                after, self.after = self.after, b""
                writer.write(self.before + EMPTY + after)
        writer.close()

    def say(self, unasked: bytes) -> None:
        self._writers[-1].write(unasked)


@pytest.fixture
async def raw() -> AsyncIterator[RawServer]:
    server = RawServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/{{account}}"
        yield server
        listener.close()


def hooks() -> list[aiohttp.TraceConfig]:
    """Somebody who watches: the session sends, so that there is something to see."""
    return [aiohttp.TraceConfig()]


Verb = Callable[[AccountSession], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "GET": lambda account: account.request("GET", "/sequences.json"),
    "POST": lambda account: account.request(
        "POST", "/sequences.json", {"sequence": {"serie": "é"}}
    ),
    "GET with a body": lambda account: account.request("GET", "/sequences.json", {"a": 1}),
    "PUT without a body": lambda account: account.request("PUT", "/sequences/1/register.json"),
    "PUT with a body": lambda account: account.request("PUT", "/accounts/1/update.json", {"a": 1}),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
async def test_both_ways_send_the_same_bytes(verb: Verb, raw: RawServer) -> None:
    for trace_configs in ([], hooks()):
        async with SessionManager(base_url=raw.base_url, trace_configs=trace_configs) as manager:
            await verb(manager.account(ACCOUNT, "a key/with=signs&more"))

    kept, by_session = raw.requests
    assert kept == by_session
    assert b"a%20key%2Fwith%3Dsigns%26more" in kept


async def test_a_kept_connection_is_used_for_all(raw: RawServer) -> None:
    async with SessionManager(base_url=raw.base_url) as manager:
        for _ in range(5):
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert (len(raw.requests), raw.connections) == (5, 1)


@pytest.mark.parametrize(
    "unasked", [STRANGER, STRANGER[:30], b"noise"], ids=["whole", "half", "no"]
)
@pytest.mark.parametrize("is_at_once", [True, False], ids=["with the answer", "later"])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "by session"])
async def test_what_was_not_requested_is_never_a_response(
    unasked: bytes, raw: RawServer, *, is_at_once: bool, is_kept: bool
) -> None:
    trace_configs = [] if is_kept else hooks()
    async with SessionManager(base_url=raw.base_url, trace_configs=trace_configs) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        raw.after = unasked if is_at_once else b""
        with contextlib.suppress(InvoiceXpressError):  # the noise may belong to the answer
            assert await sequences.list() == ()
        if not is_at_once:
            raw.say(unasked)
            await asyncio.sleep(0.02)  # it is on its way

        assert await sequences.list() == ()


@pytest.mark.parametrize(
    ("status", "is_interim"), [(100, True), (103, True), (101, False), (99, False)]
)
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "by session"])
async def test_only_what_is_interim_is_followed_by_the_response(
    status: int, raw: RawServer, *, is_interim: bool, is_kept: bool
) -> None:
    raw.before = f"HTTP/1.1 {status:03} Odd\r\nContent-Length: 0\r\n\r\n".encode()
    trace_configs = [] if is_kept else hooks()
    async with SessionManager(base_url=raw.base_url, trace_configs=trace_configs) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        with contextlib.nullcontext() if is_interim else pytest.raises(InvoiceXpressError):
            await account.request("POST", "/sequences.json")

    assert len(raw.requests) == 1


@pytest.mark.parametrize("status", [413, None], ids=["answered early", "hanging"])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "by session"])
async def test_nothing_follows_a_body_that_was_not_read_and_nothing_more_of_it_is_sent(
    status: int | None, *, is_kept: bool
) -> None:
    trace_configs = [] if is_kept else hooks()
    body = "x" * 20_000_000
    may_read, read = asyncio.Event(), asyncio.get_running_loop().create_future()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if connections > 1:
            writer.write(EMPTY)
        else:
            if status is not None:
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            await may_read.wait()
            size = 0
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(1 << 20):
                    size += len(piece)
            read.set_result(size)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/{{account}}"
        timeouts = Timeouts(attempt_seconds=5.0 if status else 0.5)
        async with SessionManager(
            base_url=base_url, timeouts=timeouts, trace_configs=trace_configs
        ) as manager:
            account = manager.account(ACCOUNT, API_KEY)
            with pytest.raises(StatusError if status else TransportError):
                await account.request("POST", "/clients.json", body)
            await account.request("POST", "/sequences.json", timeout_seconds=2.0)
            may_read.set()
            assert await read < len(body)


async def test_what_has_been_idle_for_long_is_not_trusted(raw: RawServer, clock: FakeClock) -> None:
    async with SessionManager(base_url=raw.base_url, clock=clock) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        clock.advance(15.0)
        await sequences.list()

    assert raw.connections == 2


async def test_a_mock_responds_though_a_connection_is_kept(
    raw: RawServer, mocked: aioresponses
) -> None:
    mocked.stop()
    async with SessionManager(base_url=raw.base_url) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        await account.sequences.list()
        mocked.start()
        url = f"{raw.base_url.format(account=ACCOUNT)}/sequences.json"
        mocked.get(url, status=HTTPStatus.OK, payload={"sequences": []})
        await account.sequences.list()
        mocked.stop()
        await account.sequences.list()
        mocked.start()  # the fixture ends it

    assert len(raw.requests) == 2


async def test_who_begins_to_watch_though_a_connection_is_kept_sees_every_request(
    raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = aiohttp.ClientSession._request  # noqa: SLF001  # what instrumentation wraps
    seen: list[object] = []

    async def watched(session: Any, method: str, *args: Any, **options: Any) -> object:
        seen.append(method)
        return await genuine(session, method, *args, **options)

    async with SessionManager(base_url=raw.base_url) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        with monkeypatch.context() as patch:
            patch.setattr(aiohttp.ClientSession, "_request", watched)
            for _ in range(2):
                assert await sequences.list(timeout_seconds=1.0) == ()
        await sequences.list()

    assert (seen, len(raw.requests)) == (["GET"] * 2, 4)


async def test_hooks_that_instrumentation_adds_see_every_request(
    raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def note(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        seen.append(params.method)

    made = aiohttp.ClientSession.__init__

    @functools.wraps(made)
    def instrumented(self: aiohttp.ClientSession, *args: object, **kwargs: object) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(note)
        made(self, *args, **{**kwargs, "trace_configs": [trace]})  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with SessionManager(base_url=raw.base_url) as manager:
        for _ in range(3):
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert seen == ["GET"] * 3


async def test_an_aiohttp_without_what_is_needed_sends_by_its_session(
    raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_connection, "_UNDOCUMENTED", ("what_is_to_come",))
    async with SessionManager(base_url=raw.base_url) as manager:
        for _ in range(3):
            assert await manager.account(ACCOUNT, API_KEY).sequences.list() == ()

    assert (len(raw.requests), raw.connections) == (3, 2)  # the first was opened to see that


async def test_an_aiohttp_whose_requests_are_made_otherwise_sends_by_its_session(
    raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "ClientRequest", lambda url: url)
    async with SessionManager(base_url=raw.base_url) as manager:
        for _ in range(3):
            assert await manager.account(ACCOUNT, API_KEY).sequences.list() == ()

    assert (len(raw.requests), raw.connections) == (3, 1)


async def outcome_of(
    fault: str, verb: str, clock: FakeClock, *, trace_configs: list[aiohttp.TraceConfig]
) -> tuple[object, ...]:
    """Meet a fault twice, the second time over a connection that is open; return the outcome."""
    server = FaultServer(accounts=[account_of(ACCOUNT)], clock=clock.now, sleep=clock.sleep, seed=1)
    async with (
        server,
        SessionManager(
            base_url=server.base_url,
            clock=clock,
            timeouts=Timeouts(attempt_seconds=0.15),
            trace_configs=trace_configs,
        ) as manager,
    ):
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        reported: list[object] = []
        for serie in ("2027", "2028"):
            server.faults.next(fault)
            try:
                made = await (sequences.create(serie) if verb == "create" else sequences.list())
                reported.append(type(made).__name__)
            except OutcomeUnknownError as error:
                reported += [type(error).__name__, re.sub(r":\d+|\(\w+Error\)", "", str(error))]
            except InvoiceXpressError as error:
                reported += [type(error).__name__, error.attempts, error.may_have_been_processed]
        rows = [sequence.serie for sequence in server.sequences(ACCOUNT)]
        return (*reported, server.oracle.posts(ACCOUNT), rows, server.oracle.duplicates())


@pytest.mark.parametrize("verb", ["create", "list"])
@pytest.mark.parametrize("fault", FAULT_NAMES)
async def test_every_fault_comes_to_the_same_both_ways(
    fault: str, verb: str, clock: FakeClock
) -> None:
    kept = await outcome_of(fault, verb, clock, trace_configs=[])
    by_session = await outcome_of(fault, verb, FakeClock(), trace_configs=hooks())

    assert kept == by_session
