"""The file of companies: every bad row is named by its line, and no secret shown."""

import re
from pathlib import Path

import pytest

from invoicexpress_async import ConfigurationError, Language, TaxCountry
from invoicexpress_async.onboarding import CompanyList

PASSWORD = "canary-user-password-9d"
HEADER = "organization_name;email;password;fiscal_id;at_subuser;at_password"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "companies.csv"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


def read(path: Path, serie: str | None = "2027") -> CompanyList:
    return CompanyList.from_csv(path, serie=serie, accepts_terms=True)


def test_a_row_is_a_company_with_all_that_it_says(tmp_path: Path) -> None:
    header = f"{HEADER};tax_country;language;communication_type;serie;existing_user;first_name;note"
    path = write(
        tmp_path,
        f"Acme;a@acme.pt;{PASSWORD};500000018;500000018/1;secret;1;pt;guides;A27;sim;Ana;x",
        f"Éire;b@acme.ie;{PASSWORD};IE123;;;2;en;;;;;",
        header=header,
    )

    companies = read(path)

    first, second = companies.companies
    assert (first.account.organization_name, first.account.first_name) == ("Acme", "Ana")
    assert first.account.password.reveal() == PASSWORD
    assert first.account.accepts_terms is True
    assert (first.serie, second.serie) == ("A27", "2027")
    assert first.at is not None
    assert (first.at.subuser, first.at.password.reveal()) == ("500000018/1", "secret")
    assert first.at.communication_type == "guides"
    assert (first.has_existing_user, second.has_existing_user) == (True, False)
    assert (second.account.tax_country, second.account.language) == (
        TaxCountry.IRELAND,
        Language.ENGLISH,
    )
    assert (second.at, second.known, second.line) == (None, None, 3)
    assert companies.ignored_columns == ("note",)
    assert PASSWORD not in repr(companies)


def test_every_bad_row_is_named_with_its_fields_and_no_secret(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"{'x' * 101};{PASSWORD};;{PASSWORD};{PASSWORD};{PASSWORD}",
        f"Acme;a@acme.pt;{PASSWORD};500000018;;{PASSWORD}",
        f"Beta;b@acme.pt;{PASSWORD};500000018;;",
        f"Gama;c@acme.pt;{PASSWORD};500000018;;",
        f"Delta;B@acme.pt;{PASSWORD};500000026;;",
        "Eta;e@acme.pt;env:NOT_SET_ANYWHERE;500000034;;",
    )

    with pytest.raises(ConfigurationError) as caught:
        read(path)

    reported = dict(re.findall(r"line (\d+): (.*)", str(caught.value)))
    fields = [part.split()[0] for part in reported["2"].split("; ")]
    assert set(fields) == {"organization_name", "email", "password", "fiscal_id", "at_subuser"}
    assert reported["3"] == "at_subuser and at_password go together"
    assert reported["5"] == "the same fiscal_id as line 4"
    assert reported["6"] == "the same e-mail as line 4"
    assert "environment variable that is not set" in reported["7"]
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None


def test_secrets_may_be_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PASSWORD", PASSWORD)
    (tmp_path / "at.key").write_text("at-secret\n")
    path = write(tmp_path, "Acme;a@acme.pt;env:ACME_PASSWORD;500000018;500000018/1;file:at.key")

    (company,) = read(path).companies

    assert company.account.password.reveal() == PASSWORD
    assert company.at is not None
    assert company.at.password.reveal() == "at-secret"


def test_an_account_that_a_person_found_is_taken_up(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"Acme;a@acme.pt;{PASSWORD};500000018;;;acme;key-1;12",
        header=f"{HEADER};account;api_key;account_id",
    )

    (company,) = read(path).companies

    assert company.known is not None
    assert (company.known.name, company.known.id) == ("acme", "12")
    assert company.known.api_key.reveal() == "key-1"


@pytest.mark.parametrize(
    ("lines", "reported"),
    [
        pytest.param(("Acme;a@acme.pt;p;500000018;;",), "no serie", id="no serie"),
        pytest.param((), "no rows", id="no rows"),
        pytest.param(
            ("Acme;a@acme.pt\u200b;p;500000018;;",),
            r"line 2: email has an invisible character in it, ZERO WIDTH SPACE",
            id="what nobody sees in an e-mail",
        ),
    ],
)
def test_what_is_missing_is_reported(tmp_path: Path, lines: tuple[str, ...], reported: str) -> None:
    with pytest.raises(ConfigurationError, match=reported):
        read(write(tmp_path, *lines), serie=None)


def test_the_terms_must_be_accepted_explicitly(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="terms"):
        CompanyList.from_csv(write(tmp_path, "Acme;a@acme.pt;p;500000018;;"), serie="2027")
