"""The OpenAPI description: it is valid, names its sources, and knows wrong codes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import DATA
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from invoicexpress_async.live_check.description import read_description

# For readers of the description; every test that changes it takes a copy.
DESCRIPTION: dict[str, Any] = dict(read_description())
EVIDENCE = {"spec", "doc", "rec", "live", "client"}
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation
    for methods in DESCRIPTION["paths"].values()
    for operation in methods.values()
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = DESCRIPTION
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found


def responses() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            yield name, status, resolved(response)


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON content of a request or a response, with its place."""
    for name, status, response in responses():
        if "content" in response:
            yield f"{name}-{status}", response["content"]["application/json"]
    for name, operation in OPERATIONS.items():
        if "requestBody" in operation:
            yield name, operation["requestBody"]["content"]["application/json"]


EXAMPLES = [
    (f"{place}-{name}", content["schema"], resolved(example)["value"])
    for place, content in contents()
    for name, example in content.get("examples", {}).items()
]


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": DESCRIPTION["components"]}
    return Draft202012Validator(whole).is_valid(value)


def answer_of(operation: str, status: str) -> dict[str, Any]:
    response = resolved(OPERATIONS[operation]["responses"][status])
    schema = response["content"]["application/json"]["schema"]
    assert isinstance(schema, dict)
    return schema


def test_it_is_an_openapi_document() -> None:
    validate(copy.deepcopy(DESCRIPTION))


def test_it_describes_the_ten_operations_and_the_update_by_post() -> None:
    assert set(OPERATIONS) == {
        "list_sequences",
        "create_sequence",
        "get_sequence",
        "set_current_sequence",
        "register_sequence",
        "create_account",
        "create_account_for_existing_user",
        "get_account",
        "update_account",
        "update_account_by_post",
        "at_communication",
    }


def test_every_part_names_its_evidence() -> None:
    parts = {
        **OPERATIONS,
        **{f"{name}-{status}": one for name, status, one in responses()},
        **DESCRIPTION["components"]["schemas"],
    }

    evidence = {name: {*part.get("x-evidence", ())} for name, part in parts.items()}

    assert [name for name, given in evidence.items() if not given or not given <= EVIDENCE] == []


def test_every_example_is_as_its_schema_says() -> None:
    assert [name for name, schema, value in EXAMPLES if not is_valid(schema, value)] == []


@pytest.mark.parametrize("name", ["create_201", "create_201_lean_2019"])
def test_what_was_recorded_is_as_described(name: str) -> None:
    recorded = json.loads((DATA / f"{name}.json").read_text())

    assert is_valid(answer_of("create_sequence", "201"), recorded)


CODED = [(name, status, one) for name, status, one in responses() if "x-codes" in one]


@pytest.mark.parametrize(
    ("operation", "status", "response"),
    [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in CODED],
)
def test_a_status_takes_the_codes_of_its_table_and_no_others(
    operation: str, status: str, response: dict[str, Any]
) -> None:
    schema = answer_of(operation, status)
    every = [*(f"{number:03}" for number in range(10)), "999"]

    for code in every:
        for form in (code, str(int(code)), int(code)):
            flat = {"code": form, "message": "a text"}
            is_documented = code in response["x-codes"]
            assert is_valid(schema, flat) is is_documented
            assert is_valid(schema, {"errors": flat}) is is_documented


def test_the_codes_of_register_are_not_those_of_create() -> None:
    codes = {(name, status): set(one["x-codes"]) for name, status, one in CODED}

    assert codes == {
        ("create_sequence", "409"): {"006", "007"},
        ("create_sequence", "422"): {"000", "001", "002", "003", "004", "005"},
        ("register_sequence", "404"): {"006"},
        ("register_sequence", "409"): {"005", "006", "007", "008"},
        ("register_sequence", "422"): {"000", "001", "002", "003", "004", "007"},
    }


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"id": None}, id="no-id"),
        pytest.param({"id": 0}, id="id-of-zero"),
        pytest.param({"default_sequence": 2}, id="flag-of-two"),
        pytest.param({"serie": ""}, id="no-name"),
        pytest.param({"current_invoice_number": -1}, id="negative-number"),
        pytest.param({"current_invoice_number": "one"}, id="number-in-words"),
        pytest.param({"current_invoice_validation_code": "0"}, id="code-of-zeros"),
        pytest.param({"current_invoice_validation_code": " "}, id="blank-code"),
        pytest.param({"current_purchase_order_validation_code": 12}, id="code-that-is-a-number"),
    ],
)
def test_a_row_that_cannot_be_right_is_not_as_described(change: dict[str, Any]) -> None:
    row = DESCRIPTION["components"]["examples"]["registered"]["value"]["sequences"]
    schema = answer_of("get_sequence", "200")
    assert is_valid(schema, {"sequences": row})

    assert not is_valid(schema, {"sequences": {**row, **change}})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="empty"),
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({"sequences": []}, id="no-row"),
        pytest.param({"errors": {"code": "002", "message": "a text"}}, id="an-error"),
    ],
)
def test_a_success_without_a_row_is_not_as_described(body: Any) -> None:
    assert not is_valid(answer_of("create_sequence", "201"), body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"sequence": {"serie": 2027}}, id="integer-name"),
        pytest.param({"sequence": {"serie": "x" * 36}}, id="long-name"),
        pytest.param({"sequence": {"serie": " "}}, id="blank-name"),
        pytest.param({"sequence": {"serie": "2027", "default_sequence": 1}}, id="integer-flag"),
        pytest.param({"sequence": {"serie": "2027", "default": "1"}}, id="another-field"),
        pytest.param({"serie": "2027"}, id="no-envelope"),
    ],
)
def test_a_create_that_the_server_would_misread_is_not_as_described(body: Any) -> None:
    (content,) = OPERATIONS["create_sequence"]["requestBody"]["content"].values()

    assert not is_valid(content["schema"], body)
