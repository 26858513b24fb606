"""The columns of a wide row: which of them belong to which document type."""

import re
from typing import Final

import attrs

from invoicexpress_async.models import DocumentType

_COLUMN: Final = re.compile(r"current_(.+)_(number|sequence_id|validation_code)")
_KNOWN_TYPES: Final = {member.value: member for member in DocumentType}
_MOST_REMEMBERED: Final = 256
_MOST_CHARACTERS_OF_ONE: Final = 20_000


@attrs.frozen
class RowLayout:
    """How the keys of a row split.

    Attributes:
        documents: Each document type with the keys of its number, its id and its validation
            code; None for one that the row does not have.
        others: All other keys.
    """

    documents: tuple[tuple[DocumentType | str, str | None, str | None, str | None], ...]
    others: tuple[str, ...]

    @classmethod
    def of(cls, keys: tuple[str, ...]) -> "RowLayout":
        """Split the keys."""
        columns: dict[str, dict[str, str]] = {}
        others: list[str] = []
        for key in keys:
            if match := _COLUMN.fullmatch(key):
                columns.setdefault(match[1], {})[match[2]] = key
            else:
                others.append(key)
        documents = (
            (
                document_type(name),
                of.get("number"),
                of.get("sequence_id"),
                of.get("validation_code"),
            )
            for name, of in columns.items()
        )
        return cls(tuple(documents), tuple(others))


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
        if len(self._known) < _MOST_REMEMBERED and sum(map(len, keys)) < _MOST_CHARACTERS_OF_ONE:
            self._known[keys] = layout
        return layout


def document_type(name: str) -> DocumentType | str:
    """Return the known type, or the name itself: the set depends on the account and its age."""
    return _KNOWN_TYPES.get(name, name)
