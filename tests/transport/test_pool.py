import asyncio
import random

import attrs
import pytest
from fakes import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicexpress_async.transport.connection import HttpConnection
from invoicexpress_async.transport.pool import ConnectionPool, FairSemaphore


@attrs.define(eq=False)
class FakeConnection(HttpConnection):
    origin: str
    is_closed: bool = False

    async def close(self) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


def pool(size: int, made: list[FakeConnection], clock: FakeClock | None = None) -> ConnectionPool:
    def make(origin: str) -> FakeConnection:
        connection = FakeConnection(origin)
        made.append(connection)
        return connection

    return ConnectionPool(make, size=size, clock=clock or FakeClock())


async def test_an_idle_connection_of_the_origin_is_lent_again() -> None:
    made: list[FakeConnection] = []
    one = pool(4, made)

    first = await one.acquire("https://a", "a")
    one.release(first)
    again = await one.acquire("https://a", "a")
    one.release(again)

    assert again is first
    await one.close()
    assert all(connection.is_closed for connection in made)


async def test_the_connection_that_was_idle_longest_makes_room_for_a_new_origin() -> None:
    made: list[FakeConnection] = []
    one = pool(2, made)
    for origin in ("a", "b", "a"):
        one.release(await one.acquire(origin, origin))

    one.release(await one.acquire("c", "c"))

    assert [connection.origin for connection in made if connection.is_closed] == ["b"]
    assert one.count == 2
    await one.close()


async def test_idle_connections_are_closed_after_a_while_and_busy_ones_are_not() -> None:
    made: list[FakeConnection] = []
    clock = FakeClock()
    one = pool(4, made, clock)
    busy = await one.acquire("a", "a")
    one.release(await one.acquire("b", "b"))
    clock.advance(15.0)
    one.release(await one.acquire("c", "c"))

    one.close_idle(15.0)

    assert [connection.origin for connection in made if connection.is_closed] == ["b"]
    one.release(busy)
    await one.close()
    assert one.count == 0


async def test_a_connection_that_cannot_be_made_gives_its_slot_back() -> None:
    def make(_: str) -> FakeConnection:
        raise OSError("no more files")

    one = ConnectionPool(make, size=1, clock=FakeClock())
    for _ in range(3):
        with pytest.raises(OSError, match="no more files"):
            await one.acquire("a", "a")

    assert one.count == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10_000))
def test_connections_never_outnumber_the_size_whoever_is_cancelled(size: int, seed: int) -> None:
    made: list[FakeConnection] = []

    async def scenario() -> None:
        chance, one = random.Random(seed), pool(size, made)

        async def call(origin: str) -> None:
            connection = await one.acquire(origin, origin)
            try:
                await asyncio.sleep(0)
                are_open = [each for each in made if not each.is_closed]
                assert connection in are_open
                assert len(are_open) <= size
            finally:
                one.release(connection)

        tasks = [asyncio.create_task(call(chance.choice("abcdefgh"))) for _ in range(40)]
        for _ in range(20):
            await asyncio.sleep(0)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        last = await asyncio.gather(*(one.acquire("z", "z") for _ in range(size)))
        assert len(last) == size
        for connection in last:
            one.release(connection)
        await one.close()

    asyncio.run(scenario())

    assert all(connection.is_closed for connection in made)


async def test_slots_go_round_the_accounts_that_wait() -> None:
    slots, order = FairSemaphore(1), []
    await slots.acquire("first")

    async def call(account: str) -> None:
        await slots.acquire(account)
        order.append(account)
        slots.release()

    tasks = [asyncio.create_task(call(account)) for account in ["busy"] * 5 + ["a", "b"]]
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*tasks)

    assert order == ["busy", "a", "b", "busy", "busy", "busy", "busy"]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_no_slot_is_lost_or_made_whoever_is_cancelled(size: int, seed: int) -> None:
    async def scenario() -> None:
        chance, slots, holders = random.Random(seed), FairSemaphore(size), 0

        async def call(account: str) -> None:
            nonlocal holders
            await slots.acquire(account)
            holders += 1
            try:
                assert holders <= size
                await asyncio.sleep(0)
            finally:
                holders -= 1
                slots.release()

        tasks = [asyncio.create_task(call(chance.choice("abc"))) for _ in range(30)]
        for _ in range(15):
            await asyncio.sleep(0)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(1):
            for _ in range(size):
                await slots.acquire("last")

    asyncio.run(scenario())


async def call(one: ConnectionPool, origin: str) -> None:
    one.release(await one.acquire(origin, origin))


async def test_origins_that_come_back_keep_their_connections(clock: FakeClock) -> None:
    made: list[FakeConnection] = []
    one = pool(1_000, made, clock)
    origins = [f"origin-{number}" for number in range(800)]

    for _ in range(2):  # as visitors, then as regulars
        for origin in origins:
            await call(one, origin)
    known = len(made)
    for _ in range(5):
        for origin in origins:
            await call(one, origin)

    assert len(made) == known <= 2 * 800
    await one.close()


async def test_origins_that_never_come_back_leave_few_connections(clock: FakeClock) -> None:
    made: list[FakeConnection] = []
    one = pool(1_000, made, clock)

    for number in range(3_000):
        await call(one, f"origin-{number}")
        await call(one, f"origin-{number}")  # at once: the connection is still there

    assert len(made) == 3_000
    assert one.count == 100
    assert sum(not connection.is_closed for connection in made) == 100
    await one.close()


async def test_more_regulars_than_connections_do_not_drive_one_another_out(
    clock: FakeClock,
) -> None:
    made: list[FakeConnection] = []
    one = pool(300, made, clock)
    origins = [f"origin-{number}" for number in range(600)]
    for _ in range(3):
        for origin in origins:
            await call(one, origin)

    before = len(made)
    for origin in origins:
        await call(one, origin)

    # 200 are regulars and find theirs; the others share what is left, and none is worse off.
    assert len(made) - before <= 400
    assert one.count <= 300
    await one.close()


async def test_a_visitor_goes_before_a_regular(clock: FakeClock) -> None:
    made: list[FakeConnection] = []
    one = pool(101, made, clock)
    for number in range(101):
        await call(one, f"origin-{number}")
    await call(one, "origin-0")  # its connection was closed: it comes back, and stays
    for number in range(200, 400):
        await call(one, f"origin-{number}")

    before = len(made)
    await call(one, "origin-0")

    assert len(made) == before
    await one.close()
