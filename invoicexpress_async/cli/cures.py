"""The cures for rows and companies that are not done, for users of the command line.

The cure of an error is in its class; this module adds what depends on the outcome in a job. All
are texts for `words`, which shows them in a language.
"""

from collections.abc import Mapping
from typing import Final

import invoicexpress_async
from invoicexpress_async import errors, onboarding, provisioning
from invoicexpress_async.cli.failures import CURE_WITHOUT_JOURNAL, cure_of, cure_of_kind
from invoicexpress_async.cli.words import lines_of
from invoicexpress_async.provisioning import RowState

_RETRY: Final = "Then run again with --retry-refused."
_RETRY_AFTER_ANOTHER: Final = "Then run again, after another cause with --retry-refused."

# Of rows.
WAIT: Final = "Wait for the end of the run that is under way."
_READ: Final = "Run the same command again in some minutes: it reads first, and sends none twice."
_RESEND: Final = "If it never shows: --resend-absent-after 900 sends it again."
_ROW_AGAIN: Final = "Run the same command again: it looks first, and creates only what is absent."
CURE_OF_UNPLANNED: Final = (
    "Name its next serie in the column `serie` of the file, or give a --pattern."
)

# Of companies.
_TAKE_UP: Final = "put its name and key into its row (columns account, api_key), and run again"
AGAIN: Final = "Run the same command again: it goes on where it is."
_MISSING_KEY: Final = (
    f"Name the --keys-out of the earlier run. If the key is no longer there, {_TAKE_UP}."
)
_AT_ABSENT: Final = "Put at_subuser and at_password into its row, and run again."
_AT_ABSENT_PERHAPS: Final = (
    "If at_subuser and at_password are not in its row, put them there, and run again. Else:"
)
_PARTNER: Final = (
    "Check --partner and the partner's key, and that the provider has given it the right to create "
    "accounts. Then run the same command again: it goes on where it is."
)
_OF_THE_PARTNER: Final = (errors.AuthenticationError, errors.PermissionDeniedError)
_AT: Final = "Correct at_subuser or at_password in its row, and run again: the same are not sent."
_AT_OF_SERIES: Final = (
    "The tax authority took its credentials and then refused them: check the sub-user's right "
    "to communicate series, then run again with --retry-refused; or correct them in its row."
)
_SERIES_UNKNOWN: Final = (
    "Run the same command again in some minutes: it reads first. If it never shows, run it with "
    "--resend-absent-after 900, which sends it again once two lists, so far apart, do not have it. "
    "Or `invoicexpress sequences ensure` it as the default, with the account's own name and key, "
    "then run again."
)

_CURES: Final[Mapping[type[errors.InvoiceXpressError], str]] = {
    onboarding.AccountUnknownError: (
        "It is never sent again. Look for its fiscal number and e-mail in the provider's pages. If "
        f"the account is there, have its key shown or renewed, {_TAKE_UP}. If there is none for "
        "certain, run again with --forget and its fiscal number."
    ),
    onboarding.KeyLostError: (
        "If an earlier run had another --spool, name that. Else have the account's key shown or "
        f"renewed in the provider's pages, {_TAKE_UP}."
    ),
    onboarding.KeyNeededError: _MISSING_KEY,
    provisioning.KeyUnavailableError: _MISSING_KEY,
    onboarding.NameUnknownError: f"Look its name up in the provider's pages, {_TAKE_UP}.",
    onboarding.SinkError: "Fix what --keys-out names, and run again: the key is in the spool.",
    invoicexpress_async.RepeatedCredentialsError: (
        "Correct at_subuser or at_password in its row. If it was something else that made the "
        "server refuse them and it has changed, run again with --retry-refused."
    ),
    onboarding.CredentialsUnknownError: (
        "Look in the account whether AT communication is set up: if so, run again. If not, check "
        "the credentials at the tax authority first, then run again with --retry-refused."
    ),
    onboarding.NotVerifiedError: "Run again in some minutes: a list can lag behind.",
    errors.PartialRegistrationError: (
        "Do not use the account yet: check its set-up at the tax authority, then run again with "
        "--retry-refused."
    ),
    provisioning.RowCutOffError: AGAIN,
}


def cure_of_row(error: errors.InvoiceXpressError, state: str, *, has_journal: bool) -> str:
    """Return the cure of a row of a run. It depends on whether the next run has a journal."""
    return _row_cure(type(error), state, cure_of(error), has_journal=has_journal)


def cure_of_recorded_row(error: str, state: str) -> str:
    """Return the cure of a row from a journal, given the class of its error."""
    kind = error_class(error)
    if kind is None:
        return _ROW_AGAIN
    return _row_cure(kind, state, cure_of_kind(kind), has_journal=True)


def cure_of_unknown(state: str, *, has_journal: bool) -> str:
    """Return the cure of a row whose request was sent and whose outcome is unknown."""
    if not has_journal:
        return CURE_WITHOUT_JOURNAL
    return lines_of(_READ, _RESEND if state == RowState.ABSENT else "")


def cure_of_step(error: errors.InvoiceXpressError) -> str:
    is_unclear = error.cure == errors.ConfigurationError.cure
    return CURE_OF_UNPLANNED if is_unclear else cure_of(error)


def cure_of_company(outcome: onboarding.CompanyOutcome) -> str | None:
    """Return the cure of a company of a run, or None when it is done."""
    error = outcome.error
    if error is None:
        return None
    is_unknown = isinstance(error, errors.OutcomeUnknownError) or outcome.intent is not None
    if is_unknown and type(error) not in _CURES:
        return _SERIES_UNKNOWN
    if _is_of_series(type(error), outcome.step):
        return _AT_ABSENT if outcome.company.at is None else _AT_OF_SERIES
    return _company_cure(type(error), outcome.step, outcome.state, cure_of(error))


def cure_of_standing(step: onboarding.CompanyStep, state: str, error: str | None) -> str | None:
    """Return the cure of a company from a journal, given the class of its error, or None."""
    if error is None:
        return None
    kind = error_class(error)
    if kind is None:
        return AGAIN
    if issubclass(kind, errors.OutcomeUnknownError) and kind not in _CURES:
        return _SERIES_UNKNOWN
    if _is_of_series(kind, step):
        return lines_of(_AT_ABSENT_PERHAPS, _AT_OF_SERIES)
    return _company_cure(kind, step, state, cure_of_kind(kind))


def error_class(name: str) -> type[errors.InvoiceXpressError] | None:
    """Return the error class with this name, or None."""
    for module in (errors, onboarding, provisioning, invoicexpress_async):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, errors.InvoiceXpressError):
            return kind
    return None  # a newer version wrote the journal


def _row_cure(
    kind: type[errors.InvoiceXpressError], state: str, cure: str, *, has_journal: bool
) -> str:
    if issubclass(kind, errors.OutcomeUnknownError):
        return cure_of_unknown(state, has_journal=has_journal)
    if issubclass(kind, provisioning.RowCutOffError):
        return _ROW_AGAIN
    is_kept = has_journal and state == RowState.REFUSED
    return lines_of(cure, _RETRY if is_kept else "")


def _company_cure(
    kind: type[errors.InvoiceXpressError], step: onboarding.CompanyStep, state: str, cure: str
) -> str:
    if kind in _CURES:
        return _CURES[kind]
    if state == onboarding.CompanyState.FAILED:
        is_create = step is onboarding.CompanyStep.ACCOUNT
        return _PARTNER if is_create and issubclass(kind, _OF_THE_PARTNER) else AGAIN
    if step is not onboarding.CompanyStep.AT:
        return lines_of(cure, _RETRY)
    if issubclass(kind, errors.UnprocessableError):
        return _AT
    return lines_of(cure, _RETRY_AFTER_ANOTHER)


def _is_of_series(kind: type[errors.InvoiceXpressError], step: onboarding.CompanyStep) -> bool:
    is_of_credentials = issubclass(kind, errors.TaxAuthorityCredentialsError)
    return is_of_credentials and step is onboarding.CompanyStep.SERIES
