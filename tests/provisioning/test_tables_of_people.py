"""Files as people have them: spreadsheets, Windows-1252, addresses for names, rows cut short."""

import datetime as dt
import os
import socket
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from invoicexpress_async import ConfigurationError
from invoicexpress_async.jobs.problems import BadRowsError
from invoicexpress_async.onboarding import CompanyList
from invoicexpress_async.provisioning import AccountList, Plan, PlanRow

KEY = "canary-key-7f3a9c"


def names_of(plan: Plan) -> list[tuple[str, str, int]]:
    return [(row.account, row.serie, row.line) for row in plan.rows]


Cell = str | float | dt.time | dt.timedelta | dt.datetime | None


def sheet(path: Path, *rows: tuple[Cell, ...]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def text(folder: Path, content: str | bytes) -> Path:
    path = folder / "accounts.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_spreadsheet_is_read_with_its_numbers_as_they_are_seen(tmp_path: Path) -> None:
    path = sheet(
        tmp_path / "accounts.xlsx",
        ("account", "api_key", "serie", "default", "total"),
        ("acme", KEY, 2027, True, "=1+1"),
        (None, None),
        ("beta", KEY, "FR2027", None, 3.5),
    )

    plan = Plan.from_csv(path)

    assert names_of(plan) == [("acme", "2027", 2), ("beta", "FR2027", 4)]
    assert [row.is_default for row in plan.rows] == [True, False]
    assert [row.account for row in AccountList.from_csv(path).rows] == ["acme", "beta"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        pytest.param("=1+1", "line 2: serie is a formula: paste its value", id="formula"),
        pytest.param("#N/A", "line 2: serie is an error of a spreadsheet", id="error"),
        pytest.param("2027 ", "line 2: serie has spaces around it", id="spaces"),
        pytest.param(dt.datetime(2027, 1, 1), "line 2: serie is a date", id="date"),  # noqa: DTZ001  # as a cell has it
        pytest.param(dt.time(20, 27), "line 2: serie is a time", id="time"),
        pytest.param(dt.timedelta(days=2027), "line 2: serie is a time", id="duration"),
        pytest.param(1e22, "line 2: serie is a rounded number", id="more than 15 digits"),
    ],
)
def test_what_a_spreadsheet_computes_is_no_name(tmp_path: Path, cell: Cell, message: str) -> None:
    path = sheet(tmp_path / "a.xlsx", ("account", "api_key", "serie"), ("acme", KEY, cell))

    with pytest.raises(ConfigurationError, match=message):
        Plan.from_csv(path)


def test_a_spreadsheet_that_is_cut_short_gives_no_row(tmp_path: Path) -> None:
    rows = [(f"account-{number}", KEY, 2027) for number in range(9)]
    whole = sheet(tmp_path / "whole.xlsx", ("account", "api_key", "serie"), *rows)
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, part[:-150] if name.endswith("sheet1.xml") else part)

    for read in (Plan.from_csv, AccountList.from_csv):
        with pytest.raises(ConfigurationError, match="is damaged") as caught:
            read(path)
        assert caught.value.__context__ is None


def test_exchanged_columns_are_refused_and_the_key_is_not_shown(tmp_path: Path) -> None:
    key = "0123456789ABCDEF0123456789abcdef01234567"
    by_account = text(tmp_path, f"account;api_key;serie\n{key};acme;2027\n")
    with pytest.raises(ConfigurationError, match="line 2: account looks like an API key") as first:
        Plan.from_csv(by_account)
    by_serie = text(tmp_path, f"account;api_key;serie\nacme;2027;{key[:32]}\n")
    with pytest.raises(ConfigurationError, match="line 2: serie looks like an API key") as second:
        Plan.from_csv(by_serie)
    with pytest.raises(ConfigurationError, match="account name looks like an API key") as third:
        PlanRow(account=key, api_key=KEY, serie="2027")

    assert not any(key[:8] in str(one.value) for one in (first, second, third))


def test_a_sheet_that_hides_a_row_with_values_is_refused(tmp_path: Path) -> None:
    rows = [(f"account-{number}", KEY, 2027) for number in range(4)]
    path = sheet(tmp_path / "a.xlsx", ("account", "api_key", "serie"), *rows)
    book = openpyxl.load_workbook(path)
    assert book.active is not None
    book.active.row_dimensions[4].hidden = True
    book.create_sheet("others").append(["another sheet"])
    book["others"].row_dimensions[1].hidden = True
    book.save(path)

    for read in (Plan.from_csv, AccountList.from_csv):
        with pytest.raises(ConfigurationError, match="hides row 4, perhaps with a filter"):
            read(path)


def test_hidden_rows_without_values_and_of_other_sheets_do_not_matter(tmp_path: Path) -> None:
    path = sheet(tmp_path / "a.xlsx", ("account", "api_key", "serie"), ("acme", KEY, 2027))
    book = openpyxl.load_workbook(path)
    assert book.active is not None
    book.active.row_dimensions[9].hidden = True
    book.create_sheet("others", 0).append(["another sheet"])
    book["others"].row_dimensions[1].hidden = True
    book.active = 1
    book.save(path)

    assert names_of(Plan.from_csv(path)) == [("acme", "2027", 2)]


def test_a_file_that_only_has_the_name_of_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.xlsx"
    path.write_text("account;api_key\n")

    with pytest.raises(ConfigurationError, match="no spreadsheet that can be read") as caught:
        Plan.from_csv(path, serie="2027")

    assert caught.value.__context__ is None


def test_windows_text_is_read_where_what_matters_is_plain(tmp_path: Path) -> None:
    path = text(tmp_path, f"account;api_key;customer\nacme;{KEY};São João\n".encode("cp1252"))

    plan = Plan.from_csv(path, serie="2027")

    assert names_of(plan) == [("acme", "2027", 2)]
    assert "read as Windows-1252" in plan.notes[0]
    path.write_bytes(f"account;api_key;serie\nacme;{KEY};Série\n".encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"line 2: serie is not plain ASCII.*not UTF-8"):
        Plan.from_csv(path)
    path.write_bytes(f"account;api_key\nacme;{KEY}\n".encode())
    assert Plan.from_csv(path, serie="2027").notes == ()


def test_last_cells_that_are_empty_may_be_left_out(tmp_path: Path) -> None:
    path = text(tmp_path, f"account;api_key;serie;default\nacme;{KEY};2028;1\nbeta;{KEY}\n")

    assert names_of(Plan.from_csv(path, serie="2027")) == [("acme", "2028", 2), ("beta", "2027", 3)]
    path.write_text("account;api_key;serie\nacme\n")
    with pytest.raises(ConfigurationError, match="line 2: 1 field where the header has 3"):
        Plan.from_csv(path, serie="2027")


def test_a_header_that_comes_again_is_no_account(tmp_path: Path) -> None:
    path = text(tmp_path, f"account;api_key\nacme;{KEY}\nAccount;API key\n")

    with pytest.raises(ConfigurationError, match="line 3: the header again"):
        Plan.from_csv(path, serie="2027")


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.app.invoicexpress.com",
        "https://ACME.app.invoicexpress.com/sequences?page=1",
        "acme.app.invoicexpress.com",
    ],
)
def test_the_address_of_an_account_is_its_name(tmp_path: Path, address: str) -> None:
    path = text(tmp_path, f"account;api_key\n{address};{KEY}\n")

    assert [row.account for row in Plan.from_csv(path, serie="2027").rows] == ["acme"]
    assert [row.account for row in AccountList.from_csv(path).rows] == ["acme"]
    path.write_text(f"account;api_key\nhttps://acme.example.com;{KEY}\n")
    with pytest.raises(ConfigurationError, match="line 2: account is not one DNS label"):
        Plan.from_csv(path, serie="2027")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param("account;chave", "found are 'account', 'chave'; api_key is not", id="a name"),
        pytest.param(f"acme;{KEY}", "2 fields, and none is a known column", id="no header"),
        pytest.param("", "its first line is empty", id="nothing"),
        pytest.param("nada", "1 field, and none .* column; account and api_key are not", id="none"),
    ],
)
def test_a_wrong_header_says_what_was_found_and_no_key(
    tmp_path: Path, header: str, found: str
) -> None:
    with pytest.raises(ConfigurationError, match=found) as caught:
        Plan.from_csv(text(tmp_path, f"{header}\nacme;{KEY}\n" if header else ""), serie="2027")

    assert KEY not in str(caught.value)


def test_a_wrong_header_of_a_spreadsheet_names_the_sheet_that_was_read(tmp_path: Path) -> None:
    path = sheet(tmp_path / "accounts.xlsx", ("nome", "chave"), ("acme", KEY))

    with pytest.raises(ConfigurationError) as caught:
        Plan.from_csv(path, serie="2027")

    text_of_error = str(caught.value)
    assert "accounts.xlsx (sheet 'Sheet') has no header with the columns account" in text_of_error
    assert "its first row has 2 fields" in text_of_error
    assert "tabs" not in text_of_error


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("1,23457E+39", "api_key is a rounded number"),
        ("1.23457e+39", "api_key is a rounded number"),
        ("123457e1234567890123456789012345678901234", None),
        ("env:NOT_SET_HERE", "an environment variable that is not set: NOT_SET_HERE"),
        (f"env:{KEY}", "an environment variable that is not set$"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_by_its_line(
    tmp_path: Path, cell: str, problem: str | None
) -> None:
    path = text(tmp_path, f"account;api_key\nbeta;{KEY}\nacme;{cell}\n")

    if problem is None:
        assert len(names_of(Plan.from_csv(path, serie="2027"))) == 2
        return
    with pytest.raises(BadRowsError, match=f"(?m)line 3: .*{problem}") as caught:
        Plan.from_csv(path, serie="2027")
    with pytest.raises(BadRowsError, match=f"(?m)line 3: .*{problem}"):
        AccountList.from_csv(path)

    assert KEY not in str(caught.value)


def test_every_bad_row_is_kept(tmp_path: Path) -> None:
    rows = "".join(f"bad name {number},k\n" for number in range(1000))

    with pytest.raises(BadRowsError, match="1000 problems") as caught:
        Plan.from_csv(text(tmp_path, "account,api_key\n" + rows), serie="2027")

    assert [line for line, _ in caught.value.problems] == list(range(2, 1002))
    assert not caught.value.is_whole


def test_a_pipe_is_read_and_kept() -> None:
    reading, writing = os.pipe()
    os.write(writing, f"account;api_key\nacme;{KEY}\n".encode())
    os.close(writing)

    plan = Plan.from_csv(f"/dev/fd/{reading}", serie="2027")

    os.close(reading)
    assert names_of(plan) == names_of(plan) == [("acme", "2027", 2)]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_special_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        for special, kind in ((path, "a device or a socket"), (tmp_path, "a folder")):
            with pytest.raises(ConfigurationError, match=kind):
                Plan.from_csv(special, serie="2027")
    with pytest.raises(ConfigurationError, match="a device"):
        Plan.from_csv("/dev/zero", serie="2027")


def test_passwords_are_taken_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "companies.csv"
    path.write_text(
        "organization_name;email;password;fiscal_id;at_subuser;at_password\n"
        'A ;a@example.com;" p ";501964843;501964843/1;" at pw "\n'
    )

    (company,) = CompanyList.from_csv(path, serie="2027", accepts_terms=True).companies

    assert company.at is not None
    assert company.at.password.reveal() == " at pw "
    assert company.account.password.reveal() == " p "
    assert company.account.organization_name == "A"
