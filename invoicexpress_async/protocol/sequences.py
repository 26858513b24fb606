"""The sequences resource: its requests, and the conversion from wide rows to `Sequence`s.

All wire names and oddities of a row are in this module; the oddities of its values are in
`exchange`.

cattrs calls the hook of a row, and does not structure the nested result. It would create the states
of 15 document types for each row, of which a caller reads one or two: that costs 14 to 22 % of
the CPU of a whole create, more than the tenth that plain code may cost
(`benchmarks/bench_structuring.py`).
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import attrs
import cattrs

from invoicexpress_async.config.serie_names import canonical
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.models.sequence import (
    DocumentSequenceState,
    DocumentStates,
    DocumentType,
    Sequence,
)
from invoicexpress_async.protocol.decision import Operation
from invoicexpress_async.protocol.exchange import (
    END_OF_COUNTS,
    Request,
    ResponseProblems,
    json_text,
    structure_code,
    structure_count,
    structure_flag,
    structure_id,
    structure_serie,
)
from invoicexpress_async.protocol.refusal import structure_nothing
from invoicexpress_async.protocol.strict import (
    ProblemError,
    make_strict_converter,
    malformed_response,
)

T = TypeVar("T")

_COLUMN: Final = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")
_KNOWN_TYPES: Final = {member.value: member for member in DocumentType}
_MAX_REMEMBERED: Final = 64
_MAX_CHARACTERS_OF_ONE: Final = 10_000
_ENVELOPES: Final = ("sequence", "sequences")
_TEXTS_OF_AN_ERROR: Final = frozenset({"message", "code"})


class RowHook:
    """The cattrs hook from one wide row to one `Sequence`.

    One object per converter: it remembers how rows split, because nearly all have the same keys.
    """

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], RowLayout] = {}

    def structure(self, row: JsonValue, _: object = None) -> Sequence:
        """Nest a row; one error reports the paths of all its problems."""
        if not isinstance(row, dict):
            raise malformed_response(str(ProblemError("sequence", "an object", row)))
        layout = self.layout_of(tuple(row))
        problems = ResponseProblems()
        collect, get = problems.collect, row.get
        # The usual types are checked inline: a call for each value would double the cost.
        triples = {
            name: (
                number
                if type(number := get(number_key)) is int and 0 <= number < END_OF_COUNTS
                else collect(structure_count, number, number_key),
                id_
                if type(id_ := get(id_key)) is int and 0 <= id_ < END_OF_COUNTS
                else collect(structure_count, id_, id_key),
                code
                if type(code := get(code_key)) is str
                else collect(structure_code, code, code_key),
            )
            for name, number_key, id_key, code_key in layout.types
        }
        fields = {key: row[key] for key in layout.other_keys}
        return _sequence(fields, DocumentStates(triples), problems)

    def layout_of(self, keys: tuple[str, ...]) -> "RowLayout":
        """Return the layout of a row with these keys."""
        layout = self._layouts.get(keys)
        if layout is not None:
            return layout
        layout = RowLayout.of(keys)
        # A hostile server could send new keys for ever: layouts are bounded in number and size.
        if len(self._layouts) < _MAX_REMEMBERED and sum(map(len, keys)) < _MAX_CHARACTERS_OF_ONE:
            self._layouts[keys] = layout
        return layout


def _sequence(
    fields: dict[str, JsonValue],
    documents: Mapping[DocumentType | str, DocumentSequenceState],
    problems: "ResponseProblems",
) -> Sequence:
    """Build the sequence; unknown `fields` of the row, without its documents, become `extra`."""
    pop = fields.pop
    identifier = problems.collect(structure_id, pop("id", None), "id")
    # One client reads the name from `serie_number` (contract, [client]).
    serie = pop("serie", None)
    if serie is None:
        serie = pop("serie_number", None)
    name = problems.collect(structure_serie, serie, "serie")
    is_default = problems.collect(structure_flag, pop("default_sequence", None), "default_sequence")
    if identifier is None or name is None or is_default is None or problems:
        raise malformed_response(*(f"sequence.{problem}" for problem in problems))
    return Sequence(
        id=identifier, serie=name, is_default=is_default, documents=documents, extra=fields
    )


def structure_one(payload: JsonValue, converter: cattrs.Converter) -> Sequence:
    """Take one sequence out of its envelope.

    It is `{"sequence": {…}}`, or `{"sequences": {…}}` as in newer pages, or the list of one
    sequence in the response to a register.
    """
    content = _open_envelope(payload)
    if isinstance(content, list):
        if len(content) != 1:
            raise malformed_response(f"sequences: expected one, got {len(content)}")
        content = content[0]
    return converter.structure(content, Sequence)


def structure_many(payload: JsonValue, converter: cattrs.Converter) -> tuple[Sequence, ...]:
    """Take a list of sequences out of its envelope.

    A single object instead of the list counts as a list of one: one client accepts it.
    """
    content = _open_envelope(payload)
    rows = content if isinstance(content, list) else [content]
    structure = converter.get_structure_hook(Sequence)
    return tuple([structure(row, Sequence) for row in rows])


def _open_envelope(payload: JsonValue) -> JsonValue:
    if not isinstance(payload, dict):
        raise malformed_response(str(ProblemError("the response", "an object", payload)))
    found = [name for name in _ENVELOPES if name in payload]
    if len(found) == 1:
        return payload[found[0]]
    if found:  # what the one shows, the other may not
        raise malformed_response("the response: expected one envelope, got two")
    names = ", ".join(list(payload)[:5])[:80] or "nothing"
    raise malformed_response(f"the response: expected a sequence, got an object with {names}")


def make_converter() -> cattrs.Converter:
    """Return a converter with the hook of this module; each `SessionManager` has its own."""
    converter = make_strict_converter()
    converter.register_structure_hook(Sequence, RowHook().structure)
    return converter


@attrs.define(kw_only=True)
class RowLayout:
    """How a row with certain keys is split.

    Attributes:
        types: The document types, each with the keys of its number, its id and its validation code.
        other_keys: The keys that belong to no document type.
    """

    types: tuple[tuple[DocumentType | str, str, str, str], ...]
    other_keys: tuple[str, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...]) -> "RowLayout":
        """Split the keys. The set of types is open: an unknown type keeps its own name."""
        matches = {key: match for key in keys if (match := _COLUMN.fullmatch(key))}
        names = dict.fromkeys(match[1] for match in matches.values())
        return cls(
            types=tuple(
                (
                    _KNOWN_TYPES.get(name, name),
                    f"current_{name}_number",
                    f"current_{name}_sequence_id",
                    f"current_{name}_validation_code",
                )
                for name in names
            ),
            other_keys=tuple(key for key in keys if key not in matches),
        )


_COLLECTION: Final = "/sequences.json"


@attrs.define(kw_only=True)  # not frozen: one is made for each list
class Page:
    """One page of a list, and whether it is the last one."""

    sequences: tuple[Sequence, ...]
    is_last: bool


class SequenceRequests:
    """Builds the requests, each with the function that structures its response."""

    def __init__(self, converter: cattrs.Converter) -> None:
        self._converter = converter

    def list(self, page: int = 1) -> Request[Page]:
        """Build the GET of a page. The first page is requested without a number, as documented."""
        return Request(
            operation=Operation.LIST,
            method="GET",
            path=_COLLECTION,
            query="" if page == 1 else f"page={page}",
            structure=functools.partial(self._page, page),
        )

    def get(self, sequence_id: int) -> Request[Sequence]:
        """Build the GET of one sequence."""
        structure = functools.partial(self._with_id, sequence_id)
        return _of_one(Operation.GET, "GET", sequence_id, "", structure)

    def create(self, serie: str, *, default: bool) -> Request[Sequence]:
        """Build the POST of a new sequence."""
        return Request(
            operation=Operation.CREATE,
            method="POST",
            path=_COLLECTION,
            body=sequence_body(serie, default=default),
            subject=f"sequence {serie!r}",
            structure=functools.partial(self._with_name, canonical(serie)),
        )

    def register(self, sequence_id: int) -> Request[Sequence]:
        """Build the PUT that registers one sequence with the tax authority."""
        structure = functools.partial(self._with_id, sequence_id)
        return _of_one(Operation.REGISTER, "PUT", sequence_id, "/register", structure)

    def set_current(self, sequence_id: int) -> Request[None]:
        """Build the PUT that makes one sequence the default."""
        return _of_one(Operation.SET_CURRENT, "PUT", sequence_id, "/set_current", structure_nothing)

    def _page(self, requested: int, payload: JsonValue) -> Page:
        sequences = structure_many(payload, self._converter)
        if not sequences and isinstance(payload, dict) and payload.keys() & _TEXTS_OF_AN_ERROR:
            # A list is what shows that a name is absent.
            raise malformed_response("sequences: none, beside what may be an error")
        return Page(sequences=sequences, is_last=is_last_page(payload, requested=requested))

    def _with_id(self, expected: int, payload: JsonValue) -> Sequence:
        sequence = structure_one(payload, self._converter)
        if sequence.id != expected:
            raise malformed_response("sequence.id: not the requested one")
        return sequence

    def _with_name(self, expected: str, payload: JsonValue) -> Sequence:
        sequence = structure_one(payload, self._converter)
        # A server may store the name in another Unicode form (NFC) than the one that was sent.
        if canonical(sequence.serie) != expected:
            raise malformed_response("sequence.serie: not the requested one")
        return sequence


def _of_one(
    operation: Operation,
    method: str,
    sequence_id: int,
    action: str,
    structure: Callable[[JsonValue], T],
) -> Request[T]:
    return Request(
        operation=operation,
        method=method,
        path=f"/sequences/{sequence_id}{action}.json",
        subject=f"sequence {sequence_id}",
        structure=structure,
    )


def is_last_page(payload: JsonValue, *, requested: int) -> bool:
    """Return whether no page follows the requested one.

    No paginated list of sequences was ever seen. One page of several must not be taken for the
    whole list, because sequences on other pages would be taken for absent.
    """
    pagination = payload.get("pagination") if isinstance(payload, dict) else None
    if pagination is None and requested == 1:
        return True
    if not isinstance(pagination, dict):
        raise malformed_response(str(ProblemError("pagination", "an object", pagination)))
    problems = ResponseProblems()
    page = problems.collect(structure_count, pagination.get("current_page"), "current_page")
    last = problems.collect(structure_count, pagination.get("total_pages"), "total_pages")
    if problems or last is None or page != requested:
        raise malformed_response(f"pagination: expected page {requested} of a number of pages")
    return requested >= last


def sequence_body(serie: str, *, default: bool) -> bytes:
    """Return the body of a create, as JSON.

    The flag must be the string "1" or be left out; any other value is ignored by the server.
    """
    flag = ',"default_sequence":"1"' if default else ""
    return f'{{"sequence":{{"serie":{json_text(serie)}{flag}}}}}'.encode()
