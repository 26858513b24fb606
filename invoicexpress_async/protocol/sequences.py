"""The requests of the sequences resource, each with the expected response."""

import functools
from typing import Final

import attrs
import cattrs

from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.models.sequence import Sequence
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.exchange import Request, json_text
from invoicexpress_async.protocol.sequence_rows import (
    ProblemError,
    Problems,
    malformed,
    structure_count,
    structure_many,
    structure_nothing,
    structure_one,
)

_COLLECTION: Final = "/sequences.json"


@attrs.define(kw_only=True)  # not frozen: one is made for each list
class Page:
    """One response of a list, and whether no other page follows."""

    sequences: tuple[Sequence, ...]
    is_last: bool


class SequenceRequests:
    """Builds requests; holds what reads their responses."""

    def __init__(self, converter: cattrs.Converter) -> None:
        self._converter = converter
        # Made once: it is the same each time, and requests are never changed.
        self._first_page = self._list(1)

    def list(self, page: int = 1) -> Request[Page]:
        """GET the sequences. The first page is requested without a number, as documented."""
        return self._first_page if page == 1 else self._list(page)

    def _list(self, page: int) -> Request[Page]:
        return Request(
            operation=Operation.LIST,
            method="GET",
            path=_COLLECTION,
            query="" if page == 1 else f"page={page}",
            structure=functools.partial(self._page, page),
        )

    def get(self, sequence_id: int) -> Request[Sequence]:
        """GET one sequence."""
        return Request(
            operation=Operation.GET,
            method="GET",
            path=f"/sequences/{sequence_id}.json",
            subject=f"sequence {sequence_id}",
            structure=functools.partial(self._with_id, sequence_id),
        )

    def create(self, serie: str, *, default: bool) -> Request[Sequence]:
        """POST a new sequence."""
        return Request(
            operation=Operation.CREATE,
            method="POST",
            path=_COLLECTION,
            body=sequence_body(serie, default=default),
            subject=f"sequence {serie!r}",
            structure=functools.partial(self._with_name, canonical(serie)),
        )

    def register(self, sequence_id: int) -> Request[Sequence]:
        """PUT the registration of one sequence with the tax authority."""
        return Request(
            operation=Operation.REGISTER,
            method="PUT",
            path=f"/sequences/{sequence_id}/register.json",
            subject=f"sequence {sequence_id}",
            structure=functools.partial(self._with_id, sequence_id),
        )

    def set_current(self, sequence_id: int) -> Request[None]:
        """PUT one sequence as the default."""
        return Request(
            operation=Operation.SET_CURRENT,
            method="PUT",
            path=f"/sequences/{sequence_id}/set_current.json",
            subject=f"sequence {sequence_id}",
            structure=structure_nothing,
        )

    def _page(self, asked: int, payload: JsonValue) -> Page:
        sequences = structure_many(payload, self._converter)
        return Page(sequences=sequences, is_last=is_last_page(payload, asked=asked))

    def _with_id(self, wanted: int, payload: JsonValue) -> Sequence:
        sequence = structure_one(payload, self._converter)
        if sequence.id != wanted:
            raise malformed("sequence.id: not the requested one")
        return sequence

    def _with_name(self, wanted: str, payload: JsonValue) -> Sequence:
        sequence = structure_one(payload, self._converter)
        # A server may store another Unicode form of the name than was sent (NFC).
        if canonical(sequence.serie) != wanted:
            raise malformed("sequence.serie: not the requested one")
        return sequence


def is_last_page(payload: JsonValue, *, asked: int) -> bool:
    """Return whether no page follows the requested one.

    No list of sequences was ever seen paginated; a page that says it is one of several must not
    be taken for the whole, as what it does not show could be taken for absent.

    Raises:
        MalformedResponseError: a pagination that cannot be followed, or not the requested page.
    """
    pagination = payload.get("pagination") if isinstance(payload, dict) else None
    if pagination is None and asked == 1:
        return True
    if not isinstance(pagination, dict):
        raise malformed(str(ProblemError("pagination", "an object", pagination)))
    problems = Problems()
    page = problems.collect(structure_count, pagination.get("current_page"), "current_page")
    last = problems.collect(structure_count, pagination.get("total_pages"), "total_pages")
    if problems or last is None or page != asked:
        raise malformed(f"pagination: expected page {asked} of a number of pages")
    return asked >= last


def sequence_body(serie: str, *, default: bool) -> bytes:
    """Return the body of a create, as JSON.

    The flag must be the string "1" or be left out; any other value is ignored by the server.
    """
    flag = ',"default_sequence":"1"' if default else ""
    return f'{{"sequence":{{"serie":{json_text(serie)}{flag}}}}}'.encode()
