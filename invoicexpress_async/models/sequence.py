"""Sequences, and the state of each document type in a sequence."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

import attrs

from invoicexpress_async.errors.context import ConfigurationError
from invoicexpress_async.models.json_value import JsonValue


class DocumentType(StrEnum):
    """The document types seen so far.

    The first 15 are in the provider's sample; `PURCHASE_ORDER` was recorded in live traffic.
    The set is open: a type that is not named here is kept under its plain `str` name.
    """

    INVOICE = "invoice"
    INVOICE_RECEIPT = "invoice_receipt"
    SIMPLIFIED_INVOICE = "simplified_invoice"
    CREDIT_NOTE = "credit_note"
    DEBIT_NOTE = "debit_note"
    RECEIPT = "receipt"
    SHIPPING = "shipping"
    TRANSPORT = "transport"
    DEVOLUTION = "devolution"
    PROFORMA = "proforma"
    QUOTE = "quote"
    FEES_NOTE = "fees_note"
    VAT_MOSS_INVOICE = "vat_moss_invoice"
    VAT_MOSS_CREDIT_NOTE = "vat_moss_credit_note"
    VAT_MOSS_RECEIPT = "vat_moss_receipt"
    PURCHASE_ORDER = "purchase_order"


class Registration(StrEnum):
    """How far a sequence, or one document type of it, is registered with the tax authority."""

    REGISTERED = "registered"
    """The type has a validation code; for a sequence: every type that needs a code has one."""
    PARTIAL = "partial"
    """Some types have a code and others have none. Such a sequence must not be used."""
    NOT_REGISTERED = "not_registered"
    """A code is needed, and there is none."""
    NOT_APPLICABLE = "not_applicable"
    """No code is needed."""
    UNKNOWN = "unknown"
    """The response does not show it: old and lean responses have no codes, others no real code."""


@attrs.frozen(kw_only=True)
class DocumentSequenceState:
    """The state of one document type in a sequence.

    Attributes:
        number: The last number used, 0 on a new sequence, None when the server did not send it.
        sequence_id: The id that documents of this type must name. It is near the id of the
            sequence but at no fixed offset, so it is never computed. None or 0: the type is
            not configured on the account.
        validation_code: The code as the server sent it: a code, "N/D" (needed, not registered),
            "N/A" (not needed), or None when the response had none. Official samples have codes of
            7 characters although the law says 8, so the length is not checked. Only ASCII letters
            and digits that are not all zeros count as a code.
    """

    number: int | None = None
    sequence_id: int | None = None
    validation_code: str | None = None

    @property
    def is_configured(self) -> bool:
        """Whether the account can issue documents of this type."""
        return bool(self.sequence_id)

    @property
    def registration(self) -> Registration:
        """The state that follows from the validation code. An absent code is not "N/A".

        A text that is not a code, such as "0", "-" or "Pendente", gives UNKNOWN too.
        """
        return _registration(self.validation_code)

    @property
    def next_number(self) -> int | None:
        """The number after the last one used, or None when the last one is not known."""
        return None if self.number is None else self.number + 1

    def atcud(self, number: int | None) -> str:
        """Return the ATCUD of document `number`: its code, a hyphen, the number.

        It is printed on every document of a registered type (Portaria 195/2020, article 3).

        Raises:
            ConfigurationError: the type has no validation code, or the number is not a
                positive integer.
        """
        if self.registration is not Registration.REGISTERED:
            raise ConfigurationError(
                f"This document type has no validation code (it says {self.validation_code!r}), "
                "so its documents have no ATCUD. Register the sequence first."
            )
        if type(number) is not int or number < 1:
            raise ConfigurationError("The number of a document is a positive integer.")
        return f"{self.validation_code}-{number}"


# What the server writes instead of a code (the provider's own page).
_WITHOUT_CODE = {"N/D": Registration.NOT_REGISTERED, "N/A": Registration.NOT_APPLICABLE}
# Words that other programs show in that field; in capitals they would look like codes.
_NO_CODES = frozenset({"NULL", "NONE", "ND", "NA", "PENDING", "PENDENTE", "ERROR", "ERRO"})


def _registration(code: str | None) -> Registration:
    if not code:
        return Registration.UNKNOWN
    if _is_validation_code(code):
        return Registration.REGISTERED
    return _WITHOUT_CODE.get(code.strip().upper(), Registration.UNKNOWN)


def _is_validation_code(text: str) -> bool:
    """Return whether `text` can be a validation code: ASCII letters and digits, not only zeros.

    A code without digits must be in capitals, as the tax authority writes codes: "Pendente" is not
    a code. Other values of the field have no known meaning, and give no ATCUD.
    """
    if not (text.isascii() and text.isalnum()):
        return False
    if text.isalpha():
        return text.isupper() and text not in _NO_CODES
    return bool(text.strip("0"))


Triple: TypeAlias = tuple[int | None, int | None, str | None]
"""The number, the id and the validation code of a document type."""


class DocumentStates(Mapping[DocumentType | str, DocumentSequenceState]):
    """The states of a sequence, each created when it is first read.

    A row has about 15 types, of which a caller reads one or two, and a frozen state is expensive to
    create.

    Args:
        triples: The values of each document type, which have been checked.
    """

    __slots__ = ("_made", "triples")

    def __init__(self, triples: Mapping[DocumentType | str, Triple]) -> None:
        self.triples: Mapping[DocumentType | str, Triple] = triples
        self._made: dict[DocumentType | str, DocumentSequenceState] = {}

    def __getitem__(self, name: DocumentType | str) -> DocumentSequenceState:
        state = self._made.get(name)
        if state is None:
            number, sequence_id, code = self.triples[name]
            state = self._made[name] = DocumentSequenceState(
                number=number, sequence_id=sequence_id, validation_code=code
            )
        return state

    def __iter__(self) -> Iterator[DocumentType | str]:
        return iter(self.triples)

    def __len__(self) -> int:
        return len(self.triples)

    def __repr__(self) -> str:
        return repr(dict(self))


def _as_states(documents: Mapping[DocumentType | str, DocumentSequenceState]) -> DocumentStates:
    if isinstance(documents, DocumentStates):
        return documents
    return DocumentStates(
        {
            name: (state.number, state.sequence_id, state.validation_code)
            for name, state in documents.items()
        }
    )


def configured_documents(
    documents: Mapping[DocumentType | str, DocumentSequenceState],
) -> list[tuple[DocumentType | str, int | None, int | None, str | None]]:
    """Return name, number, id and validation code of the configured types."""
    triples = _as_states(documents).triples
    return [(name, *triple) for name, triple in triples.items() if triple[1]]


def read_only(extra: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return a copy of the fields that cannot be changed."""
    return MappingProxyType(dict(extra))


@attrs.frozen(kw_only=True)
class Sequence:
    """A document series: a family of one counter and one validation code per document type.

    It can never be deleted or renamed.

    Attributes:
        id: The id of the family, positive.
        serie: The name printed on documents, such as "2027".
        is_default: Whether documents that name no sequence are numbered in this one.
        documents: The state by document type. `documents["invoice"]` and
            `documents[DocumentType.INVOICE]` are the same entry.
        extra: Fields of the response that this version does not know, as the server sent them.
    """

    id: int
    serie: str
    is_default: bool
    documents: Mapping[DocumentType | str, DocumentSequenceState] = attrs.field(
        converter=_as_states, hash=False
    )
    extra: Mapping[str, JsonValue] = attrs.field(
        factory=dict[str, JsonValue], converter=read_only, hash=False
    )

    def __str__(self) -> str:
        default = ", the default" if self.is_default else ""
        return f"{self.serie} (id {self.id}{default}, {self.registration.replace('_', ' ')})"

    @property
    def registration(self) -> Registration:
        """The registration of the sequence, from the codes of its configured types.

        Pessimistic: a missing code beside real codes makes it PARTIAL.
        """
        codes = {code for *_, code in configured_documents(self.documents)}
        states = {_registration(code) for code in codes}
        needed = states - {Registration.NOT_APPLICABLE}
        if not needed:
            return Registration.NOT_APPLICABLE if states else Registration.UNKNOWN
        if len(needed) == 1:
            return needed.pop()
        if Registration.REGISTERED in needed:
            return Registration.PARTIAL
        return Registration.NOT_REGISTERED

    @property
    def unregistered(self) -> tuple[DocumentType | str, ...]:
        """The configured types that have no code and may need one."""
        fine = (Registration.REGISTERED, Registration.NOT_APPLICABLE)
        found = configured_documents(self.documents)
        return tuple(name for name, *_, code in found if _registration(code) not in fine)

    def __reduce__(self) -> tuple[object, ...]:
        # A read-only mapping does not pickle; its contents do.
        fields = (self.id, self.serie, self.is_default, dict(self.documents), dict(self.extra))
        return restore_sequence, fields


def restore_sequence(
    id: int,  # noqa: A002  # the field's own name
    serie: str,
    is_default: bool,  # noqa: FBT001  # called by pickle, positionally
    documents: Mapping[DocumentType | str, DocumentSequenceState],
    extra: Mapping[str, JsonValue],
) -> Sequence:
    """Return the sequence that a pickle describes."""
    return Sequence(id=id, serie=serie, is_default=is_default, documents=documents, extra=extra)


class Via(StrEnum):
    """How `ensure` found the sequence that it returns."""

    LISTED = "listed"
    """The sequence existed already."""
    ANSWERED = "answered"
    """The sequence was created now, and the server's response confirmed it."""
    OBSERVED = "observed"
    """The sequence was created now, the response was lost, and a later read found it."""


@attrs.frozen(kw_only=True)
class Ensured:
    """The result of `SequenceService.ensure`.

    Attributes:
        sequence: The sequence as last read.
        created: Whether a create of this process made it, sent by this call or by a
            simultaneous one for the same sequence.
        via: How the sequence was found.
    """

    sequence: Sequence
    created: bool
    via: Via
