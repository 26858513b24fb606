"""Names that a spreadsheet or a slip made, which could never be deleted."""

from pathlib import Path

import pytest

from invoicexpress_async import ConfigurationError
from invoicexpress_async.config import check_new_serie
from invoicexpress_async.config.serie_names import form_of
from invoicexpress_async.onboarding import CompanyList
from invoicexpress_async.provisioning import AccountList, AccountRow, Plan, PlanRow

WRONG = {
    "2027.0": "a number with decimals",
    "2027,00": "a number with decimals",
    "2,027E+03": "a rounded number",
    "=1+1": "a formula",
    '="2027"': "a formula",
    "#N/D": "an error of a spreadsheet",
    "#REF!": "an error of a spreadsheet",
    "#NOME?": "an error of a spreadsheet",
    "####": "an error of a spreadsheet",
    "2027-01-01 00:00:00": "a date with a time",
    "01/01/2027": "a date",
    "1/1/27": "a date",
    "20:27": "a time",
    "2 days, 0:00:00": "a time",
    " 2027": "spaces around it",
    "2027 ": "spaces around it",
}
each = pytest.mark.parametrize(("serie", "what"), WRONG.items(), ids=map(repr, WRONG))


@each
def test_a_name_made_by_a_spreadsheet_is_refused_in_code(serie: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        check_new_serie(serie)
    with pytest.raises(ConfigurationError, match=what):
        PlanRow(account="acme", api_key="k", serie=serie)
    with pytest.raises(ConfigurationError, match=what):
        AccountRow(account="acme", api_key="k", serie=serie)


@each
def test_a_name_made_by_a_spreadsheet_is_refused_with_its_line(
    serie: str, what: str, tmp_path: Path
) -> None:
    accounts, companies = tmp_path / "accounts.csv", tmp_path / "companies.csv"
    cell = '"' + serie.replace('"', '""') + '"'
    accounts.write_text(f"account;api_key;serie\nbeta;k;2027\nacme;k;{cell}\n")
    companies.write_text(
        f"organization_name;email;password;fiscal_id;serie\nA;a@example.com;p;501964843;{cell}\n"
    )

    for read in (Plan.from_csv, AccountList.from_csv):
        with pytest.raises(ConfigurationError, match=f"line 3: serie (is|has) {what}"):
            read(accounts)
    with pytest.raises(ConfigurationError, match=f"line 2: serie (is|has) {what}"):
        CompanyList.from_csv(companies, accepts_terms=True)
    with pytest.raises(ConfigurationError, match=what):
        Plan.from_csv(accounts, serie=serie)


@pytest.mark.parametrize(
    "serie", ["2027", "FR2027", "A27", "FT/2027-B", "#1", "2027.1", "1.0A", "A=B", "LOJA 27", "E27"]
)
def test_other_names_are_left_to_the_server(serie: str) -> None:
    assert check_new_serie(serie) == serie


def test_names_of_one_form_differ_in_their_digits_only() -> None:
    assert form_of("FR2026") == form_of("fr2027")
    assert form_of("FR2026") != form_of("2026")
    assert form_of("2026") != form_of("20277")
