"""What type checkers see of the fields and methods of values: settings, requests, reports."""

import datetime as dt
from collections.abc import AsyncIterable, Callable, Mapping
from pathlib import Path
from typing import assert_type

import invoicexpress_async as ix
from invoicexpress_async import onboarding, provisioning

Text = str | None


def settings(limit: ix.RateLimit, retry: ix.RetryPolicy, timeouts: ix.Timeouts) -> None:
    assert_type(limit.per_seconds, float)
    assert_type(limit.share, float)
    assert_type(retry.attempts, int)
    assert_type(retry.base_seconds, float)
    assert_type(retry.cap_seconds, float)
    assert_type(retry.back_off_seconds(1, 0.5), float)
    assert_type(timeouts.total_seconds, float)
    assert_type(timeouts.attempt_seconds, float)
    assert_type(timeouts.connect_seconds, float)
    secret = ix.Secret("x")
    assert_type(secret.quoted(), str)
    assert_type(secret.redact(b"x"), bytes)


def companies(new: ix.NewAccount, details: ix.AccountDetails, update: ix.AccountUpdate) -> None:
    assert_type((new.organization_name, new.email), tuple[str, str])
    assert_type((new.password, new.accepts_terms), tuple[ix.Secret, bool])
    assert_type((new.first_name, new.last_name, new.phone), tuple[Text, Text, Text])
    assert_type((new.fiscal_id, new.accepts_marketing), tuple[Text, bool | None])
    assert_type((new.tax_country, new.language), tuple[ix.TaxCountry | None, ix.Language | None])
    assert_type((details.email, details.fiscal_id), tuple[Text, Text])
    assert_type((update.first_name, update.last_name, update.email), tuple[Text, Text, Text])
    assert_type((update.phone, update.fax, update.website), tuple[Text, Text, Text])
    assert_type((update.address, update.city, update.postal_code), tuple[Text, Text, Text])
    assert_type(update.tax_country, ix.TaxCountry | None)
    assert_type(update.language, ix.Language | None)
    assert_type(update.accepts_marketing, bool | None)
    at = assert_type(update.credentials, ix.AtCredentials | None)
    if at is not None:
        assert_type((at.subuser, at.password), tuple[str, ix.Secret])


def plans(
    plan: provisioning.Plan, row: provisioning.PlanRow, step: provisioning.AccountRow
) -> None:
    assert_type(plan.ignored_columns, tuple[str, ...])
    rows = assert_type(plan.stream, AsyncIterable[provisioning.PlanRow] | None)
    if rows is not None:
        assert_type(provisioning.Plan.from_async(rows), provisioning.Plan)
    assert_type((plan.summary.defaults, plan.summary.series), tuple[int, Mapping[str, int]])
    assert_type((plan.summary.default_series, plan.notes), tuple[tuple[str, ...], tuple[str, ...]])
    pilot = plan.only(["acme"])
    assert_type(provisioning.Plan.from_rows([{"account": "acme"}, row]), provisioning.Plan)
    assert_type((pilot.accounts, pilot.is_chosen(row)), tuple[frozenset[str] | None, bool])
    assert_type((row.account, row.serie, row.line), tuple[str, str, int])
    assert_type((step.account, step.line), tuple[str, int])


async def keys(reference: provisioning.KeyReference) -> None:
    assert_type(reference.name, str)
    assert_type(reference.problem(), Text)
    assert_type(await reference.read(), str)
    assert_type(reference.read_now(), str)


def runs(chosen: provisioning.RunSettings, stop: provisioning.RunStop) -> None:
    assert_type(chosen.resend_absent_after, float | None)
    assert_type(chosen.retry_refused, bool)
    assert_type(chosen.accept_changes, bool)
    assert_type(chosen.accept_added, bool)
    assert_type(chosen.outage_patience_seconds, float)
    assert_type(chosen.is_staged, bool)
    assert_type(chosen.default_not_before, dt.date | None)
    assert_type(chosen.may_default(), bool)
    assert_type(stop.in_flight, int)
    assert_type(stop.seconds_left, float)
    assert_type(stop.cut_off(), None)
    listener: Callable[[], None] = print
    assert_type(stop.listen(listener), None)
    with stop.part() as part:
        assert_type(part, provisioning.RunStop)


def reports(
    report: provisioning.ProvisioningReport,
    outcome: provisioning.RowOutcome,
    progress: provisioning.Progress,
    ensured: ix.Ensured,
) -> None:
    assert_type(report.not_started, int)
    assert_type(report.problem, ix.InvoiceXpressError | None)
    assert_type(report.callback_error, Exception | None)
    row = assert_type(outcome.row, provisioning.PlanRow)
    assert_type((outcome.seconds, outcome.is_recorded), tuple[float, bool])
    assert_type(outcome.error_name, Text)
    of_ensured = provisioning.RowOutcome.of_ensured(row, ensured, seconds=1)
    assert_type(of_ensured, provisioning.RowOutcome)
    error = ix.ServerError()
    of_error = provisioning.RowOutcome.of_error(row, error, seconds=1, intent=None)
    assert_type(of_error, provisioning.RowOutcome)
    assert_type((progress.ended, progress.waiting), tuple[int, int])
    assert_type(progress.is_paused, bool)
    assert_type(progress.next_turn_in_seconds, float | None)


def rollovers(rolled: provisioning.RolloverReport, step: provisioning.RolloverStep) -> None:
    planned = assert_type(rolled.plan, provisioning.RolloverPlan)
    assert_type(planned.year, int)
    assert_type(planned.plan(), provisioning.Plan)
    assert_type(planned.settings(not_before=None), provisioning.RunSettings)
    assert_type(step.row, provisioning.AccountRow)
    assert_type(rolled.plan.others, tuple[provisioning.RolloverStep, ...])
    assert_type(step.current, ix.Sequence | None)
    assert_type((step.problem, step.is_unlike), tuple[ix.InvoiceXpressError | None, bool])
    assert_type((step.error, step.is_read), tuple[ix.InvoiceXpressError | None, bool])
    assert_type(step.registration, ix.Registration | None)


def audits(report: provisioning.AuditReport, one: provisioning.AccountAudit) -> None:
    assert_type((report.is_fine, report.not_started), tuple[bool, int])
    assert_type((one.is_fine, one.row), tuple[bool, provisioning.AccountRow])
    assert_type(one.defaults, tuple[ix.Sequence, ...])
    assert_type((one.default, one.has_only_names_unlike("A")), tuple[ix.Sequence | None, bool])
    assert_type(
        (one.wanted, one.lack), tuple[provisioning.WantedSerie | None, provisioning.Lack | None]
    )
    wanted = provisioning.WantedSerie(year=2027)
    assert_type(
        (wanted.serie, wanted.year, wanted.is_name("2027")), tuple[str | None, int | None, bool]
    )
    assert_type(one.incomplete, tuple[ix.Sequence, ...])


def journals(status: provisioning.JournalStatus) -> None:
    assert_type(status.path, Path | str)
    assert_type((status.holder, status.rollover_year), tuple[Text, int | None])
    assert_type(status.default_not_before, dt.date | None)
    assert_type(status.ended_in_last_run, int)
    if status.last_command is not None:
        assert_type((status.last_command.line, status.last_command.folder), tuple[str, str])
        assert_type(status.last_command.resend_absent_after, float | None)
    assert_type((status.removed, status.run_count), tuple[int, int])
    assert_type(status.failures[0].code, Text)
    assert_type(status.in_doubt[0].account, str)
    assert_type(status.runs[0].process, int)


def onboarded(
    company: onboarding.Company,
    outcome: onboarding.CompanyOutcome,
    report: onboarding.OnboardingReport,
    standing: onboarding.CompanyStanding,
    read: onboarding.CompanyList,
) -> None:
    assert_type((company.fiscal_id, company.line), tuple[str, int])
    assert_type(company.at, ix.AtCredentials | None)
    assert_type(company.has_existing_user, bool)
    assert_type(read.ignored_columns, tuple[str, ...])
    assert_type((outcome.account_id, outcome.account_name), tuple[Text, Text])
    assert_type((outcome.error_name, outcome.is_recorded), tuple[Text, bool])
    assert_type((report.not_started, report.undelivered), tuple[int, int])
    assert_type(report.problem, ix.InvoiceXpressError | None)
    assert_type((standing.account_name, standing.email), tuple[Text, str])
    assert_type((standing.account_id, standing.organization_name), tuple[Text, str])
    assert_type((standing.status, standing.code), tuple[int | None, Text])


async def delivered(
    sink: onboarding.CsvSink | onboarding.EnvFileSink,
    spool: onboarding.KeySpool,
    created: ix.CreatedAccount,
) -> None:
    assert_type(sink.path, Path)
    assert_type(sink.check(), None)
    assert_type(await sink.key_of("acme"), str)
    assert_type(spool.check(), None)
    assert_type(spool.open(), dict[str, ix.CreatedAccount])
    assert_type(spool.write("501964843", created), None)
    assert_type(spool.empty(), None)
