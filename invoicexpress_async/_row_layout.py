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
_Pick = Callable[[Mapping[str, JsonValue]], tuple[JsonValue, ...]]
_MOST_REMEMBERED: Final = 256
_MOST_CHARACTERS_OF_ONE: Final = 20_000


@attrs.frozen(kw_only=True)
class RowLayout:
    """How the keys of a row split.

    Attributes:
        index: Its document types, and where each stands in a column.
        count_keys: The keys of all numbers, and then those of all ids.
        code_keys: The keys of all validation codes.
        absent: Those of them that the row does not have.
        others: All other keys.
    """

    index: Mapping[DocumentType | str, int]
    count_keys: tuple[str, ...]
    code_keys: tuple[str, ...]
    absent: Mapping[str, None]
    others: tuple[str, ...]
    _pick: _Pick = attrs.field(alias="pick")

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
            index={document_type(name): at for at, name in enumerate(names)},
            count_keys=numbers + ids,
            code_keys=codes,
            absent={key: None for key in numbers + ids + codes if key not in matches},
            others=tuple(key for key in keys if key not in matches),
            pick=_picker(*numbers, *ids, *codes),
        )

    def columns(
        self, row: Mapping[str, JsonValue]
    ) -> tuple[tuple[JsonValue, ...], tuple[JsonValue, ...]]:
        """Return the numbers and then the ids, and the validation codes; None for an absent one."""
        values = self._pick({**row, **self.absent} if self.absent else row)
        ends = len(self.count_keys)
        return values[:ends], values[ends:]


def _picker(*keys: str) -> _Pick:
    return cast("_Pick", itemgetter(*keys)) if keys else _pick_nothing


def _pick_nothing(_: Mapping[str, JsonValue]) -> tuple[JsonValue, ...]:
    return ()


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
