import asyncio
import json

import pytest

from invoicexpress_async.sandbox import FaultServer, SandboxAccount

ACME = SandboxAccount(name="acme", api_key="k")
CREATE = b'{"sequence": {"serie": "2027"}}'


def post(body: bytes = CREATE, *, headers: str = "") -> bytes:
    head = "POST /acme/sequences.json?api_key=k HTTP/1.1\r\nHost: x\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def get(path: str = "/acme/sequences.json?api_key=k") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


async def talk(server: FaultServer, *requests: bytes) -> bytes | None:
    """Send requests and read to the end; None if the end is a reset."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        for request in requests:
            writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return None
    finally:
        writer.transport.abort()


async def test_without_a_fault_it_answers_like_the_sandbox() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        made = await talk(server, post(headers="Connection: close\r\n"))
        listed = await talk(server, get())

    assert made is not None
    assert listed is not None
    assert made.startswith(b"HTTP/1.1 201 Created\r\n")
    rows = json.loads(listed.partition(b"\r\n\r\n")[2])["sequences"]
    assert rows == [json.loads(made.partition(b"\r\n\r\n")[2])["sequence"]]
    assert server.oracle.posts("acme", "2027") == server.oracle.commits("acme", 2027) == 1


@pytest.mark.parametrize(
    ("name", "end", "posts"),
    [
        pytest.param("close_on_accept", (b"", None), 0),
        pytest.param("reset_on_accept", (None,), 0),
        pytest.param("close_unread", (b"",), 0),
        pytest.param("reset_unread", (None,), 0),
        pytest.param("reset_half_body", (None,), 0),
        pytest.param("close_after_read", (b"",), 1),
        pytest.param("reset_peer", (None,), 1),
    ],
)
async def test_a_silence_ends_as_its_name_says(
    name: str, end: tuple[bytes | None, ...], posts: int
) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next(name)
        answer = await talk(server, post())

    assert answer in end
    assert server.oracle.posts("acme", "2027") == server.oracle.rows("acme") == posts
    assert server.oracle.faults == {name: 1}
    assert server.oracle.connections_open == 0


@pytest.mark.parametrize("commits", [False, "late"])
async def test_a_request_commits_never_or_late(commits: bool | str) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("status", operation="create", commits=commits, status=504)
        answer = await talk(server, post(headers="Connection: close\r\n"))
        before = server.oracle.rows("acme")

        late = await server.commit_late()

    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert (before, server.oracle.rows("acme"), late) == (0, commits == "late", commits == "late")
    assert server.oracle.posts("acme") == 1


async def test_a_port_goes_down_and_comes_up_again() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        port = server.port
        await server.go_down()
        with pytest.raises(ConnectionRefusedError):
            await talk(server, get())
        await server.go_up()
        answer = await talk(server, get())

    assert answer is not None
    assert (server.port, answer[:12]) == (port, b"HTTP/1.1 200")


@pytest.mark.parametrize("name", ["hang_on_accept", "hang_unread", "timeout"])
async def test_closing_ends_what_hangs(name: str) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next(name)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(post())
        while not server.oracle.faults:
            await asyncio.sleep(0)

    async with asyncio.timeout(1):
        assert await reader.read() == b""
    writer.transport.abort()
    assert server.oracle.connections_open == 0
