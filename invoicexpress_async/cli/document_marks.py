"""Document types in two letters, and how far each is registered in one mark."""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.text import Text

from invoicexpress_async import DocumentSequenceState, DocumentType, Registration, Sequence
from invoicexpress_async.cli.text import plain

_MARKS: Final = {
    Registration.REGISTERED: ("✓", "green"),
    Registration.PARTIAL: ("?", "yellow"),
    Registration.NOT_REGISTERED: ("✗", "bold red"),
    Registration.NOT_APPLICABLE: ("·", "dim"),
    Registration.UNKNOWN: ("?", "yellow"),
}
# As printed on Portuguese documents; the others are this program's own.
_INITIALS: Final[dict[str, str]] = {
    DocumentType.INVOICE: "FT",
    DocumentType.INVOICE_RECEIPT: "FR",
    DocumentType.SIMPLIFIED_INVOICE: "FS",
    DocumentType.CREDIT_NOTE: "NC",
    DocumentType.DEBIT_NOTE: "ND",
    DocumentType.RECEIPT: "RC",
    DocumentType.SHIPPING: "GR",
    DocumentType.TRANSPORT: "GT",
    DocumentType.DEVOLUTION: "GD",
    DocumentType.PROFORMA: "PF",
    DocumentType.QUOTE: "OR",
    DocumentType.FEES_NOTE: "FN",
    DocumentType.VAT_MOSS_INVOICE: "VI",
    DocumentType.VAT_MOSS_CREDIT_NOTE: "VC",
    DocumentType.VAT_MOSS_RECEIPT: "VR",
    DocumentType.PURCHASE_ORDER: "PO",
}


def documents_of(sequence: Sequence | None) -> Mapping[str, DocumentSequenceState]:
    """Return its document types by their plain names."""
    if sequence is None:
        return {}
    return {str(name): state for name, state in sequence.documents.items()}


def initials(name: str) -> str:
    """Return two letters for a document type."""
    return _INITIALS.get(name, plain(name[:2].upper()))


def mark(state: DocumentSequenceState | None) -> Text:
    """Return the mark of one document type."""
    return Text(*_MARKS[state.registration]) if state is not None else Text("")


def names_of(types: Iterable[str]) -> str:
    """Return what the letters stand for."""
    return ", ".join(f"{initials(name)} {plain(name)}" for name in types)


def legend(types: Iterable[str]) -> str:
    """Return what the marks and the letters stand for."""
    return f"✓ has a code  ✗ needs one and has none  · needs none\n{names_of(types)}\n"
