"""The standings of a journal's companies, read whether a run holds the journal or not."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from invoicexpress_async.jobs.records import RecordReader, make_record_converter
from invoicexpress_async.jobs.stored import Place, is_stored, open_stored
from invoicexpress_async.onboarding.companies_table import COMPANIES
from invoicexpress_async.onboarding.report import CompanyStep


@attrs.frozen(kw_only=True)
class CompanyStanding:
    """The step and state of a company in a journal.

    Attributes:
        email: The e-mail of its user.
        step: The step at which it is.
        state: "open" (the next run continues it), "intent" (sent, and not looked up yet), or a
            value of `CompanyState`.
        account_name: The name of its account, once known.
        error: The class of the error that it ended with.
        organization_name: Its name, as it was given.
        account_id: The id of its account for the partner, once known.
        status: The status of the refusal that it ended with.
        code: The code of the refusal that it ended with.
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
    """Read the standings, by fiscal number, whether a run holds the journal or not.

    They are empty for a journal that does not exist.

    Args:
        path: The file of the journal, or the `postgresql://` URL of its database.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not is_stored(path):
        return MappingProxyType({})
    reader = RecordReader(COMPANIES, CompanyStanding, make_record_converter())
    with open_stored(path) as file:
        entries = {str(entry["fiscal_id"]): entry for entry in file.entries(COMPANIES)}
    return MappingProxyType({number: reader.read(entry) for number, entry in entries.items()})
