"""The companies of a run, and the reader of their file. No problem it reports shows a cell."""

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from invoicexpress_async.config import Secret, account_name_in, all_of, check_new_serie
from invoicexpress_async.config.serie_names import invisible_in, spreadsheet_damage
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.csv_reader import CsvReader, CsvRecord
from invoicexpress_async.jobs.keys import KeyReference, KeyUnavailableError, as_key
from invoicexpress_async.jobs.problems import Problems
from invoicexpress_async.models.account import Language, NewAccount, TaxCountry
from invoicexpress_async.models.at_credentials import AtCredentials, CommunicationType
from invoicexpress_async.onboarding.company import Company, KnownAccount, fold_fiscal_id

E = TypeVar("E", bound=StrEnum)

_REQUIRED: Final = ("organization_name", "email", "password", "fiscal_id")
_PLAIN: Final = ("first_name", "last_name", "phone")
_OPTIONAL: Final = (
    *_PLAIN,
    "tax_country",
    "language",
    "serie",
    "at_subuser",
    "at_password",
    "communication_type",
    "existing_user",
    "account",
    "account_id",
    "api_key",
)
_TRUE: Final = frozenset({"1", "true", "yes", "sim", "verdadeiro"})
_FALSE: Final = frozenset({"", "0", "false", "no", "não", "nao", "falso"})
_SECRETS: Final = ("password", "at_password", "api_key")
# Values that are certainly valid: with them, each field of a row is tested alone.
_GOOD: Final[Mapping[str, Any]] = {
    "organization_name": "A",
    "email": "a@example.com",
    "password": "a",
    "fiscal_id": "999999990",
    "accepts_terms": True,
}
_HINTS: Final = {
    "organization_name": "is empty, over 100 characters or has a control character in it",
    "email": "is no e-mail address",
    "fiscal_id": "is no Portuguese fiscal number (NIF), and another country needs tax_country",
    "tax_country": "is none of 1 (Portugal), 2 (Ireland), 3 (United Kingdom)",
    "language": "is none of pt, en, es",
    "communication_type": "is none of auto, manual, guides, portal_at",
    "at_subuser": "is no sub-user, such as 123456789/3",
    "serie": "is over 35 characters or has a control character in it",
    "existing_user": "is none of 1, 0, true, false, yes, no",
    "account": "is not one DNS label of letters, digits and hyphens, up to 63",
}


class _CompanyConflicts:
    """Finds companies that clash with an earlier company."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def find(self, company: Company) -> str | None:
        """Return how a company clashes with an earlier one, or None."""
        keys = [f"fiscal_id {fold_fiscal_id(company.fiscal_id)}"]
        if not company.has_existing_user:
            keys.append(f"e-mail {company.account.email.casefold()}")
        if company.known is not None:
            keys.append(f"account {company.known.name}")
        for key in keys:
            if key in self._seen:
                line = self._seen[key]
                where = f"line {line}" if line else "an earlier company"
                return f"the same {key.partition(' ')[0]} as {where}"
            self._seen[key] = company.line
        return None


def _as_companies(companies: Iterable[Company]) -> tuple[Company, ...]:
    return all_of("companies", Company, companies)


@attrs.frozen(kw_only=True)
class CompanyList:
    """The companies of a run.

    Attributes:
        companies: The companies, in order.
        ignored_columns: Columns of the file that are not used.
        notes: Remarks for people on how the file was read.

    Raises:
        ConfigurationError: two companies have the same fiscal number or the same known account,
            or the same e-mail though their users are new.
    """

    companies: tuple[Company, ...] = attrs.field(converter=_as_companies)
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        conflicts = _CompanyConflicts()
        for company in self.companies:
            if problem := conflicts.find(company):
                raise ConfigurationError(f"Company {company.fiscal_id}: {problem}.")

    @classmethod
    def from_csv(
        cls, path: str | os.PathLike[str], *, serie: str | None = None, accepts_terms: bool = False
    ) -> "CompanyList":
        """Read companies from a file with a header, as spreadsheets write it.

        Columns: organization_name, email, password, fiscal_id; optional: serie, at_subuser,
        at_password, communication_type, first_name, last_name, phone, tax_country, language,
        existing_user, account, account_id, api_key. A secret may be a reference, `env:NAME` or
        `file:PATH` (relative to this file).

        Args:
            path: The file.
            serie: The serie of the rows that give none.
            accepts_terms: Must be True: the provider's terms are accepted for all companies.

        Raises:
            ConfigurationError: naming every bad row by its line, and never a secret.
        """
        if serie is not None:
            check_new_serie(serie)
        if accepts_terms is not True:
            raise ConfigurationError(
                "The API requires that the provider's terms are accepted for each account: confirm "
                "it with accepts_terms=True (--accept-terms)."
            )
        reader = _CompanyReader(Path(path), serie=serie)
        companies = reader.read()
        table = reader.table
        return cls(companies=companies, ignored_columns=table.ignored, notes=table.notes)


class _CompanyReader:
    """Reads the companies of one file."""

    def __init__(self, path: Path, *, serie: str | None) -> None:
        self._serie = serie
        self._folder = path.parent
        self._problems = Problems(path)
        self.table: CsvReader = CsvReader(
            path=path,
            required=_REQUIRED,
            optional=_OPTIONAL,
            exact=("serie", "password", "at_password"),
            prose=("organization_name", "first_name", "last_name"),
            problems=self._problems,
        )
        self._path = path

    def read(self) -> list[Company]:
        """Return the companies. A single error names every bad row by its line."""
        conflicts = _CompanyConflicts()
        found: list[Company] = []
        for record in self.table.read():
            company = self._company(record)
            if company is None:
                continue
            found.append(company)
            if problem := conflicts.find(company):
                self._problems.add(company.line, problem)
        self._problems.check()
        if not found:
            raise ConfigurationError(f"{self._path} has a header and no rows.")
        return found

    def _company(self, record: CsvRecord) -> Company | None:
        cells = {name: text for name, text in record.cells.items() if text}
        wrong = [
            f"{name} {problem}"
            for name in _SECRETS
            if name in cells and (problem := self._resolve(cells, name))
        ]
        account = _account(cells, wrong)
        at = _credentials(cells, wrong)
        known = _known(cells, wrong)
        serie = _serie(cells.get("serie") or self._serie, wrong)
        existing = cells.get("existing_user", "").casefold()
        if existing not in _TRUE | _FALSE:
            wrong.append(f"existing_user {_HINTS['existing_user']}")
        if wrong or account is None or serie is None:
            self._problems.add(record.line, "; ".join(dict.fromkeys(wrong)))
            return None
        return Company(
            account=account,
            serie=serie,
            at=at,
            has_existing_user=existing in _TRUE,
            known=known,
            line=record.line,
        )

    def _resolve(self, cells: dict[str, str], name: str) -> str | None:
        reference = as_key(cells[name].strip())
        if not isinstance(reference, KeyReference):
            return None
        if reference.kind == "file":
            reference = KeyReference("file", str(self._folder / reference.name))
        problem = reference.problem()
        if problem is None:
            try:
                cells[name] = reference.read_now()
            except KeyUnavailableError:  # its traceback would show the cells
                problem = "names what is empty"
        return problem and problem.removeprefix("api_key ")


def _account(cells: Mapping[str, str], wrong: list[str]) -> NewAccount | None:
    fields: dict[str, Any] = {name: cells.get(name) for name in _PLAIN}
    fields |= {name: cells.get(name, "") for name in _REQUIRED}
    fields["tax_country"] = _member(TaxCountry, cells, "tax_country", wrong)
    fields["language"] = _member(Language, cells, "language", wrong)
    try:
        return NewAccount(**fields, accepts_terms=True)
    except ConfigurationError:
        pass  # the error's text would show the value
    for name, value in fields.items():
        good: dict[str, Any] = {**_GOOD, "tax_country": fields["tax_country"], name: value}
        try:
            NewAccount(**good)
        except ConfigurationError:
            wrong.append(f"{name} {_hint(name, value)}")
    return None


def _hint(name: str, value: object) -> str:
    if name in {"email", "fiscal_id"} and (invisible := invisible_in(str(value))):
        return f"has an invisible character in it, {invisible}"
    return _HINTS.get(name, "is empty or has a control character in it")


def _member(kind: type[E], cells: Mapping[str, str], name: str, wrong: list[str]) -> E | None:
    text = cells.get(name)
    if text is None:
        return None
    try:
        return kind(text.casefold())
    except ValueError:
        wrong.append(f"{name} {_HINTS[name]}")
    return None


def _pair(
    cells: Mapping[str, str], first: str, second: str, wrong: list[str]
) -> tuple[str, str] | None:
    """Return two cells that must be given together, or None."""
    if first in cells and second in cells:
        return cells[first], cells[second]
    if first in cells or second in cells:
        wrong.append(f"{first} and {second} go together")
    return None


def _credentials(cells: Mapping[str, str], wrong: list[str]) -> AtCredentials | None:
    if (pair := _pair(cells, "at_subuser", "at_password", wrong)) is None:
        return None
    kind = _member(CommunicationType, cells, "communication_type", wrong)
    try:
        return AtCredentials(
            subuser=pair[0],
            password=Secret(pair[1]),
            communication_type=kind or CommunicationType.AUTO,
        )
    except ConfigurationError:
        wrong.append(f"at_subuser {_HINTS['at_subuser']}, or at_password cannot be")
    return None


def _known(cells: Mapping[str, str], wrong: list[str]) -> KnownAccount | None:
    if (pair := _pair(cells, "account", "api_key", wrong)) is None:
        return None
    try:
        return KnownAccount(
            name=account_name_in(pair[0]), api_key=Secret(pair[1]), id=cells.get("account_id")
        )
    except ConfigurationError:
        wrong.append(f"account {_HINTS['account']}, or api_key or account_id cannot be")
    return None


def _serie(serie: str | None, wrong: list[str]) -> str | None:
    if serie is None:
        wrong.append("no serie, and none was given for all rows")
        return None
    try:
        return check_new_serie(serie)
    except ConfigurationError:
        invisible = invisible_in(serie)
        hidden = invisible and f"has an invisible character in it, {invisible}"
        wrong.append(f"serie {hidden or spreadsheet_damage(serie) or _HINTS['serie']}")
    return None
