"""The faults on account operations, and what the oracle knows of them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from test_sandbox import Json
from test_sandbox_accounts import (
    COMMUNICATE,
    COMPANY,
    CREATE,
    CREATE_FOR_USER,
    EXISTING,
    KEY,
    NIF,
    OWNED,
    PARTNER,
    USED,
    company,
    encoded,
)
from test_sandbox_oracle import ManualSleep

from invoicexpress_async.sandbox import DuplicateAccount, FaultServer, make_fault

EMAIL = str(COMPANY["email"])
NEW = "sapataria-ideal-lda"


@attrs.frozen(kw_only=True)
class Ask:
    """A request with an effect, and how that effect is seen."""

    operation: Any
    method: str
    path: str
    content: Json
    account: str = "partner"

    def has_effect(self, server: FaultServer) -> bool:
        if self.operation == "account_update":
            return server.accounts["owned"].details == {"city": "Porto"}
        if self.operation == "at_communication":
            return server.accounts["owned"].has_at_credentials
        return NEW in server.accounts


def communication(password: str) -> Json:
    fields = {"at_subuser": f"{NIF}/1", "at_password": encoded(password)}
    return {"at_communication": {**fields, "communication_type": "auto"}}


ASKS = [
    pytest.param(
        Ask(operation="account_create", method="POST", path=CREATE, content=company(fiscal_id="1")),
        id="create",
    ),
    pytest.param(
        Ask(
            operation="account_create_already_user",
            method="POST",
            path=CREATE_FOR_USER,
            content=company(**{**EXISTING, "fiscal_id": "1"}),
        ),
        id="create for a user",
    ),
    pytest.param(
        Ask(
            operation="account_update",
            method="PUT",
            path="/api/accounts/7/update.json",
            content={"account": {"city": "Porto"}},
        ),
        id="update",
    ),
    pytest.param(
        Ask(
            operation="at_communication",
            method="POST",
            path=COMMUNICATE,
            content=communication("right"),
            account="owned",
        ),
        id="communicate",
    ),
]


def new_server(**knobs: Any) -> FaultServer:
    bare = attrs.evolve(OWNED, api_key=KEY, has_at_credentials=False)
    return FaultServer(accounts=[PARTNER, USED, bare], **knobs)


async def send(
    server: FaultServer, method: str, path: str, content: object = None, account: str = "partner"
) -> bytes:
    """Return all that came back up to the end of the connection, or nothing after a reset."""
    body = b"" if content is None else json.dumps(content).encode()
    head = f"{method} /{account}{path}?api_key={KEY} HTTP/1.1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(head.encode() + body)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def ask(server: FaultServer, one: Ask) -> bytes:
    return await send(server, one.method, one.path, one.content, one.account)


async def open_account(server: FaultServer, path: str = CREATE, **fields: object) -> bytes:
    return await send(server, "POST", path, company(**fields))


def body_of(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


FAULTS: list[Any] = [
    pytest.param("close_after_read", {"commits": True}, b"", True, id="commit, then close"),
    pytest.param("close_after_read", {"commits": False}, b"", False, id="close"),
    pytest.param("reset_peer", {"commits": True}, b"", True, id="commit, then reset"),
    pytest.param("timeout", {"commits": True, "seconds": 0.0}, b"", True, id="hang, applied"),
    pytest.param("timeout", {"commits": False, "seconds": 0.0}, b"", False, id="hang"),
    pytest.param("status", {"status": 503, "commits": True}, b"503", True, id="503, applied"),
    pytest.param("status", {"status": 503, "commits": False}, b"503", False, id="503"),
    pytest.param(
        "status", {"status": 429, "commits": False, "retry_after": "7"}, b"429", False, id="429"
    ),
    pytest.param("limit_data", {"size": 3}, b"20", True, id="a cut body"),
    pytest.param("truncated_json", {}, b"20", True, id="half of the JSON"),
    pytest.param("cut_chunk", {}, b"20", True, id="a cut chunk"),
    pytest.param("empty", {}, b"20", True, id="an empty body"),
    pytest.param("close_after_answer", {"commits": False}, b"20", False, id="a promise"),
    pytest.param("close_unread", {}, b"", False, id="unread"),
    pytest.param("early_answer", {"status": 503}, b"503", False, id="an early answer"),
]


@pytest.mark.parametrize("one", ASKS)
@pytest.mark.parametrize(("name", "options", "status", "is_applied"), FAULTS)
async def test_a_fault_meets_every_operation_with_or_without_its_effect(
    one: Ask, name: str, options: Mapping[str, object], status: bytes, is_applied: bool
) -> None:
    async with new_server(not_found_body="empty") as server:
        server.faults.next(make_fault(name, **options), operation=one.operation)
        answer = await ask(server, one)
        was_applied = one.has_effect(server)

    assert answer.removeprefix(b"HTTP/1.1 ").startswith(status)
    assert bool(answer) == bool(status)
    assert was_applied == is_applied
    assert server.oracle.faults == {name: 1}


@pytest.mark.parametrize("one", ASKS)
async def test_an_effect_may_come_late(one: Ask) -> None:
    sleep = ManualSleep()
    async with new_server(sleep=sleep) as server:
        server.faults.next("status", status=504, commits="late", late_seconds=60.0)
        answer = await ask(server, one)
        before = one.has_effect(server)
        await sleep.wake()
        after = one.has_effect(server)

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert (before, after, sleep.seconds) == (False, True, [60.0])


async def test_a_get_is_met_as_well_and_has_no_effect() -> None:
    path = "/api/accounts/7/get.json"
    async with new_server() as server:
        server.faults.next("close_after_read", operation="account_get", commits=False)
        lost = await send(server, "GET", path)
        server.faults.next("close_after_answer", commits=False)
        read = await send(server, "GET", path)

    assert lost == b""
    assert body_of(read)["account"]["fiscal_id"] == NIF


@pytest.mark.parametrize("path", [CREATE, CREATE_FOR_USER])
async def test_an_account_can_be_promised_and_never_made(path: str) -> None:
    fields = {**(EXISTING if path == CREATE_FOR_USER else {}), "fiscal_id": "1"}
    async with new_server() as server:
        server.faults.next("close_after_answer", commits=False)
        answer = await open_account(server, path, **fields)

    promised = body_of(answer)["account"]
    assert answer.startswith(b"HTTP/1.1 201 " if path == CREATE else b"HTTP/1.1 200 ")
    assert promised["id"] == "999999999"
    assert promised["url"] == "https://promised-and-never-made.app.invoicexpress.com"
    assert promised["api_key"] not in {one.api_key for one in server.accounts.values()}
    assert (len(server.accounts), server.oracle.accounts.commits()) == (3, 0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("success", b'{"success":"true"}', id="success"),
        pytest.param("empty", b" ", id="empty"),
    ],
)
async def test_at_credentials_can_be_promised_and_never_saved(body: Any, expected: bytes) -> None:
    async with new_server(at_communication_body=body) as server:
        server.faults.next("close_after_answer", commits=False)
        answer = await send(server, "POST", COMMUNICATE, communication("right"), "owned")

    assert answer.endswith(b"\r\n\r\n" + expected)
    assert not server.accounts["owned"].has_at_credentials
    assert server.oracle.accounts.at_communications("owned") == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("without_id", lambda made: "id" not in made["account"], id="no id"),
        pytest.param("other_envelope", lambda made: list(made) == ["accounts"], id="envelope"),
        pytest.param("other_list", lambda made: len(made["account"]) == 1, id="list"),
        pytest.param("another_serie", lambda made: "serie" not in made["account"], id="serie"),
        pytest.param("nan", lambda made: made["account"]["id"] != made["account"]["id"], id="nan"),
        pytest.param("two_ids", lambda made: made["account"]["id"] == 1, id="two ids"),
    ],
)
async def test_the_body_of_a_new_account_is_wrong_as_the_fault_says(
    name: str, expected: Any
) -> None:
    async with new_server() as server:
        server.faults.next(name)
        answer = await open_account(server, fiscal_id="1")

    assert expected(body_of(answer))
    assert server.oracle.accounts.commits(EMAIL) == 1


async def test_the_name_of_a_new_account_may_not_be_text() -> None:
    async with new_server() as server:
        server.faults.next("invalid_utf8")
        answer = await open_account(server, fiscal_id="1")

    assert b'"name":"\xff\xfeSapataria' in answer


async def test_faults_are_drawn_for_account_operations_alone() -> None:
    async with new_server() as server:
        server.faults.randomly({"empty": 1.0}, share=1.0, operations=("account_create",))
        made = await open_account(server, fiscal_id="1")
        read = await send(server, "GET", "/api/accounts/7/get.json")

    assert made.endswith(b"\r\n\r\n")
    assert body_of(read)["account"]["state"] == "active"


async def test_posts_and_accounts_are_distinguished_by_e_mail_and_fiscal_id() -> None:
    async with new_server() as server:
        await open_account(server, fiscal_id="1")
        await open_account(server, email=EMAIL.upper(), fiscal_id="2")
        server.faults.next("reset_peer", commits=False)
        await open_account(server, email="b@c.pt", fiscal_id="3")
        await open_account(server, CREATE_FOR_USER, **{**EXISTING, "fiscal_id": "4"})
        await open_account(server, CREATE_FOR_USER, **{**EXISTING, "fiscal_id": "5"})
        await open_account(server, email=None)
        await send(server, "POST", CREATE, ["not a body"])
        server.faults.next("close_unread")
        await open_account(server, email="unread@c.pt")
        oracle = server.oracle.accounts

    user = str(EXISTING["email"])
    assert [oracle.posts(one) for one in (EMAIL, "b@c.pt", user, "unread@c.pt")] == [2, 1, 2, 0]
    assert [oracle.commits(one) for one in (EMAIL, "b@c.pt", user)] == [1, 0, 2]
    assert (oracle.commits(EMAIL, "1"), oracle.commits(EMAIL, "2")) == (1, 0)
    assert (oracle.commits(fiscal_id="4"), oracle.commits(user, "4")) == (1, 1)
    assert (oracle.posts(), oracle.commits()) == (7, 3)
    assert server.oracle.posts("partner") == server.oracle.commits("partner") == 0


@pytest.mark.parametrize(
    ("is_atomic", "duplicates"),
    [
        pytest.param(True, (), id="atomic"),
        pytest.param(
            False,
            (DuplicateAccount(fiscal_id="1", email=EMAIL, names=(NEW, f"{NEW}-2")),),
            id="racing",
        ),
    ],
)
async def test_overlapping_creates_make_two_accounts_unless_the_check_is_atomic(
    duplicates: tuple[DuplicateAccount, ...], *, is_atomic: bool
) -> None:
    async with new_server(is_name_check_atomic=is_atomic) as server:
        server.faults.next("status", commits="late", times=2)
        await open_account(server, fiscal_id="1")
        await open_account(server, fiscal_id="1")
        await server.commit_late()
        later = await open_account(server, fiscal_id="1")

    ids = [one.id for one in server.accounts.values() if one.id]
    assert server.oracle.accounts.duplicates() == duplicates
    assert server.oracle.accounts.commits(EMAIL, "1") == (1 if is_atomic else 2)
    assert later.startswith(b"HTTP/1.1 422 ")
    assert len(set(ids)) == len(ids)


async def test_companies_without_a_fiscal_id_are_distinguished_by_their_e_mail() -> None:
    async with new_server(is_name_check_atomic=False) as server:
        server.faults.next("status", commits="late", times=2)
        await open_account(server, fiscal_id=None)
        await open_account(server, fiscal_id=None, organization_name="Outra")
        await server.commit_late()

    (duplicate,) = server.oracle.accounts.duplicates()
    assert duplicate == DuplicateAccount(fiscal_id="", email=EMAIL, names=(NEW, "outra"))


async def test_what_at_said_is_counted_by_account() -> None:
    async with new_server() as server:
        for password in ("wrong", "right", "wrong", "wrong", "wrong", "right"):
            await send(server, "POST", COMMUNICATE, communication(password), "owned")
        server.faults.next("close_after_read", commits=False)
        await send(server, "POST", COMMUNICATE, communication("right"), "owned")
        malformed = {"at_communication": {"at_subuser": "x"}}
        await send(server, "POST", COMMUNICATE, malformed, "owned")
        oracle = server.oracle.accounts

    outcomes: list[Any] = ["right", "wrong", "locked", None]
    assert [oracle.at_communications("owned", one) for one in outcomes] == [1, 4, 1, 6]
    assert oracle.at_communications("partner") == 0
    assert server.count("POST", COMMUNICATE, account="owned") == 8
    with pytest.raises(KeyError):
        oracle.at_communications("nobody")


async def test_a_soak_of_lost_responses_leaves_no_duplicate() -> None:
    faults = {
        make_fault("close_after_read"): 1.0,
        make_fault("reset_peer", commits=False): 1.0,
        make_fault("status", status=502, commits="late"): 1.0,
        make_fault("close_unread"): 1.0,
    }
    async with new_server(seed=3, requests_per_minute=None) as server:
        server.faults.randomly(faults, share=0.5, operations=("account_create",))
        for number in range(60):
            await open_account(server, email=f"{number}@c.pt", fiscal_id=str(number))
        await server.commit_late()
        oracle = server.oracle.accounts

    done = server.oracle.faults
    assert sum(done.values()) > 20
    assert oracle.duplicates() == ()
    assert oracle.posts() == 60 - done["close_unread"]
    assert oracle.commits() == oracle.posts() - done["reset_peer"]
    assert max(oracle.posts(f"{number}@c.pt") for number in range(60)) == 1
