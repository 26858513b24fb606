"""Where the companies of a journal stand, read whether a run holds it or not."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from invoicexpress_async.jobs.records import RecordReader, make_record_converter
from invoicexpress_async.jobs.stored import Place, is_stored, open_stored
from invoicexpress_async.onboarding.companies_table import COMPANIES
from invoicexpress_async.onboarding.report import CompanyStep


@attrs.frozen(kw_only=True)
class CompanyStanding:
    """What a journal says of a company.

    Attributes:
        email: Of its user.
        step: Where it stands.
        state: "open" (it continues), "intent" (sent, and not looked up yet), or a value of
            `CompanyState`.
        account_name: Of its account, once known.
        error: The class of the error it ended with.
        organization_name: As it was given.
        account_id: Of its account for the partner, once known.
        status: Of the refusal it ended with.
        code: Of the refusal it ended with.
    """

    email: str
    step: CompanyStep
    state: str
    account_name: str | None
    error: str | None
    organization_name: str = ""
    account_id: str | None = None
    status: int | None = None
    code: str | None = None


def read_standings(path: Place) -> Mapping[str, CompanyStanding]:
    """Read where the companies stand, by fiscal number, whether a run holds the journal or not.

    A journal that is not there has none.

    Args:
        path: Its file, or the `postgresql://` URL of its database.

    Raises:
        JournalError: it cannot be read.
    """
    if not is_stored(path):
        return MappingProxyType({})
    reader = RecordReader(COMPANIES, CompanyStanding, make_record_converter())
    with open_stored(path) as file:
        entries = {str(entry["fiscal_id"]): entry for entry in file.entries(COMPANIES)}
    return MappingProxyType({number: reader.read(entry) for number, entry in entries.items()})
