"""Converts journal entries to values, strictly: a damaged field raises an error that names it."""

import json
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar, cast

import attrs
import cattrs

from invoicexpress_async.jobs.journal import DAMAGED, Entry, JournalError, Table
from invoicexpress_async.jobs.timestamps import Timestamp
from invoicexpress_async.models.intent import Intent
from invoicexpress_async.models.sequence import (
    DocumentStates,
    DocumentType,
    Sequence,
    Triple,
    configured_documents,
)
from invoicexpress_async.protocol.intents import structure_intent
from invoicexpress_async.protocol.strict import make_strict_converter

T = TypeVar("T", bound=attrs.AttrsInstance)


def make_record_converter() -> cattrs.Converter:
    """Return a strict converter that also reads values kept as text or as 0 and 1."""
    converter = make_strict_converter()

    def structure_bool(value: object, _: object) -> bool:
        if type(value) is int and value in {0, 1}:
            return bool(value)
        raise TypeError("expected 0 or 1")

    def structure_timestamp(value: str, _: object) -> Timestamp:
        return Timestamp.parse(value)

    def structure_text_of_intent(value: str, _: object) -> Intent:
        return structure_intent(json.loads(value))

    converter.register_structure_hook(bool, structure_bool)
    converter.register_structure_hook(Timestamp, structure_timestamp)
    converter.register_structure_hook_func(lambda kind: kind is Intent, structure_text_of_intent)
    return converter


class RecordReader(Generic[T]):
    """Reads the entries of one table.

    Args:
        table: The table.
        kind: An attrs class whose fields are columns of the table.
        converter: From `make_record_converter`, with hooks for the table's own types.
    """

    def __init__(self, table: Table, kind: type[T], converter: cattrs.Converter) -> None:
        self._table = table
        self._kind = kind
        self._names = tuple(field.name for field in attrs.fields(kind))
        self._structure = converter.get_structure_hook(kind)

    def read(self, entry: Entry) -> T:
        """Return the value of an entry.

        Raises:
            JournalError: a field of the entry is damaged.
        """
        try:
            value: T = self._structure({name: entry[name] for name in self._names}, self._kind)
        except cattrs.ClassValidationError as error:
            fields = _damaged(error)
        else:
            return value
        key = ", ".join(repr(part) for part in self._table.key_of(entry))
        raise JournalError(
            f"The journal is damaged in its table {self._table.name}, entry {key}: "
            f"{', '.join(fields)}. Nothing was sent for it.",
            cure=DAMAGED,
        )


def _damaged(error: cattrs.ClassValidationError) -> list[str]:
    """Return the names of the damaged fields, without their values."""
    with_notes, _ = error.group_exceptions()
    return [str(note.name) for _, note in with_notes] or ["unreadable"]


_DOCUMENT_TYPES: Final[dict[str, DocumentType]] = {one.value: one for one in DocumentType}
# `json.dumps` would make an encoder for each call.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def dump_sequence(sequence: Sequence) -> str:
    """Return the text that a journal keeps of a sequence."""
    documents = configured_documents(sequence.documents)
    return _ENCODER.encode([sequence.id, sequence.serie, int(sequence.is_default), documents])


def load_sequence(text: str) -> Sequence:
    """Return the sequence from a text of `dump_sequence`.

    Raises:
        ValueError: the text is damaged.
    """
    found: Any = json.loads(text)
    try:
        identity, serie, is_default, documents = found
        states = _states(documents)
    except TypeError:
        raise ValueError("no sequence") from None
    if type(identity) is not int or not isinstance(serie, str) or is_default not in {0, 1}:
        raise ValueError("no sequence")
    return Sequence(
        id=identity,
        serie=serie,
        is_default=bool(is_default),
        documents=_documents(states),
    )


def _states(documents: Any) -> list[object]:  # noqa: ANN401  # as it was read
    if isinstance(documents, Mapping):  # written by an earlier version
        by_name = cast("Mapping[str, list[object]]", documents)
        return [(name, *state) for name, state in by_name.items()]
    return list(documents)


def _documents(found: list[object]) -> DocumentStates:
    triples: dict[DocumentType | str, Triple] = {}
    for one in found:
        match one:
            case [str(name), int() | None as number, int(identity), str() | None as code]:
                triples[_DOCUMENT_TYPES.get(name, name)] = number, identity, code
            case _:
                raise ValueError("no state of a document type")
    if len(triples) < len(found):
        raise ValueError("a document type is there twice")
    return DocumentStates(triples)
