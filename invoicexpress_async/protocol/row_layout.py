"""The columns of a wide row: which of them belong to which document type."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from invoicexpress_async.models.sequence import DocumentType

_COLUMN: Final = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")
_KNOWN_TYPES: Final = {member.value: member for member in DocumentType}
_MAX_REMEMBERED: Final = 64
_MAX_CHARACTERS_OF_ONE: Final = 10_000


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
