"""The steps that write. Each needs a yes, is sent once, and is followed by reads only."""

from collections.abc import Callable
from typing import Final

from invoicexpress_async.config import fold
from invoicexpress_async.live_check.inspection import Inspection, Verdict
from invoicexpress_async.live_check.probe import Reply
from invoicexpress_async.live_check.rows import (
    Row,
    id_of,
    is_default,
    is_registered,
    rows_of,
    serie_of,
)

Ask = Callable[[str], bool]

_SET_CURRENT: Final = "set the default again"
_REGISTER: Final = "register again"
_CREATE: Final = "create"
_NOT_AGREED: Final = "not agreed to"
_CREATED: Final = 201
_REGISTERED_CODES: Final = frozenset({5, 7})  # register's 409/005, 409/007 and 422/007


def check_writes(
    inspection: Inspection, rows: tuple[Row, ...], *, serie: str | None, ask: Ask
) -> None:
    """Make the steps that write; stop after a step whose outcome is unknown."""
    steps: tuple[Callable[[], None], ...] = (
        lambda: _set_default_again(inspection, rows, ask),
        lambda: _register_again(inspection, rows, ask),
        lambda: _create(inspection, rows, serie, ask),
    )
    for step in steps:
        step()
        if any(one.verdict is Verdict.UNKNOWN for one in inspection.findings):
            return


def _set_default_again(inspection: Inspection, rows: tuple[Row, ...], ask: Ask) -> None:
    row = next(filter(is_default, rows), None)
    if row is None:
        inspection.skip([_SET_CURRENT], "no series is the default")
    elif not ask(f"Set the series {serie_of(row)!r} as the default, which it is already?"):
        inspection.skip([_SET_CURRENT], _NOT_AGREED)
    else:
        operation = "set_current_sequence"
        request = inspection.description.request(operation, identifier=id_of(row))
        reply = inspection.send(_SET_CURRENT, request)
        if reply is not None:
            inspection.judge(_SET_CURRENT, operation, reply, statuses={200})


def _register_again(inspection: Inspection, rows: tuple[Row, ...], ask: Ask) -> None:
    row = next(filter(is_registered, rows), None)
    if row is None:
        inspection.skip([_REGISTER], "no series is registered as a whole")
    elif not ask(f"Register the series {serie_of(row)!r}, which is registered already?"):
        inspection.skip([_REGISTER], _NOT_AGREED)
    else:
        operation = "register_sequence"
        request = inspection.description.request(operation, identifier=id_of(row))
        reply = inspection.send(_REGISTER, request)
        if reply is None or not inspection.judge(_REGISTER, operation, reply, statuses={409, 422}):
            return
        code = _code(reply)
        found = "no code" if code is None else f"code {code:03}"
        inspection.agree("code of registered", found, is_as_assumed=code in _REGISTERED_CODES)


def _create(inspection: Inspection, rows: tuple[Row, ...], serie: str | None, ask: Ask) -> None:
    if serie is None:
        inspection.skip([_CREATE], "no --serie was given")
    elif _named(serie, rows) is not None:
        inspection.skip([_CREATE], "the account has a series of that name")
    elif not ask(f"Create the series {serie!r}, which can never be deleted or renamed?"):
        inspection.skip([_CREATE], _NOT_AGREED)
    else:
        request = inspection.description.request(
            "create_sequence", body={"sequence": {"serie": serie}}
        )
        reply = inspection.send(_CREATE, request)
        if reply is not None:
            statuses = {_CREATED, 409, 422}
            inspection.judge(_CREATE, "create_sequence", reply, statuses=statuses)
        _look_after_create(inspection, rows, serie, reply)


def _look_after_create(
    inspection: Inspection, before: tuple[Row, ...], serie: str, reply: Reply | None
) -> None:
    listing = inspection.send("list after create", inspection.description.request("list_sequences"))
    after = () if listing is None else rows_of(listing)
    row = _named(serie, after)
    if reply is not None and reply.status == _CREATED:
        _check_created(inspection, before, after, row, serie)
    elif row is not None:
        text = "a row is there, although no success was reported"
        inspection.note("row after create", Verdict.NEW, text)
    else:
        inspection.note("row after create", Verdict.AS_ASSUMED, "no row is there")


def _check_created(
    inspection: Inspection,
    before: tuple[Row, ...],
    after: tuple[Row, ...],
    row: Row | None,
    serie: str,
) -> None:
    if row is None:
        inspection.note("listed at once", Verdict.NEW, "no: the list lags behind the create")
        return
    inspection.note("listed at once", Verdict.AS_ASSUMED, "yes")
    is_as_sent = row.get("serie") == serie
    found = "as sent" if is_as_sent else "in another form"
    inspection.agree("stored name", found, is_as_assumed=is_as_sent)
    defaults = [{id_of(one) for one in rows if is_default(one)} for rows in (before, after)]
    is_kept = defaults[0] == defaults[1]
    found = "as before" if is_kept else "another series, although it was not requested"
    inspection.agree("default after create", found, is_as_assumed=is_kept)


def _named(serie: str, rows: tuple[Row, ...]) -> Row | None:
    """Return the row of that name, or of one that looks like it: the client would not create it."""
    return next((row for row in rows if fold(serie_of(row)) == fold(serie)), None)


def _code(reply: Reply) -> int | None:
    """Return the code of a refusal; a nested code takes precedence."""
    document = reply.document
    outer = document if isinstance(document, dict) else {}
    inner = outer.get("errors")
    found = (inner if isinstance(inner, dict) else outer).get("code", outer.get("code"))
    return int(found) if str(found).isascii() and str(found).isdecimal() else None  # type: ignore[arg-type]  # digits
