"""Answers mutated byte by byte: a value or one of our errors, and nothing else, ever."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import ACCOUNT, API_KEY, DATA
from hypothesis import given
from hypothesis import strategies as st

from invoicexpress_async import InvoiceXpressError, RetryPolicy, SessionManager, Timeouts
from invoicexpress_async.protocol.exchange import Response, decipher
from invoicexpress_async.protocol.sequences import SequenceRequests, make_converter

BODIES = [path.read_bytes() for path in sorted(Path(DATA).glob("*.json"))]
REQUESTS = SequenceRequests(make_converter())
KINDS = [
    REQUESTS.create("2023", default=True),
    REQUESTS.get(146_090),
    REQUESTS.register(146_090),
    REQUESTS.list(),
]
edits = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.sampled_from("rid"), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=12,
)


def mutate(body: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    data = bytearray(body)
    for at, how, piece in changes:
        start = at % (len(data) + 1)
        end = start if how == "i" else start + len(piece)
        data[start:end] = b"" if how == "d" else piece
    return bytes(data)


@given(
    st.sampled_from(BODIES),
    edits,
    st.sampled_from(range(len(KINDS))),
    st.sampled_from([200, 201, 302, 401, 404, 409, 422, 429, 500]),
)
def test_a_mutated_body_is_a_value_or_one_of_our_errors(
    body: bytes, changes: list[tuple[int, str, bytes]], kind: int, status: int
) -> None:
    answer = Response(status=status, body=mutate(body, changes))

    try:
        result: object = decipher(KINDS[kind], answer, wall_seconds=0.0)
    except InvoiceXpressError as error:
        assert str(error)
        assert error.__context__ is None
    else:
        assert result is not None


@pytest.fixture
async def raw_server() -> AsyncIterator[tuple[list[bytes], str]]:
    """Answers each request with the next bytes of the list, then closes."""
    answers: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield answers, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{{account}}"


@pytest.mark.fault(17, 30)
@pytest.mark.parametrize("seed", range(4))
async def test_a_mutated_http_answer_on_a_socket_is_a_value_or_one_of_our_errors(
    seed: int, raw_server: tuple[list[bytes], str]
) -> None:
    answers, base_url = raw_server
    chance = random.Random(seed)
    body = b'{"sequences":[' + BODIES[0].split(b'"sequence":')[1].rsplit(b"}", 1)[0] + b"]}"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    whole = head % len(body) + body
    outcomes: set[str] = set()
    timeouts = Timeouts(attempt_seconds=0.1)
    async with SessionManager(
        base_url=base_url, retry=RetryPolicy(attempts=1), timeouts=timeouts
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        for _ in range(80):
            changes = [
                (
                    chance.randrange(160)
                    if chance.random() < 0.7
                    else chance.randrange(len(whole)),
                    chance.choice("rid"),
                    chance.randbytes(chance.randint(1, 4)),
                )
                for _ in range(chance.randint(1, 4))
            ]
            answers.append(mutate(whole, changes))
            try:
                listed = await sequences.list()
                outcomes.add(f"{len(listed)} listed")
            except InvoiceXpressError as error:
                outcomes.add(type(error).__name__)
                assert error.__context__ is None
            answers.clear()

    assert len(outcomes) >= 3
    assert "0 listed" not in outcomes
