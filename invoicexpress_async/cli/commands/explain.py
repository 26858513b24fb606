"""`invoicexpress explain`: what a code or an error means and what to do about it; offline."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from cyclopts import Parameter

from invoicexpress_async.cli.cures import error_class
from invoicexpress_async.cli.failures import cure_of_kind
from invoicexpress_async.cli.output import write_json
from invoicexpress_async.cli.shell import DONE, MEANINGS, printable
from invoicexpress_async.cli.views.row_view import STATE_MEANINGS
from invoicexpress_async.cli.words import word
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError, StatusError
from invoicexpress_async.protocol.codes import cure_in, status_error_class
from invoicexpress_async.protocol.decision import Operation

_CODE: Final = re.compile(r"(?P<status>[1-5]\d\d)(?:/(?P<code>\d{1,3}))?")
_STATUS: Final = re.compile(r"^\d(\d\d|xx)\. ")


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
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="JSON on stdout.")] = False,
) -> int:
    """Say what a code, an error, a state or an exit code means, and what to do. Nothing is sent."""
    found = list(_meanings(what.strip()))
    if not found:
        raise ConfigurationError(
            f"{printable(what)!r} is no code such as 422/004, no error, no state and no exit code."
        )
    for where, meaning, text in found:
        cure = text and word(text, "en")
        if as_json:
            write_json({"type": "meaning", "where": where, "meaning": meaning, "cure": cure})
        else:
            print(f"{where}: {meaning}" + (f"\n  {cure}" if cure else ""))  # noqa: T201  # its output
    return DONE


def _meanings(what: str) -> Iterator[tuple[str, str, str | None]]:
    if code := _CODE.fullmatch(what):
        yield from _of_code(int(code["status"]), code["code"])
        return
    if what.isdecimal() and int(what) in MEANINGS:
        yield f"exit code {int(what)}", f"{MEANINGS[int(what)]}.", None
    if meaning := STATE_MEANINGS.get(what.lower()):
        yield what.lower(), f"{meaning}.", None
    kind = error_class(what) or error_class(f"{what}Error")
    if kind is not None:
        yield kind.__name__, _first_line(kind), cure_of_kind(kind)


def _of_code(status: int, code: str | None) -> Iterator[tuple[str, str, str | None]]:
    padded = None if code is None else code.zfill(3)
    shown = f"{status}/{padded}" if padded else str(status)
    kinds = {one: status_error_class(one, status, padded) for one in _OPERATIONS}
    is_one = len(set(kinds.values())) == 1
    for operation, kind in kinds.items():
        where = shown if is_one else f"{shown} on {operation.value}"
        yield where, _first_line(kind), _cure(operation, kind)
        if is_one:
            return


_OPERATIONS: Final = (Operation.CREATE, Operation.REGISTER)


def _cure(operation: Operation, kind: type[StatusError]) -> str:
    chosen = cure_in(operation, kind)
    return cure_of_kind(kind) if chosen == kind.cure else chosen


def _first_line(kind: type[InvoiceXpressError]) -> str:
    # Some begin with the status, which is shown already.
    return _STATUS.sub("", (kind.__doc__ or "").partition("\n")[0])
