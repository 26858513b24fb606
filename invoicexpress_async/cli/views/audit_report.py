"""The report of an audit: by account, serie and document type in CSV; without types in Markdown."""

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
from invoicexpress_async.cli.views.audit_lines import AuditLine, lines_of
from invoicexpress_async.provisioning import AccountAudit

_START: Final = ("line", "account", "is_fine", "serie", "is_default", "problem")
_CSV_COLUMNS: Final = (
    *_START,
    "cure",
    "id",
    "document_type",
    "number",
    "document_sequence_id",
    "validation_code",
    "registration",
)
_MARKDOWN_COLUMNS: Final = (
    "line",
    "account",
    "serie",
    "default",
    "last numbers and codes",
    "no code for",
    "problem",
    "what to do",
)


def audit_layout(path: Path) -> Layout[AccountAudit]:
    """Return the layout that the suffix of the file asks for."""
    return AuditMarkdown() if is_markdown(path) else AuditCsv()


class AuditCsv:
    """A row for each account, serie and document type."""

    start: str = ",".join(_CSV_COLUMNS) + "\r\n"

    def entry(self, one: AccountAudit) -> str:
        """Return the rows of an account."""
        return "".join(self._rows(line, is_fine=one.is_fine) for line in lines_of(one))

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""

    def _rows(self, line: AuditLine, *, is_fine: bool) -> str:
        sequence = line.sequence
        serie = (sequence.serie, sequence.is_default) if sequence else (None, None)
        start = [line.line or None, line.account, is_fine, *serie, line.problem, line.cure]
        if sequence is None:
            return csv_lines([start])
        return csv_lines(
            [*start, sequence.id, name, *_cells(state), state.registration]
            for name, state in documents_of(sequence).items()
        )


class AuditMarkdown:
    """A table by account and serie."""

    start: str = f"# InvoiceXpress: audit\n\n{markdown_head(_MARKDOWN_COLUMNS)}"

    def __init__(self) -> None:
        self._seen = self._fine = 0

    def entry(self, one: AccountAudit) -> str:
        """Return the lines of an account."""
        self._seen += 1
        self._fine += one.is_fine
        return "".join(map(_markdown, lines_of(one)))

    def end(self) -> str:
        """Return the counts."""
        return f"\n{self._fine} fine, {self._seen - self._fine} not fine.\n"


def _cells(state: DocumentSequenceState) -> tuple[object, ...]:
    return state.number, state.sequence_id, state.validation_code


def _markdown(line: AuditLine) -> str:
    sequence = line.sequence
    documents = documents_of(sequence)
    states = (
        f"{name} {state.number}, {state.validation_code}"
        for name, state in documents.items()
        if state.is_configured and (state.number or name == DocumentType.INVOICE)
    )
    return markdown_row(
        (
            line.line or None,
            line.account,
            sequence and sequence.serie,
            "yes" if sequence and sequence.is_default else None,
            "; ".join(states),
            ", ".join(map(str, sequence.unregistered)) if sequence else None,
            line.problem,
            line.cure,
        )
    )
