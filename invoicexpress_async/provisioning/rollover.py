"""`rollover`: create the new year's serie on every account, and only then make it the default."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing
from typing import Final

import attrs

from invoicexpress_async.config import check_new_serie
from invoicexpress_async.errors import ConfigurationError, InvoiceXpressError
from invoicexpress_async.jobs.journal import Journal, JournalDifferenceError, JournalState
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.models.sequence import Registration, Sequence
from invoicexpress_async.provisioning.audit import AccountAudit, find_serie, iter_audit
from invoicexpress_async.provisioning.next_serie import (
    check_year,
    coming_year,
    default_day,
    is_step_backwards,
    next_serie,
    serie_of_pattern,
    step_backwards,
)
from invoicexpress_async.provisioning.plan import AccountList, Plan
from invoicexpress_async.provisioning.report import Progress, ProvisioningReport, RowOutcome
from invoicexpress_async.provisioning.row import AccountRow, PlanRow, named_accounts
from invoicexpress_async.provisioning.rows_table import RowJournal, RowRecord
from invoicexpress_async.provisioning.run import provision
from invoicexpress_async.session import SessionManager

_DONE: Final = frozenset({JournalState.DONE})
_REFUSED_TOO: Final = _DONE | {JournalState.REFUSED}


@attrs.frozen(kw_only=True)
class RolloverStep:
    """What a roll-over is to do on one account.

    Attributes:
        row: The account.
        current: The default sequence; None when there is none or more than one, or when the
            account was not read because the journal has the row as settled.
        serie: The next serie; None when it could not be determined.
        problem: Why nothing is done: the next serie is not known, or would be a step backwards.
        is_unlike: Whether the serie's name has another form than all other names of the account.
        registration: How far the serie is registered if it already exists; None otherwise.
        error: The error that the run would end with, as far as the list shows; None otherwise.
        is_read: Whether the account was read.
    """

    row: AccountRow
    current: Sequence | None = None
    serie: str | None = None
    problem: InvoiceXpressError | None = None
    is_unlike: bool = False
    registration: Registration | None = None
    error: InvoiceXpressError | None = None
    is_read: bool = True


def _as_steps(steps: Iterable[RolloverStep]) -> tuple[RolloverStep, ...]:
    return tuple(steps)


@attrs.frozen(kw_only=True)
class RolloverPlan:
    """The plan of a roll-over. Only reads were sent to make it.

    Attributes:
        steps: The step of each account, in the order of the input; fewer when it was stopped.
        year: The new year.
        others: The steps of accounts that are in the journal but were not chosen: they stay there.
    """

    steps: tuple[RolloverStep, ...] = attrs.field(converter=_as_steps)
    year: int
    others: tuple[RolloverStep, ...] = ()

    @property
    def problems(self) -> tuple[RolloverStep, ...]:
        """The steps with a problem, for which nothing is done."""
        return tuple(step for step in self.steps if step.problem is not None)

    def settings(
        self,
        settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
        *,
        not_before: dt.date | None = None,
        default_now: bool = False,
    ) -> RunSettings:
        """Return the settings with which `provision` runs `plan()` as `rollover` does.

        They let a later run add an account whose default could not be read the first time.

        Raises:
            ConfigurationError: as `default_day`.
        """
        day = default_day(self.year, not_before=not_before, default_now=default_now)
        return attrs.evolve(settings, is_staged=True, default_not_before=day, accept_added=True)

    def plan(self) -> Plan:
        """Return the rows of the accounts whose serie is known; those with a problem are not run.

        The journal's row of an account with a problem stays in it.
        """
        chosen = frozenset(step.row.account for step in self.steps if step.problem is None)
        is_held = any(step.serie is not None for step in self.problems)
        return Plan(
            accounts=chosen if self.others or is_held else None,
            rows=[
                PlanRow(
                    account=step.row.account,
                    api_key=step.row.api_key,
                    serie=step.serie,
                    is_default=True,
                    line=step.row.line,
                )
                for step in (*self.steps, *self.others)
                if step.serie is not None
            ],
        )


@attrs.frozen(kw_only=True)
class RolloverReport:
    """How a roll-over ended.

    Attributes:
        plan: The plan, which includes the accounts whose next serie could not be determined.
        run: The report of the run for the other accounts.
    """

    plan: RolloverPlan
    run: ProvisioningReport

    def __str__(self) -> str:
        left = len(self.plan.problems)
        return f"{self.plan.year}: {self.run}" + (f", {left} without a next serie" if left else "")

    @property
    def is_complete(self) -> bool:
        """Whether every account has its new serie, registered, and is done or prepared."""
        return not self.plan.problems and self.run.is_complete


async def plan_rollover(  # noqa: PLR0913  # keyword-only options, each with a default
    manager: SessionManager,
    accounts: AccountList,
    *,
    year: int,
    pattern: str | None = None,
    journal: Journal | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_account: Callable[[AccountAudit], None] | None = None,
    stop: RunStop | None = None,
    only: Collection[str] | None = None,
    retry_refused: bool = False,
) -> RolloverPlan:
    """Read the default sequence of each account and derive the next serie. Sends reads only.

    Every account is read, so that its step has the present default, except accounts whose row is
    done or refused in the journal. The next serie is the one in the account's row; else that of
    the `pattern`; else the default's name with last year's number replaced, where the name is
    clear: `2026`, `FR2026`, `A26`. A name that is in the journal from an earlier run stays,
    whatever the default is now. A serie of an earlier year than the present default is refused.

    Args:
        manager: The session manager that sends the requests; it is not closed.
        accounts: The accounts to read.
        year: The new year, such as 2027.
        pattern: A name that contains `{year}` or `{yy}`, for all accounts whose row has no serie.
        journal: The journal of the roll-over, open, if it is to be begun or continued.
        concurrency: How many accounts are read at a time.
        only: The accounts to include; None for all. The others stay in the journal.
        retry_refused: Whether rows that the journal has as refused are to be tried again.
        on_account: Called with each account once it is read.
        stop: Ends the reading early.

    Raises:
        ConfigurationError: an invalid year or pattern.
        JournalDifferenceError: the journal is of a roll-over to another year.
    """
    check_year(year)
    chosen = None if only is None else named_accounts(only)
    for_all = None if pattern is None else serie_of_pattern(pattern, year)
    known = await _known(journal, accounts, year)
    steps = {
        row.account: RolloverStep(row=row, serie=known[row.account][0].serie, is_read=False)
        for row in accounts.rows
        if row.account in known
    }
    settled = _REFUSED_TOO if not retry_refused else _DONE
    meant = [row for row in accounts.rows if chosen is None or row.account in chosen]
    is_settled = {name for name, (_, record) in known.items() if record.state in settled}
    to_read = [row for row in meant if row.account not in is_settled]
    stream = iter_audit(manager, AccountList(rows=to_read), concurrency=concurrency, stop=stop)
    async with aclosing(stream):
        async for seen in stream:
            kept = known.get(seen.row.account)
            serie = kept[0].serie if kept else seen.row.serie or for_all
            step = _step(seen, year, serie)
            steps[seen.row.account] = attrs.evolve(step, serie=serie) if kept else step
            if on_account is not None:
                on_account(seen)
    names = {row.account for row in meant}
    return RolloverPlan(
        steps=(steps[row.account] for row in meant if row.account in steps),
        year=year,
        others=tuple(step for name, step in steps.items() if name not in names),
    )


async def rollover(  # noqa: PLR0913  # keyword-only options, each with a default
    manager: SessionManager,
    accounts: AccountList,
    *,
    year: int,
    pattern: str | None = None,
    not_before: dt.date | None = None,
    default_now: bool = False,
    journal: Journal | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    on_progress: Callable[[Progress], None] | None = None,
    on_outcome: Callable[[RowOutcome], None] | None = None,
    stop: RunStop | None = None,
    only: Collection[str] | None = None,
) -> RolloverReport:
    """Create the new year's serie on every account, check it, and only then make it the default.

    Safe to run again, in any year: the year is an argument, and never derived from the accounts.
    A serie with a document type that lacks its validation code is never made the default.

    Args:
        manager: The session manager that sends the requests; it is not closed.
        accounts: The accounts.
        year: The new year, such as 2027.
        pattern: As for `plan_rollover`, which makes the plan.
        not_before: The day, in Lisbon, before which nothing becomes the default, if that is later
            than 1 January of the year: until then the series are created and registered, and the
            next run makes them the default. The journal keeps the day, and refuses another.
        default_now: Make the series the default at once, even before the year begins: documents
            of the old year would then get numbers of the new one.
        journal: As for `provision`.
        concurrency: As for `provision`.
        settings: As for `provision`, overridden where `RolloverPlan.settings` sets a value.
        on_progress: As for `provision`.
        on_outcome: As for `provision`.
        stop: Ends the run early.
        only: As for `plan_rollover`.

    Raises:
        ConfigurationError: an invalid year, day or pattern.
        JournalDifferenceError: the journal is of another roll-over, another day or other accounts.
        JournalError: the journal cannot be used. Nothing was sent.
    """
    day = default_day(year, not_before=not_before, default_now=default_now)
    plan = await plan_rollover(
        manager,
        accounts,
        year=year,
        pattern=pattern,
        journal=journal,
        concurrency=concurrency,
        stop=stop,
        only=only,
        retry_refused=settings.retry_refused,
    )
    run = await provision(
        manager,
        plan.plan(),
        journal=journal,
        concurrency=concurrency,
        settings=plan.settings(settings, not_before=day, default_now=default_now),
        on_progress=on_progress,
        on_outcome=on_outcome,
        stop=stop,
    )
    return RolloverReport(plan=plan, run=run)


async def _known(
    journal: Journal | None, accounts: AccountList, year: int
) -> dict[str, tuple[PlanRow, RowRecord]]:
    if journal is None:
        return {}
    rows = RowJournal(journal)
    await rows.open()
    bound = await rows.bind_job("rollover", str(year))
    if bound != str(year):
        raise JournalDifferenceError(
            f"The journal {journal.label} is of the roll-over to {bound}, not {year}."
        )
    return await rows.of_accounts(accounts.rows)


def _step(seen: AccountAudit, year: int, named: str | None) -> RolloverStep:
    if named is None:
        return _derive(seen, year)
    current = seen.default
    if current is not None and is_step_backwards(current.serie, named):
        return _backwards(seen, current, named)
    return _to(seen, named, is_unlike=seen.has_only_names_unlike(named))


def _to(seen: AccountAudit, serie: str, *, is_unlike: bool = False) -> RolloverStep:
    look = find_serie(seen, serie)
    return RolloverStep(
        row=seen.row,
        current=seen.default,
        serie=serie,
        is_unlike=is_unlike,
        registration=look.registration,
        error=look.error,
    )


def _derive(seen: AccountAudit, year: int) -> RolloverStep:
    if seen.error is not None:
        return RolloverStep(row=seen.row, problem=seen.error, error=seen.error)
    defaults = seen.defaults
    if len(defaults) != 1:
        count = len(defaults) or "no"
        return _unclear(seen, f"it has {count} default sequences")
    serie = next_serie(defaults[0].serie, year)
    if serie is None and coming_year(defaults[0].serie, year) is not None:
        return _backwards(seen, defaults[0], str(year))
    if serie is None:
        why = f"what follows its default {defaults[0].serie!r} in {year} is not plain"
        return attrs.evolve(_unclear(seen, why), current=defaults[0])
    try:
        check_new_serie(serie)
    except ConfigurationError as error:
        why = f"its default cannot be followed: {str(error.args[0]).rstrip('.')}"
        return attrs.evolve(_unclear(seen, why), current=defaults[0])
    return _to(seen, serie)


def _backwards(seen: AccountAudit, current: Sequence, to: str) -> RolloverStep:
    problem = step_backwards(seen.row.account, current.serie, to)
    return RolloverStep(row=seen.row, current=current, problem=problem)


def _unclear(seen: AccountAudit, why: str) -> RolloverStep:
    text = f"Account {seen.row.account}: {why}. Name its next serie in the column serie."
    return RolloverStep(row=seen.row, problem=ConfigurationError(text))
