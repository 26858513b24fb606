"""The checks of the rows of a listing, for open questions about the API."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from invoicexpress_async.live_check.description import shown_name
from invoicexpress_async.live_check.inspection import Inspection, Verdict
from invoicexpress_async.live_check.probe import Reply
from invoicexpress_async.models import DocumentSequenceState, JsonValue, Registration
from invoicexpress_async.protocol.exchange import flag_in

Row = dict[str, JsonValue]

CHECKS_OF_ROWS: Final = (
    "row id", "field forms", "document types", "validation codes", "default series",
)  # fmt: skip

_FLAG: Final = "default_sequence"
_CODE_FIELD: Final = re.compile(r"current_(.+)_validation_code")
_TYPE_FIELD: Final = re.compile(r"current_(.+?)_(?:number|sequence_id|validation_code)")
_NOT_REGISTERED: Final = "N/D"
_NOT_APPLICABLE: Final = "N/A"


def rows_of(reply: Reply) -> tuple[Row, ...]:
    """Return the rows of a response: those of a list, or the one of a single object."""
    document = reply.document
    if not isinstance(document, dict):
        return ()
    found = document.get("sequences", document.get("sequence"))
    rows = found if isinstance(found, list) else [found]
    return tuple(row for row in rows if isinstance(row, dict) and id_of(row))


def id_of(row: Row) -> int:
    """Return the id of a row, or 0 when it has none."""
    return _integer(row.get("id"))


def serie_of(row: Row) -> str:
    """Return the name of a row, which may be an integer."""
    return str(row.get("serie"))


def is_default(row: Row) -> bool:
    """Whether the row's default flag is set, in any form that was seen."""
    return flag_in(row.get(_FLAG)) is True


def is_registered(row: Row) -> bool:
    """Whether a document type of the row has a code and none lacks one."""
    kinds = {_kind(value) for _, value in _codes(row)}
    return "code" in kinds and kinds <= {"code", _NOT_APPLICABLE}


def describe_rows(inspection: Inspection, rows: tuple[Row, ...]) -> None:
    """Add the findings of the rows' values."""
    equal = sum(id_of(row) == _integer(row.get("current_invoice_sequence_id")) for row in rows)
    found = f"equal to that of invoices in {equal} of {len(rows)} rows"
    inspection.agree("row id", found, is_as_assumed=equal == len(rows))
    _check_forms(inspection, rows)
    _check_types(inspection, rows)
    _check_codes(inspection, rows)
    count = sum(map(is_default, rows))
    inspection.agree("default series", f"{count} of {len(rows)} rows", is_as_assumed=count == 1)


def _check_forms(inspection: Inspection, rows: tuple[Row, ...]) -> None:
    forms = {
        "id": _forms(inspection, "RowId", (row.get("id") for row in rows)),
        "serie": _forms(inspection, "Serie", (row.get("serie") for row in rows)),
        "default": _forms(inspection, "Flag", (row.get(_FLAG) for row in rows)),
        "number": _forms(inspection, "Count", (row.get("current_invoice_number") for row in rows)),
    }
    found = "; ".join(f"{name}: {' and '.join(sorted(kinds))}" for name, kinds in forms.items())
    is_known = all("" not in kinds for kinds in forms.values())
    inspection.agree("field forms", found, is_as_assumed=is_known)


def _forms(inspection: Inspection, schema: str, values: Iterable[JsonValue]) -> set[str]:
    return {inspection.description.form(schema, value) for value in values}


def _check_types(inspection: Inspection, rows: tuple[Row, ...]) -> None:
    matches = (_TYPE_FIELD.fullmatch(name) for row in rows for name in row)
    types = {match[1] for match in matches if match}
    new = sorted(map(shown_name, types - inspection.description.document_types()))
    if new:
        inspection.note("document types", Verdict.NEW, f"not known: {', '.join(new)}")
    else:
        inspection.note("document types", Verdict.AS_ASSUMED, f"{len(types)}, all known")


def _check_codes(inspection: Inspection, rows: tuple[Row, ...]) -> None:
    kinds = Counter(_kind(value) for row in rows for _, value in _codes(row))
    found = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    is_known = set(kinds) <= {"code", _NOT_REGISTERED, _NOT_APPLICABLE}
    inspection.agree("validation codes", found or "none at all", is_as_assumed=is_known)


def _codes(row: Row) -> list[tuple[str, JsonValue]]:
    matches = ((_CODE_FIELD.fullmatch(name), value) for name, value in row.items())
    return [(match[1], value) for match, value in matches if match]


def _kind(value: JsonValue) -> str:
    """Return the kind of a code in a word, so that the code itself is not shown."""
    if not isinstance(value, str):
        return "null" if value is None else "no text"
    if value in {_NOT_REGISTERED, _NOT_APPLICABLE}:
        return value
    state = DocumentSequenceState(validation_code=value)
    if state.registration is Registration.REGISTERED:
        return "code"
    if not value.strip():
        return "blank"
    return "zeros" if not value.strip("0") else "another text"


def _integer(value: JsonValue) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
