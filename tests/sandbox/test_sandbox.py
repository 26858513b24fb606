import asyncio
import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote

import aiohttp
import attrs
import pytest
from multidict import CIMultiDictProxy

from invoicexpress_async.sandbox import (
    ErrorShape,
    RecordedRequest,
    Sandbox,
    SandboxAccount,
    SandboxSequence,
)

Json = dict[str, object]

SAMPLE = json.loads((Path(__file__).parents[1] / "data" / "create_201.json").read_text("utf-8"))
LEAN_SAMPLE = json.loads(
    (Path(__file__).parents[1] / "data" / "create_201_lean_2019.json").read_text("utf-8")
)
KEY = "canary-key-7f3a"
ACME = SandboxAccount(name="acme", api_key=KEY)


@attrs.define
class FakeClock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@attrs.frozen
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Json:
        return cast("Json", json.loads(self.body))

    @property
    def row(self) -> Json:
        return cast("Json", self.json["sequences"])

    @property
    def rows(self) -> list[Json]:
        return cast("list[Json]", self.json["sequences"])

    @property
    def error(self) -> tuple[int, object]:
        return self.status, cast("Json", self.json["errors"])["code"]


async def call(
    sandbox: Sandbox,
    method: str,
    path: str,
    *,
    account: str = "acme",
    query: str | None = None,
    content: object = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    if query is None:
        query = f"?api_key={quote(sandbox.accounts[account].api_key, safe='')}"
    url = sandbox.base_url.format(account=account) + path + query
    async with (
        aiohttp.ClientSession(requote_redirect_url=False) as session,
        session.request(
            method, url, json=content, headers=headers, allow_redirects=False
        ) as response,
    ):
        return Reply(response.status, response.headers, await response.read())


async def create(
    sandbox: Sandbox, serie: object = "2027", *, account: str = "acme", **fields: object
) -> Reply:
    content = {"sequence": {"serie": serie, **fields}}
    return await call(sandbox, "POST", "/sequences.json", account=account, content=content)


async def listing(sandbox: Sandbox, account: str = "acme") -> list[Json]:
    return (await call(sandbox, "GET", "/sequences.json", account=account)).rows


async def raw(sandbox: Sandbox, request: bytes, *, until_closed: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection(sandbox.host, sandbox.port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read() if until_closed else b""
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_create_responds_like_the_official_sample() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await create(sandbox, "2023", default_sequence="1")

    assert reply.status == 201
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert list(reply.row) == list(SAMPLE["sequence"])
    assert (reply.row["serie"], reply.row["default_sequence"]) == ("2023", 1)
    assert reply.row["current_invoice_sequence_id"] == reply.row["id"]
    for key, sample in SAMPLE["sequence"].items():
        if key.endswith("_validation_code"):
            code = cast("str", reply.row[key])
            assert code == sample == "N/A" or re.fullmatch("[A-Z]{4}[0-9]{4}", code)
        elif key.endswith("_number"):
            assert reply.row[key] == 0


async def test_a_lean_account_responds_like_the_row_recorded_in_2019() -> None:
    types = [key[8:-12] for key in LEAN_SAMPLE["sequence"] if key.endswith("_sequence_id")]
    account = SandboxAccount(name="old", document_types=types, has_validation_codes=False)
    async with Sandbox(accounts=[account]) as sandbox:
        reply = await create(sandbox, 2017, account="old", default_sequence=1)

    assert list(reply.row) == list(LEAN_SAMPLE["sequence"])
    assert reply.row["serie"] == 2017
    assert reply.row["default_sequence"] == 0


async def test_ids_are_unique_near_the_row_and_at_no_fixed_offset() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        for year in range(2020, 2040):
            await create(sandbox, str(year))

        rows = sandbox.sequences("acme")

    ids = [number for row in rows for number in row.sequence_ids.values()]
    assert len(ids) == len(set(ids)) == 15 * 20
    assert all(abs(number - row.id) < 30 for row in rows for number in row.sequence_ids.values())
    assert len({row.sequence_ids["receipt"] - row.id for row in rows}) > 3
    codes = [code for row in rows for code in row.validation_codes.values() if code != "N/A"]
    assert len(codes) == len(set(codes)) == 11 * 20


async def test_equal_seeds_give_equal_rows() -> None:
    def rows(seed: int) -> SandboxSequence:
        return Sandbox(accounts=[ACME], seed=seed).add_sequence("acme", "2027")

    assert rows(7) == rows(7)
    assert rows(7) != rows(8)


async def test_a_type_without_invoices_has_a_row_id_of_its_own() -> None:
    account = attrs.evolve(ACME, document_types=("receipt", "purchase_order"))
    row = Sandbox(accounts=[account]).add_sequence("acme", "2027")

    assert row.id not in row.sequence_ids.values()
    assert row.validation_codes["purchase_order"] == "N/A"


async def test_the_rows_of_an_account_can_be_listed_and_got() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        first = await create(sandbox, "A")
        second = await create(sandbox, "B")

        rows = await listing(sandbox)
        got = await call(sandbox, "GET", f"/sequences/{second.row['id']}.json")

    assert rows == [first.row, second.row]
    assert (got.status, got.row) == (200, second.row)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        pytest.param("1", 1, id="the string 1"),
        pytest.param(1, 0, id="the integer 1, as it was recorded"),
        pytest.param("true", 0, id="a word"),
        pytest.param(True, 0, id="a boolean"),
        pytest.param("0", 0, id="the string 0"),
        pytest.param(None, 0, id="null"),
    ],
)
async def test_only_the_string_1_makes_a_default(value: object, flag: int) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await create(sandbox, default_sequence=value)

    assert reply.row["default_sequence"] == flag


async def test_a_new_default_clears_the_old_one() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        first = await create(sandbox, "A", default_sequence="1")
        await create(sandbox, "B", default_sequence="1")
        after_create = [row["default_sequence"] for row in await listing(sandbox)]

        reply = await call(sandbox, "PUT", f"/sequences/{first.row['id']}/set_current.json")
        after_set_current = [row["default_sequence"] for row in await listing(sandbox)]

    assert (reply.status, reply.body) == (200, b" ")
    assert (after_create, after_set_current) == ([0, 1], [1, 0])


async def test_every_response_sets_a_cookie_for_the_domain_all_accounts_share() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        replies = [
            await create(sandbox),
            await create(sandbox),
            await call(sandbox, "GET", "/sequences/1.json"),
            await call(sandbox, "GET", "/sequences.json", account="nobody", query=""),
        ]

    assert [reply.status for reply in replies] == [201, 422, 404, 401]
    assert all("domain=.app.invoicexpress.com" in r.headers["Set-Cookie"] for r in replies)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/invoices.json", id="another resource"),
        pytest.param("GET", "/sequences", id="without .json"),
        pytest.param("GET", "/", id="root"),
        pytest.param("DELETE", "/sequences/1.json", id="series cannot be deleted"),
        pytest.param("PUT", "/sequences/1.json", id="nor renamed"),
        pytest.param("POST", "/sequences/1/register.json", id="wrong verb"),
    ],
)
async def test_an_unknown_route_redirects_to_a_page(method: str, path: str) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await call(sandbox, method, path)
        page = await raw(
            sandbox,
            f"GET {reply.headers['Location']} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            "".encode(),
        )

    assert reply.status == 302
    assert reply.headers["Content-Type"].startswith("text/html")
    assert page.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("account", "query"),
    [
        pytest.param("acme", "", id="no key"),
        pytest.param("acme", "?api_key=wrong", id="wrong key"),
        pytest.param("acme", "?api_key=%ff%zz", id="not even text"),
        pytest.param("acme", f"?API_KEY={KEY}", id="wrong name"),
        pytest.param("nobody", f"?api_key={KEY}", id="unknown account"),
    ],
)
async def test_a_wrong_key_and_a_wrong_account_answer_alike(account: str, query: str) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await call(sandbox, "GET", "/sequences.json", account=account, query=query)

    assert (reply.status, reply.json) == (401, {"errors": {"error": "Invalid API key"}})


async def test_a_401_can_be_empty_as_in_the_documentation() -> None:
    async with Sandbox(accounts=[ACME], unauthorized_body="empty") as sandbox:
        reply = await call(sandbox, "GET", "/sequences.json", query="")

    assert (reply.status, reply.body) == (401, b"")


async def test_keys_are_compared_byte_for_byte_after_decoding() -> None:
    key = "a&b#c+d%e f\u00e9=g"
    async with Sandbox(accounts=[attrs.evolve(ACME, api_key=key)]) as sandbox:
        target = f"/acme/sequences.json?x=1&api_key={quote(key, safe='')}"
        good = await raw(
            sandbox, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        bad = await raw(
            sandbox,
            f"GET {target.lower()}X HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(),
        )

    assert good.startswith(b"HTTP/1.1 200")
    assert bad.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no body"),
        pytest.param([], id="a list"),
        pytest.param({}, id="no sequence"),
        pytest.param({"sequences": {"serie": "2027"}}, id="the wrong envelope"),
        pytest.param({"serie": "2027"}, id="no envelope"),
        pytest.param({"sequence": []}, id="a list in the envelope"),
        pytest.param({"sequence": {}}, id="no serie"),
        pytest.param({"sequence": {"serie": None}}, id="null"),
        pytest.param({"sequence": {"serie": ""}}, id="empty"),
        pytest.param({"sequence": {"serie": " \t"}}, id="blank"),
        pytest.param({"sequence": {"serie": True}}, id="a boolean"),
        pytest.param({"sequence": {"serie": ["2027"]}}, id="a list as serie"),
        pytest.param({"sequence": {"name": "2027"}}, id="a misspelled field"),
    ],
)
async def test_a_malformed_create_is_invalid(content: object) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await call(sandbox, "POST", "/sequences.json", content=content)

    assert reply.error == (422, "003")
    assert sandbox.sequences("acme") == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="too deep"),
    ],
)
async def test_a_body_that_is_not_json_is_invalid(body: bytes) -> None:
    head = f"POST /acme/sequences.json?api_key={KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await raw(sandbox, head.encode() + body)

    assert reply.startswith(b"HTTP/1.1 422")


async def test_a_body_that_does_not_say_it_is_json_is_not_read() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await call(
            sandbox,
            "POST",
            "/sequences.json",
            content={"sequence": {"serie": "2027"}},
            headers={"Content-Type": "text/plain"},
        )

    assert reply.error == (422, "003")


@pytest.mark.parametrize(
    "serie",
    [
        pytest.param("x" * 36, id="36 characters"),
        pytest.param("20\n27", id="a control character"),
        pytest.param("BAD", id="refused by the test"),
    ],
)
async def test_a_name_that_is_not_allowed_is_refused(serie: str) -> None:
    async with Sandbox(accounts=[ACME], refused_names={"BAD"}) as sandbox:
        reply = await create(sandbox, serie)

    assert reply.error == (422, "001")


async def test_a_name_of_35_characters_is_allowed() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await create(sandbox, "\u00e9" * 35)

    assert reply.row["serie"] == "\u00e9" * 35


async def test_a_name_is_taken_once_in_each_account() -> None:
    async with Sandbox(accounts=[ACME, "beta"]) as sandbox:
        await create(sandbox, "2027")

        again = await create(sandbox, "2027")
        as_integer = await create(sandbox, 2027)
        elsewhere = await create(sandbox, "2027", account="beta")

    assert (again.error, as_integer.error) == ((422, "002"), (422, "002"))
    assert elsewhere.status == 201


@pytest.mark.parametrize(
    ("account", "on_create", "on_register"),
    [
        pytest.param(attrs.evolve(ACME, has_at_credentials=False), "004", "002", id="none"),
        pytest.param(attrs.evolve(ACME, has_valid_at_credentials=False), "004", "002", id="wrong"),
        pytest.param(attrs.evolve(ACME, has_open_activity=False), "005", "003", id="no activity"),
    ],
)
@pytest.mark.parametrize("has_row", [False, True])
async def test_the_tax_authority_refuses_by_the_codes_of_the_operation(
    account: SandboxAccount, on_create: str, on_register: str, *, has_row: bool
) -> None:
    async with Sandbox(accounts=[account], has_row_after_refusal=has_row) as sandbox:
        reply = await create(sandbox)
        left = sandbox.sequences("acme")

        register = [
            await call(sandbox, "PUT", f"/sequences/{row.id}/register.json") for row in left
        ]

    assert reply.error == (422, on_create)
    assert [row.is_registered for row in left] == [False] * has_row
    assert [reply.error for reply in register] == [(422, on_register)] * has_row


async def test_a_trial_may_read_and_not_register() -> None:
    async with Sandbox(accounts=[attrs.evolve(ACME, is_trial=True)]) as sandbox:
        row = sandbox.add_sequence("acme", "2026", is_registered=False)

        made = await create(sandbox)
        registered = await call(sandbox, "PUT", f"/sequences/{row.id}/register.json")
        rows = await listing(sandbox)

    assert (made.status, registered.status, len(rows)) == (401, 401, 1)


async def test_an_account_outside_portugal_registers_nothing() -> None:
    account = attrs.evolve(ACME, country="IE", has_at_credentials=False)
    async with Sandbox(accounts=[account]) as sandbox:
        made = await create(sandbox)
        path = f"/sequences/{made.row['id']}/register.json"
        registered = await call(sandbox, "PUT", path)

    assert set(sandbox.sequences("acme")[0].validation_codes.values()) == {"N/A"}
    assert registered.error == (422, "004")


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        pytest.param("create", "POST", "/sequences.json", id="create"),
        pytest.param("list", "GET", "/sequences.json", id="list"),
        pytest.param("get", "GET", "/sequences/{id}.json", id="get"),
        pytest.param("set_current", "PUT", "/sequences/{id}/set_current.json", id="set_current"),
        pytest.param("register", "PUT", "/sequences/{id}/register.json", id="register"),
    ],
)
async def test_any_operation_can_be_refused_with_any_code(
    operation: Literal["create", "list", "get", "set_current", "register"], method: str, path: str
) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        row = sandbox.add_sequence("acme", "2026", is_registered=False)
        sandbox.update_account(attrs.evolve(ACME, refusals={operation: (403, "X42")}))

        content = {"sequence": {"serie": "2027"}}
        reply = await call(sandbox, method, path.format(id=row.id), content=content)

    assert reply.error == (403, "X42")
    assert sandbox.sequences("acme") == (row,)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("space", b" ", id="one space"),
        pytest.param("empty", b"", id="nothing"),
        pytest.param("html", b"<!DOCTYPE html>", id="a page"),
    ],
)
@pytest.mark.parametrize("path", ["/{}.json", "/{}/set_current.json"])
async def test_an_id_that_is_not_a_rows_own_is_not_found(
    path: str, body: str, expected: bytes
) -> None:
    method = "GET" if path == "/{}.json" else "PUT"
    async with Sandbox(accounts=[ACME, "beta"]) as sandbox:
        sandbox.not_found_body = body  # type: ignore[assignment] # the table's values are literals
        row = sandbox.add_sequence("acme", "2026")
        others = sandbox.add_sequence("beta", "2026")

        replies = [
            await call(sandbox, method, "/sequences" + path.format(unknown))
            for unknown in (1, "abc", row.sequence_ids["receipt"], others.id, "9" * 5000)
        ]

    assert {reply.status for reply in replies} == {404}
    assert all(reply.body[: max(1, len(expected))] == expected for reply in replies)


@pytest.mark.parametrize(
    ("is_older", "body"),
    [
        pytest.param(
            False,
            b'{"errors":{"code":"006","message":"The sequence doesn\'t exist"}}',
            id="as described",
        ),
        pytest.param(True, b" ", id="as on the older page"),
    ],
)
async def test_a_series_that_is_not_there_is_not_registered(is_older: bool, body: bytes) -> None:
    async with Sandbox(accounts=[ACME], language="en") as sandbox:
        if is_older:
            sandbox.use_older_shapes()
        reply = await call(sandbox, "PUT", "/sequences/1/register.json")

    assert (reply.status, reply.body) == (404, body)


async def test_all_registered_may_be_said_in_another_way() -> None:
    async with Sandbox(accounts=[ACME], language="en") as sandbox:
        sandbox.register_codes = {"all_registered": (422, "007")}
        row = sandbox.add_sequence("acme", "2027")
        reply = await call(sandbox, "PUT", f"/sequences/{row.id}/register.json")

    assert reply.error == (422, "007")
    assert b"All sequences are registered in AT" in reply.body


async def test_the_older_shapes_are_those_of_the_older_pages() -> None:
    async with Sandbox(accounts=[ACME], language="en") as sandbox:
        sandbox.use_older_shapes()
        made = await create(sandbox)
        again = await create(sandbox)
        path = f"/sequences/{sandbox.sequences('acme')[0].id}/register.json"
        registered = await call(sandbox, "PUT", path)
        wrong_key = await call(sandbox, "GET", "/sequences.json", query="")

    assert list(made.json) == ["sequence"]
    assert again.json == {"code": "002", "message": "Sequence already exists"}
    assert (registered.status, registered.json["code"]) == (409, "007")
    assert wrong_key.json == {"errors": [{"error": "Invalid API key"}]}


@pytest.mark.parametrize(
    ("name", "serie"),
    [
        pytest.param("company", "ACME", id="company"),
        pytest.param("year", str(datetime.now(UTC).year), id="year"),
    ],
)
async def test_given_accounts_may_begin_as_new_ones_do(
    name: Literal["company", "year"], serie: str
) -> None:
    sandbox = Sandbox(accounts=[ACME], new_account_serie=name, is_every_account_new=True)
    later = sandbox.add_account("later")

    (row,) = sandbox.sequences("acme")
    assert (row.serie, row.is_default, row.is_registered) == (serie, True, False)
    assert len(sandbox.sequences(later.name)) == 1


@pytest.mark.parametrize("shape", list(ErrorShape))
@pytest.mark.parametrize("language", ["pt", "en"])
async def test_a_refusal_comes_in_every_shape_that_was_seen(
    shape: ErrorShape, language: str
) -> None:
    text = {"pt": "A série já existe", "en": "Sequence already exists"}[language]
    inner = {"code": "002", "message": text}
    expected = {
        ErrorShape.EMPTY: b"",
        ErrorShape.SPACE: b" ",
        ErrorShape.CODE_MESSAGE: inner,
        ErrorShape.ERRORS_CODE_MESSAGE: {"errors": inner},
        ErrorShape.ERRORS_ERROR: {"errors": {"error": text}},
        ErrorShape.ERRORS_LIST_ERROR: {"errors": [{"error": text}]},
        ErrorShape.ERRORS_LIST_TEXT: {"errors": [text]},
        ErrorShape.ERRORS_TEXT: {"errors": text},
        ErrorShape.ERRORS_FIELD: {"errors": {"serie": [text]}},
        ErrorShape.FIELD: {"serie": [text]},
        ErrorShape.ERROR: {"error": text},
        ErrorShape.MESSAGE: {"message": text},
        ErrorShape.PAIRS: [["serie", text]],
        ErrorShape.FIELD_TEXT: ["serie", text],
        ErrorShape.TEXT: text.encode(),
        ErrorShape.NESTED_CODE_WINS: {"code": "999", "message": text, "errors": inner},
        ErrorShape.SUCCESS_FALSE: {"success": False, "errors": inner},
        ErrorShape.SUCCESS_FALSE_TEXT: {"success": "false", "errors": inner},
    }
    async with Sandbox(accounts=[ACME]) as sandbox:
        sandbox.error_shape = shape
        sandbox.language = language  # type: ignore[assignment] # the table's values are literals
        sandbox.add_sequence("acme", "2027")

        reply = await create(sandbox, "2027")

    assert reply.status == (200 if shape.startswith("success_false") else 422)
    if shape is ErrorShape.HTML:
        assert text.encode() in reply.body
        assert reply.headers["Content-Type"].startswith("text/html")
    elif isinstance(wanted := expected[shape], bytes):
        assert reply.body == wanted
    else:
        assert reply.json == wanted


@pytest.mark.parametrize(
    ("form", "code", "expected"),
    [
        pytest.param("padded", "006", "006", id="as documented"),
        pytest.param("bare", "006", "6", id="without zeros"),
        pytest.param("integer", "006", 6, id="as an integer"),
        pytest.param("integer", "X42", "X42", id="not a number"),
    ],
)
async def test_a_code_comes_in_every_form(form: str, code: str, expected: object) -> None:
    account = attrs.evolve(ACME, refusals={"create": (409, code)})
    async with Sandbox(accounts=[account]) as sandbox:
        sandbox.code_form = form  # type: ignore[assignment] # the table's values are literals

        reply = await create(sandbox)

    assert reply.error == (409, expected)


async def test_a_refusal_without_a_code_has_none() -> None:
    account = attrs.evolve(ACME, refusals={"create": (500, "")})
    async with Sandbox(accounts=[account]) as sandbox:
        reply = await create(sandbox)

    assert reply.status == 500
    assert list(cast("Json", reply.json["errors"])) == ["message"]


async def test_successes_come_in_every_form() -> None:
    async with Sandbox(
        accounts=[ACME],
        envelope="sequences",
        number_form="string",
        flag_form="word",
        list_form="object_when_single",
        empty_body="empty",
    ) as sandbox:
        row = sandbox.add_sequence("acme", "2027", is_default=True)

        one = (await call(sandbox, "GET", f"/sequences/{row.id}.json")).json
        all_of_them = (await call(sandbox, "GET", "/sequences.json")).json
        current = await call(sandbox, "PUT", f"/sequences/{row.id}/set_current.json")

    wire = cast("Json", one["sequences"])
    assert (wire["id"], wire["default_sequence"]) == (str(row.id), "true")
    assert wire["current_invoice_number"] == "0"
    assert all_of_them == one
    assert current.body == b""


async def test_a_serie_responds_006_until_the_tax_authority_is_done() -> None:
    clock = FakeClock()
    async with Sandbox(accounts=[ACME], clock=clock, registration_seconds=30.0) as sandbox:
        first = await create(sandbox)
        meanwhile = await create(sandbox)
        row_id = sandbox.sequences("acme")[0].id
        register = await call(sandbox, "PUT", f"/sequences/{row_id}/register.json")
        hidden = await listing(sandbox)

        clock.now += 30.0
        shown = await listing(sandbox)
        afterwards = await create(sandbox)

    assert first.error == meanwhile.error == (409, "006")
    assert register.error == (409, "008")
    assert (hidden, len(shown)) == ([], 1)
    assert shown[0]["current_invoice_validation_code"] != "N/D"
    assert afterwards.error == (422, "002")
    assert len(sandbox.sequences("acme")) == 1


@pytest.mark.parametrize(
    ("knobs", "status"),
    [
        pytest.param({"is_listed_while_registering": True}, 409, id="listed"),
        pytest.param({"may_answer_before_registered": True}, 201, id="answered"),
    ],
)
async def test_a_registration_under_way_can_be_seen(knobs: dict[str, bool], status: int) -> None:
    clock = FakeClock()
    account = attrs.evolve(ACME, registration_seconds=float("inf"))
    async with Sandbox(accounts=[account], clock=clock) as sandbox:
        for knob, value in knobs.items():
            setattr(sandbox, knob, value)

        reply = await create(sandbox)
        clock.now += 1e9
        rows = await listing(sandbox)

    assert reply.status == status
    assert [row["current_invoice_validation_code"] for row in rows] == ["N/D"]
    assert sandbox.sequences("acme")[0].is_registering


async def test_register_gives_the_missing_codes_once() -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        row = sandbox.add_sequence("acme", "2027", is_registered=False)

        reply = await call(sandbox, "PUT", f"/sequences/{row.id}/register.json")
        again = await call(sandbox, "PUT", f"/sequences/{row.id}/register.json")

    assert (reply.status, len(reply.rows), reply.rows[0]["id"]) == (200, 1, row.id)
    assert sandbox.sequences("acme")[0].is_registered
    assert again.error == (409, "005")


async def test_a_row_being_registered_again_stays_listed() -> None:
    async with Sandbox(accounts=[ACME], registration_seconds=30.0) as sandbox:
        row = sandbox.add_sequence("acme", "2027", is_registered=False)

        reply = await call(sandbox, "PUT", f"/sequences/{row.id}/register.json")
        rows = await listing(sandbox)

    assert reply.error == (409, "008")
    assert len(rows) == 1


async def test_a_partial_registration_can_be_completed() -> None:
    partial_account = attrs.evolve(ACME, refused_document_types=("receipt", "quote"))
    async with Sandbox(accounts=[partial_account]) as sandbox:
        await create(sandbox)
        (row,) = sandbox.sequences("acme")
        path = f"/sequences/{row.id}/register.json"
        still_refused = await call(sandbox, "PUT", path)

        sandbox.update_account(ACME)
        completed = await call(sandbox, "PUT", path)

    missing = [name for name, code in row.validation_codes.items() if code == "N/D"]
    assert missing == ["receipt", "quote"]
    assert still_refused.rows[0]["current_receipt_validation_code"] == "N/D"
    assert completed.rows[0]["current_receipt_validation_code"] != "N/D"
    # The codes that were there already are kept.
    assert completed.rows[0]["current_invoice_validation_code"] == row.validation_codes["invoice"]


async def test_a_listing_may_lag_behind_a_create() -> None:
    clock = FakeClock()
    async with Sandbox(accounts=[ACME], clock=clock, list_lag_seconds=5.0) as sandbox:
        made = await create(sandbox)
        before = await listing(sandbox)
        got = await call(sandbox, "GET", f"/sequences/{made.row['id']}.json")

        clock.now += 5.0
        after = await listing(sandbox)

    assert (made.status, before, got.status, after) == (201, [], 200, [made.row])


@pytest.mark.parametrize(
    ("window", "admitted"),
    [
        pytest.param("sliding", [3, 0, 3, 0, 3], id="sliding"),
        pytest.param("fixed", [3, 3, 0, 3, 0], id="fixed"),
        pytest.param("token_bucket", [3, 1, 2, 1, 2], id="token bucket"),
    ],
)
async def test_each_kind_of_window_admits_its_share(window: str, admitted: list[int]) -> None:
    clock = FakeClock(now=60 * 50 + 50.0)
    sandbox = Sandbox(accounts=[ACME], clock=clock, requests_per_minute=3)
    sandbox.window = window  # type: ignore[assignment] # the table's values are literals
    counts: list[int] = []

    async with sandbox:
        for at in (0.0, 20.0, 60.0, 80.0, 120.0):
            clock.now = 60 * 50 + 50.0 + at
            replies = [await call(sandbox, "GET", "/sequences.json") for _ in range(4)]
            counts.append(sum(reply.status == 200 for reply in replies))

    assert counts == admitted


async def test_each_account_has_a_limit_of_its_own_and_a_bare_429() -> None:
    async with Sandbox(accounts=[ACME, "beta"], requests_per_minute=1) as sandbox:
        await create(sandbox, "A")
        refused = await create(sandbox, "B")
        other = await create(sandbox, "A", account="beta")

    assert (refused.status, other.status) == (429, 201)
    assert "Retry-After" not in refused.headers
    assert cast("Json", refused.json["errors"]) == {"message": "Demasiados pedidos"}
    assert len(sandbox.sequences("acme")) == 1


async def test_the_limit_is_780_a_minute() -> None:
    clock = FakeClock()
    statuses: list[int] = []
    async with (
        Sandbox(accounts=[ACME], clock=clock, retry_after="1e309") as sandbox,
        aiohttp.ClientSession() as session,
    ):
        url = f"{sandbox.base_url.format(account='acme')}/sequences.json?api_key={KEY}"
        for _ in range(781):
            async with session.get(url) as response:
                statuses.append(response.status)
                retry_after = response.headers.get("Retry-After")

    assert statuses == [200] * 780 + [429]
    assert retry_after == "1e309"


async def test_the_limit_can_be_switched_off() -> None:
    async with Sandbox(accounts=[ACME], requests_per_minute=None) as sandbox:
        replies = [await call(sandbox, "GET", "/sequences.json") for _ in range(3)]

    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize(
    ("host", "target"),
    [
        pytest.param("acme.app.invoicexpress.com", "/sequences.json", id="the real host"),
        pytest.param("ACME.localhost:8080", "/sequences.json", id="localhost"),
        pytest.param("127.0.0.1", "/acme/sequences.json", id="path"),
        pytest.param("x.invoicexpress.com", "/Acme/sequences.json", id="path, upper case"),
    ],
)
async def test_the_account_is_taken_from_the_host_or_the_path(host: str, target: str) -> None:
    request = f"GET {target}?api_key={KEY} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    async with Sandbox(accounts=[ACME]) as sandbox:
        reply = await raw(sandbox, request.encode())

    assert reply.startswith(b"HTTP/1.1 200")
    assert sandbox.count("GET", "/sequences.json", account="acme") == 1


async def test_the_base_url_is_a_template_with_the_account_in_its_path() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = sandbox.base_url

    async with sandbox:
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}/{{account}}"

    assert Sandbox(host="::1", port=8080).base_url == "http://[::1]:8080/{account}"


@pytest.mark.parametrize("name", ["", "a.b", "_sandbox", "-a", "a" * 64, "a/b", "\u00e9"])
async def test_a_name_that_is_no_label_of_a_host_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="one label of a host name"):
        Sandbox(accounts=[name])


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param({"window": "slidng"}, id="a slip"),
        pytest.param({"language": None}, id="nothing"),
        pytest.param({"existing_user_status": 404}, id="a status"),
        pytest.param({"requests_per_minute": 0}, id="no requests"),
    ],
)
async def test_a_setting_that_is_none_is_refused_also_when_it_is_set_later(
    setting: dict[str, Any],
) -> None:
    ((name, value),) = setting.items()

    with pytest.raises(ValueError, match=f"^{name} is "):
        Sandbox(**setting)
    with pytest.raises(ValueError, match=f"^{name} is "):
        setattr(Sandbox(), name, value)


async def test_an_account_is_added_once_and_keyed() -> None:
    sandbox = Sandbox(accounts=["acme"])

    beta = sandbox.add_account("Beta")

    assert sandbox.accounts["beta"] is beta
    assert len(beta.api_key) > 20
    assert beta.api_key != sandbox.accounts["acme"].api_key
    with pytest.raises(ValueError, match="already has an account 'acme'"):
        sandbox.add_account("acme")
    with pytest.raises(ValueError, match="not empty"):
        SandboxAccount(name="x", api_key="")


async def test_requests_are_recorded_without_their_key() -> None:
    clock = FakeClock(now=5.0)
    async with Sandbox(accounts=[ACME], clock=clock) as sandbox:
        await create(sandbox)
        await call(sandbox, "GET", "/sequences.json", query="", headers={"Cookie": "a=b"})

        first, second = sandbox.requests

    assert attrs.asdict(first) == {
        "method": "POST",
        "path": "/sequences.json",
        "account": "acme",
        "body": b'{"sequence": {"serie": "2027"}}',
        "status": 201,
        "received_at": 5.0,
        "has_cookie": False,
    }
    assert (second.status, second.has_cookie) == (401, True)
    assert isinstance(first, RecordedRequest)


async def test_requests_are_counted_by_account_and_in_all() -> None:
    async with Sandbox(accounts=[ACME, "beta"]) as sandbox:
        await create(sandbox)
        await create(sandbox)
        await create(sandbox, account="beta")

    assert sandbox.count("POST", "/sequences.json", account="acme") == 2
    assert sandbox.count("POST", "/sequences.json", account="gamma") == 0
    assert sandbox.count("POST", "/sequences.json") == 3
    assert sandbox.count("GET", "/sequences.json") == 0


async def test_a_request_that_was_cut_short_is_not_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = f"POST /acme/sequences.json?api_key={KEY} HTTP/1.1\r\nHost: x\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    async with Sandbox(accounts=[ACME]) as sandbox:
        await raw(sandbox, head.encode() + b'{"sequence":', until_closed=False)
        await create(sandbox)

    assert len(sandbox.requests) == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_nothing_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Sandbox(accounts=[ACME]) as sandbox:
        made = await create(sandbox)
        missing = await call(sandbox, "GET", "/sequences/1.json")
        lost = await call(sandbox, "GET", "/lost")
        _, state = await admin(sandbox, "GET", "state.json")

        shown = f"{sandbox!r}{sandbox.accounts!r}{sandbox.requests!r}{state}{caplog.text}"

    assert KEY not in shown
    for reply in (made, missing, lost):
        assert KEY.encode() not in reply.body
        assert KEY not in str(reply.headers)


async def admin(
    sandbox: Sandbox, method: str, page: str, *, content: object = None
) -> tuple[int, Json]:
    url = f"http://{sandbox.host}:{sandbox.port}/_sandbox/{page}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=content) as response,
    ):
        return response.status, cast("Json", await response.json())


async def test_the_state_is_dumped_with_rows_and_counts() -> None:
    async with Sandbox(accounts=[ACME, "beta"]) as sandbox:
        await create(sandbox, default_sequence="1")
        sandbox.add_sequence("acme", "2027")

        status, state = await admin(sandbox, "GET", "state.json")

    accounts = cast("dict[str, Json]", state["accounts"])
    duplicates = cast("list[Json]", accounts["acme"]["sequences"])
    assert (status, state["requests"]) == (200, 1)
    assert accounts["acme"]["requests"] == {"POST /sequences.json": 1}
    assert [(row["serie"], row["is_default"]) for row in duplicates] == [
        ("2027", True),
        ("2027", False),
    ]
    assert cast("Json", duplicates[0]["validation_codes"])["fees_note"] == "N/A"
    assert (accounts["beta"]["sequences"], accounts["beta"]["requests"]) == ([], {})


async def test_accounts_are_created_and_shown_over_http() -> None:
    content = {"accounts": [{"name": "beta", "api_key": "k"}, {"name": "gamma", "country": "IE"}]}
    async with Sandbox(accounts=[ACME]) as sandbox:
        created = await admin(sandbox, "POST", "accounts.json", content=content)
        status, shown = await admin(sandbox, "GET", "accounts.json")
        missing, _ = await admin(sandbox, "GET", "nothing.json")

    gamma = sandbox.accounts["gamma"]
    keys = [{"name": "beta", "api_key": "k"}, {"name": "gamma", "api_key": gamma.api_key}]
    assert created == (201, {"accounts": keys})
    assert (status, shown) == (200, {"accounts": [{"name": "acme", "api_key": KEY}, *keys]})
    assert (missing, gamma.country) == (404, "IE")
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no body"),
        pytest.param([], id="a list"),
        pytest.param({"accounts": [{"name": "beta"}, {"name": "acme"}]}, id="taken"),
        pytest.param({"accounts": [{"name": "beta"}, {"name": "beta"}]}, id="twice"),
        pytest.param({"accounts": [{"name": "beta"}, {"name": "a.b"}]}, id="no label"),
        pytest.param({"accounts": [{"name": "beta"}, {"name": 5}]}, id="no text"),
        pytest.param({"accounts": [{"name": "beta"}, {"name": "c", "x": 1}]}, id="unknown"),
        pytest.param({"accounts": [{"name": "beta", "api_key": 5}]}, id="a number as key"),
        pytest.param({"accounts": [{}]}, id="no name"),
    ],
)
async def test_accounts_are_created_all_or_none(content: object) -> None:
    async with Sandbox(accounts=[ACME]) as sandbox:
        status, reply = await admin(sandbox, "POST", "accounts.json", content=content)

    assert status == 400
    assert str(reply["error"]).startswith("nothing was created")
    assert set(sandbox.accounts) == {"acme"}
