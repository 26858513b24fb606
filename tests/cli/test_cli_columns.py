"""A column is said once: what is added to a list shows in the table and in all reports."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from rich.console import Console
from rich.table import Table
from test_onboarding import company

from invoicexpress_async.cli.report_file import Layout
from invoicexpress_async.cli.views.audit import AUDIT_COLUMNS, audit_layout, audit_table
from invoicexpress_async.cli.views.audit_lines import AuditLine
from invoicexpress_async.cli.views.columns import Column, Place, columns_at, object_of, table_of
from invoicexpress_async.cli.views.companies import (
    COMPANIES,
    COMPANY_COLUMNS,
    CompanyView,
    company_table,
    company_view,
)
from invoicexpress_async.cli.views.row_view import RowView
from invoicexpress_async.cli.views.rows import ROW_COLUMNS, ROWS, row_table
from invoicexpress_async.errors import NotFoundError
from invoicexpress_async.onboarding import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.provisioning import AccountAudit, AccountRow

T = TypeVar("T")
CSV, MARKDOWN = Path("report.csv"), Path("report.md")


def printed(table: Table) -> str:
    text = io.StringIO()
    Console(file=text, width=300).print(table)
    return text.getvalue()


def in_reports(layouts: Callable[[Path], Layout[T]], one: T) -> dict[Place, str]:
    csv_report, markdown = layouts(CSV), layouts(MARKDOWN)
    (row,) = csv.DictReader(io.StringIO(csv_report.start + csv_report.entry(one)))
    return {
        Place.CSV: row["shelf"],
        Place.MARKDOWN: f"{markdown.start}{markdown.entry(one)}",
    }


def test_a_column_added_to_the_rows_shows_in_all_four_places() -> None:
    columns = (*ROW_COLUMNS, Column[RowView]("shelf", lambda row: f"s-{row.line}"))
    row = RowView(line=7, account="acme", serie="2027", state="done")

    shown = in_reports(lambda path: ROWS.layout(path, columns), row)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(row_table([row], (), columns))
    assert "s-7" in printed(row_table([row], (), columns))
    assert ROWS.data(row, columns)["shelf"] == "s-7"


def test_a_column_added_to_the_companies_shows_in_all_four_places() -> None:
    columns = (*COMPANY_COLUMNS, Column[CompanyView]("shelf", lambda one: f"s-{one.line}"))
    outcome = CompanyOutcome(
        company=company(7),
        step=CompanyStep.ACCOUNT,
        state=CompanyState.REFUSED,
        error=NotFoundError("no", status=404),
    )
    view = company_view(outcome)

    shown = in_reports(lambda path: COMPANIES.layout(path, columns), view)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(company_table([view], width=300, columns=columns))
    assert "s-7" in printed(company_table([view], width=300, columns=columns))
    assert COMPANIES.data(view, columns)["shelf"] == "s-7"


def test_a_column_added_to_the_lines_of_an_audit_shows_in_the_table_and_both_reports() -> None:
    columns = (*AUDIT_COLUMNS, Column[AuditLine]("shelf", lambda one: f"s-{one.line}"))
    row = AccountRow(account="acme", api_key="a-key-of-a-test", line=7)
    seen = AccountAudit(row=row, error=NotFoundError("no", status=404))
    line = AuditLine(line=7, account="acme", is_fine=False, rank=0, problem="404")

    shown = in_reports(lambda path: audit_layout(path, columns), seen)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(audit_table([line], columns))
    assert "s-7" in printed(audit_table([line], columns))


@pytest.mark.parametrize("place", [Place.CSV, Place.MARKDOWN, Place.TABLE, Place.JSON])
def test_a_column_shows_only_where_it_says(place: Place) -> None:
    columns = [Column[int](f"at {one.name}", int, places=one) for one in Place]

    assert [one.name for one in columns_at(place, columns)] == [f"at {place.name}"]


def test_a_report_and_a_table_show_the_text_and_json_the_value() -> None:
    column = Column[str]("state", str, text=lambda value: f"<{value}>")

    assert object_of("outcome", [column], "done") == {"type": "outcome", "state": "done"}
    assert column.shown("done") == "<done>"
    assert "<done>" in printed(table_of([column], ["done"]))


def test_nothing_in_a_coloured_cell_steers_the_terminal() -> None:
    column = Column[str]("state", str, style=lambda _: "red")

    assert column.cell("\x1b[2J").plain == "\N{REPLACEMENT CHARACTER}[2J"
