"""The columns of a wide row: which of them belong to which document type."""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final, cast

import attrs

from invoicexpress_async._json import JsonValue
from invoicexpress_async.models import DocumentType

_COLUMN: Final = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")
_KNOWN_TYPES: Final = {member.value: member for member in DocumentType}
Values = tuple[JsonValue, ...]
Types = tuple[type, ...]
_Pick = Callable[[Values], Values]
_MOST_REMEMBERED: Final = 256
_MOST_CHARACTERS_OF_ONE: Final = 20_000
_MOST_USUAL: Final = 64
_OF_CODES: Final = frozenset({str, type(None)})
_OF_FIELDS: Final = ((int, str, int), (int, str, bool))


@attrs.define(kw_only=True)
class RowLayout:
    """How a row with certain keys, in a certain order, splits.

    Attributes:
        index: Its document types, and where each stands in a column.
        count_keys: The keys of all numbers, and then those of all ids.
        code_keys: The keys of all validation codes.
        counts: Picks the numbers and then the ids out of the values of a row.
        codes: Picks the validation codes.
        fields: Picks the id, the name and the flag of the default.
        others: The keys that belong to no document type.
        has_absent: Whether a column or field lacks; picked, it is None.
        extra: Those of them that are none of the fields either.
    """

    index: Mapping[DocumentType | str, int]
    count_keys: tuple[str, ...]
    code_keys: tuple[str, ...]
    counts: _Pick
    codes: _Pick
    fields: _Pick
    others: tuple[str, ...]
    extra: tuple[str, ...]
    has_absent: bool
    _usual: set[Types] = attrs.field(factory=set[Types])
    _latest: Types = ()

    @classmethod
    def of(cls, keys: tuple[str, ...], fields: tuple[str, ...]) -> "RowLayout":
        """Split the keys; `fields` are those of the id, the name and the flag."""
        matches = {key: match for key in keys if (match := _COLUMN.fullmatch(key))}
        names = list(dict.fromkeys(match[1] for match in matches.values()))
        numbers, ids, codes = (
            tuple(f"current_{name}_{column}" for name in names)
            for column in ("number", "sequence_id", "validation_code")
        )
        places = {key: at for at, key in enumerate(keys)}
        others = tuple(key for key in keys if key not in matches)
        return cls(
            index={document_type(name): at for at, name in enumerate(names)},
            count_keys=numbers + ids,
            code_keys=codes,
            counts=_picker(places, numbers + ids),
            codes=_picker(places, codes),
            fields=_picker(places, fields),
            others=others,
            extra=tuple(key for key in others if key not in fields),
            has_absent=not {*numbers, *ids, *codes, *fields} <= set(keys),
        )

    def values_of(self, row: Mapping[str, JsonValue]) -> Values:
        """Return the values in the order of the keys; at the end, what stands for absent ones."""
        return (*row.values(), None) if self.has_absent else tuple(row.values())

    def is_usual(self, types: Types) -> bool:
        """Whether `note` has found these types of values to be right for every column."""
        # To compare with the latest ones is cheaper than to hash them.
        if types == self._latest:
            return True
        if types not in self._usual:
            return False
        self._latest = types
        return True

    def note(self, types: Types) -> None:
        """Remember the types of a row that was found right, if they alone tell that it may be."""
        kinds = cast("Values", types)  # picked as values are
        is_usual = (
            {*cast("Types", self.counts(kinds))} == {int}
            and {*cast("Types", self.codes(kinds))} <= _OF_CODES
            and cast("Types", self.fields(kinds)) in _OF_FIELDS
        )
        if is_usual and len(self._usual) < _MOST_USUAL:
            self._usual.add(types)


def _picker(places: Mapping[str, int], keys: tuple[str, ...]) -> _Pick:
    at = [places.get(key, len(places)) for key in keys]
    if len(at) > 1:  # one alone would not come in a tuple
        return cast("_Pick", itemgetter(*at))
    return lambda values: tuple(values[place] for place in at)


class RowLayouts:
    """Remembers how rows split, as nearly all rows have the same keys in the same order."""

    def __init__(self, fields: tuple[str, str, str]) -> None:
        self._fields = fields
        self._known: dict[tuple[str, ...], RowLayout] = {}
        self._last_keys: tuple[str, ...] = ()
        self._last = RowLayout.of((), fields)

    def of(self, keys: tuple[str, ...]) -> RowLayout:
        """Return the layout of a row with these keys."""
        # To compare with the last ones is cheaper than to hash them.
        if keys != self._last_keys:
            self._last = self._known.get(keys) or self._learn(keys)
            self._last_keys = keys
        return self._last

    def _learn(self, keys: tuple[str, ...]) -> RowLayout:
        layout = RowLayout.of(keys, self._fields)
        # A hostile server could send new keys for ever: bounded, in number and in size.
        if len(self._known) < _MOST_REMEMBERED and sum(map(len, keys)) < _MOST_CHARACTERS_OF_ONE:
            self._known[keys] = layout
        return layout


def document_type(name: str) -> DocumentType | str:
    """Return the known type, or the name itself: the set depends on the account and its age."""
    return _KNOWN_TYPES.get(name, name)
