"""The report of a run: by account, serie and document type in CSV, by account in Markdown."""

import json
from pathlib import Path
from typing import Final

from invoicexpress_async import DocumentSequenceState, DocumentType
from invoicexpress_async.cli.output import documents_of
from invoicexpress_async.cli.report_file import (
    Layout,
    csv_lines,
    is_markdown,
    markdown_head,
    markdown_row,
)
from invoicexpress_async.cli.summary import Tally, count_text
from invoicexpress_async.cli.views.row_view import ShownRow

_CSV_COLUMNS: Final = (
    "line",
    "account",
    "serie",
    "state",
    "created",
    "error",
    "code",
    "cure",
    "intent",
    "id",
    "document_type",
    "document_sequence_id",
    "validation_code",
    "registration",
)
_MARKDOWN_COLUMNS: Final = (
    "line",
    "account",
    "serie",
    "state",
    "id",
    "FT code",
    "no code for",
    "code",
    "what to do",
)


def outcome_layout(path: Path) -> Layout[ShownRow]:
    """Return the layout that the suffix of the file asks for."""
    return OutcomeMarkdown() if is_markdown(path) else OutcomeCsv()


class OutcomeCsv:
    """A row for each account, serie and document type; one row without a sequence."""

    start: str = ",".join(_CSV_COLUMNS) + "\r\n"

    def entry(self, one: ShownRow) -> str:
        """Return the rows of one account and serie."""
        start = [one.line or None, one.account, one.serie, one.state, one.created]
        start += [one.error_name, one.code, one.cure]
        start += [json.dumps(one.intent) if one.intent else None]
        if one.sequence is None:
            return csv_lines([start])
        return csv_lines(
            [*start, one.sequence.id, name, *_cells(state)]
            for name, state in documents_of(one.sequence).items()
        )

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""


def _cells(state: DocumentSequenceState) -> tuple[object, ...]:
    return state.sequence_id, state.validation_code, state.registration


class OutcomeMarkdown:
    """A table by account and serie, the counts, and what `sequences resume` takes."""

    start: str = f"# InvoiceXpress: report of a run\n\n{markdown_head(_MARKDOWN_COLUMNS)}"

    def __init__(self) -> None:
        self._tally = Tally(total=0)

    def entry(self, one: ShownRow) -> str:
        """Return the line of one account and serie."""
        self._tally.note(one)
        invoice = documents_of(one.sequence).get(DocumentType.INVOICE)
        lacking = one.sequence.unregistered if one.sequence else ()
        start = (one.line or None, one.account, one.serie, one.state)
        found = (one.sequence and one.sequence.id, invoice and invoice.validation_code)
        return markdown_row((*start, *found, ", ".join(map(str, lacking)), one.code, one.cure))

    def end(self) -> str:
        """Return the counts, the cures, and the intents in doubt."""
        lines = [f"\n{count_text(self._tally.counts)}, {self._tally.created} created.\n"]
        lines += (
            f"- {kind.rows} {state}, {code}: {cure}\n"
            for (state, code, cure), kind in self._tally.ordered_kinds()
        )
        if self._tally.intents:
            lines.append("\nSent, outcome not known; `sequences resume` takes this file:\n\n")
            lines += (f"    {json.dumps(intent)}\n" for intent in self._tally.intents)
        return "".join(lines)
