import copy
import json
import pickle
from typing import Any

import attrs
import cattrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicexpress_async import (
    ConfigurationError,
    DocumentSequenceState,
    DocumentType,
    Intent,
    MalformedResponseError,
    Sequence,
)
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.protocol.sequences import (
    is_last_page,
    make_converter,
    sequence_body,
    structure_many,
    structure_one,
)

ROW: dict[str, Any] = {
    "id": 10,
    "serie": "2027",
    "default_sequence": 1,
    "current_invoice_number": 3,
    "current_invoice_sequence_id": 10,
    "current_invoice_validation_code": "ABCD1234",
}


@pytest.fixture
def converter() -> cattrs.Converter:
    return make_converter()


def read(converter: cattrs.Converter, **changes: Any) -> Sequence:
    return structure_one({"sequence": ROW | changes}, converter)


def wide_row(sequence: Sequence) -> dict[str, Any]:
    """Return the row that a server would send for a sequence; what it did not send is left out."""
    row: dict[str, Any] = {
        "id": sequence.id,
        "serie": sequence.serie,
        "default_sequence": int(sequence.is_default),
    }
    for name, state in sequence.documents.items():
        fields = {f"current_{name}_{field}": value for field, value in attrs.asdict(state).items()}
        row |= {field: value for field, value in fields.items() if value is not None}
    return row | dict(sequence.extra)


def test_the_official_samples_are_nested_and_come_back_as_they_were(
    sample: dict[str, Any], converter: cattrs.Converter
) -> None:
    row = sample["sequence"]

    sequence = structure_one(sample, converter)

    assert sequence.id == row["id"]
    assert len(sequence.documents) == (15 if "2023" in str(row["serie"]) else 16)
    assert wide_row(sequence) == row | {"serie": str(row["serie"])}


def test_a_wide_row_becomes_states_keyed_by_document_type(converter: cattrs.Converter) -> None:
    sequence = read(converter)

    assert sequence.documents == {
        DocumentType.INVOICE: DocumentSequenceState(
            number=3, sequence_id=10, validation_code="ABCD1234"
        )
    }
    assert sequence.is_default


@pytest.mark.parametrize(
    ("flag", "meaning"),
    [
        pytest.param(flag, meaning, id=repr(flag))
        for flag, meaning in [
            (1, True), (0, False), ("1", True), ("0", False), (True, True), (False, False),
            ("true", True), ("false", False), (None, False),
        ]
    ],
)  # fmt: skip
def test_the_flag_is_read_in_every_recorded_form(
    flag: Any, meaning: bool, converter: cattrs.Converter
) -> None:
    assert read(converter, default_sequence=flag).is_default is meaning


@pytest.mark.parametrize("flag", [2, -1, "yes", "", "True", "TRUE", "N/A", 1.0, [], {}, [1]])
def test_any_other_flag_is_malformed_and_never_true(flag: Any, converter: cattrs.Converter) -> None:
    with pytest.raises(MalformedResponseError, match=r"sequence\.default_sequence") as caught:
        read(converter, default_sequence=flag)

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        pytest.param({"id": "10"}, "id", 10, id="the id as a string"),
        pytest.param({"serie": 2027}, "serie", "2027", id="serie as an integer"),
        pytest.param({"serie": None, "serie_number": "B"}, "serie", "B", id="serie_number instead"),
    ],
)
def test_other_forms_of_the_rows_own_fields_are_understood(
    changes: dict[str, Any], field: str, value: object, converter: cattrs.Converter
) -> None:
    assert getattr(read(converter, **changes), field) == value


@pytest.mark.parametrize(
    ("value", "number"),
    [
        pytest.param("12", 12, id="digits"),
        pytest.param(0, 0, id="zero"),
        pytest.param(None, None, id="null"),
    ],
)
def test_a_number_may_be_digits_or_null(
    value: Any, number: int | None, converter: cattrs.Converter
) -> None:
    sequence = read(converter, current_invoice_number=value)

    assert sequence.documents["invoice"].number == number


@pytest.mark.parametrize(
    "value", [-1, 1.5, "1.5", "-1", "", "x", "٣", True, [], {}, 10**18, "9" * 19]
)
def test_anything_else_is_not_a_number(value: Any, converter: cattrs.Converter) -> None:
    with pytest.raises(MalformedResponseError, match="current_invoice_number"):
        read(converter, current_invoice_number=value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("id", None, id="id null"),
        pytest.param("id", 0, id="id zero"),
        pytest.param("id", True, id="id a boolean"),
        pytest.param("serie", None, id="serie null"),
        pytest.param("serie", "", id="serie empty"),
        pytest.param("serie", True, id="serie a boolean"),
        pytest.param("serie", 1.5, id="serie a fraction"),
        pytest.param("serie", ["2027"], id="serie a list"),
        pytest.param("current_invoice_validation_code", 7, id="code a number"),
        pytest.param("current_invoice_sequence_id", "x", id="type id not digits"),
    ],
)
def test_a_field_that_cannot_be_is_named_in_the_problems(
    field: str, value: Any, converter: cattrs.Converter
) -> None:
    with pytest.raises(MalformedResponseError, match=rf"sequence\.{field}: expected") as caught:
        read(converter, **{field: value})

    assert [problem.split(":")[0] for problem in caught.value.problems] == [f"sequence.{field}"]


def test_all_problems_of_a_row_are_reported_at_once(converter: cattrs.Converter) -> None:
    with pytest.raises(MalformedResponseError, match="not what was requested") as caught:
        read(converter, id=None, default_sequence="x", current_invoice_number=[])

    assert len(caught.value.problems) == 3


def test_a_problem_never_shows_the_value(converter: cattrs.Converter) -> None:
    with pytest.raises(MalformedResponseError, match="got text") as caught:
        read(converter, id="canary-secret")

    assert "canary" not in str(caught.value)


def test_unknown_types_and_fields_are_kept(converter: cattrs.Converter) -> None:
    sequence = read(
        converter, current_purchase_order_number=1, current_new_type_sequence_id=5, colour=["red"]
    )

    assert sequence.documents[DocumentType.PURCHASE_ORDER].number == 1
    assert sequence.documents["new_type"] == DocumentSequenceState(sequence_id=5)
    assert type(list(sequence.documents)[-1]) is str
    assert sequence.extra == {"colour": ["red"]}


def test_an_absent_code_is_not_taken_for_not_applicable(converter: cattrs.Converter) -> None:
    row = {key: value for key, value in ROW.items() if "code" not in key}

    sequence = structure_one({"sequence": row}, converter)

    assert sequence.documents["invoice"].validation_code is None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"sequence": ROW}, id="sequence"),
        pytest.param({"sequences": ROW}, id="sequences, an object"),
        pytest.param({"sequences": [ROW]}, id="sequences, a list of one"),
        pytest.param({"sequence": [ROW]}, id="sequence, a list of one"),
    ],
)
def test_both_envelopes_are_opened(payload: Any, converter: cattrs.Converter) -> None:
    assert structure_one(payload, converter).id == 10
    assert [one.id for one in structure_many(payload, converter)] == [10]


@pytest.mark.parametrize(
    "payload",
    [
        None, [], {}, "", 0, [ROW], ROW, {"sequence": None}, {"sequence": {}}, {"sequence": "x"},
        {"sequences": [ROW, ROW]}, {"sequences": []}, {"sequences": [None]}, {"errors": "no"},
        {"sequence": [[ROW]]}, {"sequence": ROW, "sequences": [ROW]},
    ],
    ids=repr,
)  # fmt: skip
def test_anything_but_one_sequence_is_malformed(payload: Any, converter: cattrs.Converter) -> None:
    with pytest.raises(MalformedResponseError, match="not what was requested") as caught:
        structure_one(payload, converter)

    assert caught.value.problems
    assert caught.value.__context__ is None


def test_a_list_may_be_empty_but_not_absent(converter: cattrs.Converter) -> None:
    assert structure_many({"sequences": []}, converter) == ()
    with pytest.raises(MalformedResponseError, match="expected a sequence"):
        structure_many({}, converter)


@pytest.mark.parametrize(
    ("pagination", "requested", "is_last"),
    [
        pytest.param(None, 1, True, id="none"),
        pytest.param({"current_page": 1, "total_pages": 1}, 1, True, id="the only one"),
        pytest.param({"current_page": "1", "total_pages": "3"}, 1, False, id="one of three"),
        pytest.param({"current_page": 3, "total_pages": 3}, 3, True, id="the last"),
        pytest.param({"current_page": 1, "total_pages": 0}, 1, True, id="none at all"),
    ],
)
def test_a_pagination_is_followed_if_it_ever_comes(
    pagination: Any, requested: int, is_last: bool
) -> None:
    assert is_last_page({"sequences": [], "pagination": pagination}, requested=requested) is is_last


@pytest.mark.parametrize(
    ("pagination", "requested"),
    [
        ([], 1),
        ("x", 1),
        ({}, 1),
        ({"current_page": 1}, 1),
        ({"total_pages": "x"}, 1),
        pytest.param(None, 2, id="not the requested one"),
        pytest.param({"current_page": 1, "total_pages": 3}, 2, id="another one"),
    ],
)
def test_a_pagination_that_cannot_be_followed_is_malformed(pagination: Any, requested: int) -> None:
    with pytest.raises(MalformedResponseError, match="pagination"):
        is_last_page({"sequences": [], "pagination": pagination}, requested=requested)


def test_the_flag_is_sent_as_the_string_one_or_not_at_all() -> None:
    body = sequence_body("2027", default=True)

    assert body == b'{"sequence":{"serie":"2027","default_sequence":"1"}}'
    assert sequence_body("2027", default=False) == b'{"sequence":{"serie":"2027"}}'


@given(st.text(min_size=1), st.booleans())
def test_a_body_is_the_json_of_its_name_whatever_that_is(serie: str, default: bool) -> None:
    body = json.loads(sequence_body(serie, default=default).decode())

    flag = {"default_sequence": "1"} if default else {}
    assert body == {"sequence": {"serie": serie} | flag}


INTENT: Intent = {
    "version": 1,
    "operation": "create",
    "account": "acme",
    "serie": "2027",
    "sequence_id": None,
    "is_default": True,
    "had_sequences": None,
    "sent_at": 1.5,
}


def test_an_intent_survives_json() -> None:
    assert structure_intent(json.loads(json.dumps(INTENT))) == INTENT


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, "x", 7, INTENT | {"version": 2}, INTENT | {"operation": "delete"},
        INTENT | {"serie": 7}, INTENT | {"is_default": "false"}, INTENT | {"more": 1},
        {key: value for key, value in INTENT.items() if key != "account"},
    ],
    ids=repr,
)  # fmt: skip
def test_data_that_is_no_intent_is_refused_without_showing_it(data: Any) -> None:
    with pytest.raises(ConfigurationError, match="not an intent") as caught:
        structure_intent(data)

    assert caught.value.__context__ is None


type_names = st.one_of(
    st.sampled_from([str(member) for member in DocumentType]),
    st.from_regex(r"[a-z][a-z_]{0,12}[a-z]", fullmatch=True),
)
states = st.builds(
    DocumentSequenceState,
    number=st.none() | st.integers(0, 10**9),
    sequence_id=st.none() | st.integers(0, 10**9),
    validation_code=st.none() | st.text(max_size=12),
).filter(lambda one: one != DocumentSequenceState())
sequences = st.builds(
    Sequence,
    id=st.integers(1, 10**9),
    serie=st.text(min_size=1, max_size=35),
    is_default=st.booleans(),
    documents=st.dictionaries(type_names, states, max_size=8),
    extra=st.dictionaries(
        st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.integers() | st.text(), max_size=3
    ),
)


@given(sequences)
def test_every_sequence_survives_the_way_to_the_wire_and_back(sequence: Sequence) -> None:
    converter = make_converter()

    row = json.loads(json.dumps(wide_row(sequence)))

    assert structure_one({"sequence": row}, converter) == sequence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=12,
)
row_keys = st.sampled_from([*ROW, "current_x_number", "current_x_sequence_id", "pagination"])


@given(st.dictionaries(row_keys, json_values) | json_values)
def test_any_json_is_a_sequence_or_malformed_and_nothing_else(row: Any) -> None:
    converter = make_converter()

    payloads: list[Any] = [row, {"sequence": row}, {"sequences": [row]}]
    for payload in payloads:
        try:
            sequence = structure_one(payload, converter)
        except MalformedResponseError as error:
            assert error.problems
        else:
            assert sequence.id > 0
            assert sequence.serie


def test_a_state_is_made_once_and_columns_do_as_any_mapping(converter: cattrs.Converter) -> None:
    documents = read(converter, current_quote_validation_code="N/D").documents

    assert documents["invoice"] is documents[DocumentType.INVOICE]
    assert list(documents) == ["invoice", "quote"]
    assert DocumentType.QUOTE in documents
    assert "receipt" not in documents
    assert documents.get("receipt") is None
    assert dict(documents) == documents
    assert repr(documents) == repr(dict(documents))
    with pytest.raises(TypeError, match="item assignment"):
        documents["invoice"] = DocumentSequenceState()  # type: ignore[index]  # the point


def test_a_row_without_documents_is_a_sequence(converter: cattrs.Converter) -> None:
    sequence = structure_one({"sequence": {"id": 1, "serie": "A"}}, converter)

    assert len(sequence.documents) == 0


def test_a_row_that_was_read_is_pickled_and_copied(converter: cattrs.Converter) -> None:
    sequence = read(converter)

    assert pickle.loads(pickle.dumps(sequence)) == sequence
    assert attrs.evolve(sequence, serie="B").documents == sequence.documents
    assert copy.deepcopy(sequence) == sequence
