"""Reports for people: pages, spreadsheets, CSV for Excel in Portugal; what needs a person first."""

import asyncio
import csv
import re
import shutil
import subprocess
from pathlib import Path

import openpyxl
import pytest
import test_cli
from browser import CHROMIUM, browser
from test_cli import KEY, Run

from invoicexpress_async.cli.book import save_book
from invoicexpress_async.cli.views.row_view import kept_view
from invoicexpress_async.jobs.journal import JournalState
from invoicexpress_async.provisioning.rows_table import RowRecord
from invoicexpress_async.sandbox import Sandbox, SandboxAccount

bytecode, run, sandbox = test_cli.bytecode, test_cli.run, test_cli.sandbox

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: .ci/run installs it")
SOFFICE = shutil.which("soffice") or ""
AS_UTF_8 = "csv:Text - txt - csv (StarCalc):44,34,76"
NAMES = ("beta", "alfa", "zeta", "gama")


@pytest.fixture
def accounts(sandbox: Sandbox, tmp_path: Path) -> Path:
    for name in NAMES:
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY))
    sandbox.update_account(SandboxAccount(name="zeta", api_key="another"))
    path = tmp_path / "accounts.csv"
    path.write_text("account;api_key\n" + "".join(f"{name};{KEY}\n" for name in NAMES))
    path.chmod(0o600)
    return path


def job(accounts: Path, sandbox: Sandbox, *more: object) -> tuple[object, ...]:
    return ("provision", accounts, "--serie", "2027", "--base-url", sandbox.base_url, *more)


SHOWN = (
    "[...document.querySelectorAll('tbody tr')].filter(r=>!r.hidden).map(r=>r.cells[1].textContent)"
)
SORTED = "[...document.querySelectorAll('th')].map(h=>h.getAttribute('aria-sort'))"


@needs_chromium
async def test_a_page_filters_sorts_and_prints_without_a_network(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    ended = await run(*job(accounts, sandbox, "--report", page))

    async with browser(tmp_path / "browser") as opened:
        await opened.open(page)
        first = await opened.run(SHOWN)
        await opened.click("th:nth-child(2) span")
        up = await opened.run(SHOWN), (await opened.run(SORTED))[1]
        await opened.press("Enter")  # the button that was clicked has the focus
        down = await opened.run(SHOWN), (await opened.run(SORTED))[1]
        await opened.press("Enter")
        again = await opened.run(SHOWN), (await opened.run(SORTED))[1]
        await opened.press("Tab")
        await opened.press("Enter")
        next_column = await opened.run(SORTED)
        await opened.click("#q")
        await opened.write("refused")
        filtered = await opened.run(SHOWN), await opened.run("n.textContent")
        await opened.run("q.value='';filter()")
        await opened.click(".key button")
        done = await opened.run(SHOWN), await opened.run("keys[0].getAttribute('aria-pressed')")
        await opened.click(".key button")
        all_rows = await opened.run("n.textContent")
        await opened.print_to(pdf)

    assert ended.code == 1
    assert first == ["zeta", "alfa", "beta", "gama"]
    assert up == (["alfa", "beta", "gama", "zeta"], "ascending")
    assert down == (["zeta", "gama", "beta", "alfa"], "descending")
    assert again == (first, "none")
    assert next_column[1:3] == ["none", "ascending"]
    assert filtered == (["zeta"], "1 / 4")
    assert (sorted(done[0]), done[1]) == (["alfa", "beta", "gama"], "true")
    assert all_rows == "4 / 4"
    assert b"/MediaBox [0 0 841" in pdf.read_bytes()  # A4, landscape


@needs_chromium
async def test_a_page_fits_a_telephone_and_names_each_value_there(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    await run(*job(accounts, sandbox, "--report", page))
    before = "getComputedStyle(document.querySelector('td:nth-child(2)'),'::before').content"

    async with browser(tmp_path / "browser") as opened:
        await opened.open(page, width=400)
        too_wide = await opened.run("document.documentElement.scrollWidth>innerWidth")
        height = await opened.run("document.querySelector('tbody tr').offsetHeight")
        name = await opened.run(before)

    assert (too_wide, name) == (False, '"account: "')
    assert height < 150


async def test_a_page_is_one_file_with_what_to_do_on_top(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"

    await run(*job(accounts, sandbox, "--report", page, "--language", "pt"))

    text = page.read_text()
    assert '<html lang="pt">' in text
    assert "<th>código FT</th>" in text
    assert "O que fazer primeiro" in text
    assert "<li>1 recusada, 401: Verifique o nome da conta e a chave da API" in text
    assert not re.search(r"(src|href)=|url\(|@import|https?://(?!\S*invoicexpress)", text)
    assert KEY not in text


async def test_a_report_of_another_version_is_written_over_and_another_file_is_not(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    for ending in ("html", "md"):
        path = tmp_path / f"report.{ending}"
        await run(*job(accounts, sandbox, "--report", path))
        whole = path.read_text()

        # Another version has other styles and columns.
        path.write_text(whole.replace("font:15px", "font:14px").replace("| line |", "| row |"))
        assert (await run(*job(accounts, sandbox, "--report", path))).code == 1
        assert path.read_text().partition("<header>")[0] == whole.partition("<header>")[0]
        path.write_text("# InvoiceXpress: notes of mine")
        assert (await run(*job(accounts, sandbox, "--report", path))).code == 2


async def test_a_spreadsheet_has_a_row_for_each_document_type(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.xlsx"

    ended = await run(*job(accounts, sandbox, "--report", path))
    again = await run(*job(accounts, sandbox, "--report", path))
    path.write_bytes(b"not a report")
    kept = await run(*job(accounts, sandbox, "--report", path))
    await run(
        "audit", accounts, "--base-url", sandbox.base_url, "--report", tmp_path / "audit.xlsx"
    )

    assert (ended.code, again.code, kept.code) == (1, 1, 2)
    sheet = openpyxl.load_workbook(tmp_path / "audit.xlsx").active
    assert sheet is not None
    head, *rows = sheet.iter_rows(values_only=True)
    first = dict(zip(head, rows[0], strict=True))
    assert first["account"] == "alfa"  # without a default, as all are: by account
    assert sum(row[1] == "alfa" for row in rows) > 10
    assert sheet.auto_filter.ref


def test_what_does_not_fit_on_a_sheet_is_on_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invoicexpress_async.cli.book.MAX_LINES", 4)
    for count, sizes in ((0, [1]), (1, [3]), (2, [4, 2]), (3, [4, 4]), (4, [4, 4, 3])):
        lines = [(one, line) for one in range(count) for line in (1, 2)]
        save_book(tmp_path / "book.xlsx", ("account", "lines"), lines)
        book = openpyxl.load_workbook(tmp_path / "book.xlsx")
        sheets = [[*one.iter_rows(values_only=True)] for one in book.worksheets]

        assert [*map(len, sheets)] == sizes
        assert {sheet[0] for sheet in sheets} == {("account", "lines")}
        assert [row for sheet in sheets for row in sheet[1:]] == lines
        assert [one.auto_filter.ref for one in book.worksheets] == [f"A1:B{one}" for one in sizes]


def table_of(page: Path) -> list[list[str]]:
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.read_text())
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


async def test_a_page_of_an_audit_or_a_status_has_a_row_for_each_document_type(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    audit, status, journal = (tmp_path / name for name in ("audit.html", "status.html", "job.db"))
    await run(*job(accounts, sandbox, "--journal", journal))
    for name in NAMES[:2]:
        sandbox.add_sequence(name, "2026", is_default=True)
    to = ("--base-url", sandbox.base_url, "--language", "pt")

    await run("audit", accounts, "--year", 2027, *to, "--report", audit)
    await run("status", journal, "--report", status, "--language", "pt")

    for page in (audit, status):
        head, *rows = table_of(page)
        found = [dict(zip(head, row, strict=True)) for row in rows]
        (invoice,) = [
            one
            for one in found
            if (one["conta"], one["série"], one["tipo de documento"]) == ("alfa", "2027", "fatura")
        ]
        (code,) = [
            one.validation_codes["invoice"]
            for one in sandbox.sequences("alfa")
            if one.serie == "2027"
        ]
        assert invoice["código de validação"] == code
        assert invoice["comunicação à AT"] == "comunicada"
        assert "zeta" in {one["conta"] for one in found if not one["tipo de documento"]}  # refused
        assert "nota de crédito" in {one["tipo de documento"] for one in found}
    assert "4 contas" in audit.read_text()
    assert [one["código"] for one in found if one["conta"] == "zeta"] == ["401"]


@needs_chromium
async def test_a_page_of_an_audit_says_one_thing_of_a_serie_and_fits_a_small_screen(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    names, page, path = ("ix-10", "ix-9", "ix-1"), tmp_path / "audit.html", tmp_path / "ix.csv"
    for name in names:
        country = "ES" if name == "ix-9" else "PT"
        sandbox.add_account(SandboxAccount(name=name, api_key=KEY, country=country))
        sandbox.add_sequence(name, "2027", is_default=True)
    sandbox.add_sequence("ix-10", "2026", is_registered=False)
    path.write_text("account,api_key\n" + "".join(f"{name},{KEY}\n" for name in names))
    path.chmod(0o600)

    await run("audit", path, "--year", 2027, "--base-url", sandbox.base_url, "--report", page)

    head, *rows = table_of(page)
    found = [dict(zip(head, row, strict=True)) for row in rows]
    states = dict.fromkeys((one["account"], one["serie"], one["state"]) for one in found)
    assert list(states) == [
        ("ix-1", "2027", "fine"),
        ("ix-9", "2027", "fine"),
        ("ix-10", "2027", "fine"),
        ("ix-10", "2026", "another serie lacks codes"),
    ]
    (foreign,) = [one for one in found if one["account"] == "ix-9"]
    assert (foreign["validation code"], foreign["registration"]) == ("N/A", "not applicable")
    assert re.search(r"</i>2 fine<.*</i>1 another serie lacks codes<", page.read_text())
    async with browser(tmp_path / "browser") as opened:
        await opened.open(page, width=1200)
        too_wide = await opened.run("document.documentElement.scrollWidth>innerWidth")
    assert not too_wide


@pytest.mark.parametrize(
    ("is_held", "state", "cure"),
    [
        pytest.param(True, "in flight", "Wait for the end", id="a run is under way"),
        pytest.param(False, "unknown", "it reads first", id="no run is under way"),
    ],
)
def test_what_was_sent_is_shown_as_in_flight_or_as_unknown(
    is_held: bool, state: str, cure: str
) -> None:
    kept = RowRecord(state=JournalState.INTENT)

    shown = kept_view("alfa", "2027", kept, is_held=is_held)

    assert shown.state == state
    assert cure in (shown.cure or "")


@pytest.mark.skipif(not SOFFICE, reason="no LibreOffice: .ci/run installs it")
async def test_libreoffice_opens_a_spreadsheet_with_every_row_as_it_was_written(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    book = tmp_path / "report.xlsx"
    await run(*job(accounts, sandbox, "--report", book, "--language", "pt"))

    line = [SOFFICE, f"-env:UserInstallation={(tmp_path / 'office').as_uri()}", "--headless"]
    line += ["--convert-to", AS_UTF_8, "--outdir", str(tmp_path), str(book)]
    await asyncio.to_thread(subprocess.run, line, check=True, capture_output=True, timeout=120)

    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    sheet = openpyxl.load_workbook(book).active
    assert sheet is not None
    assert head[:4] == ["linha", "conta", "série", "estado"]
    assert [row[1] for row in rows][:2] == ["zeta", "alfa"]  # what needs a person comes first
    assert rows == [
        ["" if cell is None else str(cell) for cell in row]
        for row in sheet.iter_rows(min_row=2, values_only=True)
    ]


async def test_nothing_in_a_report_is_computed_by_a_spreadsheet(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    formula = '=HYPERLINK("http://x")'
    sandbox.add_sequence("alfa", formula, is_default=True)
    audit = ("audit", accounts, "--base-url", sandbox.base_url, "--report")

    await run(*audit, tmp_path / "audit.csv")
    await run(*audit, tmp_path / "audit.xlsx")

    with (tmp_path / "audit.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{formula}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    sheet = openpyxl.load_workbook(tmp_path / "audit.xlsx").active
    assert sheet is not None
    found = [cell for row in sheet.iter_rows() for cell in row if cell.value == formula]
    assert {cell.data_type for cell in found} == {"s"}


@pytest.mark.parametrize("ending", ["csv", "md", "html", "xlsx"])
async def test_nothing_in_a_report_steers_a_terminal(
    ending: str, run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    sandbox.add_sequence("alfa", "\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}7202", is_default=True)
    path = tmp_path / f"audit.{ending}"

    await run("audit", accounts, "--base-url", sandbox.base_url, "--report", path)

    if ending == "xlsx":
        sheet = openpyxl.load_workbook(path).active
        assert sheet is not None
        shown = "".join(str(cell.value) for row in sheet.iter_rows() for cell in row)
    else:
        shown = path.read_text()
    assert "7202" in shown
    assert not {"\x1b", "\N{RIGHT-TO-LEFT OVERRIDE}"} & {*shown}


async def test_a_csv_is_as_excel_in_portugal_reads_it(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "report.csv"

    await run(*job(accounts, sandbox, "--report", path, "--report-format", "excel-pt"))

    text = path.read_bytes().decode()
    assert text.startswith("\ufeffline;account;serie;state;")
    assert text.splitlines()[1].split(";")[1] == "zeta"


async def test_a_report_of_another_ending_is_refused(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    ended = await run(*job(accounts, sandbox, "--report", tmp_path / "report.doc"))

    assert ended.code == 2
    assert "ends in none of .html, .xlsx, .csv, .md" in ended.err
    assert sandbox.requests == []


async def test_every_later_report_is_whole_whichever_run_did_the_work(
    run: Run, sandbox: Sandbox, accounts: Path, tmp_path: Path
) -> None:
    journal = ("--journal", tmp_path / "job.db")
    await run(*job(accounts, sandbox, *journal, "--report", tmp_path / "first.csv"))
    await run(*job(accounts, sandbox, *journal, "--report", tmp_path / "second.csv"))
    status = await run("status", tmp_path / "job.db", "--report", tmp_path / "status.csv")

    def codes(name: str) -> list[tuple[str, ...]]:
        with (tmp_path / name).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["state"] == "done"]
        names = ("account", "document_type", "document_sequence_id", "validation_code")
        return sorted(
            tuple(row[one] for one in names) for row in rows if row["document_sequence_id"]
        )

    assert status.code == 0
    assert len(codes("first.csv")) > 30
    assert codes("first.csv") == codes("second.csv") == codes("status.csv")
