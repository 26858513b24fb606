"""Responses that look like a success and are none, pages that do not add up, intents of nothing."""

import json
from typing import Any

import pytest
from conftest import ACCOUNT

from invoicexpress_async import (
    AccountSession,
    ConfigurationError,
    InvoiceXpressError,
    MalformedResponseError,
)
from invoicexpress_async.sandbox import FaultServer


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param({"errors": [{"error": "Temporarily unavailable"}]}, id="errors"),
        pytest.param({"error": "Temporarily unavailable"}, id="error"),
        pytest.param({"code": "000", "message": "unknown error"}, id="code"),
        pytest.param({"message": "Temporarily unavailable"}, id="message"),
        pytest.param({"success": "False"}, id="success"),
        pytest.param({"success": 0}, id="success as a number"),
        pytest.param({"sequence": {"id": 7, "serie": "2026"}}, id="another envelope"),
    ],
)
async def test_an_empty_list_with_an_error_inside_is_not_an_empty_list(
    inside: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = json.dumps({"sequences": []} | inside)
    faulty.faults.next("status", status=200, times=None, operation="list", body=body)

    with pytest.raises(InvoiceXpressError, match=r"HTTP 200|an error|one envelope"):
        await faulty_account.sequences.ensure("2027")

    assert faulty.oracle.posts(ACCOUNT) == 0


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"code": "003", "message": "invalid sequence"}, id="code"),
        pytest.param([["sequence", "is invalid"]], id="pairs"),
        pytest.param({"message": "Não é possível"}, id="message"),
        pytest.param({"sequence": ["is invalid"]}, id="a field with its texts"),
        pytest.param({"success": "no"}, id="a success that is none"),
    ],
)
async def test_a_set_current_with_an_error_inside_a_200_is_no_success(
    document: object, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    row = faulty.add_sequence(ACCOUNT, "2027")
    body = json.dumps(document)
    faulty.faults.next(
        "status", status=200, times=None, operation="set_current", body=body, commits=False
    )

    with pytest.raises(InvoiceXpressError, match=r"error inside|expected nothing"):
        await faulty_account.sequences.set_current(row.id)

    assert not faulty.sequences(ACCOUNT)[0].is_default


async def test_a_created_row_with_an_error_inside_is_not_taken_at_its_word(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    document = {
        "sequence": {"id": 7, "serie": "2027", "default_sequence": 0},
        "errors": {"code": "000", "message": "unknown error"},
    }
    faulty.faults.next(
        "status", status=200, operation="create", body=json.dumps(document), commits=False
    )

    with pytest.raises(InvoiceXpressError, match="an error inside a success"):
        await faulty_account.sequences.create("2027")


def page(current: int, *, of: int) -> str:
    """Return an empty page of a list."""
    pagination = {"current_page": current, "total_pages": of}
    return json.dumps({"sequences": [], "pagination": pagination})


async def test_a_pagination_that_does_not_advance_ends_at_once(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=200, times=None, operation="list", body=page(1, of=2))

    with pytest.raises(MalformedResponseError, match="pagination"):
        await faulty_account.sequences.list()

    assert len(faulty.requests) <= 4


def _page(number: int, *ids: int) -> str:
    rows = [{"id": one, "serie": f"S{one}"} for one in ids]
    pagination = {"current_page": number, "total_pages": 2}
    return json.dumps({"sequences": rows, "pagination": pagination})


async def test_pages_between_which_rows_have_moved_are_read_again(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    # Row 3 has moved from the second page to the first, after that had been read.
    for page in (_page(1, 1, 2), _page(2, 2, 4), _page(1, 3, 1), _page(2, 2, 4)):
        faulty.faults.next("status", status=200, operation="list", body=page)

    ensured = await faulty_account.sequences.ensure("S3", registered=False)

    assert (ensured.sequence.id, ensured.created) == (3, False)
    assert faulty.oracle.posts(ACCOUNT) == 0


async def test_pages_between_which_rows_move_each_time_show_nothing_as_absent(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    for number in (1, 2) * 4:
        body = _page(number, number, number + 1)
        faulty.faults.next("status", status=200, operation="list", body=body)

    with pytest.raises(MalformedResponseError, match="changed each time"):
        await faulty_account.sequences.ensure("S4", registered=False)

    assert len(faulty.requests) == 8
    assert faulty.oracle.posts(ACCOUNT) == 0


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(page(3, of=3), id="another page"),
        pytest.param('{"sequences": []}', id="no pagination"),
    ],
)
async def test_a_second_page_that_is_not_the_requested_one_is_malformed(
    second: str, faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("status", status=200, operation="list", body=page(1, of=3))
    faulty.faults.next("status", status=200, operation="list", body=second)

    with pytest.raises(MalformedResponseError, match="pagination"):
        await faulty_account.sequences.ensure("2027")

    assert faulty.oracle.posts(ACCOUNT) == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"serie": None}, id="create of nothing"),
        pytest.param({"serie": ""}, id="create of an empty name"),
        pytest.param({"serie": "x\n"}, id="create of a control character"),
        pytest.param({"operation": "register", "sequence_id": None}, id="register of nothing"),
        pytest.param({"operation": "register", "sequence_id": -5}, id="register of no id"),
    ],
)
async def test_an_intent_that_names_nothing_is_refused_before_any_request(
    changes: dict[str, Any], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    intent: Any = {
        "version": 1,
        "operation": "create",
        "account": ACCOUNT,
        "serie": "2027",
        "sequence_id": None,
        "is_default": False,
        "had_sequences": None,
        "sent_at": 0.0,
    } | changes

    with pytest.raises(ConfigurationError, match="nothing was sent"):
        await faulty_account.sequences.resume(intent)

    assert len(faulty.requests) == 0


@pytest.mark.fault(21)
async def test_a_422_with_an_unknown_code_shows_the_servers_text(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    body = json.dumps({"errors": {"code": "017", "message": "Plano expirado"}})
    faulty.faults.next("status", status=422, operation="create", body=body, commits=False)

    with pytest.raises(InvoiceXpressError, match="Plano expirado"):
        await faulty_account.sequences.create("2027")
