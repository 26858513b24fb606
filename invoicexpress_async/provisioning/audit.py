"""`audit`: read the sequences of accounts and find what is wrong. It sends reads only."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from enum import StrEnum
from typing import Final

import attrs

from invoicexpress_async.call.reconcile import (
    LOOKALIKE_DIFFERENCE,
    Listing,
    partial_registration_error,
)
from invoicexpress_async.config import check_serie
from invoicexpress_async.config.serie_names import canonical, form_of
from invoicexpress_async.errors import (
    ConfigurationError,
    InvoiceXpressError,
    MalformedResponseError,
)
from invoicexpress_async.jobs.concurrent import map_concurrently
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.provisioning.next_serie import has_year
from invoicexpress_async.provisioning.plan import AccountList
from invoicexpress_async.provisioning.row import AccountRow
from invoicexpress_async.session import SessionManager

_FINE: Final = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})
# `ensure` does not register a sequence in one of these states again.
_UNUSABLE: Final = frozenset({Registration.PARTIAL, Registration.UNKNOWN})


def is_incomplete(sequence: Sequence) -> bool:
    """Whether a document type of the sequence lacks, or may lack, a validation code it needs."""
    return sequence.registration not in _FINE


class Lack(StrEnum):
    """How an account falls short of the wanted serie."""

    MISSING = "missing"
    """The account does not have the serie."""
    NOT_REGISTERED = "not_registered"
    """The account has the serie, but a document type that needs a code has none."""
    NOT_DEFAULT = "not_default"
    """The account has the serie, registered, but not as the default."""


@attrs.frozen(kw_only=True)
class WantedSerie:
    """The serie that every account must have, given by its name or by its year.

    Attributes:
        serie: The name.
        year: The year that the name must contain, when no name is given.

    Raises:
        ConfigurationError: both, or neither.
    """

    serie: str | None = None
    year: int | None = None

    def __attrs_post_init__(self) -> None:
        if (self.serie is None) is (self.year is None):
            raise ConfigurationError("Name one serie or one year that the accounts are to have.")
        if self.serie is not None:
            check_serie(self.serie)
        elif type(self.year) is not int:
            raise ConfigurationError(f"year is {self.year!r:.20}: give a number, such as 2027.")

    def __str__(self) -> str:
        return str(self.serie if self.year is None else self.year)

    def is_name(self, serie: str) -> bool:
        """Whether a name is the wanted one, or contains the wanted year and no other."""
        if self.serie is not None:
            return canonical(serie) == canonical(self.serie)
        return self.year is not None and has_year(serie, self.year)


@attrs.frozen(kw_only=True)
class AccountAudit:
    """What the audit found on one account.

    Attributes:
        row: The account.
        sequences: All of its sequences, in the server's order; empty when they could not be read.
        error: The error of the read, without its traceback; None when the read succeeded.
        wanted: The serie that the account must have as its default; None when none was given.
    """

    row: AccountRow
    sequences: tuple[Sequence, ...] = ()
    error: InvoiceXpressError | None = None
    wanted: WantedSerie | None = None

    @property
    def lack(self) -> Lack | None:
        """How the account falls short of `wanted`; None if not, without `wanted` or if unread."""
        if self.wanted is None or self.error is not None:
            return None
        found = [one for one in self.sequences if self.wanted.is_name(one.serie)]
        whole = [one for one in found if not is_incomplete(one)]
        if any(one.is_default for one in whole):
            return None
        if whole:
            return Lack.NOT_DEFAULT
        return Lack.NOT_REGISTERED if found else Lack.MISSING

    @property
    def defaults(self) -> tuple[Sequence, ...]:
        """The sequences flagged as the default: one, unless something is wrong."""
        return tuple(one for one in self.sequences if one.is_default)

    @property
    def default(self) -> Sequence | None:
        """The default sequence; None when there is none or more than one."""
        defaults = self.defaults
        return defaults[0] if len(defaults) == 1 else None

    def has_only_names_unlike(self, serie: str) -> bool:
        """Whether the account has names, but none of the form of `serie`; `2026` is like `2027`."""
        forms = {form_of(one.serie) for one in self.sequences}
        return bool(forms) and form_of(serie) not in forms

    @property
    def incomplete(self) -> tuple[Sequence, ...]:
        """The sequences with a document type that needs a validation code and has none.

        `Sequence.unregistered` gives the types. A sequence whose `registration` is PARTIAL must
        not be used. A response without any codes, as old ones are, counts as incomplete, because
        the registration is not known.
        """
        return tuple(one for one in self.sequences if is_incomplete(one))

    @property
    def is_fine(self) -> bool:
        """Whether it was read and has one default, fully registered and the one wanted, if any."""
        defaults = self.defaults
        is_one = len(defaults) == 1 and not is_incomplete(defaults[0])
        return is_one and self.lack is None


@attrs.frozen(kw_only=True)
class SerieFinding:
    """What an account's list shows about a serie that a run would ensure.

    Attributes:
        registration: How far the serie is registered; None when it does not exist.
        error: The error that the run would end with; None when none is expected.
    """

    registration: Registration | None = None
    error: InvoiceXpressError | None = None


def find_serie(seen: AccountAudit, serie: str) -> SerieFinding:
    """Return what the list of an account shows about a serie."""
    if seen.error is not None:
        return SerieFinding(error=seen.error)
    listing = Listing(sequences=seen.sequences)
    try:
        found = listing.find(serie)
    except MalformedResponseError as twice:
        return SerieFinding(error=twice.with_traceback(None))
    if found is None:
        similar = listing.find_similar(serie)
        return SerieFinding(error=None if similar is None else _only_similar(similar, serie))
    is_unusable = found.registration in _UNUSABLE
    error = partial_registration_error(found) if is_unusable else None
    return SerieFinding(registration=found.registration, error=error)


def _only_similar(similar: Sequence, serie: str) -> ConfigurationError:
    return ConfigurationError(
        f"The account has {similar.serie!r}, which differs from {serie!r} {LOOKALIKE_DIFFERENCE}: "
        "use that spelling, or another name."
    )


def _as_audits(audits: Iterable[AccountAudit]) -> tuple[AccountAudit, ...]:
    return tuple(audits)


@attrs.frozen(kw_only=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        accounts: In the order of the input.
        seconds: How long the audit took.
        not_started: How many accounts were not read, because the audit was stopped.
    """

    accounts: tuple[AccountAudit, ...] = attrs.field(converter=_as_audits)
    seconds: float
    not_started: int = 0

    def __str__(self) -> str:
        fine = sum(one.is_fine for one in self.accounts)
        left = f", {self.not_started} not looked at" if self.not_started else ""
        return f"{fine} fine, {len(self.accounts) - fine} not fine{left}, in {self.seconds:.1f} s"

    @property
    def is_fine(self) -> bool:
        """Whether every account was read and is fine."""
        return not self.not_started and all(one.is_fine for one in self.accounts)


async def audit(  # noqa: PLR0913  # keyword-only options, each with a default
    manager: SessionManager,
    accounts: AccountList,
    *,
    wanted: WantedSerie | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_account: Callable[[AccountAudit], None] | None = None,
    stop: RunStop | None = None,
) -> AuditReport:
    """Read the sequences of every account. No account's error is raised.

    Args:
        manager: The session manager that sends the requests; it is not closed.
        accounts: The accounts to read.
        wanted: The serie that each must have, registered and as its default.
        concurrency: How many accounts are read at a time.
        on_account: Called with each account once it is read; an exception from it ends the audit.
        stop: Ends the audit early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    started = time.monotonic()
    seen: dict[str, AccountAudit] = {}
    stream = iter_audit(manager, accounts, wanted=wanted, concurrency=concurrency, stop=stop)
    async with aclosing(stream):
        async for one in stream:
            seen[one.row.account] = one
            if on_account is not None:
                on_account(one)
    return AuditReport(
        accounts=(seen[row.account] for row in accounts.rows if row.account in seen),
        seconds=time.monotonic() - started,
        not_started=len(accounts.rows) - len(seen),
    )


async def iter_audit(
    manager: SessionManager,
    accounts: AccountList,
    *,
    wanted: WantedSerie | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
) -> AsyncGenerator[AccountAudit, None]:
    """Yield each account of `audit` once it is read, and keep none. Close it if you stop early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """

    async def look(row: AccountRow) -> AccountAudit:
        try:
            account = manager.account(row.account, source_of(row.api_key, row.account))
            sequences = await account.sequences.list()
            return AccountAudit(row=row, sequences=sequences, wanted=wanted)
        except InvoiceXpressError as error:
            return AccountAudit(row=row, error=error.with_traceback(None), wanted=wanted)

    stream = map_concurrently(accounts.rows, look, concurrency=concurrency, stop=stop)
    async with aclosing(stream):
        async for one in stream:
            yield one
