"""The companies of a run, checked before anything is sent."""

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from invoicexpress_async.config import check_new_serie
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.company_rows import CompanyConflicts, CompanyReader


def _as_companies(companies: Iterable[Company]) -> tuple[Company, ...]:
    return tuple(companies)


@attrs.frozen(kw_only=True)
class CompanyList:
    """The companies of a run.

    Attributes:
        companies: In order.
        ignored_columns: Columns of the file that mean nothing here.
        notes: What a person should know of how the file was read.

    Raises:
        ConfigurationError: two have one fiscal number, or one e-mail though their users are new.
    """

    companies: tuple[Company, ...] = attrs.field(converter=_as_companies)
    ignored_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        conflicts = CompanyConflicts()
        for company in self.companies:
            if problem := conflicts.find(company):
                raise ConfigurationError(f"Company {company.fiscal_id}: {problem}.")

    @classmethod
    def from_csv(
        cls, path: str | os.PathLike[str], *, serie: str | None = None, accepts_terms: bool = False
    ) -> "CompanyList":
        """Read companies from a file with a header, as spreadsheets write it.

        Columns: organization_name, email, password, fiscal_id; and maybe serie, at_subuser,
        at_password, communication_type, first_name, last_name, phone, tax_country, language,
        existing_user, account, account_id, api_key. A secret may be a reference, `env:NAME` or
        `file:PATH` (relative to this file).

        Args:
            path: The file.
            serie: For the rows that name none.
            accepts_terms: That the provider's terms are accepted for all of them.

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
        reader = CompanyReader(Path(path), serie=serie)
        companies = reader.read()
        return cls(companies=companies, ignored_columns=reader.ignored, notes=reader.notes)
