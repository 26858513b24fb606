"""`invoicexpress explain`: the meaning of a code or an error and what to do about it; offline."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.cures import (
    CURE_OF_UNPLANNED,
    cure_of_recorded_row,
    cure_of_unknown,
    error_class,
)
from invoicexpress_async.cli.failures import WITHOUT_CURE, cure_of_kind
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.shell import (
    DONE,
    FAILED,
    INTERRUPTED,
    MEANINGS,
    UNKNOWN,
    USAGE,
    filled,
    printable,
)
from invoicexpress_async.cli.views.row_view import STATE_MEANINGS, UNPLANNED
from invoicexpress_async.cli.words import word
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError, StatusError
from invoicexpress_async.protocol.codes import cure_in, status_error_class
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.provisioning import RowState

_CODE: Final = re.compile(r"(?P<status>[45]\d\d)(?:/(?P<code>\d{1,3}))?")
# A status at the start of a docstring: "5xx. ", or "409/006, and 409/008 of a register. ".
_STATUS: Final = re.compile(r"^\d(\d\d|xx)\b[^.]*\. ")
_OF_THE_SERVER: Final = (
    "It depends on the code and the message of the server, which the output and --json show. Give "
    "the code too, such as 422/004."
)
_AGAIN: Final = "Run the same command again: it looks first, and creates nothing twice."
_EXIT_CURES: Final[Mapping[int, str | None]] = {
    DONE: None,
    FAILED: (
        "The output says what to do about each. Correct the causes, then run the same command "
        "again; what the journal has as refused is tried again with --retry-refused only."
    ),
    USAGE: "Correct what the message names, then run it again.",
    UNKNOWN: (
        "Run the same command again in some minutes, with the same --journal: it reads first, and "
        "sends none twice. Without a journal, do not run it again: give each intent to "
        "`invoicexpress sequences resume`, which only reads."
    ),
    INTERRUPTED: _AGAIN,
}
_STATE_CURES: Final[Mapping[str, str | None]] = {
    RowState.DONE: None,
    RowState.PREPARED: "Run the same command again on the day of --not-before, or later.",
    "planned": _AGAIN,
    "intent": cure_of_unknown(RowState.UNKNOWN, has_journal=True),
    RowState.UNKNOWN: cure_of_unknown(RowState.UNKNOWN, has_journal=True),
    RowState.ABSENT: cure_of_unknown(RowState.ABSENT, has_journal=True),
    RowState.PARTIAL: cure_of_recorded_row("PartialRegistrationError", RowState.PARTIAL),
    RowState.REFUSED: "Correct the cause, then run the same command again with --retry-refused.",
    RowState.FAILED: _AGAIN,
    UNPLANNED: CURE_OF_UNPLANNED,
}
_OTHER_WORDS: Final[Mapping[str, tuple[str, str | None]]] = {
    "n/d": (
        "this document type needs a validation code of the tax authority (AT), and has none.",
        (
            "Do not issue such documents in the serie yet: check the account's AT set-up, then "
            "`invoicexpress sequences register ID`."
        ),
    ),
    "parked": (
        "a company whose onboarding cannot continue before you do something.",
        "Do what the output says of it, then run the same onboard command again.",
    ),
    "n/a": ("this document type needs no validation code of the tax authority (AT).", None),
}


def explain(
    what: Annotated[
        str,
        Parameter(
            help="A status and code, such as 422/004; the name of an error; a state of a row; or "
            "an exit code, such as 3."
        ),
    ],
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="JSON on stdout.")] = False,
) -> int:
    """Say what a code, an error, a state or an exit code means, and what to do. Nothing is sent."""
    found = list(_meanings(what.strip()))
    if not found:
        raise ConfigurationError(
            f"{printable(what)!r} is not known here. Give a status and code such as 422/004, the "
            "name of an error, a state of a row, or an exit code."
        )
    for where, meaning, text in found:
        cure = text and word(text, "en")
        if as_json:
            write_json({"type": "meaning", "where": where, "meaning": meaning, "cure": cure})
        else:
            texts = [filled(f"{where}: {meaning}"), *([filled(cure, "  ")] if cure else [])]
            sys.stdout.write("".join(f"{one}\n" for one in texts))
    return DONE


def _meanings(what: str) -> Iterator[tuple[str, str, str | None]]:
    number = next((one for one in MEANINGS if str(one) == what), None)
    if number is not None:
        yield f"exit code {number}", f"{MEANINGS[number]}.", _EXIT_CURES[number]
        return
    if code := _CODE.fullmatch(what):
        yield from _of_code(int(code["status"]), code["code"])
        return
    state = "intent" if what.lower() == "in flight" else what.lower()
    if meaning := STATE_MEANINGS.get(state):
        yield what, f"{meaning}.", _STATE_CURES[state]
    if found := _OTHER_WORDS.get(what.lower()):
        yield what, found[0], found[1]
    kind = error_class(what) or error_class(f"{what}Error")
    if kind is not None:
        yield kind.__name__, _first_line(kind), cure_of_kind(kind)


def _of_code(status: int, code: str | None) -> Iterator[tuple[str, str, str | None]]:
    padded = None if code is None else code.zfill(3)
    shown = f"{status}/{padded}" if padded else str(status)
    operations = Operation.CREATE, Operation.REGISTER
    kinds = {one: status_error_class(one, status, padded) for one in operations}
    is_one = len(set(kinds.values())) == 1
    for operation, kind in kinds.items():
        where = shown if is_one else f"{shown} on {operation.value}"
        yield where, _first_line(kind), _cure(operation, kind)
        if is_one:
            return


def _cure(operation: Operation, kind: type[StatusError]) -> str:
    chosen = cure_in(operation, kind)
    if kind in WITHOUT_CURE:
        return _OF_THE_SERVER
    return cure_of_kind(kind) if chosen == kind.cure else chosen


def _first_line(kind: type[InvoiceXpressError]) -> str:
    # Without the status at the start of some docstrings, which is shown already.
    return _STATUS.sub("", (kind.__doc__ or "").partition("\n")[0])
