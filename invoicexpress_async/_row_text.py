"""Rows straight from the text of an answer, when they are of a shape that was often seen.

Nearly all rows that a process reads have the same keys in the same order, so that the text of the
next one is known but for its values. A regular expression of all its keys takes the values out for
half of what parsing costs, and lets each pass only in the one form that needs no closer look.
Whatever does not match, to the last character, is left to the parser and to the checks of
`converters`. So what is read here is what they would read, or nothing.
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Final, cast

import attrs

from invoicexpress_async._json import JsonValue, NotJsonError, loads
from invoicexpress_async._json import text as json_text
from invoicexpress_async._row_layout import RowLayout
from invoicexpress_async.models import NOTHING_MORE, DocumentColumns, Sequence, sequence_of

_Values = tuple[str | None, ...]
_Pick = Callable[[_Values], _Values]

# Each with one group. `++` and `*+` never go back, so that a text that fails does so at once.
_WHOLE: Final = "(0|[1-9][0-9]{0,17}+)"
_PLAIN: Final = r'[^"\\\x00-\x1f]'
_COUNT: Final = f"(?:null|{_WHOLE})"
_CODE: Final = f'(?:null|"({_PLAIN}*+)")'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_SCALAR: Final = f'(null|true|false|{_NUMBER}|"{_PLAIN}*+")'
_FIELDS: Final = {
    "id": "([1-9][0-9]{0,17}+)",
    "serie": f'"({_PLAIN}++)"',
    "default_sequence": "([01])",
}
_ONE: Final = '{"sequence":'
_MANY: Final = '{"sequences":['

# To make an expression takes as long as it saves on some 300 rows; `re` has it for later managers.
_ROWS_BEFORE: Final = 32
# Each is tried in turn on a row that the latest did not fit.
_MOST_SHAPES: Final = 8
# The official row has 48 keys of 1,500 characters. To make an expression of more would hold up the
# event loop, and each field that is not known is parsed by itself, which pays for a few only.
_MOST_KEYS: Final = 128
_MOST_CHARACTERS: Final = 5_000
_MOST_UNKNOWN: Final = 8


@attrs.frozen(kw_only=True)
class _Shape:
    """One layout as a regular expression, and which of its groups are what."""

    match: Callable[[str, int], re.Match[str] | None]
    layout: RowLayout
    is_complete: bool
    counts: _Pick
    codes: _Pick
    fields: Callable[[_Values], tuple[str, str, str]]
    more: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, layout: RowLayout) -> "_Shape":
        forms = dict.fromkeys(layout.keys, _SCALAR)
        forms |= dict.fromkeys(layout.count_keys, _COUNT)
        forms |= dict.fromkeys(layout.code_keys, _CODE)
        forms |= _FIELDS
        pairs = (f"{re.escape(json_text(key))}:{forms[key]}" for key in layout.keys)
        places = {key: at for at, key in enumerate(layout.keys)}
        return cls(
            match=re.compile(f"\\{{{','.join(pairs)}\\}}").match,
            layout=layout,
            is_complete={*layout.count_keys, *layout.code_keys} <= set(layout.keys),
            counts=_picker(places, layout.count_keys),
            codes=_picker(places, layout.code_keys),
            fields=itemgetter(*(places[key] for key in _FIELDS)),
            more=tuple((key, places[key]) for key in layout.others if key not in _FIELDS),
        )

    def read(self, text: str, at: int) -> tuple[Sequence, int] | None:
        """Read one row; return it and where it ends, or None."""
        match = self.match(text, at)
        if match is None:
            return None
        # A column that lacks is picked from the end.
        values = match.groups() if self.is_complete else (*match.groups(), None)
        identifier, serie, flag = self.fields(values)
        extra = self._extra(values) if self.more else NOTHING_MORE
        if extra is None:
            return None
        documents = DocumentColumns(self.layout.index, self.counts(values), self.codes(values))
        return sequence_of(int(identifier), serie, flag == "1", documents, extra), match.end()

    def _extra(self, values: _Values) -> Mapping[str, JsonValue] | None:
        try:
            told = {key: loads(cast("str", values[at]).encode()) for key, at in self.more}
        except NotJsonError:
            return None
        return MappingProxyType(told)


def _picker(places: Mapping[str, int], keys: tuple[str, ...]) -> _Pick:
    at = [places.get(key, len(places)) for key in keys]
    if len(at) > 1:  # one alone would not come in a tuple
        return cast("_Pick", itemgetter(*at))
    return lambda values: tuple(values[place] for place in at)


def _is_worth_it(layout: RowLayout) -> bool:
    return (
        _FIELDS.keys() <= set(layout.others)
        and len(layout.others) <= len(_FIELDS) + _MOST_UNKNOWN
        and len(layout.keys) <= _MOST_KEYS
        and sum(map(len, layout.keys)) <= _MOST_CHARACTERS
    )


class RowReader:
    """Reads answers whose rows are of shapes that it was shown often enough."""

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []  # the one that fitted last is the first

    def note(self, layout: RowLayout) -> None:
        """Count one row that was parsed and found right."""
        layout.rows_read += 1
        if (
            layout.rows_read == _ROWS_BEFORE
            and len(self._shapes) < _MOST_SHAPES
            and _is_worth_it(layout)
        ):
            self._shapes.append(_Shape.of(layout))

    def one(self, body: bytes) -> Sequence | None:
        """Return the one row of an answer, or None when it must be parsed."""
        rows = self.many(body)
        return rows[0] if rows and len(rows) == 1 else None

    def many(self, body: bytes) -> tuple[Sequence, ...] | None:
        """Return the rows of an answer, at least one, or None when it must be parsed."""
        if not self._shapes:
            return None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        if text.startswith(_MANY):
            return self._rows(text, len(_MANY), "]}")
        return self._rows(text, len(_ONE), "}") if text.startswith(_ONE) else None

    def _rows(self, text: str, at: int, end: str) -> tuple[Sequence, ...] | None:
        rows: list[Sequence] = []
        while found := self._shapes[0].read(text, at) or self._by_another(text, at):
            row, at = found
            rows.append(row)
            if end == "}" or not text.startswith(",", at):
                return tuple(rows) if text[at:] == end else None
            at += 1
        return None

    def _by_another(self, text: str, at: int) -> tuple[Sequence, int] | None:
        for place in range(1, len(self._shapes)):
            if found := self._shapes[place].read(text, at):
                self._shapes.insert(0, self._shapes.pop(place))
                return found
        return None
