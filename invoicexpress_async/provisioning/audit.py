"""`audit`: what the accounts have, and what is wrong with it. It sends nothing but reads."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Final

import attrs

from invoicexpress_async.errors import InvoiceXpressError
from invoicexpress_async.jobs.concurrent import map_concurrently
from invoicexpress_async.jobs.keys import source_of
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.provisioning.plan import AccountList
from invoicexpress_async.provisioning.row import AccountRow
from invoicexpress_async.session import SessionManager

_FINE: Final = frozenset({Registration.REGISTERED, Registration.NOT_APPLICABLE})


def is_incomplete(sequence: Sequence) -> bool:
    """Whether a document type of it needs a validation code and has none, as far as is known."""
    return sequence.registration not in _FINE


@attrs.frozen(kw_only=True)
class AccountAudit:
    """One account as it was seen.

    Attributes:
        row: The account.
        sequences: All of its sequences, in the server's order; empty when they could not be read.
        error: Why they could not, without its traceback; None otherwise.
    """

    row: AccountRow
    sequences: tuple[Sequence, ...] = ()
    error: InvoiceXpressError | None = None

    @property
    def defaults(self) -> tuple[Sequence, ...]:
        """The sequences that say they are the default: one, unless something is wrong."""
        return tuple(one for one in self.sequences if one.is_default)

    @property
    def incomplete(self) -> tuple[Sequence, ...]:
        """The sequences some of whose document types need a validation code and have none.

        Their `unregistered` names the types; those whose `registration` is PARTIAL must not be
        used. An answer without any codes, as old ones are, counts as incomplete: it is not known.
        """
        return tuple(one for one in self.sequences if is_incomplete(one))

    @property
    def is_fine(self) -> bool:
        """Whether it could be read and has one default, which is wholly registered."""
        defaults = self.defaults
        return len(defaults) == 1 and not is_incomplete(defaults[0])


def _as_audits(audits: Iterable[AccountAudit]) -> tuple[AccountAudit, ...]:
    return tuple(audits)


@attrs.frozen(kw_only=True)
class AuditReport:
    """The accounts as they were seen.

    Attributes:
        accounts: In the order of the input.
        seconds: How long it took.
        not_started: How many were not looked at, because the audit was stopped.
    """

    accounts: tuple[AccountAudit, ...] = attrs.field(converter=_as_audits)
    seconds: float
    not_started: int = 0

    @property
    def is_fine(self) -> bool:
        """Whether every account was looked at and is fine."""
        return not self.not_started and all(one.is_fine for one in self.accounts)


async def audit(
    manager: SessionManager,
    accounts: AccountList,
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_account: Callable[[AccountAudit], None] | None = None,
    stop: RunStop | None = None,
) -> AuditReport:
    """Read the sequences of every account. No account's error is raised.

    Args:
        manager: Whose connections and limits are used; it is not closed.
        accounts: Whom to look at.
        concurrency: How many accounts are read at a time.
        on_account: Called with each as it comes; what it raises ends the audit.
        stop: Asked to end it early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """
    started = time.monotonic()
    seen: dict[str, AccountAudit] = {}
    stream = iter_audit(manager, accounts, concurrency=concurrency, stop=stop)
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
    concurrency: int = DEFAULT_CONCURRENCY,
    stop: RunStop | None = None,
) -> AsyncGenerator[AccountAudit, None]:
    """Yield each account of `audit` as it comes, and keep none. Close it if you stop early.

    Raises:
        ConfigurationError: the concurrency is not a positive integer.
    """

    async def look(row: AccountRow) -> AccountAudit:
        try:
            account = manager.account(row.account, source_of(row.api_key, row.account))
            return AccountAudit(row=row, sequences=await account.sequences.list())
        except InvoiceXpressError as error:
            return AccountAudit(row=row, error=error.with_traceback(None))

    stream = map_concurrently(accounts.rows, look, concurrency=concurrency, stop=stop)
    async with aclosing(stream):
        async for one in stream:
            yield one
