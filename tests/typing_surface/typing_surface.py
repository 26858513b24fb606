"""What type checkers see of the client, of jobs and of onboarding. Never run: they read it.

`test_typing_surface.py` sees to it that every public name and member is in one of these files.
"""

import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Literal, assert_type

import invoicexpress_async as ix
from invoicexpress_async import events, onboarding, provisioning
from invoicexpress_async.models.json_value import JsonValue

Documents = Mapping[ix.DocumentType | str, ix.DocumentSequenceState]
Name = ix.DocumentType | str
Time = dt.datetime | None


async def managers(manager: ix.SessionManager, hook: Callable[[events.Event], None]) -> None:
    async def key() -> str:
        return "from a vault"

    async with ix.SessionManager(
        base_url=None,
        timeouts=ix.Timeouts(total_seconds=1, attempt_seconds=1, connect_seconds=1),
        retry=ix.RetryPolicy(attempts=1, base_seconds=1, cap_seconds=1, read_after_seconds=(1.0,)),
        rate_limit=ix.RateLimit(780, per_seconds=60, share=0.5),
        max_connections=1,
        on_event=hook,
        key_ttl_seconds=1,
    ) as entered:
        assert_type(entered, ix.SessionManager)
    assert_type(ix.SessionManager.from_env(), ix.SessionManager)
    assert_type(
        ix.SessionManager.from_env(base_url="", proxy="", rate_limit=None, app_name="billing/2.1"),
        ix.SessionManager,
    )
    assert_type(manager.account(), ix.AccountSession)
    assert_type(manager.account("acme", "key"), ix.AccountSession)
    assert_type(manager.account("acme", key), ix.AccountSession)
    assert_type(manager.total_seconds, float)
    assert_type(manager.retry, ix.RetryPolicy)
    assert_type(manager.retry.read_after_seconds, tuple[float, ...])
    health = assert_type(manager.health(), ix.Health)
    assert_type(health["is_open"], bool)
    assert_type(health["calls_in_flight"], int)
    assert_type(health["connections"], int)
    assert_type(health["accounts_slowed"], int)
    calls = assert_type(health["calls"], ix.CallCounters)
    assert_type(calls["seconds_since_success"], float | None)
    assert_type(calls["errors"], dict[str, int])
    assert_type(calls["seconds_since_error"], dict[str, float])
    assert_type(manager.unresolved(), tuple[ix.Intent, ...])
    assert_type(await manager.read_unresolved(), tuple[ix.Intent, ...])
    assert_type(await manager.close(), None)
    assert_type(await manager.close(grace_seconds=1), None)
    assert_type(ix.RateLimit(780).allowed, int)


async def accounts_and_sequences(
    account: ix.AccountSession,
    intent: ix.Intent,
    keep: Callable[[ix.Intent], Awaitable[None]],
) -> None:
    assert_type(account.name, str)
    assert_type(account.retry, ix.RetryPolicy)
    assert_type(account.with_options(timeout_seconds=1, retry=ix.RetryPolicy()), ix.AccountSession)
    assert_type(await account.check_credentials(timeout_seconds=1), None)
    assert_type(await account.request("GET", "/sequences.json"), JsonValue)
    assert_type(await account.request("POST", "/x.json", {"a": [1]}, timeout_seconds=1), JsonValue)
    service = assert_type(account.sequences, ix.SequenceService)
    created = service.create("2027", default=True, on_intent=keep, timeout_seconds=1)
    assert_type(await created, ix.Sequence)
    assert_type(await service.list(timeout_seconds=1), tuple[ix.Sequence, ...])
    assert_type(await service.get(1, timeout_seconds=1), ix.Sequence)
    assert_type(await service.find("2027", timeout_seconds=1), ix.Sequence | None)
    assert_type(await service.set_current(1, timeout_seconds=1), None)
    assert_type(await service.register(1, on_intent=keep, timeout_seconds=1), ix.Sequence)
    ensured = service.ensure(
        "2027", default=True, registered=False, on_intent=keep, timeout_seconds=1
    )
    assert_type(await ensured, ix.Ensured)
    assert_type(await service.resume(intent, timeout_seconds=1), ix.Sequence)
    assert_type(service.forget(intent), None)
    assert_type(service.unresolved(), tuple[ix.Intent, ...])


def sequences(sequence: ix.Sequence, ensured: ix.Ensured, state: ix.DocumentSequenceState) -> None:
    assert_type(sequence.id, int)
    assert_type(sequence.serie, str)
    assert_type(sequence.is_default, bool)
    assert_type(sequence.documents, Documents)
    assert_type(sequence.documents["purchase_order"], ix.DocumentSequenceState)
    assert_type(sequence.documents[ix.DocumentType.INVOICE], ix.DocumentSequenceState)
    assert_type(sequence.extra, Mapping[str, JsonValue])
    assert_type(sequence.registration, ix.Registration)
    assert_type(sequence.unregistered, tuple[Name, ...])
    assert_type(state.number, int | None)
    assert_type(state.sequence_id, int | None)
    assert_type(state.validation_code, str | None)
    assert_type(state.is_configured, bool)
    assert_type(state.registration, ix.Registration)
    assert_type(state.next_number, int | None)
    assert_type(state.atcud(state.next_number), str)
    assert_type(ensured.sequence, ix.Sequence)
    assert_type(ensured.created, bool)
    assert_type(ensured.via, ix.Via)


def intents(intent: ix.Intent) -> None:
    assert_type(intent["version"], Literal[1])
    assert_type(intent["operation"], Literal["create", "register", "create_account"])
    assert_type(intent["account"], str)
    assert_type(intent["serie"], str | None)
    assert_type(intent["sequence_id"], int | None)
    assert_type(intent["is_default"], bool)
    assert_type(intent["had_sequences"], bool | None)
    assert_type(intent["sent_at"], float)


async def partners(
    service: ix.AccountService, intent: ix.Intent, keep: Callable[[ix.Intent], Awaitable[None]]
) -> None:
    new = ix.NewAccount(
        organization_name="A",
        email="a@example.com",
        password="p",
        accepts_terms=True,
        tax_country=ix.TaxCountry.PORTUGAL,
        language=ix.Language.PORTUGUESE,
    )
    created = assert_type(await service.create(new, on_intent=keep), ix.CreatedAccount)
    assert_type(await service.create_for_existing_user(new, timeout_seconds=1), ix.CreatedAccount)
    assert_type(created.id, str)
    assert_type(created.name, str)
    assert_type(created.url, str)
    assert_type(created.api_key, ix.Secret)
    assert_type(created.api_key.reveal(), str)
    assert_type(created.state, str | None)
    details = assert_type(await service.get(created.id, timeout_seconds=1), ix.AccountDetails)
    assert_type(details.organization_name, str)
    assert_type(details.at_configured, bool | None)
    assert_type(details.trial, bool | None)
    assert_type(details.extra, Mapping[str, JsonValue])
    changes = ix.AccountUpdate(email="b@example.com")
    assert_type(await service.update(1, changes, timeout_seconds=1), None)
    at = ix.AtCredentials(subuser="501964843/1", password="p")
    assert_type(at.communication_type, ix.CommunicationType)
    configured = service.configure_at_communication(at, resend_refused=True, timeout_seconds=1)
    assert_type(await configured, None)
    assert_type(service.forget(intent), None)


def errors(
    error: ix.InvoiceXpressError,
    unknown: ix.OutcomeUnknownError,
    malformed: ix.MalformedResponseError,
    status: ix.StatusError,
) -> None:
    assert_type(error.operation, str | None)
    assert_type(error.subject, str | None)
    assert_type(error.account, str | None)
    assert_type(error.attempts, int)
    assert_type(error.may_have_been_processed, bool)
    assert_type(error.cure, str)
    assert_type(error.anchor, str)
    assert_type(error.request_id, str | None)
    assert_type(unknown.intent, ix.Intent)
    assert_type(unknown.was_absent, bool)
    assert_type(malformed.problems, tuple[str, ...])
    assert_type(malformed.excerpt, str)
    assert_type(malformed.is_html, bool)
    assert_type(status.status, int)
    assert_type(status.code, str | None)
    assert_type(status.messages, tuple[str, ...])
    assert_type(status.retry_after_seconds, float | None)
    assert_type(status.is_transient, bool)
    assert_type(ix.UnexpectedRedirectError().location_host, str | None)
    assert_type(ix.PartialRegistrationError().sequence, ix.Sequence | None)
    assert_type(ix.DefaultChangedError().sequence, ix.Sequence | None)
    assert_type(ix.StatusError().sequence, ix.Sequence | None)
    assert_type(ix.UnprocessableError().sequence, ix.Sequence | None)


STATUS_ERRORS: tuple[type[ix.StatusError], ...] = (
    ix.AuthenticationError,
    ix.PermissionDeniedError,
    ix.NotFoundError,
    ix.RateLimitedError,
    ix.ServerError,
    ix.ConflictError,
)
CONFLICTS: tuple[type[ix.ConflictError], ...] = (
    ix.SequenceBeingRegisteredError,
    ix.SequenceAlreadyRegisteredError,
)
UNPROCESSABLES: tuple[type[ix.UnprocessableError], ...] = (
    ix.UnknownSequenceError,
    ix.SequenceNameNotAllowedError,
    ix.SequenceAlreadyExistsError,
    ix.InvalidSequenceError,
    ix.TaxAuthorityCredentialsError,
    ix.NoOpenActivityError,
    ix.AccountNotPortugueseError,
)
BUILT_IN_TOO: tuple[type[ValueError | RuntimeError | OSError], ...] = (
    ix.ConfigurationError,
    ix.RepeatedCredentialsError,
    ix.StepBackwardsError,
    ix.SessionClosedError,
    ix.ConnectionFailedError,
    ix.UntrustedConnectionError,
    ix.DeadlineExceededError,
)
TRANSPORTS: tuple[type[ix.TransportError], ...] = (
    ix.ConnectionFailedError,
    ix.UntrustedConnectionError,
    ix.DeadlineExceededError,
)


async def jobs(manager: ix.SessionManager, keys: provisioning.AccountKeys) -> None:
    plan = assert_type(
        provisioning.Plan.from_csv("a.csv", serie="2027", default=True, api_keys=keys),
        provisioning.Plan,
    )
    rows = assert_type(provisioning.AccountList.from_csv(Path("a.csv")), provisioning.AccountList)
    assert_type(plan.rows, Collection[provisioning.PlanRow])
    assert_type(plan.summary, provisioning.PlanSummary)
    assert_type(rows.rows, tuple[provisioning.AccountRow, ...])
    journal = provisioning.SqliteJournal("job.sqlite3")
    stop = provisioning.RunStop()
    settings = provisioning.RunSettings(retry_refused=True)
    report = await provisioning.provision(
        manager, plan, journal=journal, concurrency=5, settings=settings, stop=stop
    )
    assert_type(report, provisioning.ProvisioningReport)
    assert_type(report.outcomes, tuple[provisioning.RowOutcome, ...])
    assert_type(report.counts, Mapping[provisioning.RowState, int])
    assert_type(report.differences, tuple[provisioning.Difference, ...])
    assert_type(report.is_complete, bool)
    assert_type(report.raise_for_failures(), None)
    outcomes = provisioning.iter_outcomes(manager, plan, journal=journal)
    assert_type(outcomes, AsyncGenerator[provisioning.RowOutcome, None])
    async for outcome in outcomes:
        assert_type(outcome.state, provisioning.RowState)
        assert_type(outcome.sequence, ix.Sequence | None)
        assert_type(outcome.error, ix.InvoiceXpressError | None)
        assert_type(outcome.intent, ix.Intent | None)
    assert_type(await provisioning.audit(manager, rows), provisioning.AuditReport)
    audits = provisioning.iter_audit(manager, rows, stop=stop)
    assert_type(audits, AsyncGenerator[provisioning.AccountAudit, None])
    turned = await provisioning.rollover(manager, rows, year=2027, journal=journal)
    assert_type(turned, provisioning.RolloverReport)
    assert_type(turned.run, provisioning.ProvisioningReport)
    planned = await provisioning.plan_rollover(manager, rows, year=2027)
    assert_type(planned, provisioning.RolloverPlan)
    assert_type(planned.steps, tuple[provisioning.RolloverStep, ...])
    status = assert_type(provisioning.read_status("job.sqlite3"), provisioning.JournalStatus)
    assert_type(status.counts, Mapping[str, int])
    assert_type(stop.request(drain_seconds=1), None)
    assert_type(stop.is_requested, bool)


async def workers(
    manager: ix.SessionManager, plan: provisioning.Plan, keys: provisioning.AccountKeys
) -> None:
    async with provisioning.PostgresJournal(
        "postgresql://ix@db.example/ix",
        schema="invoicexpress",
        slices=256,
        patience_seconds=30.0,
        lease_seconds=60.0,
        window_seconds=60.0,
    ) as journal:
        assert_type(journal, provisioning.PostgresJournal)
        assert_type((journal.schema, journal.slices, journal.label), tuple[str, int, str])
        assert_type(
            await provisioning.enter_plan(journal, plan), tuple[provisioning.Difference, ...]
        )
        left = assert_type(await provisioning.slices_left(journal), list[provisioning.SliceLeft])
        held = assert_type(await journal.take(left[0].number), provisioning.HeldSlice)
        assert_type(await journal.try_take(0), provisioning.HeldSlice | None)
        report = await provisioning.work_slice(manager, held, keys, concurrency=25)
        assert_type(report, provisioning.SliceReport)
        assert_type(await journal.release(held, due_seconds=report.due_seconds), None)
        assert_type((held.number, held.epoch, held.is_held), tuple[int, int, bool])
        assert_type(held.lose(), None)
        assert_type(await journal.hold("partner acme"), provisioning.HeldSlice)
        outage = await journal.share_outage("token", is_failing=None, may_probe=False)
        assert_type((outage.seconds, outage.is_ours_to_probe), tuple[float | None, bool])
        keys = assert_type(provisioning.load_keys("env:IX_KEY"), provisioning.AccountKeys)
        assert_type(
            await provisioning.work_free_slice(manager, journal, 0, keys),
            provisioning.SliceReport | None,
        )
        assert_type(await provisioning.run_worker(manager, journal, keys, until_done=True), None)


def slices(one: provisioning.SliceLeft, report: provisioning.SliceReport) -> None:
    assert_type((one.number, one.rows), tuple[int, int])
    assert_type((one.due, one.since, one.until), tuple[Time, Time, Time])
    assert_type(one.over_seconds, float | None)
    assert_type(one.due_seconds, float | None)
    assert_type((one.holder, one.is_due), tuple[str | None, bool])
    assert_type((report.number, report.left, report.is_fenced), tuple[int, int, bool])
    assert_type(report.due_seconds, float | None)
    assert_type(report.counts, Mapping[provisioning.RowState, int])
    assert_type(report.problem, ix.InvoiceXpressError | None)
    assert_type(report.no_key, tuple[provisioning.KeyUnavailableError, ...])


def progress_of(progress: provisioning.Progress, reference: provisioning.KeyReference) -> None:
    assert_type(progress.counts, Mapping[provisioning.RowState, int])
    assert_type(progress.total, int | None)
    assert_type(reference.kind, Literal["env", "file"])


JOB_ERRORS: tuple[type[ix.InvoiceXpressError], ...] = (
    provisioning.FencedError,
    provisioning.JournalDifferenceError,
    provisioning.JournalError,
    provisioning.KeyUnavailableError,
    provisioning.OutageError,
    provisioning.RowCutOffError,
)


async def onboarders(
    manager: ix.SessionManager, account: ix.AccountSession, sink: onboarding.SecretSink
) -> None:
    companies = onboarding.CompanyList.from_csv("c.csv", serie="2027", accepts_terms=True)
    assert_type(companies.notes, tuple[str, ...])
    assert_type(companies.companies, tuple[onboarding.Company, ...])
    journal = provisioning.SqliteJournal("job.sqlite3")
    spool = onboarding.KeySpool("keys.spool")
    report = await onboarding.onboard(
        manager, account, companies, journal=journal, key_spool=spool, secret_sink=sink
    )
    assert_type(report, onboarding.OnboardingReport)
    assert_type(report.outcomes, tuple[onboarding.CompanyOutcome, ...])
    assert_type(report.counts, Mapping[onboarding.CompanyState, int])
    assert_type(report.outcomes[0].step, onboarding.CompanyStep)
    assert_type(report.outcomes[0].company.known, onboarding.KnownAccount | None)
    standings = onboarding.read_standings("job.sqlite3")
    assert_type(standings, Mapping[str, onboarding.CompanyStanding])


SINKS: tuple[onboarding.SecretSink, ...] = (
    onboarding.CsvSink("keys.csv"),
    onboarding.EnvFileSink(".env"),
)
ONBOARDING_ERRORS: tuple[type[ix.InvoiceXpressError], ...] = (
    onboarding.AccountUnknownError,
    onboarding.CredentialsUnknownError,
    onboarding.KeyLostError,
    onboarding.KeyNeededError,
    onboarding.NameUnknownError,
    onboarding.NotVerifiedError,
    onboarding.SeriesWaitingError,
    onboarding.SinkError,
    onboarding.SpoolError,
)
