"""`onboard`: take companies through their steps, each step once."""

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Final

from invoicexpress_async.config import check_type
from invoicexpress_async.errors import ConfigurationError
from invoicexpress_async.jobs.circuit_breaker import CircuitBreaker
from invoicexpress_async.jobs.engine import Engine
from invoicexpress_async.jobs.journal import Journal, JournalError, check_journal
from invoicexpress_async.jobs.keys import AccountKeys
from invoicexpress_async.jobs.postgres import PostgresJournal
from invoicexpress_async.jobs.settings import DEFAULT_CONCURRENCY, RunSettings, check_concurrency
from invoicexpress_async.jobs.stop import RunStop
from invoicexpress_async.models.account import CreatedAccount
from invoicexpress_async.onboarding.companies import CompanyList
from invoicexpress_async.onboarding.companies_table import CompanyJournal, CompanyRecord
from invoicexpress_async.onboarding.company import Company
from invoicexpress_async.onboarding.job import CompanyJob
from invoicexpress_async.onboarding.report import CompanyOutcome, CompanyStep, OnboardingReport
from invoicexpress_async.onboarding.series_step import SharedSeries
from invoicexpress_async.onboarding.sinks import FileSink, SecretSink, name_of
from invoicexpress_async.onboarding.spool import KeySpool, SpoolError
from invoicexpress_async.onboarding.steps import OnboardingSteps
from invoicexpress_async.onboarding.task import CompanyTask
from invoicexpress_async.provisioning.rows_table import RowJournal
from invoicexpress_async.provisioning.task import ReschedulePolicy
from invoicexpress_async.services.account_session import AccountSession
from invoicexpress_async.session import SessionManager


async def onboard(  # noqa: PLR0913  # keyword-only options
    manager: SessionManager,
    partner: AccountSession,
    companies: CompanyList,
    *,
    journal: Journal,
    key_spool: KeySpool,
    secret_sink: SecretSink,
    keys: AccountKeys | None = None,
    forget: Collection[str] = (),
    concurrency: int = DEFAULT_CONCURRENCY,
    settings: RunSettings = RunSettings(),  # noqa: B008  # frozen
    on_step: Callable[[Company, CompanyStep], None] | None = None,
    on_outcome: Callable[[CompanyOutcome], None] | None = None,
    stop: RunStop | None = None,
    series_by_workers: bool = False,
) -> OnboardingReport:
    """Create an account for each company, deliver its key, and bring it to its first sequence.

    A company's error is not raised: it becomes the company's outcome, and the others continue.
    After a crash or a fix, run again with the same journal and spool: each company continues. An
    account is created at most once for a company, ever; if the response is lost, the company is
    parked, and its outcome has the fields to search for. AT credentials that were refused are not
    sent again; different ones for the same company are.

    Args:
        manager: For the new accounts, each under its own key and limit; it is not closed.
        partner: The partner's own account: creating accounts counts towards its limit alone.
        companies: The companies.
        journal: The journal that records intents and outcomes; open. It holds no secret.
        key_spool: Holds new keys from the moment they are read until they are delivered.
        secret_sink: Awaited with each company and its new account until it has returned once; it
            may be called with the same again after a crash.
        keys: Reads delivered keys back; by default the sink, if it has `key_of`.
        forget: Fiscal numbers whose create is sent again. An earlier run must have reported its
            outcome as unknown, and a person must have checked, among the partner's accounts, that
            no account exists.
        concurrency: How many companies are in flight at a time.
        settings: `resend_absent_after`, `retry_refused` and `outage_patience_seconds` are used.
        on_step: Called with each step that a company reaches; if it raises, the run ends.
        on_outcome: Called with each outcome as it comes; if it raises, the run ends.
        stop: Ends the run early.
        series_by_workers: Enter the first series as rows into the journal, which must be a
            `PostgresJournal`, wait until workers have done them, and verify them.

    Raises:
        ConfigurationError: the concurrency is not a positive integer, a company's account is the
            partner's, or a `CsvSink` or `EnvFileSink` cannot be written. Nothing was sent.
        JournalDifferenceError: the journal has a fiscal number as another company.
        JournalError: the journal cannot be used, or another process onboards for the partner with
            it. Nothing was sent.
        SpoolError: the spool cannot be used. Nothing was sent.
    """
    check_journal(journal)
    shared: SharedSeries | None = None
    if series_by_workers:
        if not isinstance(journal, PostgresJournal):
            raise ConfigurationError("Workers share a PostgresJournal: give one as the journal.")
        shared = SharedSeries(journal=journal, rows=RowJournal(journal))
    check_type("key_spool", key_spool, KeySpool)
    check_concurrency(concurrency)
    if any(one.known and one.known.name == partner.name for one in companies.companies):
        raise ConfigurationError(f"{partner.name} is the partner's own account, and no company's.")
    started = time.monotonic()
    async with _holding_partner(partner.name, journal) as own:
        held_for = None if own is journal else partner.name
        table = CompanyJournal(own, held_for=held_for)
        await table.open()
        await RowJournal(journal).open()
        if isinstance(secret_sink, FileSink):
            secret_sink.check()
        spooled = key_spool.open()
        try:
            records = await table.admit(companies.companies, spooled)
            tasks = {
                one.fiscal_id: CompanyTask.of_record(one, records[one.fiscal_id])
                for one in companies.companies
            }
            steps = OnboardingSteps(
                manager=manager,
                partner=partner,
                journal=table,
                spool=key_spool,
                spooled=spooled,
                sink=secret_sink,
                keys=keys or getattr(secret_sink, "key_of", None),
                shared=shared,
                forget=frozenset(forget),
                retry_refused=settings.retry_refused,
                on_step=on_step or (lambda _, __: None),
            )
            engine = _engine(steps, settings, stop or RunStop())
            workers = max(1, min(concurrency, len(tasks)))
            outcomes: dict[str, CompanyOutcome] = {}
            stream = engine.outcomes(_each(tasks.values()), concurrency=workers)
            async with aclosing(stream):
                async for outcome in stream:
                    outcomes[outcome.company.fiscal_id] = outcome
                    if on_outcome is not None:
                        on_outcome(outcome)
            undelivered = _count_undelivered(tasks, records, spooled)
            spool_problem = None if undelivered else _emptied(key_spool)
        finally:
            key_spool.close()
    return OnboardingReport(
        outcomes=tuple(outcomes[number] for number in tasks if number in outcomes),
        seconds=time.monotonic() - started,
        not_started=len(tasks) - len(outcomes),
        undelivered=undelivered,
        problem=engine.problem or spool_problem,
    )


@contextlib.asynccontextmanager
async def _holding_partner(partner: str, journal: Journal) -> AsyncGenerator[Journal]:
    """Yield the journal; one in a database is held for the partner, by one process at a time.

    All creates of accounts count towards the partner's limit, so only one process may send them.
    """
    if not isinstance(journal, PostgresJournal):
        yield journal
        return
    held = await journal.hold(f"partner {partner}")
    try:
        yield held
    finally:
        # If the release fails, the hold expires by itself; the report must still be returned.
        with contextlib.suppress(JournalError):
            await journal.release(held)


def _engine(
    steps: OnboardingSteps, settings: RunSettings, stop: RunStop
) -> Engine[CompanyTask, CompanyOutcome]:
    manager = steps.manager
    breaker = CircuitBreaker(manager.clock)
    job = CompanyJob(
        steps=steps,
        policy=ReschedulePolicy.of_run(manager, breaker, settings),
        settings=settings,
        stop=stop,
    )
    return Engine(job=job, settings=settings, stop=stop, clock=manager.clock, breaker=breaker)


async def _each(tasks: Iterable[CompanyTask]) -> AsyncIterator[CompanyTask]:
    for task in tasks:
        yield task


def _emptied(spool: KeySpool) -> SpoolError | None:
    """Empty the spool; return the error if it could not be emptied."""
    try:
        spool.empty()
    except SpoolError as error:
        return error.with_traceback(None)
    return None


def _count_undelivered(
    tasks: Mapping[str, CompanyTask],
    records: Mapping[str, CompanyRecord],
    spooled: Mapping[str, CreatedAccount],
) -> int:
    """Count the keys in the spool, from this run or an earlier one, that are not delivered."""
    left = 0
    for number in {*spooled, *(number for number, task in tasks.items() if task.account)}:
        task, record, account = tasks.get(number), records.get(number), spooled.get(number)
        was_delivered = record is not None and record.step not in _BEFORE_DELIVERY
        is_delivered = was_delivered or (task is not None and task.is_delivered)
        # The spool may have the key of another account than the one that a person has found.
        known = None if task is None else task.company.known
        is_of_another = known and account and name_of(account) != known.name
        left += bool(not is_delivered or is_of_another)
    return left


_BEFORE_DELIVERY: Final = (CompanyStep.ACCOUNT, CompanyStep.KEY)
