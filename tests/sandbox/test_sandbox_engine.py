import ast
import json
import random
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

import invoicexpress_async.sandbox
from invoicexpress_async.sandbox import Sandbox, SandboxAccount
from invoicexpress_async.sandbox.domain.account_state import (
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    Window,
)
from invoicexpress_async.sandbox.domain.engine import Engine
from invoicexpress_async.sandbox.requests import Request

ACME = SandboxAccount(name="acme", api_key="k")
LIST = Request(method="GET", path="/sequences.json", account="acme", query="api_key=k")


def new(serie: str) -> Request:
    body = json.dumps({"sequence": {"serie": serie}}).encode()
    return attrs.evolve(LIST, method="POST", body=body)


def engine(*, is_name_check_atomic: bool = True) -> Engine:
    return Sandbox(accounts=[ACME], is_name_check_atomic=is_name_check_atomic).engine


def test_a_request_that_never_commits_has_no_effect_and_is_counted() -> None:
    server = engine()

    server.receive(new("2027"))

    assert server.sequences("acme") == ()
    assert [record.status for record in server.log.records] == [None]


def test_a_request_takes_effect_when_it_commits() -> None:
    server = engine()
    pending = server.receive(new("2027"))
    before = server.receive(LIST).commit()

    answer = pending.commit()

    assert json.loads(before.body) == {"sequences": []}
    assert (answer.status, len(server.sequences("acme"))) == (201, 1)
    assert [record.status for record in server.log.records] == [201, 200]


@pytest.mark.parametrize(
    ("is_atomic", "statuses"),
    [
        pytest.param(True, [201, 422], id="atomic"),
        pytest.param(False, [201, 201], id="racing"),
    ],
)
def test_overlapping_creates_make_a_duplicate_unless_the_check_is_atomic(
    statuses: list[int], *, is_atomic: bool
) -> None:
    server = engine(is_name_check_atomic=is_atomic)
    overlapping = [server.receive(new("2027")), server.receive(new("2027"))]

    answers = [pending.commit() for pending in overlapping]
    later = server.receive(new("2027")).commit()

    assert [answer.status for answer in answers] == statuses
    assert [row.serie for row in server.sequences("acme")] == ["2027"] * statuses.count(201)
    assert later.status == 422


def test_a_request_may_be_replayed() -> None:
    pending = engine().receive(new("2027"))

    statuses = [pending.commit().status, pending.commit().status]

    assert statuses == [201, 422]


def test_a_request_refused_on_arrival_stays_refused() -> None:
    server = engine()
    pending = server.receive(attrs.evolve(new("2027"), query="api_key=wrong"))

    statuses = [pending.commit().status, pending.commit().status]

    assert statuses == [401, 401]
    assert server.sequences("acme") == ()


def test_a_create_whose_body_was_not_read_is_invalid() -> None:
    server = Sandbox(accounts=[attrs.evolve(ACME, is_trial=True)]).engine
    pending = server.receive(new("2027"))
    server.update_account(ACME)

    assert pending.commit().status == 422


@pytest.mark.parametrize(
    ("window", "most"),
    [
        pytest.param(SlidingWindow, 50, id="sliding"),
        pytest.param(FixedWindow, 100, id="fixed, across two minutes"),
        pytest.param(TokenBucket, 100, id="token bucket, full at first"),
    ],
)
def test_no_minute_admits_more_than_its_kind_allows(
    window: Callable[[int], Window], most: int
) -> None:
    steps = random.Random(1)
    limiter, now = window(50), 0.0
    admitted: list[float] = []

    for _ in range(5000):
        now += steps.choice((0.0, 0.01, 0.5, 2.0))
        if limiter.admit(now):
            admitted.append(now)

    busiest = max(sum(at <= other < at + 60.0 for other in admitted) for at in admitted)
    assert 50 <= busiest <= most


def test_the_sandbox_shares_no_code_with_the_client() -> None:
    folder = Path(invoicexpress_async.sandbox.__file__).parent
    imported = {
        node.module or "."
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    }

    ours = {name for name in imported if name.startswith(("invoicexpress_async", "."))}

    assert ours
    assert all(name.startswith("invoicexpress_async.sandbox") for name in ours)
