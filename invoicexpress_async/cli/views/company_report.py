"""The report of an onboarding: a row for each company, in CSV or Markdown, without any secret."""

import json
from pathlib import Path
from typing import Final

from invoicexpress_async.cli.company_summary import CompanyTally, code_of, message_of_server
from invoicexpress_async.cli.cures import cure_of_company
from invoicexpress_async.cli.report_file import (
    Layout,
    csv_lines,
    is_markdown,
    markdown_head,
    markdown_row,
)
from invoicexpress_async.onboarding import CompanyOutcome

_CSV_COLUMNS: Final = (
    "line",
    "fiscal_id",
    "organization_name",
    "account",
    "account_id",
    "step",
    "state",
    "serie",
    "sequence_id",
    "error",
    "status",
    "code",
    "message",
    "cure",
    "intent",
)
_MARKDOWN_COLUMNS: Final = (
    "line",
    "fiscal_id",
    "company",
    "account",
    "step",
    "state",
    "serie",
    "why",
    "what to do",
)


def company_layout(path: Path) -> Layout[CompanyOutcome]:
    """Return the layout that the suffix of the file asks for."""
    return CompanyMarkdown() if is_markdown(path) else CompanyCsv()


class CompanyCsv:
    """A row for each company."""

    start: str = ",".join(_CSV_COLUMNS) + "\r\n"

    def entry(self, one: CompanyOutcome) -> str:
        """Return the row of a company."""
        company = one.company
        row: list[object] = [company.line or None, company.fiscal_id]
        row += [company.account.organization_name, one.account_name, one.account_id]
        row += [one.step, one.state, company.serie, one.sequence and one.sequence.id]
        row += [one.error_name, one.status, one.code, message_of_server(one)]
        row += [cure_of_company(one), one.intent and json.dumps(one.intent)]
        return csv_lines([row])

    def end(self) -> str:
        """Return nothing: a CSV has no end."""
        return ""


class CompanyMarkdown:
    """A table by company, and the counts."""

    start: str = f"# InvoiceXpress: onboarding\n\n{markdown_head(_MARKDOWN_COLUMNS)}"

    def __init__(self) -> None:
        self._tally = CompanyTally(total=0)

    def entry(self, one: CompanyOutcome) -> str:
        """Return the line of a company."""
        self._tally.note(one)
        company = one.company
        start = (company.line or None, company.fiscal_id, company.account.organization_name)
        why = f"{code_of(one)} {message_of_server(one)}".strip()
        told = (one.account_name, one.step, one.state, company.serie, why, cure_of_company(one))
        return markdown_row((*start, *told))

    def end(self) -> str:
        """Return the counts, and what to do by kind."""
        lines = [f"\n{self._tally.ends()}.\n"]
        lines += (
            f"- {kind.rows} {state}, step {step}, {code}: {cure}\n"
            for (state, step, code, cure), kind in self._tally.kinds().items()
        )
        return "".join(lines)
