"""Data on stdout: for people as tables, for programs as JSON."""

import json
import os
import sys
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from invoicexpress_async import DocumentSequenceState, DocumentType, Registration, Sequence
from invoicexpress_async.cli.shell import printable, with_program_name
from invoicexpress_async.cli.words import Language, label, word
from invoicexpress_async.errors import ConfigurationError

_WIDTH = 80  # without a terminal, and without COLUMNS in the environment
ACCOUNT_WIDTH: Final = 22
MORE: Final = "… {count} more: --json and --report show all"
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


def write_new(
    path: Path, text: str, *, is_there: str, encoding: str = "utf-8", newline: str = ""
) -> None:
    """Write a new file that only its owner can read, since it has keys or an example of them."""
    problem = ""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding=encoding, newline=newline) as file:
            file.write(text)
    except FileExistsError:
        problem = is_there
    except OSError as error:
        problem = f"cannot be written: {error.strerror}"
    if problem:
        raise ConfigurationError(f"{path} {problem}.")


def new_table(
    *columns: str,
    rows: Iterable[Iterable[object]] = (),
    numbers: Container[str] = (),
    language: Language = "en",
) -> Table:
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
        justify: JustifyMethod = "right" if column in numbers else "left"
        table.add_column(word(column, language), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def print_more(text: str, left: int, language: Language) -> None:
    """Print how many records a table leaves out, if there are any."""
    if left > 0:
        data_console().print(word(text, language, count=left), style="dim")


def cell(value: object) -> Text:
    """Return a value as a cell, safe for the terminal; None as a dash."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Registration):
        return Text(value.replace("_", " "), REGISTRATION_STYLES[value])
    return Text("-", "dim") if value is None else Text(printable(with_program_name(str(value))))


def sequence_object(sequence: Sequence) -> dict[str, object]:
    return {
        "id": sequence.id,
        "serie": sequence.serie,
        "is_default": sequence.is_default,
        "registration": sequence.registration,
        "documents": {
            str(name): {
                "number": state.number,
                "sequence_id": state.sequence_id,
                "validation_code": state.validation_code,
                "registration": state.registration,
            }
            for name, state in sequence.documents.items()
        },
    }


def show_sequences(sequences: Iterable[Sequence], *, as_json: bool) -> None:
    if as_json:
        write_json([sequence_object(sequence) for sequence in sequences])
        return
    rows = [
        (one.id, one.serie, "yes" if one.is_default else None, one.registration)
        for one in sequences
    ]
    table = new_table("id", "serie", "default", "registration", rows=rows, numbers=("id",))
    data_console().print(table if rows else "The account has no sequences.")


def show_sequence(sequence: Sequence, *, as_json: bool) -> None:
    if as_json:
        write_json(sequence_object(sequence))
        return
    numbers = ("last number", "sequence id")
    rows = (
        (name, one.number, one.sequence_id, one.validation_code, one.registration)
        for name, one in sequence.documents.items()
    )
    names = ("document type", *numbers, "validation code", "registration")
    table = new_table(*names, rows=rows, numbers=numbers)
    default = ", the default" if sequence.is_default else ""
    title = Text(f"{printable(sequence.serie)} (id {sequence.id}{default}): ")
    data_console().print(title + cell(sequence.registration), table)


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
