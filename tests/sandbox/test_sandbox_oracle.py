import asyncio
import json

import attrs
import pytest

from invoicexpress_async.sandbox import (
    Duplicate,
    FaultServer,
    PartialRequest,
    SandboxAccount,
    make_fault,
)
from invoicexpress_async.sandbox.faults.plan import FaultPlan
from invoicexpress_async.sandbox.http import Head, parse_head

ACME = SandboxAccount(name="acme", api_key="k")
BETA = SandboxAccount(name="beta", api_key="k")


@attrs.define
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class ManualSleep:
    """Sleeps until it is woken."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._sleepers: list[asyncio.Future[None]] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        await sleeper

    async def wake(self) -> None:
        for sleeper in self._sleepers:
            sleeper.set_result(None)
        self._sleepers.clear()
        await asyncio.sleep(0.001)


async def call(server: FaultServer, method: str, path: str, body: str = "") -> bytes:
    head = f"{method} {path}?api_key=k HTTP/1.1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(f"{head}{body}".encode())
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def create(server: FaultServer, serie: object = "2027", account: str = "acme") -> bytes:
    body = json.dumps({"sequence": {"serie": serie}})
    return await call(server, "POST", f"/{account}/sequences.json", body)


async def test_rows_posts_and_commits_are_counted_apart() -> None:
    async with FaultServer(accounts=[ACME, BETA]) as server:
        await create(server, "A")
        server.faults.next("reset_peer", commits=False)
        await create(server, "B")
        await create(server, "A")
        await create(server, "A", account="beta")
        await create(server, {"not": "a name"})
        await create(server, "A", account="nobody")
        oracle = server.oracle

    assert (oracle.posts("acme", "A"), oracle.commits("acme", "A"), oracle.rows("acme", "A")) == (
        2,
        1,
        1,
    )
    assert (oracle.posts("acme", "B"), oracle.commits("acme", "B"), oracle.rows("acme", "B")) == (
        1,
        0,
        0,
    )
    assert (oracle.posts("acme"), oracle.commits("acme"), oracle.rows("acme")) == (4, 1, 1)
    assert oracle.posts("nobody") == oracle.posts("beta") == 1
    with pytest.raises(KeyError):
        oracle.rows("nobody")


async def test_a_row_left_by_a_refusal_counts_as_committed() -> None:
    account = attrs.evolve(ACME, has_at_credentials=False)
    async with FaultServer(accounts=[account], has_row_after_refusal=True) as server:
        answer = await create(server)

    assert answer.startswith(b"HTTP/1.1 422 ")
    assert server.oracle.commits("acme", "2027") == 1


async def test_duplicates_are_found_whatever_their_form() -> None:
    async with FaultServer(accounts=[ACME, BETA], is_name_check_atomic=False) as server:
        server.faults.next("status", commits="late", times=2)
        await create(server)
        await create(server, 2027)
        await create(server, account="beta")
        await server.commit_late()

    assert server.oracle.duplicates() == (Duplicate(account="acme", serie="2027", rows=2),)


async def test_puts_are_counted_by_row_and_action() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        row = server.add_sequence("acme", "2027", is_registered=False)
        server.faults.next("close_after_read", operation="register", commits=False)
        await call(server, "PUT", f"/acme/sequences/{row.id}/register.json")
        is_registered_before = server.sequences("acme")[0].is_registered
        server.faults.next("timeout", operation="register", commits="late", seconds=0.0)
        await call(server, "PUT", f"/acme/sequences/{row.id}/register.json")
        await server.commit_late()

    assert server.oracle.puts("acme", row.id, "register") == 2
    assert server.oracle.puts("acme", row.id, "set_current") == 0
    assert not is_registered_before
    assert server.sequences("acme")[0].is_registered


@pytest.mark.parametrize(
    ("action", "promise"),
    [
        pytest.param("register", b'{"sequences":[{"id":"%d","serie":"2027"}]}', id="register"),
        pytest.param("set_current", b" ", id="set_current"),
    ],
)
async def test_an_effect_can_be_promised_and_not_kept(action: str, promise: bytes) -> None:
    async with FaultServer(accounts=[ACME]) as server:
        row = server.add_sequence("acme", "2027", is_registered=False)
        server.faults.next("close_after_answer", commits=False)
        answer = await call(server, "PUT", f"/acme/sequences/{row.id}/{action}.json")

        (after,) = server.sequences("acme")

    assert answer.endswith(b"\r\n\r\n" + promise.replace(b"%d", str(row.id).encode()))
    assert (after.is_registered, after.is_default) == (False, False)


@pytest.mark.parametrize(
    ("times", "seconds", "most"),
    [
        pytest.param([], 1.0, 0, id="none"),
        pytest.param([0.0, 0.0, 0.0], 1.0, 3, id="at once"),
        pytest.param([0.0, 1.0, 2.0], 1.0, 1, id="just apart"),
        pytest.param([0.0, 0.9, 1.0, 1.8], 1.0, 3, id="across a border"),
        pytest.param([5.0, 0.0, 5.5], 60.0, 3, id="the clock goes back"),
    ],
)
async def test_the_busiest_window_is_found(times: list[float], seconds: float, most: int) -> None:
    clock = Clock()
    async with FaultServer(accounts=[ACME, BETA], clock=clock) as server:
        for index, clock.now in enumerate(times):
            if index == 1:
                server.faults.next("close_unread")
            await create(server, str(index))
            await create(server, str(index), account="beta")
        oracle = server.oracle

    assert oracle.max_in_window("acme", seconds) == most
    assert oracle.max_in_window("nobody", seconds) == 0


async def test_a_request_that_came_in_part_is_recorded_as_such() -> None:
    clock = Clock(now=7.0)
    pieces = [
        b"POST /acme/sequences.json?api_key=k HTTP/1.1\r\nContent-Length: 100\r\n\r\n12345",
        b"GET /acme",
    ]
    async with FaultServer(accounts=[ACME], clock=clock) as server:
        for piece in pieces:
            _, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(piece)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.005)
            while server.oracle.connections_open:  # noqa: ASYNC110 - a count has no event
                await asyncio.sleep(0)
        server.faults.next("reset_half_body")
        await create(server)
        oracle = server.oracle

    assert oracle.partial[:2] == [
        PartialRequest(
            method="POST",
            account="acme",
            path="/sequences.json",
            received_at=7.0,
            bytes_received=5,
            bytes_expected=100,
        ),
        PartialRequest(received_at=7.0, bytes_received=9),
    ]
    assert len(oracle.partial) == 3
    assert oracle.bytes_unread == oracle.bytes_received
    assert (oracle.posts("acme"), server.requests) == (0, [])


async def test_connections_are_counted_in_all_open_and_at_their_peak() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.faults.next("timeout", times=3)
        waiting = [asyncio.create_task(create(server, str(number))) for number in range(3)]
        while server.oracle.faults.get("timeout", 0) < 3:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)
        open_then = server.oracle.connections_open
        await server.go_down()
        await server.go_up()
        await asyncio.wait(waiting)
        await create(server, "last")

    oracle = server.oracle
    assert (open_then, oracle.connections_open) == (3, 0)
    assert (oracle.connections_peak, oracle.connections_total) == (3, 4)


async def test_a_late_request_takes_effect_when_its_time_has_come() -> None:
    sleep = ManualSleep()
    async with FaultServer(accounts=[ACME], sleep=sleep) as server:
        server.faults.next("status", status=504, commits="late", late_seconds=60.0, times=2)
        await create(server, "A")
        await create(server, "B")
        before = server.oracle.rows("acme")
        await sleep.wake()
        after = server.oracle.rows("acme")
        late = await server.commit_late()

    assert (before, after, late, sleep.seconds) == (0, 2, 0, [60.0, 60.0])


async def test_a_late_request_is_not_applied_twice() -> None:
    sleep = ManualSleep()
    async with FaultServer(accounts=[ACME], sleep=sleep, is_name_check_atomic=False) as server:
        server.faults.next("timeout", commits="late", late_seconds=60.0, seconds=0.0)
        create_task = asyncio.create_task(create(server))
        while len(sleep.seconds) < 2:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0)
        late = await server.commit_late()
        await sleep.wake()
        await create_task

    assert (late, server.oracle.rows("acme")) == (1, 1)


async def test_reads_and_refusals_are_answered_truly_without_an_effect() -> None:
    async with FaultServer(accounts=[ACME]) as server:
        server.add_sequence("acme", "2026")
        server.faults.next("close_after_answer", commits=False, times=2)
        listed = await call(server, "GET", "/acme/sequences.json")
        refused = await create(server, "x" * 40)

    assert b'"2026"' in listed
    assert refused.startswith(b"HTTP/1.1 422 ")


def head(method: str = "POST", account: str = "acme", path: str = "sequences.json") -> Head:
    return parse_head(f"{method} /{account}/{path} HTTP/1.1".encode())


def names(plan: FaultPlan, *heads: Head, is_reused: bool = False) -> list[str | None]:
    faults = [plan.for_request(one, is_reused=is_reused) for one in heads]
    return [fault.name if fault is not None else None for fault in faults]


def test_a_plan_meets_what_matches_and_in_order() -> None:
    plan = FaultPlan()
    plan.next("empty", operation="create", account="ACME", times=2)
    plan.next("null", account="beta")
    plan.next("nan", operation="list")

    met = names(plan, head("GET", path="x"), head(), head(account="beta"), head("GET"), head())

    assert met == [None, "empty", "null", "nan", "empty"]
    assert names(plan, head(), head(account="beta"), head("GET")) == [None, None, None]
    assert plan.planned == 0


def test_a_plan_without_an_end_lasts_until_it_is_cleared() -> None:
    plan = FaultPlan()
    plan.next("empty", times=None)
    plan.next("close_on_accept", times=3)

    assert names(plan, *[head()] * 5) == ["empty"] * 5
    assert plan.planned is None
    plan.clear()
    assert names(plan, head()) == [None]
    assert plan.for_arrival() is None
    assert plan.planned == 0


def test_arrivals_are_met_in_order() -> None:
    plan = FaultPlan()
    plan.next("close_on_accept", times=2)
    plan.next("reset_on_accept")

    met = [plan.for_arrival() for _ in range(4)]

    assert [fault and fault.name for fault in met] == [
        "close_on_accept",
        "close_on_accept",
        "reset_on_accept",
        None,
    ]


def test_a_fault_for_a_kept_connection_waits_for_one() -> None:
    plan = FaultPlan()
    plan.next("stale_keep_alive")
    plan.next("empty")

    assert names(plan, head()) == ["empty"]
    assert names(plan, head(), is_reused=True) == ["stale_keep_alive"]
    plan.randomly({"stale_keep_alive": 1.0}, share=1.0)
    assert names(plan, head()) == [None]
    assert names(plan, head(), is_reused=True) == ["stale_keep_alive"]


def test_equal_seeds_draw_equal_faults() -> None:
    def draw(seed: int) -> list[str | None]:
        plan = FaultPlan(seed)
        plan.randomly({"empty": 3.0, "nan": 1.0}, share=0.2, operations=("create",))
        return names(plan, *[head()] * 10_000)

    drawn = draw(1)

    assert drawn == draw(1) != draw(2)
    assert drawn.count("empty") == pytest.approx(1500, rel=0.1)
    assert drawn.count("nan") == pytest.approx(500, rel=0.15)


def test_only_the_operations_given_are_drawn_for() -> None:
    plan = FaultPlan()
    plan.randomly({make_fault("status", status=502): 1.0}, share=1.0, operations=("create",))

    assert names(plan, head(), head("GET"), head("GET", path="x")) == ["status", None, None]


def test_arrivals_have_their_part_of_the_share() -> None:
    plan = FaultPlan()
    plan.randomly({"close_on_accept": 1.0, "empty": 3.0}, share=0.4)

    arrivals = [plan.for_arrival() for _ in range(10_000)]
    requests = names(plan, *[head("GET")] * 10_000)

    assert len(arrivals) - arrivals.count(None) == pytest.approx(1000, rel=0.15)
    assert requests.count("empty") == pytest.approx(3000, rel=0.1)


def test_what_cannot_be_planned_is_refused() -> None:
    plan = FaultPlan()

    with pytest.raises(ValueError, match="before anything is known"):
        plan.next("close_on_accept", account="acme")
    with pytest.raises(ValueError, match="not an operation: delete; there are: create, list, get"):
        plan.next("empty", operation="delete")  # type: ignore[arg-type]  # the point of it
    with pytest.raises(ValueError, match="share"):
        plan.randomly({"empty": 1.0}, share=1.5)
    with pytest.raises(ValueError, match="not an operation"):
        plan.randomly({"empty": 1.0}, share=0.5, operations=("delete",))
    with pytest.raises(ValueError, match=r"option of status: x; .* late_seconds, status"):
        plan.next("status", x=1)
    with pytest.raises(ValueError, match="no fault is called"):
        plan.next("x")
    assert plan.planned == 0
