import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import cast

import attrs
import pytest
from senders import until

from invoicexpress_async.sandbox import (
    FAULT_NAMES,
    FaultServer,
    SandboxAccount,
    describe_fault,
    make_fault,
)

KEY = "canary key"
ACME = SandboxAccount(name="acme", api_key=KEY)
BODY = b'{"sequence": {"serie": "2027"}}'
QUERY = b"api_key=canary%20key"

Json = dict[str, object]


@attrs.define
class FakeSleep:
    waits: list[float] = attrs.field(factory=list[float])

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


@attrs.frozen
class Reply:
    """What came back up to the end of the connection; `is_reset` if that was a reset."""

    raw: bytes
    is_reset: bool

    @property
    def lines(self) -> list[bytes]:
        return self.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")

    @property
    def status(self) -> int:
        return int(self.lines[0].split(b" ")[1])

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        pairs = (line.partition(b": ") for line in self.lines[1:])
        return {name: value for name, _, value in pairs}

    @property
    def length(self) -> int:
        return int(self.headers[b"Content-Length"])

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def row(self) -> Json:
        return cast("Json", json.loads(self.body)["sequences"])


def request(
    body: bytes = BODY,
    *,
    method: bytes = b"POST",
    path: bytes = b"/acme/sequences.json",
    headers: bytes = b"Connection: close\r\n",
) -> bytes:
    head = b"%b %b?%b HTTP/1.1\r\nHost: x\r\n%b" % (method, path, QUERY, headers)
    if method == b"POST":
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return head + b"\r\n" + (body if method == b"POST" else b"")


LISTING = request(method=b"GET")


async def talk(server: FaultServer, *sent: bytes, most: int = 1_000_000) -> Reply:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    received = bytearray()
    is_reset = False
    try:
        writer.writelines(sent)
        async with asyncio.timeout(60):
            while len(received) < most and (data := await reader.read(65_536)):
                received += data
    except ConnectionError:
        is_reset = True
    finally:
        writer.transport.abort()
    return Reply(bytes(received), is_reset)


async def settled(server: FaultServer) -> None:
    """Wait until the server has seen that its clients left."""
    async with asyncio.timeout(60):
        while server.oracle.connections_open:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)


async def faulty(name: str, **options: object) -> tuple[Reply, FaultServer]:
    """Do one fault to one create."""
    async with FaultServer(accounts=[ACME], sleep=FakeSleep()) as server:
        server.faults.next(make_fault(name, **options))
        reply = await talk(server, request())
        await settled(server)
    assert server.oracle.faults == {name: 1}
    return reply, server


async def test_without_a_fault_it_responds_like_the_sandbox() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        made = await talk(server, request())
        listed = await talk(server, LISTING)
        got = await talk(server, request(method=b"GET", path=b"/acme/sequences/1.json"))

    assert (made.status, listed.status, got.status) == (201, 200, 404)
    assert json.loads(listed.body)["sequences"] == [made.row]
    assert len(made.body) == made.length
    assert b"_session=" in made.headers[b"Set-Cookie"]
    assert [record.status for record in server.requests] == [201, 200, 404]


@pytest.mark.parametrize(
    ("name", "options", "may_reset", "may_close", "posts"),
    [
        # Closing is a reset if bytes lie unread in the kernel: a race of accept and send.
        pytest.param("close_on_accept", {}, True, True, 0, id="closed on accept"),
        pytest.param("reset_on_accept", {}, True, False, 0, id="reset on accept"),
        pytest.param("hang_on_accept", {"seconds": 9.0}, True, True, 0, id="hung, then closed"),
        pytest.param("close_unread", {}, False, True, 0, id="closed unread"),
        pytest.param("reset_unread", {}, True, False, 0, id="reset unread"),
        pytest.param("reset_half_body", {}, True, False, 0, id="reset in the body"),
        pytest.param("close_after_read", {}, False, True, 1, id="closed after reading"),
        pytest.param("reset_peer", {}, True, False, 1, id="reset after reading"),
        pytest.param("reset_peer", {"seconds": 9.0}, True, False, 1, id="reset later"),
        pytest.param("timeout", {"seconds": 9.0}, False, True, 1, id="closed at last"),
    ],
)
async def test_a_silence_ends_as_its_name_says(
    name: str, options: Mapping[str, object], posts: int, *, may_reset: bool, may_close: bool
) -> None:
    reply, server = await faulty(name, **options)

    assert reply.raw == b""
    assert may_reset if reply.is_reset else may_close
    assert server.oracle.posts("acme", "2027") == posts
    assert server.oracle.rows("acme", "2027") == posts


@pytest.mark.parametrize("name", ["hang_on_accept", "hang_unread", "timeout", "stall"])
async def test_a_hang_ends_when_the_peer_leaves(name: str) -> None:
    posts = int(name in {"timeout", "stall"})
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next(name)
        talking = asyncio.create_task(talk(server, request()))
        await until(lambda: server.oracle.posts("acme") == posts)
        ended, _ = await asyncio.wait({talking}, timeout=0.02)
        talking.cancel()

        await settled(server)

    assert (ended, server.oracle.posts("acme")) == (set(), posts)


Check = Callable[[Reply], bool]


def has(status: int, body: bytes | None = None) -> Check:
    def check(reply: Reply) -> bool:
        is_whole = reply.length == len(reply.body)
        return reply.status == status and is_whole and (body is None or reply.body == body)

    return check


def raises(error: type[Exception], parse: Callable[[bytes], object] = json.loads) -> Check:
    def check(reply: Reply) -> bool:
        with pytest.raises(error):
            parse(reply.body)
        return reply.status == 201 and reply.length == len(reply.body)

    return check


def id_is(text: str) -> Check:
    return lambda reply: f'{{"sequences":{{"id":{text},"serie"'.encode() in reply.body


def header(name: bytes, value: bytes) -> Check:
    return lambda reply: reply.headers.get(name) == value


def encoded(name: bytes, decode: Callable[[bytes], bytes]) -> Check:
    def check(reply: Reply) -> bool:
        return reply.headers[b"Content-Encoding"] == name and len(decode(reply.body)) > 100

    return check


def last_line(expected: bytes) -> Check:
    return lambda reply: reply.raw.endswith(expected)


ANSWERS = [
    pytest.param("status", {}, has(500, b"")),
    pytest.param("status", {"status": 299, "body": "so"}, has(299, b"so")),
    pytest.param("status", {"status": 999}, lambda r: r.lines[0] == b"HTTP/1.1 999 Unknown"),
    pytest.param("status", {"status": 503, "retry_after": "-5"}, header(b"Retry-After", b"-5")),
    pytest.param("status", {"status": 429, "retry_after": "1e309"}, has(429)),
    pytest.param("status", {"status": 307, "location": "//x"}, header(b"Location", b"//x")),
    pytest.param("status", {"headers": [("A", "b")]}, header(b"A", b"b")),
    pytest.param("early_answer", {"retry_after": "7"}, header(b"Retry-After", b"7")),
    pytest.param("early_answer", {"status": 413, "body": "no"}, has(413, b"no")),
    pytest.param("interim_answer", {}, lambda r: r.raw.count(b"HTTP/1.1 ") == 2),
    pytest.param("interim_answer", {"count": 3}, lambda r: r.raw.count(b" 100 Continue") == 3),
    pytest.param("close_after_answer", {}, lambda r: b"Connection" not in r.headers),
    pytest.param("trailing_answer", {}, last_line(b'\r\n\r\n{"sequences":[]}')),
    pytest.param("shared_cookie", {}, lambda r: r.raw.count(b"app.invoicexpress.com; ") == 2),
    pytest.param("echo_key", {}, has(500, b"failed for the key canary key")),
    pytest.param("echo_key", {"where": "header"}, header(b"X-Request-Query", QUERY)),
    pytest.param("echo_key", {"where": "location"}, has(302, b"")),
    pytest.param("status_line_only", {}, lambda r: r.raw == b"HTTP/1.1 201 Created\r\n"),
    pytest.param("limit_data", {}, lambda r: len(r.body) == r.length // 2),
    pytest.param("limit_data", {"size": 7}, lambda r: len(r.body) == 7 < r.length),
    pytest.param("limit_data", {"resets": True}, lambda r: r.is_reset),
    pytest.param("stall", {"seconds": 5.0}, lambda r: len(r.body) == r.length // 2),
    pytest.param("stall", {"size": 7, "seconds": 5.0}, lambda r: len(r.body) == 7),
    pytest.param("cut_chunk", {}, header(b"Transfer-Encoding", b"chunked")),
    pytest.param("bad_chunk", {}, lambda r: r.body.startswith(b"zz\r\n")),
    pytest.param("cut_without_length", {}, lambda r: b"Content-Length" not in r.headers),
    pytest.param("cut_without_length", {"resets": True}, lambda r: r.is_reset),
    pytest.param("garbage", {}, lambda r: b"HTTP/" not in r.raw),
    pytest.param("garbage", {"data": b"\x16\x03"}, lambda r: r.raw == b"\x16\x03"),
    pytest.param("big_header", {}, header(b"X-Big", b"x" * 70_000)),
    pytest.param("many_headers", {}, lambda r: len(r.lines) > 300),
    pytest.param("two_lengths", {}, lambda r: r.raw.count(b"Content-Length: ") == 2),
    pytest.param("truncated_json", {}, raises(ValueError)),
    pytest.param("truncated_json", {"status": 200}, has(200)),
    pytest.param("invalid_json", {}, raises(ValueError)),
    pytest.param("nan", {}, id_is("NaN")),
    pytest.param("two_ids", {}, id_is('0,"id":1')),
    pytest.param("deep_nesting", {}, raises(RecursionError)),
    pytest.param("deep_nesting", {"depth": 3}, has(201, b'{"sequence":[[[]]]}')),
    pytest.param("huge_integer", {}, raises(ValueError)),
    pytest.param("huge_integer", {"digits": 20}, id_is("9" * 20)),
    pytest.param("invalid_utf8", {}, raises(UnicodeDecodeError)),
    pytest.param("byte_order_mark", {}, lambda r: bool(json.loads(r.body.decode("utf-8-sig")))),
    pytest.param("byte_order_mark", {}, lambda r: r.body.startswith(b"\xef\xbb\xbf{")),
    pytest.param("nonsense_charset", {}, lambda r: b"klingon" in r.headers[b"Content-Type"]),
    pytest.param("empty", {}, has(201, b"")),
    pytest.param("empty", {"status": 204}, has(204, b"")),
    pytest.param("one_space", {}, has(201, b" ")),
    pytest.param("null", {}, has(201, b"null")),
    pytest.param("empty_list", {}, has(201, b"[]")),
    pytest.param("empty_object", {}, has(201, b"{}")),
    pytest.param("without_id", {}, lambda r: "id" not in r.row and r.row["serie"] == "2027"),
    pytest.param("another_serie", {}, lambda r: r.row["serie"] == "2027X"),
    pytest.param("other_envelope", {}, lambda r: list(json.loads(r.body)) == ["sequence"]),
    pytest.param("other_list", {}, lambda r: isinstance(r.row, list)),
    pytest.param("login_page", {}, has(200)),
    pytest.param("login_page", {}, header(b"Content-Type", b"text/html; charset=utf-8")),
    pytest.param("gzip", {}, encoded(b"gzip", gzip.decompress)),
    pytest.param("bad_gzip", {}, lambda r: r.row["serie"] == "2027"),
    pytest.param("truncated_gzip", {}, raises(EOFError, gzip.decompress)),
    pytest.param("gzip_bomb", {"size": 2_000_000}, encoded(b"gzip", gzip.decompress)),
    pytest.param("gzip_bomb", {}, lambda r: len(gzip.decompress(r.body)) == 100_000_000),
    pytest.param("deflate_bomb", {"size": 2_000_000}, encoded(b"deflate", zlib.decompress)),
    pytest.param("brotli_bomb", {}, lambda r: r.length == 158),
    pytest.param("latency", {}, has(201)),
    pytest.param("slicer", {}, has(201)),
    pytest.param("bandwidth", {}, has(201)),
    pytest.param("slow_close", {}, lambda r: r.row["serie"] == "2027"),
    pytest.param("big_body", {"size": 200_000}, has(201)),
    pytest.param("huge_length", {"size": 100_000}, lambda r: len(r.body) == 100_000),
    pytest.param("huge_length", {"size": 0}, lambda r: r.length == 10_000_000_000),
    pytest.param("endless_chunks", {"size": 200_000}, lambda r: len(r.body) > 190_000),
    pytest.param("endless_head", {"size": 200_000}, lambda r: len(r.raw) > 190_000),
]


@pytest.mark.parametrize(("name", "options", "is_right"), ANSWERS)
async def test_a_response_is_wrong_in_the_way_of_its_name(
    name: str, options: Mapping[str, object], is_right: Check
) -> None:
    reply, server = await faulty(name, **options)

    assert is_right(reply), reply.raw[:500]
    assert server.oracle.rows("acme") == (name != "early_answer")


def test_every_fault_is_tested_and_described() -> None:
    tested = {str(parameter.values[0]) for parameter in ANSWERS}

    silent = set(FAULT_NAMES) - tested

    assert silent == {
        "close_on_accept",
        "reset_on_accept",
        "hang_on_accept",
        "close_unread",
        "reset_unread",
        "hang_unread",
        "stale_keep_alive",
        "reset_half_body",
        "close_after_read",
        "reset_peer",
        "timeout",
    }
    assert "status=503, retry_after=None" in describe_fault("early_answer")
    assert "commits: " in describe_fault("nan")
    assert all(
        "Args" in describe_fault(name) for name in FAULT_NAMES if "=" in describe_fault(name)
    )


# What would take long, or for ever.
OPTIONS_WHEN_MANY: Mapping[str, Mapping[str, object]] = {
    "timeout": {"seconds": 1.0},
    "stall": {"seconds": 1.0},
    "gzip_bomb": {"size": 1_000_000},
    "deflate_bomb": {"size": 1_000_000},
    "big_body": {"size": 1000},
    "huge_length": {"size": 1000},
    "endless_chunks": {"size": 1000},
    "endless_head": {"size": 1000},
}


@pytest.mark.parametrize("name", [n for n in FAULT_NAMES if "commits=" in describe_fault(n)])
@pytest.mark.parametrize("commits", [pytest.param(False, id="never"), "late"])
async def test_a_fault_may_come_without_the_effect(name: str, commits: object) -> None:
    options = OPTIONS_WHEN_MANY.get(name, {})
    async with FaultServer(accounts=[ACME], sleep=FakeSleep()) as server:
        server.faults.next(make_fault(name, commits=commits, **options))
        await talk(server, request())
        before = server.oracle.rows("acme")

        number = await server.commit_late()

    assert before == 0
    assert number == server.oracle.rows("acme") == (commits == "late")
    assert (server.oracle.posts("acme"), len(server.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "method", "path", "body"),
    [
        pytest.param("without_id", b"GET", b"/acme/sequences.json", b'{"sequences":[]}'),
        pytest.param("other_list", b"GET", b"/acme/sequences.json", b'{"sequences":{}}'),
        pytest.param("other_envelope", b"GET", b"/acme/sequences.json", b'{"sequence":[]}'),
        pytest.param("other_list", b"GET", b"/acme/sequences/1.json", b"{}"),
        pytest.param("nan", b"GET", b"/acme/sequences.json", b'{"id":NaN}'),
        pytest.param("invalid_utf8", b"GET", b"/acme/a", b'{"message":"\xff\xfe"}'),
        pytest.param("truncated_json", b"GET", b"/acme/sequences/1.json", b'{"sequence":'),
    ],
)
async def test_a_body_without_rows_is_wrong_as_well(
    name: str, method: bytes, path: bytes, body: bytes
) -> None:
    async with FaultServer(accounts=[ACME], not_found_body="empty") as server:
        server.faults.next(name)
        reply = await talk(server, request(method=method, path=path))

    assert reply.body == body


async def test_lists_of_rows_are_altered_too() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.add_sequence("acme", "2026")
        server.faults.next("without_id")
        without = json.loads((await talk(server, LISTING)).body)["sequences"]
        server.faults.next("other_list")
        other = json.loads((await talk(server, LISTING)).body)["sequences"]

    assert "id" not in without[0]
    assert without[0]["serie"] == other["serie"] == "2026"


@pytest.mark.parametrize(
    ("name", "options", "waits"),
    [
        pytest.param("latency", {"seconds": 3.0}, {3.0}),
        pytest.param("slow_close", {"seconds": 4.0}, {4.0}),
        pytest.param("slicer", {"size": 100, "seconds": 0.7}, {0.7}),
        pytest.param("bandwidth", {"bytes_per_second": 500}, {0.1}),
        pytest.param("bandwidth", {"bytes_per_second": 2}, {0.5}),
        pytest.param("reset_peer", {"seconds": 5.0}, {5.0}),
        pytest.param("timeout", {"seconds": 6.0}, {6.0}),
        pytest.param("stall", {"seconds": 8.0}, {8.0}),
    ],
)
async def test_delays_are_those_requested(
    name: str, options: Mapping[str, object], waits: set[float]
) -> None:
    sleep = FakeSleep()
    async with FaultServer(accounts=[ACME], sleep=sleep) as server:
        server.faults.next(make_fault(name, **options))
        await talk(server, request())

    assert set(sleep.waits) == waits


async def test_a_slice_is_a_packet() -> None:
    async with FaultServer(accounts=[ACME], sleep=FakeSleep()) as server:
        server.faults.next("slicer", size=1, seconds=0.0)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(LISTING)
        first = await reader.read(1000)
        writer.transport.abort()

    assert len(first) < 20


async def test_a_big_body_is_not_made_before_it_is_taken() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        for name in ("big_body", "huge_length", "endless_chunks", "endless_head"):
            server.faults.next(name)
            reply = await talk(server, LISTING, most=300_000)
            await settled(server)
            assert len(reply.raw) >= 300_000

    assert server.oracle.faults.keys() >= {"big_body", "endless_head"}


async def test_a_big_body_comes_whole_to_a_client_that_takes_it() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("big_body", size=20_000_000)
        reply = await talk(server, LISTING, most=100_000_000)

    assert len(reply.body) == reply.length == 20_000_000
    assert json.loads(reply.body) == {"sequences": []}


@pytest.mark.parametrize("name", ["reset_half_body", "early_answer"])
async def test_an_early_fault_waits_for_as_much_of_the_body_as_it_takes(name: str) -> None:
    whole = request()
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next(name)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(whole[: -len(BODY)])
        if name == "early_answer":
            assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        while not server.oracle.faults:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)
        for index in range(len(BODY)):
            assert server.oracle.partial == [] or index >= len(BODY) // 2
            writer.write(BODY[index : index + 1])
            await asyncio.sleep(0.001)
        await settled(server)
        writer.transport.abort()

    (partial,) = server.oracle.partial
    assert partial.bytes_received in range(len(BODY) // 2, len(BODY) + 1)
    assert server.oracle.posts("acme") == 0


async def test_a_stale_connection_closes_as_its_next_request_comes() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("stale_keep_alive")
        fresh = await talk(server, request())
        kept = await talk(server, request(headers=b""), request())

    assert fresh.status == 201
    assert (kept.status, kept.raw.count(b"HTTP/1.1")) == (422, 1)
    assert server.oracle.posts("acme") == 2
    assert [one.method for one in server.oracle.partial] == ["POST"]


async def test_the_key_is_echoed_where_it_would_leak() -> None:
    reply, _ = await faulty("echo_key", where="location")

    assert reply.headers[b"Location"] == b"https://elsewhere.invalid/?" + QUERY


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("reset_pear", {}, id="name"),
        pytest.param("status", {"code": 500}, id="option"),
        pytest.param("empty", {"render": len}, id="an option that is fixed"),
        pytest.param("reset_peer", {"commits": "soon"}, id="value"),
        pytest.param("reset_half_body", {"share": 1.5}, id="share"),
        pytest.param("slicer", {"size": 0}, id="size"),
        pytest.param("bandwidth", {"bytes_per_second": 0}, id="rate"),
        pytest.param("echo_key", {"where": "nowhere"}, id="place"),
        pytest.param("status", {"headers": 5}, id="type"),
    ],
)
def test_an_unknown_fault_is_refused(name: str, options: Mapping[str, object]) -> None:
    with pytest.raises(ValueError, match=r"fault|option|must be|takes|commits"):
        make_fault(name, **options)
    with pytest.raises(ValueError, match=r"no fault is called 'x'"):
        describe_fault("x")


def test_a_fault_is_a_value() -> None:
    assert make_fault("nan", commits=False) == make_fault("nan", commits=False)
    assert make_fault("nan") != make_fault("empty")
    assert len({make_fault(name) for name in FAULT_NAMES}) == len(FAULT_NAMES)
