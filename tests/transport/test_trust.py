"""What is sent once, and servers that close idle connections in their own time."""

import asyncio
import itertools

import attrs
import pytest
from closing_server import ClosingServer
from conftest import ACCOUNT, API_KEY, LoopbackResolver
from fakes import FakeClock

from invoicexpress_async import OutcomeUnknownError, SequenceService, SessionManager
from invoicexpress_async.protocol.exchange import Response
from invoicexpress_async.transport import Attempt
from invoicexpress_async.transport.connection import ConnectionTrust

_GAPS = (0.0, 0.0, 0.002, 0.004, 0.1, 0.5, 0.9, 0.95, 1.5, 1.9, 3.0, 4.9, 7.0, 9.9, 12.0, 0.3, 0.0)


@attrs.define
class Tally:
    tried: int = 0
    unknown: int = 0

    async def create(self, sequences: SequenceService, serie: str) -> None:
        self.tried += 1
        try:
            await sequences.create(serie)
        except OutcomeUnknownError:
            self.unknown += 1


@pytest.mark.fault(66)
@pytest.mark.parametrize("idle_seconds", [0.0, 0.005, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("latency_seconds", [0.0, 0.001, 0.02, 0.1])
@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_server_that_closes_idle_connections_loses_one_create_at_most(
    idle_seconds: float, latency_seconds: float, at_once: int, clock: FakeClock
) -> None:
    tally, numbers = Tally(), itertools.count()
    async with (
        ClosingServer(idle_seconds, latency_seconds, clock) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
    ):
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        for gap in _GAPS:
            await sequences.list()
            clock.advance(gap)
            names = [f"S{next(numbers)}" for _ in range(at_once)]
            await asyncio.gather(*(tally.create(sequences, name) for name in names))

    assert server.lost <= tally.unknown <= 1
    assert tally.tried - tally.unknown == len(server.posts)
    assert set(server.posts.values()) == {1}


@pytest.mark.fault(66)
async def test_on_a_provider_that_closes_at_once_few_of_many_accounts_lose_a_create(
    clock: FakeClock,
) -> None:
    tally = Tally()
    async with ClosingServer(0.001, 0.001, clock) as server:
        port = server.base_url.removesuffix("/{account}").split(":")[-1]
        template = f"http://{{account}}.localhost:{port}"
        async with SessionManager(
            base_url=template, clock=clock, resolver=LoopbackResolver()
        ) as manager:
            for number in range(40):
                sequences = manager.account(f"account-{number}", API_KEY).sequences
                await sequences.list()
                await tally.create(sequences, f"S{number}")

    assert 1 <= tally.unknown <= 3


async def test_a_connection_used_within_the_last_second_carries_a_create(
    clock: FakeClock,
) -> None:
    tally = Tally()
    async with (
        ClosingServer(60.0, 0.0, clock) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
    ):
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        for number, gap in enumerate((0.0, 1.0, 0.5)):
            clock.advance(gap)
            await tally.create(sequences, f"S{number}")

        assert server.connections == 1
        clock.advance(1.1)
        await tally.create(sequences, "late")

    assert (server.connections, tally.unknown) == (2, 0)


def test_one_request_with_an_effect_at_a_time_tries_a_longer_idle_time(clock: FakeClock) -> None:
    trust = ConnectionTrust(clock)
    used_at = clock.now() - 0.5

    first = trust.reuse("a", used_at, has_effect=True)
    second = trust.reuse("a", used_at, has_effect=True)
    assert first is not None
    first.end(Attempt(is_sent=True, response=Response(status=200)))

    assert second is None
    assert trust.reuse("a", used_at, has_effect=True) is not None
    assert trust.reuse("a", used_at, has_effect=True) is not None


def test_an_origin_that_let_a_connection_die_is_never_trusted_with_an_effect_again(
    clock: FakeClock,
) -> None:
    trust = ConnectionTrust(clock)
    reuse = trust.reuse("a", clock.now() - 0.5, has_effect=False)
    assert reuse is not None
    reuse.end(Attempt(is_sent=True))

    assert trust.reuse("a", clock.now(), has_effect=True) is None
    assert trust.reuse("a", clock.now() - 0.5, has_effect=False) is None
    assert trust.reuse("b", clock.now(), has_effect=True) is not None
    clock.advance(60.0)
    assert trust.reuse("a", clock.now(), has_effect=True) is None
    assert trust.reuse("a", clock.now() - 0.5, has_effect=False) is not None


@pytest.mark.fault(66)
@pytest.mark.parametrize("asleep_seconds", [0.0, 3_600.0])
async def test_a_connection_is_not_trusted_with_a_create_after_the_machine_slept(
    asleep_seconds: float, clock: FakeClock
) -> None:
    async with (
        ClosingServer(60.0, 0.0, clock) as server,
        SessionManager(base_url=server.base_url, clock=clock) as manager,
    ):
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        clock.suspend(asleep_seconds)
        await sequences.create("2027")

        assert server.connections == (2 if asleep_seconds else 1)


@pytest.mark.parametrize("asleep_seconds", [0.0, 3_600.0])
def test_a_response_that_was_read_after_a_sleep_is_no_sign_of_an_open_connection(
    asleep_seconds: float,
) -> None:
    clock = FakeClock()
    trust = ConnectionTrust(clock)
    gap = trust.clock_gap()
    clock.suspend(asleep_seconds)

    reuse = trust.reuse("origin", trust.used_at(gap), has_effect=True)

    assert (reuse is None) is bool(asleep_seconds)
