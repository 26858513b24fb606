"""Wire and values: the wide row of the API to nested `Sequence` objects, and back.

Every wire name of a row, and every oddity of its fields, lives in this module.

cattrs calls the hook of a row, and does not structure what the hook nests. It would make the states
of 15 document types for each row, of which a caller looks at one or two: that costs 14 to 22 % of
the CPU of a whole create, more than the tenth that plain code may cost
(`benchmarks/bench_structuring.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import attrs
import cattrs

from invoicexpress_async.errors import MalformedResponseError
from invoicexpress_async.models.json_value import JsonValue
from invoicexpress_async.models.sequence import (
    DocumentColumns,
    DocumentSequenceState,
    DocumentType,
    Sequence,
)
from invoicexpress_async.protocol.strict import make_strict_converter

T = TypeVar("T")

_COLUMN: Final = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")
_KNOWN_TYPES: Final = {member.value: member for member in DocumentType}
_MAX_REMEMBERED: Final = 64
_MAX_CHARACTERS_OF_ONE: Final = 10_000
_ENVELOPES: Final = ("sequence", "sequences")
# Every form of the flag that was recorded or that a client copes with; nothing else is a flag.
_TRUE_FLAGS: Final = frozenset({"1", "true"})
_FALSE_FLAGS: Final = frozenset({"0", "false"})
# Ids and counters are 64-bit at the most; longer digit strings are garbage and slow to convert.
_MAX_DIGITS: Final = 18
_END_OF_COUNTS: Final = 10**_MAX_DIGITS
_MAX_PROBLEMS: Final = 20


class ProblemError(ValueError):
    """One thing that is wrong at one place of a response. Names the type, never the value."""

    def __init__(self, path: str, expected: str, got: object) -> None:
        super().__init__(f"{path}: expected {expected}, got {_kind(got)}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: Final[Mapping[type, str]] = {
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def structure_count(value: object, path: str) -> int | None:
    """Read a counter or an id: an integer, a string of digits, or null (recorded in all three)."""
    if value is None:
        return None
    if (
        isinstance(value, str)
        and len(value) <= _MAX_DIGITS
        and value.isascii()
        and value.isdecimal()
    ):
        return int(value)
    if type(value) is int and 0 <= value < _END_OF_COUNTS:
        return value
    raise ProblemError(path, "a whole number, as a number, a string or null", value)


def structure_id(value: object, path: str) -> int:
    """Read the row's own id, which must be there and positive."""
    if identifier := structure_count(value, path):
        return identifier
    raise ProblemError(path, "a positive id", value)


def structure_serie(value: object, path: str) -> str:
    """Read the name. It came back as a JSON integer when an integer had been sent (recorded)."""
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise ProblemError(path, "a name", value)


def structure_flag(value: object, path: str) -> bool:
    """Read `default_sequence`: 1/0, true/false, as text too, or null for false. Nothing else."""
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    text = str(value) if type(value) is int else value
    if isinstance(text, str):
        if text in _TRUE_FLAGS:
            return True
        if text in _FALSE_FLAGS:
            return False
    raise ProblemError(path, "1 or 0", value)


def structure_code(value: object, path: str) -> str | None:
    """Keep a validation code as it came. Null and absent are the same: not "N/A"."""
    if value is None or isinstance(value, str):
        return value
    raise ProblemError(path, "a validation code", value)


class SequenceHooks:
    """The cattrs hooks between one wide row and one `Sequence`.

    One object per converter: it remembers how rows split, as nearly all have the same keys.
    """

    def __init__(self) -> None:
        self._layouts = RowLayouts()

    def structure(self, row: JsonValue, _: object = None) -> Sequence:
        """Nest a row.

        Raises:
            MalformedResponseError: with the paths of all its problems.
        """
        if not isinstance(row, dict):
            raise malformed(str(ProblemError("sequence", "an object", row)))
        layout = self._layouts.of(tuple(row))
        problems = Problems()
        collect, get = problems.collect, row.get
        # What nearly all values are is seen here: to call for each would be half of the price.
        counts = [
            count
            if type(count := get(key)) is int and 0 <= count < _END_OF_COUNTS
            else collect(structure_count, count, key)
            for key in layout.count_keys
        ]
        codes = [
            code if type(code := get(key)) is str else collect(structure_code, code, key)
            for key in layout.code_keys
        ]
        documents = DocumentColumns(layout.index, tuple(counts), tuple(codes))
        return _sequence({key: row[key] for key in layout.others}, documents, problems)

    def unstructure(self, sequence: Sequence) -> dict[str, JsonValue]:
        """Write the wide row again. What the server did not say is left out."""
        row: dict[str, JsonValue] = {
            "id": sequence.id,
            "serie": sequence.serie,
            "default_sequence": int(sequence.is_default),
        }
        for name, state in sequence.documents.items():
            triple = {
                "number": state.number,
                "sequence_id": state.sequence_id,
                "validation_code": state.validation_code,
            }
            for field, value in triple.items():
                if value is not None:
                    row[f"current_{name}_{field}"] = value
        return row | dict(sequence.extra)


def _sequence(
    fields: dict[str, JsonValue],
    documents: Mapping[DocumentType | str, DocumentSequenceState],
    problems: "Problems",
) -> Sequence:
    """Build the sequence; `fields` is what is left of the row, and becomes `extra`."""
    pop = fields.pop
    identifier = problems.collect(structure_id, pop("id", None), "id")
    # One client reads the name from the second (contract, [client]).
    serie = pop("serie", None)
    if serie is None:
        serie = pop("serie_number", None)
    name = problems.collect(structure_serie, serie, "serie")
    is_default = problems.collect(structure_flag, pop("default_sequence", None), "default_sequence")
    if identifier is None or name is None or is_default is None or problems:
        raise malformed(*problems)
    return Sequence(
        id=identifier, serie=name, is_default=is_default, documents=documents, extra=fields
    )


class Problems:
    """What is wrong with one response, collected so that one error reports all of it."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, problem: ProblemError) -> None:
        """Note one problem, up to a number that a person reads."""
        if len(self._texts) < _MAX_PROBLEMS:
            self._texts.append(f"sequence.{problem}")

    def collect(self, structure: Callable[[object, str], T], value: object, path: str) -> T | None:
        """Structure one field, or note its problem and return None."""
        try:
            return structure(value, path)
        except ProblemError as problem:
            self.add(problem)
        return None


def malformed(*problems: str) -> MalformedResponseError:
    """Return the error for a response that is not what was requested."""
    return MalformedResponseError(
        "The response is not what was requested: " + "; ".join(problems) + ".", problems=problems
    )


def structure_one(payload: JsonValue, converter: cattrs.Converter) -> Sequence:
    """Take one sequence out of its envelope.

    `{"sequence": {…}}`, or `{"sequences": {…}}` as newer pages may say, or the list of one that
    register responses.

    Raises:
        MalformedResponseError: anything else, with the paths of its problems.
    """
    content = _open_envelope(payload)
    if isinstance(content, list):
        if len(content) != 1:
            raise malformed(f"sequences: expected one, got {len(content)}")
        content = content[0]
    return converter.structure(content, Sequence)


def structure_many(payload: JsonValue, converter: cattrs.Converter) -> tuple[Sequence, ...]:
    """Take a list of sequences out of its envelope.

    A single object in place of the list counts as a list of one: one client copes with it.

    Raises:
        MalformedResponseError: anything else, with the paths of its problems.
    """
    content = _open_envelope(payload)
    rows = content if isinstance(content, list) else [content]
    structure = converter.get_structure_hook(Sequence)
    return tuple([structure(row, Sequence) for row in rows])


def structure_nothing(payload: JsonValue) -> None:
    """Accept an empty response, or an object: `{"success": "true"}` is on the provider's page.

    Zero bytes or one space were recorded. Errors in an object were refused before.

    Raises:
        MalformedResponseError: anything else.
    """
    if payload is not None and not isinstance(payload, dict):
        raise malformed("the response: expected nothing")


def _open_envelope(payload: JsonValue) -> JsonValue:
    if not isinstance(payload, dict):
        raise malformed(str(ProblemError("the response", "an object", payload)))
    for name in _ENVELOPES:
        if name in payload:
            return payload[name]
    names = ", ".join(list(payload)[:5])[:80] or "nothing"
    raise malformed(f"the response: expected a sequence, got an object with {names}")


def make_converter() -> cattrs.Converter:
    """Return a converter with every hook of this module; each `SessionManager` has its own."""
    converter = make_strict_converter()
    hooks = SequenceHooks()
    converter.register_structure_hook(Sequence, hooks.structure)
    converter.register_unstructure_hook(Sequence, hooks.unstructure)
    return converter


@attrs.define(kw_only=True)
class RowLayout:
    """How a row with certain keys, in a certain order, splits.

    Attributes:
        keys: All of them.
        index: Its document types, and where each stands in a column.
        count_keys: The keys of all numbers, and then those of all ids.
        code_keys: The keys of all validation codes.
        others: The keys that belong to no document type.
    """

    keys: tuple[str, ...]
    index: Mapping[DocumentType | str, int]
    count_keys: tuple[str, ...]
    code_keys: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...]) -> "RowLayout":
        """Split the keys."""
        matches = {key: match for key in keys if (match := _COLUMN.fullmatch(key))}
        names = list(dict.fromkeys(match[1] for match in matches.values()))
        numbers, ids, codes = (
            tuple(f"current_{name}_{column}" for name in names)
            for column in ("number", "sequence_id", "validation_code")
        )
        return cls(
            keys=keys,
            index={document_type(name): at for at, name in enumerate(names)},
            count_keys=numbers + ids,
            code_keys=codes,
            others=tuple(key for key in keys if key not in matches),
        )


class RowLayouts:
    """Remembers how rows split, as nearly all rows have the same keys in the same order."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], RowLayout] = {}

    def of(self, keys: tuple[str, ...]) -> RowLayout:
        """Return the layout of a row with these keys."""
        return self._known.get(keys) or self._learn(keys)

    def _learn(self, keys: tuple[str, ...]) -> RowLayout:
        layout = RowLayout.of(keys)
        # A hostile server could send new keys for ever: bounded, in number and in size.
        if len(self._known) < _MAX_REMEMBERED and sum(map(len, keys)) < _MAX_CHARACTERS_OF_ONE:
            self._known[keys] = layout
        return layout


def document_type(name: str) -> DocumentType | str:
    """Return the known type, or the name itself: the set depends on the account and its age."""
    return _KNOWN_TYPES.get(name, name)
