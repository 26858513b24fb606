"""The checks that send only reads."""

from typing import Final

import attrs

from invoicexpress_async.config import Secret
from invoicexpress_async.live_check.description import form_of_kind
from invoicexpress_async.live_check.inspection import Inspection, Verdict
from invoicexpress_async.live_check.probe import BodyKind, ProbeRequest, Reply
from invoicexpress_async.live_check.redaction import (
    SHARED_COOKIE,
    cookie_domain,
    is_labelled_json,
    is_limit_header,
    shown_header,
    target_of,
)
from invoicexpress_async.live_check.rows import CHECKS_OF_ROWS, Row, describe_rows, id_of, rows_of

# The largest id of a signed 32-bit column: valid, and out of reach of a counter.
_UNKNOWN_ID: Final = 2_147_483_647
_UNKNOWN_ROUTE: Final = "/live_check_no_such_route.json"
_OK: Final = 200
_FOUND: Final = 302


def check_reads(inspection: Inspection) -> tuple[Row, ...]:
    """Make every check that sends only reads, and return the account's rows."""
    listing = inspection.send("list", inspection.description.request("list_sequences"))
    if listing is None:
        return ()
    is_listed = inspection.judge("list", "list_sequences", listing, statuses={_OK})
    rows = rows_of(listing) if is_listed else ()
    if rows:
        describe_rows(inspection, rows)
        _check_get(inspection, rows[0])
        _check_paging(inspection, listing)
    else:
        inspection.skip((*CHECKS_OF_ROWS, "get", "paging"), "there is no row to look at")
    _check_refusals(inspection)
    _check_unknown_route(inspection)
    _check_headers(inspection)
    return rows


def _check_get(inspection: Inspection, row: Row) -> None:
    request = inspection.description.request("get_sequence", identifier=id_of(row))
    reply = inspection.send("get", request)
    if reply is None or not inspection.judge("get", "get_sequence", reply, statuses={_OK}):
        return
    is_same = rows_of(reply) == (row,)
    found = "the same row" if is_same else "not the same row"
    inspection.agree("get beside list", found, is_as_assumed=is_same)


def _check_paging(inspection: Inspection, listing: Reply) -> None:
    request = inspection.description.request("list_sequences")
    second = inspection.send("paging", attrs.evolve(request, query="page=2&per_page=1"))
    if second is None:
        return
    is_whole = second.status == _OK and rows_of(second) == rows_of(listing)
    found = "a second page is the whole list" if is_whole else "a second page is another list"
    inspection.agree("paging", found, is_as_assumed=is_whole)


def _check_refusals(inspection: Inspection) -> None:
    describe = inspection.description.request
    listing, unknown = "list_sequences", _UNKNOWN_ID
    to_unknown = attrs.evolve(describe(listing), is_to_unknown_account=True)
    for check, operation, request, status in (
        ("unknown id", "get_sequence", describe("get_sequence", identifier=unknown), 404),
        ("unknown account id", "get_account", describe("get_account", identifier=unknown), 404),
        ("wrong key", listing, attrs.evolve(describe(listing), has_wrong_key=True), 401),
        ("unknown account", listing, to_unknown, 401),
    ):
        reply = inspection.send(check, request)
        if reply is not None:
            inspection.judge(check, operation, reply, statuses={status})


def _check_unknown_route(inspection: Inspection) -> None:
    check = "unknown route"
    reply = inspection.send(check, ProbeRequest(method="GET", path=_UNKNOWN_ROUTE))
    if reply is None:
        return
    target = target_of(reply.header("location") or "", inspection.probe.host())
    found = f"{reply.status}, {form_of_kind(reply)}; to {target}"
    is_as_assumed = reply.status == _FOUND and reply.kind in {BodyKind.HTML, BodyKind.EMPTY}
    inspection.agree(check, found, is_as_assumed=is_as_assumed)


def _check_headers(inspection: Inspection) -> None:
    replies = [one.reply for one in inspection.exchanges if one.reply is not None]
    headers = [(name.lower(), value) for reply in replies for name, value in reply.headers]
    names = sorted({shown_header(name) for name, _ in headers})
    inspection.note("header names", Verdict.AS_ASSUMED, ", ".join(names))
    _check_labels(inspection, replies)
    limits = [name for name in names if is_limit_header(name)]
    verdict = Verdict.NEW if limits else Verdict.AS_ASSUMED
    inspection.note("limit headers", verdict, ", ".join(limits) or "none")
    domains = sorted({cookie_domain(value) for name, value in headers if name == "set-cookie"})
    is_shared = domains == [SHARED_COOKIE]
    inspection.agree("session cookie", ", ".join(domains) or "none", is_as_assumed=is_shared)
    is_echoed = any(_has_key(inspection.probe.key, reply) for reply in replies)
    found = "in a response" if is_echoed else "in no response"
    inspection.agree("the key", found, is_as_assumed=not is_echoed)


def _check_labels(inspection: Inspection, replies: list[Reply]) -> None:
    labels = [
        is_labelled_json(reply.header("content-type") or "")
        for reply in replies
        if reply.kind is BodyKind.JSON
    ]
    found = f"{sum(labels)} of {len(labels)} JSON bodies are labelled as JSON"
    inspection.agree("content type", found, is_as_assumed=all(labels))


def _has_key(key: Secret, reply: Reply) -> bool:
    texts = (reply.body, *(value.encode(errors="replace") for _, value in reply.headers))
    return any(key.redact(text) != text for text in texts)
