"""Plans of rows from a database, and what reports and sequences are as a text."""

from collections.abc import AsyncIterator, Mapping

import pytest

from invoicexpress_async import ConfigurationError, DocumentType, SessionManager
from invoicexpress_async.jobs.records import dump_sequence, load_sequence
from invoicexpress_async.provisioning import (
    AccountList,
    AccountRow,
    Plan,
    PlanRow,
    audit,
    provision,
    rollover,
)
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

KEY = "canary-key-7f3a9c"


async def keys(account: str) -> str:
    return KEY + account[:0]


def test_mappings_are_rows() -> None:
    ready = PlanRow(account="gama", api_key=KEY, serie="G27")

    plan = Plan.from_rows(
        [
            {"account": "acme", "api_key": KEY},
            {"account": "beta", "serie": "B27", "default": 0},
            ready,
        ],
        serie="2027",
        default=True,
        api_keys=keys,
    )

    found = [(row.account, row.serie, row.is_default) for row in plan.rows]
    assert found == [("acme", "2027", True), ("beta", "B27", False), ("gama", "G27", False)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"account": "a b", "api_key": KEY, "serie": "2027"}, "Row 2: .*DNS label"),
        ({"account": "acme", "serie": "2027"}, "Row 2: it has no api_key"),
        ({"account": "acme", "api_key": KEY}, "Row 2: its serie is no text"),
        ({"account": "acme", "api_key": KEY, "serie": 2027}, "Row 2: its serie is no text"),
        ({"account": "acme", "api_key": KEY, "serie": "=1"}, "Row 2: .*formula"),
        ({"account": "acme", "api_key": KEY, "serie": "1", "default": "x"}, "Row 2: its default"),
        ({"account": "acme", "key": KEY}, "Row 2: it has 'key'; known are account"),
    ],
)
def test_a_row_that_cannot_be_is_named_by_its_number(
    row: Mapping[str, object], message: str
) -> None:
    first = {"account": "first", "api_key": KEY, "serie": "2027"}

    with pytest.raises(ConfigurationError, match=message) as caught:
        Plan.from_rows([first, row])

    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None


async def test_rows_come_one_by_one_and_reports_are_short_texts() -> None:
    async def rows() -> AsyncIterator[Mapping[str, object]]:
        for name in ("acme", "beta"):
            yield {"account": name, "api_key": KEY}

    accounts = [SandboxAccount(name=name, api_key=KEY) for name in ("acme", "beta")]
    async with (
        Sandbox(accounts=accounts) as sandbox,
        SessionManager(base_url=sandbox.base_url) as manager,
    ):
        report = await provision(manager, Plan.from_rows(rows(), serie="2026", default=True))
        one = AccountList(rows=[AccountRow(account="acme", api_key=KEY)])
        rolled = await rollover(manager, one, year=2027, default_now=True)
        seen = await audit(manager, one)
        sequence = (await manager.account("acme", KEY).sequences.list())[-1]

    assert str(report).startswith("2 done, 2 created in ")
    assert str(rolled).startswith("2027: 1 done, 1 created in ")
    assert str(seen).startswith("1 fine, 0 not fine, in ")
    assert str(sequence) == f"2027 (id {sequence.id}, the default, registered)"
    assert load_sequence(dump_sequence(sequence)).id == sequence.id


def test_a_sequence_is_written_the_same_with_and_without_the_speed_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest = 10**18 - 1
    text = f'[{longest},"27é\\"\\u0001",0,[["invoice",0,{longest},"N/D"],["new_type",null,8,null]]]'
    sequence = load_sequence(text)

    assert dump_sequence(sequence) == text
    monkeypatch.setattr("invoicexpress_async.protocol.exchange.orjson", None)
    assert dump_sequence(sequence) == text


def test_a_sequence_that_an_earlier_version_wrote_is_read() -> None:
    sequence = load_sequence('[7,"2027",1,{"invoice":[0,7,"ABCD1234"],"new_type":[null,8,null]}]')

    assert (sequence.id, sequence.serie, sequence.is_default) == (7, "2027", True)
    assert sequence.documents[DocumentType.INVOICE].validation_code == "ABCD1234"
    assert sequence.documents["new_type"].sequence_id == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "[]",
        "{}",
        '["1","2027",0,[]]',
        '[1,"2027",0,1]',
        '[1,"2027",0,[["invoice",1]]]',
        '[1,"2027",0,[["invoice",1,7,"A1"],["invoice",1,7,"A1"]]]',
        '[1,"2027",0,{"invoice":1}]',
    ],
)
def test_a_damaged_sequence_is_no_sequence(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load_sequence(text)
