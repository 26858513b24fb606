"""Data on stdout: for people as tables, for programs as JSON."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentSequenceState, DocumentType, Registration, Sequence
from invoicexpress_async.cli.shell import printable, with_program_name
from invoicexpress_async.cli.words import Language, label, word

_WIDTH = 80  # without a terminal, and without COLUMNS in the environment
ACCOUNT_WIDTH: Final = 22
REGISTRATION_STYLES: Final = {
    Registration.REGISTERED: "green",
    Registration.PARTIAL: "yellow",
    Registration.NOT_REGISTERED: "red",
    Registration.NOT_APPLICABLE: "dim",
    Registration.UNKNOWN: "yellow",
}

_MARKS: Final = {
    Registration.REGISTERED: ("✓", "green"),
    Registration.PARTIAL: ("?", "yellow"),
    Registration.NOT_REGISTERED: ("✗", "bold red"),
    Registration.NOT_APPLICABLE: ("·", "dim"),
    Registration.UNKNOWN: ("?", "yellow"),
}
_MARK_MEANINGS: Final = "✓ has a code  ✗ needs one and has none  · needs none"
# Those of Portuguese documents where they exist; the others are defined here.
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


class _DataConsole(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # Rich's method would end the process with 1


def data_console() -> Console:
    """Return the console for data. Without a terminal it has a fixed width and no colour."""
    is_given = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    width = None if is_given else _WIDTH
    return _DataConsole(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def write_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def new_table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    """Return a table in the style of this program; columns in `numbers` are right-aligned."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
        header_style="bold",
    )
    for column in columns:
        # Folded, not cut, on a narrow terminal: a part of an id or a code would be wrong.
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def cell(value: object) -> Text:
    """Return a value as a cell, safe for the terminal; None as a dash."""
    if isinstance(value, Text):
        return value
    return Text("-", "dim") if value is None else Text(printable(with_program_name(str(value))))


def registration_cell(registration: Registration) -> Text:
    return Text(registration.replace("_", " "), REGISTRATION_STYLES[registration])


def sequence_object(sequence: Sequence) -> dict[str, object]:
    return {
        "id": sequence.id,
        "serie": sequence.serie,
        "is_default": sequence.is_default,
        "registration": sequence.registration,
        "documents": {
            str(name): _document_object(state) for name, state in sequence.documents.items()
        },
    }


def _document_object(state: DocumentSequenceState) -> dict[str, object]:
    return {
        "number": state.number,
        "sequence_id": state.sequence_id,
        "validation_code": state.validation_code,
        "registration": state.registration,
    }


def show_sequences(sequences: Iterable[Sequence], *, as_json: bool) -> None:
    if as_json:
        write_json([sequence_object(sequence) for sequence in sequences])
        return
    table = new_table("id", "serie", "default", "registration", numbers=("id",))
    for one in sequences:
        table.add_row(
            cell(one.id),
            cell(one.serie),
            cell("yes" if one.is_default else None),
            registration_cell(one.registration),
        )
    console = data_console()
    console.print(table if table.row_count else "The account has no sequences.")


def show_sequence(sequence: Sequence, *, as_json: bool) -> None:
    if as_json:
        write_json(sequence_object(sequence))
        return
    numbers = ("last number", "sequence id")
    table = new_table("document type", *numbers, "validation code", "registration", numbers=numbers)
    for name, state in sequence.documents.items():
        table.add_row(
            cell(name),
            cell(state.number),
            cell(state.sequence_id),
            cell(state.validation_code),
            registration_cell(state.registration),
        )
    default = ", the default" if sequence.is_default else ""
    title = Text(f"{printable(sequence.serie)} (id {sequence.id}{default}): ")
    data_console().print(title + registration_cell(sequence.registration), table)


def documents_of(sequence: Sequence | None) -> Mapping[str, DocumentSequenceState]:
    """Return the document types of a sequence by their names; empty for None."""
    if sequence is None:
        return {}
    return {str(name): state for name, state in sequence.documents.items()}


def initials(name: str) -> str:
    return _INITIALS.get(name, printable(name[:2].upper()))


def mark(state: DocumentSequenceState | None) -> Text:
    return Text(*_MARKS[state.registration]) if state is not None else Text("")


def names_of(types: Iterable[str], language: Language) -> str:
    return ", ".join(f"{initials(name)} {printable(label(name, language))}" for name in types)


def legend(types: Iterable[str], language: Language) -> str:
    return f"{word(_MARK_MEANINGS, language)}\n{names_of(types, language)}\n"
