"""What is read straight from the text is what the parser and the converter would have read."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA
from hypothesis import example, given
from hypothesis import strategies as st

from invoicexpress_async import (
    AccountSession,
    InvoiceXpressError,
    MalformedResponseError,
    Registration,
    Sequence,
)
from invoicexpress_async._json import NotJsonError, loads
from invoicexpress_async._requests import SequenceRequests
from invoicexpress_async._row_text import RowReader
from invoicexpress_async._wire import Answer, decipher
from invoicexpress_async.converters import make_converter, structure_many, structure_one

ROWS_BEFORE = 32
MOST_SHAPES = 8
JSON = "application/json; charset=utf-8"
ROW: dict[str, Any] = {
    "id": 10,
    "serie": "2027",
    "default_sequence": 1,
    "current_invoice_number": 3,
    "current_invoice_sequence_id": 10,
    "current_invoice_validation_code": "ABCD1234",
    "current_quote_number": 0,
    "current_quote_sequence_id": 0,
    "current_quote_validation_code": "N/A",
}
LEAN = {key: value for key, value in ROW.items() if not key.endswith("_code")}
MORE = ROW | {"status": "open", "is_new": True, "rate": 1.5, "owner": None}
OFFICIAL: dict[str, Any] = json.loads((Path(DATA) / "create_201.json").read_text())["sequence"]


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def reader_of(*rows: dict[str, Any]) -> RowReader:
    """Return a reader that has been shown each row often enough."""
    reader = RowReader()
    converter = make_converter(reader)
    for row in rows:
        for _ in range(ROWS_BEFORE):
            structure_one({"sequence": row}, converter)
    return reader


def parsed(body: bytes) -> tuple[Sequence, ...] | None:
    try:
        return structure_many(loads(body), make_converter())
    except (NotJsonError, MalformedResponseError):
        return None


READER = reader_of(ROW, LEAN, MORE, OFFICIAL)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(ROW, id="the same again"),
        pytest.param(OFFICIAL, id="the official one"),
        pytest.param(LEAN, id="one without codes"),
        pytest.param(MORE, id="one with fields that nobody knows"),
        pytest.param(MORE | {"status": "a b", "rate": -2e9, "owner": 7}, id="other values of them"),
        pytest.param(ROW | {"id": 10**18 - 1}, id="the largest id"),
        pytest.param(ROW | {"default_sequence": 0}, id="not the default"),
        pytest.param(ROW | {"serie": "Série de Abril/27"}, id="a name beyond ASCII"),
        pytest.param(ROW | {"serie": "]}, {"}, id="a name of JSON's own signs"),
        pytest.param(ROW | {"current_quote_validation_code": ""}, id="an empty code"),
        pytest.param(
            ROW | {"current_quote_validation_code": None, "current_quote_sequence_id": None},
            id="nulls",
        ),
    ],
)
def test_a_shape_that_was_often_seen_is_read_from_the_text(row: dict[str, Any]) -> None:
    expected = structure_one({"sequence": row}, make_converter())

    sequence = READER.one(compact({"sequence": row}))

    assert sequence == expected
    assert READER.one(compact({"sequences": [row]})) == expected
    assert sequence is not None
    assert sequence.extra == expected.extra
    assert sequence.registration is expected.registration
    assert sequence.unregistered == expected.unregistered
    assert [*sequence.documents] == [*expected.documents]
    assert pickle.loads(pickle.dumps(sequence)) == expected
    for state in sequence.documents.values():
        assert type(state.number) in {int, type(None)}
        assert type(state.sequence_id) in {int, type(None)}


def test_rows_of_several_shapes_stand_in_one_answer() -> None:
    body = compact({"sequences": [ROW, OFFICIAL, LEAN, LEAN, MORE, ROW]})

    assert READER.many(body) == parsed(body)
    assert READER.one(body) is None


ONE = compact({"sequence": ROW}).decode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param(ONE.replace('"id":10', '"id":0'), id="id zero"),
        pytest.param(ONE.replace('"id":10', '"id":"10"'), id="id as text"),
        pytest.param(ONE.replace('"id":10', '"id":010'), id="a leading zero"),
        pytest.param(ONE.replace('"id":10', '"id":1e1'), id="an exponent"),
        pytest.param(ONE.replace('"id":10', '"id":٣'), id="digits of another script"),
        pytest.param(ONE.replace('number":3', 'number":-3'), id="a negative number"),
        pytest.param(ONE.replace('number":3', 'number":3.5'), id="a fraction"),
        pytest.param(ONE.replace('number":3', f'number":{10**18}'), id="19 digits"),
        pytest.param(ONE.replace('number":3', 'number":true'), id="a boolean number"),
        pytest.param(ONE.replace('"2027"', "2027"), id="a name as an integer"),
        pytest.param(ONE.replace('"2027"', '""'), id="an empty name"),
        pytest.param(ONE.replace("2027", r"20\u0032"), id="an escape"),
        pytest.param(ONE.replace("2027", "20\n27"), id="a control character"),
        pytest.param(ONE.replace('sequence":1', 'sequence":2'), id="a flag of 2"),
        pytest.param(ONE.replace('sequence":1', 'sequence":true'), id="a flag of true"),
        pytest.param(ONE.replace('ABCD1234"', "ABCD1234"), id="an open string"),
        pytest.param(ONE.replace('"ABCD1234"', "1234"), id="a code of digits"),
        pytest.param(ONE.replace('{"id":10', '{"id":9,"id":10'), id="a key twice"),
        pytest.param(ONE.replace('"id":10', '"id": 10'), id="a space"),
        pytest.param(ONE + "\n", id="a line end after it"),
        pytest.param(ONE + "x", id="a letter after it"),
        pytest.param(ONE[:-1], id="cut short by one"),
        pytest.param(ONE[:-1] + ',"errors":["no"]}', id="an error beside it"),
        pytest.param(ONE[:-1] + "," + ONE[12:-1] + "}", id="two rows for one"),
        pytest.param(ONE.replace("sequence", "sequences", 1), id="an object for a list"),
        pytest.param('{"sequences":[]}', id="an empty list"),
        pytest.param('{"sequences":[' + ONE[12:-1] + ",]}", id="a comma too many"),
        pytest.param('{"sequences":[' + ONE[12:-1] + "]", id="an open list"),
        pytest.param("\ufeff" + ONE, id="a byte-order mark"),
        *(
            pytest.param(
                compact({"sequence": MORE}).decode().replace("1.5", f"\ufeff{value}"),
                id=f"a byte-order mark before {value}",
            )
            for value in ("1", "null", "true", "-1.5")
        ),
        *(
            pytest.param(
                compact({"sequence": MORE}).decode().replace("1.5", value), id=f"{value} there"
            )
            for value in ("1.", "01", ".5", "+1", "1e", "Infinity", "nul", "٣", "1_0", "\xa01")
        ),
        pytest.param(
            compact({"sequence": MORE | {"status": ["a"]}}).decode(), id="a list in another field"
        ),
        pytest.param(
            compact({"sequence": MORE}).decode().replace("1.5", "NaN"), id="no number there"
        ),
    ],
)
def test_whatever_is_not_exactly_of_the_shape_is_left_to_the_parser(body: str) -> None:
    assert READER.many(body.encode()) is None


def test_bytes_that_are_no_text_are_left_to_the_parser() -> None:
    assert READER.many(ONE.encode().replace(b"2027", b"\xff")) is None
    assert READER.many(ONE.encode().replace(b"2027", b"\xed\xa0\x80")) is None


BODIES = [
    compact({"sequence": ROW}),
    compact({"sequences": [MORE, ROW, LEAN]}),
    compact({"sequences": [OFFICIAL]}),
]
pieces = st.binary(max_size=4) | st.sampled_from(
    [
        *(b'"', b",", b"{", b"}", b"]", b":", b"\\", b" ", b"\n", b"\x00", b"\xc3\xa9", b"\\u0041"),
        *(b"null", b"0", b"00", b"-1", b"1" * 19, b"true", b"},{", b'"id":5,', b',"x":1'),
    ]
)
edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 6), pieces), max_size=4)


@given(st.sampled_from(BODIES), edits)
@example(BODIES[0], [])
def test_it_reads_what_the_parser_reads_or_nothing(
    body: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for at, length, piece in changes:
        start = at % (len(body) + 1)
        body = body[:start] + piece + body[start + length :]

    told = READER.many(body)

    assert told is None or told == parsed(body)
    assert told is None or [one.extra for one in told] == [one.extra for one in parsed(body) or ()]


values = st.one_of(
    st.none(), st.integers(-2, 10**19), st.text(max_size=6), st.booleans(), st.floats()
)


@given(st.sampled_from([ROW, MORE, LEAN]), st.dictionaries(st.sampled_from([*MORE]), values))
def test_any_value_in_a_known_shape_is_read_as_the_parser_reads_it(
    row: dict[str, Any], changes: dict[str, Any]
) -> None:
    body = compact({"sequences": [row | {key: changes[key] for key in changes if key in row}]})

    told = READER.many(body)

    assert told is None or told == parsed(body)


def test_a_shape_is_learnt_from_the_rows_that_were_right_only() -> None:
    reader = RowReader()
    converter = make_converter(reader)
    body = compact({"sequence": ROW})

    for _ in range(ROWS_BEFORE - 1):
        structure_one({"sequence": ROW}, converter)
        with pytest.raises(MalformedResponseError, match=r"sequence\.id"):
            structure_one({"sequence": ROW | {"id": 0}}, converter)
    before = reader.one(body)
    structure_one({"sequence": ROW}, converter)

    assert before is None
    assert reader.one(body) is not None


def test_shapes_are_bounded_in_number() -> None:
    rows = [ROW | {f"current_x{n}_number": 1} for n in range(MOST_SHAPES + 1)]

    reader = reader_of(*rows)

    read = [reader.one(compact({"sequence": row})) is not None for row in rows]
    assert read == [True] * MOST_SHAPES + [False]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({f"f{n}": 1 for n in range(9)}, id="unknown fields"),
        pytest.param({f"current_x{n}_number": 1 for n in range(120)}, id="keys"),
        pytest.param({f"current_{'x' * 5_000}_number": 1}, id="characters"),
    ],
)
def test_a_shape_of_too_many_is_never_made_into_an_expression(more: dict[str, int]) -> None:
    row = ROW | more

    assert reader_of(row).one(compact({"sequence": row})) is None


def test_a_row_without_one_of_its_own_fields_is_always_parsed() -> None:
    row = {key: value for key, value in ROW.items() if key != "default_sequence"}

    assert reader_of(row).one(compact({"sequence": row})) is None


@pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=latin-1"])
def test_an_answer_of_another_type_is_refused_as_ever(content_type: str) -> None:
    request = SequenceRequests(make_converter(), READER).get(10)
    answer = Answer(status=200, body=compact({"sequence": ROW}), content_type=content_type)

    with pytest.raises(MalformedResponseError, match="cannot be read"):
        decipher(request, answer, wall_seconds=0)


@pytest.mark.parametrize(("status", "sequence_id"), [(200, 11), (422, 10), (302, 10)])
def test_an_answer_that_is_not_the_one_asked_for_is_an_error_as_ever(
    status: int, sequence_id: int
) -> None:
    request = SequenceRequests(make_converter(), READER).get(sequence_id)
    answer = Answer(status=status, body=compact({"sequence": ROW}), content_type=JSON)

    with pytest.raises(InvoiceXpressError):
        decipher(request, answer, wall_seconds=0)


def test_a_create_is_answered_by_its_own_name_only() -> None:
    requests = SequenceRequests(make_converter(), READER)
    answer = Answer(status=201, body=compact({"sequence": ROW}), content_type=JSON)

    assert decipher(requests.create("2027", default=True), answer, wall_seconds=0).id == 10
    with pytest.raises(MalformedResponseError, match=r"sequence\.serie: not the one"):
        decipher(requests.create("2028", default=True), answer, wall_seconds=0)


async def test_a_long_lived_manager_reads_the_same_before_and_after(
    account: AccountSession,
) -> None:
    made = await account.sequences.create("2027", default=True)

    first = await account.sequences.list()
    for _ in range(ROWS_BEFORE):
        last = await account.sequences.list()
    other = await account.sequences.create("2028")

    assert last == first == (made,)
    assert last[0].registration is other.registration is Registration.REGISTERED
    assert last[0].documents["invoice"] == made.documents["invoice"]
