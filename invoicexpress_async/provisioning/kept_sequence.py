"""A sequence in a journal: its ids and validation codes, so that every later report is whole."""

import json
from collections.abc import Mapping
from typing import Any, Final

from invoicexpress_async.models.sequence import (
    DocumentSequenceState,
    DocumentType,
    Sequence,
    configured_documents,
)

# `json.dumps` makes one for each call.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def dump_sequence(sequence: Sequence) -> str:
    """Return a sequence as the text that a journal keeps."""
    documents = {name: state for name, *state in configured_documents(sequence.documents)}
    return _ENCODER.encode([sequence.id, sequence.serie, int(sequence.is_default), documents])


def load_sequence(text: str) -> Sequence:
    """Return the sequence of a text.

    Raises:
        ValueError: the text is damaged.
    """
    found: Any = json.loads(text)
    try:
        identity, serie, is_default, documents = found
    except TypeError:
        raise ValueError("no sequence") from None
    if type(identity) is not int or not isinstance(serie, str) or is_default not in {0, 1}:
        raise ValueError("no sequence")
    return Sequence(
        id=identity,
        serie=serie,
        is_default=bool(is_default),
        documents=_documents(documents),
    )


def _documents(
    found: Mapping[str, object],
) -> dict[DocumentType | str, DocumentSequenceState]:
    documents: dict[DocumentType | str, DocumentSequenceState] = {}
    for name, state in found.items():
        match state:
            case [int() | None as number, int(identity), str() | None as code]:
                documents[_type(name)] = DocumentSequenceState(
                    number=number, sequence_id=identity, validation_code=code
                )
            case _:
                raise ValueError("no state of a document type")
    return documents


def _type(name: str) -> DocumentType | str:
    try:
        return DocumentType(name)
    except ValueError:
        return name
