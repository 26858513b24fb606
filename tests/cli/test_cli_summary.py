"""What a run keeps of itself, how it measures its pace, and what a column shows where."""

import csv
import datetime as dt
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
from rich.console import Console
from rich.table import Table
from test_onboarding import company

from invoicexpress_async import OutcomeUnknownError
from invoicexpress_async.cli.cures import cure_of_recorded_row, cure_of_standing
from invoicexpress_async.cli.plan_run import wait_text
from invoicexpress_async.cli.progress import Lines, Pace, Step
from invoicexpress_async.cli.summary import RunSummary
from invoicexpress_async.cli.views import audit, companies, rows
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
from invoicexpress_async.cli.views.layouts import Report, markdown_row
from invoicexpress_async.cli.views.row_view import RowView
from invoicexpress_async.cli.views.rows import ROW_COLUMNS, ROWS, row_table
from invoicexpress_async.errors import NoOpenActivityError, NotFoundError
from invoicexpress_async.onboarding import CompanyOutcome, CompanyState, CompanyStep
from invoicexpress_async.provisioning import AccountAudit, AccountRow, Progress, RowState


def row(line: int, state: str, *, is_recorded: bool = False) -> RowView:
    error = None if state in {"done", "prepared"} else NoOpenActivityError("no", code="005")
    return RowView(
        line=line,
        account=f"account-{line}",
        serie="2027",
        state=state,
        error=error,
        cure="fix it" if error else None,
        is_recorded=is_recorded,
    )


def test_of_many_rows_only_the_first_are_kept_and_those_that_need_a_person_before_all() -> None:
    summary = RunSummary[RowView](total=5_000)
    for line in range(5_000, 0, -1):
        summary.add(row(line, "refused" if line % 1_000 == 0 else "done"))

    shown = [one.line for one in summary.first()]
    assert shown == [1_000, 2_000, 3_000, 4_000, 5_000, *range(1, 16)]
    ((failure, group),) = summary.ordered_groups()
    assert (failure.state, failure.cure) == ("refused", "fix it")
    assert (group.count, group.example) == (5, "account-1000")
    assert (summary.exit_code, summary.is_complete, summary.not_started) == (1, False, 0)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        pytest.param(["done", "prepared"], 0, id="good"),
        pytest.param(["done", "refused"], 1, id="refused"),
        pytest.param(["done", "unplanned"], 1, id="unplanned"),
        pytest.param(["refused", "absent"], 3, id="absent before refused"),
        pytest.param(["unknown"], 3, id="unknown"),
    ],
)
def test_the_exit_code_says_the_worst(states: list[str], code: int) -> None:
    summary = RunSummary[RowView](total=len(states))
    for line, state in enumerate(states):
        summary.add(row(line, state))

    assert summary.exit_code == code


def test_what_an_earlier_run_did_is_counted_and_not_shown() -> None:
    summary = RunSummary[RowView](total=2)
    summary.add(row(1, "done", is_recorded=True))
    summary.add(row(2, "refused", is_recorded=True))

    assert [one.line for one in summary.first()] == [2]
    assert (summary.recorded, summary.recorded_done) == (2, 1)


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    moment = 0.0
    pace = Pace(now=lambda: moment)
    for second in range(1, 101):
        moment = float(second)
        pace.add(min(second * 100, 5_000) + max(0, second - 50))

    assert pace.per_second == pytest.approx(1.0)
    assert pace.text(90) == "1/s, 90 s left"
    assert pace.text(600) == "1/s, 10 min left"
    assert pace.text(36_000) == "1/s, 10.0 h left"
    assert Pace(now=lambda: 0.0).text(5) == ""


@pytest.mark.parametrize("resend", [None, 900.0])
def test_a_wait_says_what_it_is_for_and_until_when(resend: float | None) -> None:
    one = Progress(
        counts={RowState.DONE: 7},
        total=9,
        waiting=2,
        is_paused=False,
        seconds=80.0,
        next_turn_in_seconds=900.0,
    )

    text = wait_text(one, resend, dt.datetime(2027, 1, 1, 16, 20, tzinfo=dt.UTC))

    assert text.startswith("2 of the rows wait: what was sent is not in the account's list yet.")
    assert "looked at again at 16:35:00." in text
    assert ("two lists, 900 s apart, do not show is sent again" in text) is bool(resend)


def test_lines_say_once_that_the_server_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    with Lines(10, now=iter(range(100)).__next__) as lines:
        for is_paused in (False, True, True, False):
            lines.update(Step(ended=1, text="1 done", is_paused=is_paused))

    reported = err.getvalue()
    assert reported.count("paused, one row") == 1
    assert reported.count("going on") == 1
    assert reported.splitlines()[-1].startswith("1/10 1 done")


def test_a_cell_of_a_report_is_never_taken_for_markdown() -> None:
    assert markdown_row(["a|b", "*x*\n<i>", None]) == "| a\\|b | \\*x\\*\ufffd\\<i\\> |  |\n"


@pytest.mark.parametrize(
    ("name", "state", "part"),
    [
        pytest.param(OutcomeUnknownError.__name__, RowState.ABSENT, "--resend-absent", id="absent"),
        pytest.param("RowCutOffError", RowState.UNKNOWN, "it looks first", id="cut off"),
        pytest.param("NoOpenActivityError", RowState.REFUSED, "--retry-refused", id="refused"),
        pytest.param("OfANewerVersionError", RowState.FAILED, "same command", id="not known"),
    ],
)
def test_what_a_journal_recorded_has_its_cure(name: str, state: RowState, part: str) -> None:
    assert part in cure_of_recorded_row(name, state)


@pytest.mark.parametrize(
    ("step", "state", "error", "part"),
    [
        (CompanyStep.ACCOUNT, "failed", "AuthenticationError", "Check --partner"),
        (CompanyStep.ACCOUNT, "refused", "AuthenticationError", "--retry-refused"),
        (CompanyStep.ACCOUNT, "failed", "TransportError", "Run the same command again"),
        (CompanyStep.SERIES, "refused", "TaxAuthorityCredentialsError", "put them there"),
        (CompanyStep.SERIES, "refused", "TaxAuthorityCredentialsError", "--retry-refused"),
    ],
)
def test_what_a_journal_recorded_of_a_company_has_its_cure(
    step: CompanyStep, state: str, error: str, part: str
) -> None:
    assert part in (cure_of_standing(step, state, error) or "")


T = TypeVar("T")
CSV, MARKDOWN = Path("report.csv"), Path("report.md")


def printed(table: Table) -> str:
    text = io.StringIO()
    Console(file=text, width=300).print(table)
    return text.getvalue()


def in_reports(layouts: Callable[[Path], Report[T, Any]], one: T) -> dict[Place, str]:
    csv_report, markdown = layouts(CSV), layouts(MARKDOWN)
    (row,) = csv.DictReader(io.StringIO(csv_report.start + csv_report.entry(one)))
    return {
        Place.CSV: row["shelf"],
        Place.MARKDOWN: f"{markdown.start}{markdown.entry(one)}",
    }


def test_a_column_added_to_the_rows_shows_in_all_four_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = (*ROW_COLUMNS, Column[RowView]("shelf", lambda row: f"s-{row.line}"))
    monkeypatch.setattr(rows, "ROW_COLUMNS", columns)
    kind = attrs.evolve(ROWS, columns=columns)
    row = RowView(line=7, account="acme", serie="2027", state="done")

    shown = in_reports(kind.layout, row)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(row_table([row], ()))
    assert "s-7" in printed(row_table([row], ()))
    assert kind.data(row)["shelf"] == "s-7"


def test_a_column_added_to_the_companies_shows_in_all_four_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = (*COMPANY_COLUMNS, Column[CompanyView]("shelf", lambda one: f"s-{one.line}"))
    outcome = CompanyOutcome(
        company=company(7),
        step=CompanyStep.ACCOUNT,
        state=CompanyState.REFUSED,
        error=NotFoundError("no", status=404),
    )
    view = company_view(outcome)

    monkeypatch.setattr(companies, "COMPANY_COLUMNS", columns)
    kind = attrs.evolve(COMPANIES, columns=columns)
    shown = in_reports(kind.layout, view)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(company_table([view], width=300))
    assert "s-7" in printed(company_table([view], width=300))
    assert kind.data(view)["shelf"] == "s-7"


def test_a_column_added_to_the_lines_of_an_audit_shows_in_the_table_and_both_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = (*AUDIT_COLUMNS, Column[AuditLine]("shelf", lambda one: f"s-{one.line}"))
    row = AccountRow(account="acme", api_key="a-key-of-a-test", line=7)
    seen = AccountAudit(row=row, error=NotFoundError("no", status=404))
    line = AuditLine(line=7, account="acme", is_fine=False, rank=0, problem="404")

    monkeypatch.setattr(audit, "AUDIT_COLUMNS", columns)
    shown = in_reports(audit_layout, seen)

    assert shown[Place.CSV] == "s-7"
    assert " shelf |" in shown[Place.MARKDOWN]
    assert "| s-7 |" in shown[Place.MARKDOWN]
    assert "shelf" in printed(audit_table([line]))
    assert "s-7" in printed(audit_table([line]))


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
