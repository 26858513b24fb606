"""What type checkers see of the sandbox, of what is for users' tests, of events and of `otel`."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Literal, assert_type

from aioresponses import aioresponses
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

import invoicexpress_async as ix
from invoicexpress_async import events, sandbox, testing
from invoicexpress_async.otel import OpenTelemetryHook

FlagForm = Literal["integer", "boolean", "string", "word"]


def tests_of_users() -> None:
    with testing.SandboxThread(account="acme", seed=1) as server:
        assert_type(server, testing.SandboxThread)
        assert_type(server.account, str)
        assert_type(server.api_key, str)
        assert_type(server.base_url, str)
        assert_type(server.environment, Mapping[str, str])
        assert_type(server.requests, tuple[sandbox.RecordedRequest, ...])
        assert_type(server.sequences(), tuple[sandbox.SandboxSequence, ...])
        assert_type(server.count("POST", "/sequences.json", account="acme"), int)
        assert_type(server.duplicates(), tuple[sandbox.Duplicate, ...])
        assert_type(server.add_account("other"), sandbox.SandboxAccount)
        row = server.add_sequence("2027", account="other", is_default=True)
        assert_type(row, sandbox.SandboxSequence)
        assert_type(server.fail_next("status", operation="create", status=503), None)
        assert_type(server.fail_randomly({"timeout": 1.0}, share=0.5, operations=["list"]), None)
        assert_type(server.heal(), None)
        assert_type(server.go_down(), None)
        assert_type(server.go_up(), None)
        assert_type(server.commit_late(), int)
        assert_type(server.call(lambda one: one.port), int)
        assert_type(server.run(lambda one: one.commit_late()), int)
    with testing.quick_manager(server.base_url) as manager:
        assert_type(manager, ix.SessionManager)
    with testing.patched_aioresponses() as mocked, testing.mended_aioresponses() as same:
        assert_type(mocked, aioresponses)
        assert_type(same, aioresponses)


async def servers(running: sandbox.Sandbox, on_start: Callable[[sandbox.Sandbox], None]) -> None:
    async with running as entered:
        assert_type(entered, sandbox.Sandbox)
        assert_type(entered.base_url, str)
        assert_type(entered.accounts, Mapping[str, sandbox.SandboxAccount])
        assert_type(entered.requests, list[sandbox.RecordedRequest])
        assert_type(entered.count("POST", "/sequences.json", account="acme"), int)
        account = assert_type(entered.add_account("acme"), sandbox.SandboxAccount)
        assert_type(entered.update_account(account), None)
        row = entered.add_sequence("acme", "2027", is_default=True, is_registered=False)
        assert_type(row, sandbox.SandboxSequence)
        assert_type(entered.sequences("acme"), tuple[sandbox.SandboxSequence, ...])
    assert_type(await running.start(), None)
    assert_type(await running.close(), None)
    assert_type(running.host, str)
    assert_type(running.port, int)
    assert_type(running.seed, int)
    assert_type(running.state_file, str | Path | None)
    assert_type(running.clock, Callable[[], float])
    assert_type(await sandbox.serve(running, on_start=on_start), None)


def behaviour(server: sandbox.Sandbox | sandbox.FaultServer) -> None:
    knobs: sandbox.SandboxBehaviour = server
    assert_type(knobs.language, Literal["pt", "en"])
    assert_type(knobs.requests_per_minute, int | None)
    assert_type(knobs.window, Literal["sliding", "fixed", "token_bucket"])
    assert_type(knobs.retry_after, str | None)
    assert_type(knobs.error_shape, sandbox.ErrorShape)
    assert_type(knobs.account_error_shape, sandbox.ErrorShape)
    assert_type(knobs.update_error_shape, sandbox.ErrorShape)
    assert_type(knobs.code_form, Literal["padded", "bare", "integer"])
    assert_type(knobs.envelope, Literal["sequence", "sequences"])
    assert_type(knobs.empty_body, Literal["space", "empty"])
    assert_type(knobs.not_found_body, Literal["space", "empty", "html"])
    assert_type(knobs.unauthorized_body, Literal["object", "list", "empty"])
    assert_type(knobs.number_form, Literal["integer", "string"])
    assert_type(knobs.flag_form, FlagForm)
    assert_type(knobs.list_form, Literal["array", "object_when_single"])
    assert_type(knobs.refused_names, Collection[str])
    assert_type(knobs.register_codes["all_registered"], tuple[int, str])
    assert_type(knobs.is_name_check_atomic, bool)
    assert_type(knobs.registration_seconds, float)
    assert_type(knobs.may_answer_before_registered, bool)
    assert_type(knobs.is_listed_while_registering, bool)
    assert_type(knobs.list_lag_seconds, float)
    assert_type(knobs.has_row_after_refusal, bool)
    assert_type(knobs.account_flag_form, FlagForm)
    assert_type(knobs.account_url, str)
    assert_type(knobs.existing_user_status, Literal[200, 201])
    assert_type(knobs.wrong_user_status, Literal[400, 422])
    assert_type(knobs.not_partner_status, Literal[403, 422])
    assert_type(knobs.required_update_fields, Collection[str])
    assert_type(knobs.new_account_serie, Literal["company", "year", "none"])
    assert_type(knobs.is_every_account_new, bool)
    assert_type(knobs.use_older_shapes(), None)
    assert_type(knobs.is_email_shown, bool)
    assert_type(knobs.is_new_account_trial, bool)
    assert_type(knobs.at_communication_body, Literal["success", "empty"])
    assert_type(knobs.at_passwords, Mapping[str, str])
    assert_type(knobs.at_attempts, int)
    assert_type(knobs.inactive_fiscal_ids, Collection[str])


def accounts(account: sandbox.SandboxAccount, row: sandbox.SandboxSequence) -> None:
    assert_type(account.name, str)
    assert_type(account.api_key, str)
    assert_type(account.is_partner, bool)
    assert_type(account.id, str)
    assert_type(account.owner, str)
    assert_type(account.organization_name, str)
    assert_type(account.email, str | None)
    assert_type(account.user_password, str)
    assert_type(account.fiscal_id, str)
    assert_type(account.state, str)
    assert_type(account.language, Literal["pt", "en", "es"] | None)
    assert_type(account.details, Mapping[str, str])
    assert_type(account.has_at_credentials, bool)
    assert_type(account.has_valid_at_credentials, bool)
    assert_type(account.at_failures, Mapping[str, int])
    assert_type(account.has_open_activity, bool)
    assert_type(account.is_trial, bool)
    assert_type(account.country, str)
    assert_type(account.is_portuguese, bool)
    assert_type(account.document_types, tuple[str, ...])
    assert_type(account.has_validation_codes, bool)
    assert_type(account.refused_document_types, tuple[str, ...])
    assert_type(account.registration_seconds, float | None)
    assert_type(account.refusals["create"], tuple[int, str])
    assert_type(row.id, int)
    assert_type(row.serie, str | int)
    assert_type(row.is_default, bool)
    assert_type(row.is_registered, bool)
    assert_type(row.is_registering, bool)
    assert_type(row.sequence_ids, Mapping[str, int])
    assert_type(row.validation_codes, Mapping[str, str])
    assert_type(row.numbers, Mapping[str, int])


async def faults(server: sandbox.FaultServer, plan: sandbox.FaultPlan) -> None:
    assert_type(server.faults, sandbox.FaultPlan)
    assert_type(server.oracle, sandbox.Oracle)
    assert_type(server.ssl_context, SSLContext | None)
    assert_type(server.sleep, Callable[[float], Awaitable[None]])
    assert_type(await server.go_down(drops_connections=False), None)
    assert_type(await server.go_up(), None)
    assert_type(await server.commit_late(), int)
    assert_type(plan.seed, int)
    assert_type(plan.next("timeout", operation="create", account="acme", times=None), None)
    assert_type(plan.randomly({"timeout": 1.0}, share=0.5, operations=["create"]), None)
    assert_type(plan.planned, int | None)
    assert_type(plan.clear(), None)
    fault = assert_type(sandbox.make_fault("status", status=503), sandbox.Fault)
    assert_type(fault.name, str)
    assert_type(sandbox.describe_fault("status"), str)
    assert_type(sandbox.FAULT_NAMES, tuple[str, ...])


def oracles(oracle: sandbox.Oracle, of_accounts: sandbox.AccountOracle) -> None:
    assert_type(oracle.posts("acme", "2027"), int)
    assert_type(oracle.puts("acme", 1, "register"), int)
    assert_type(oracle.commits("acme", "2027"), int)
    assert_type(oracle.max_in_window("acme", 60), int)
    assert_type(oracle.bytes_received, int)
    assert_type(oracle.bytes_unread, int)
    assert_type(oracle.connections_open, int)
    assert_type(oracle.connections_peak, int)
    assert_type(oracle.connections_total, int)
    assert_type(oracle.handshake_failures, int)
    assert_type(oracle.accounts, sandbox.AccountOracle)
    (twice,) = assert_type(oracle.duplicates(), tuple[sandbox.Duplicate, ...])
    assert_type((twice.account, twice.serie, twice.rows), tuple[str, str, int])
    (partial,) = assert_type(oracle.partial, list[sandbox.PartialRequest])
    assert_type((partial.method, partial.path), tuple[str, str])
    assert_type((partial.bytes_expected, partial.bytes_received), tuple[int, int])
    assert_type(partial.received_at, float)
    assert_type(of_accounts.posts("a@example.com"), int)
    assert_type(of_accounts.commits(email=None, fiscal_id="501964843"), int)
    assert_type(of_accounts.at_communications("acme", "wrong"), int)
    (company,) = assert_type(of_accounts.duplicates(), tuple[sandbox.DuplicateAccount, ...])
    assert_type((company.fiscal_id, company.email), tuple[str, str])
    assert_type(company.names, tuple[str, ...])


def requests(request: sandbox.RecordedRequest) -> None:
    assert_type((request.method, request.path, request.account), tuple[str, str, str])
    assert_type(request.body, bytes)
    assert_type(request.status, int | None)
    assert_type(request.received_at, float)
    assert_type(request.has_cookie, bool)


def observers(event: events.Event) -> None:
    assert_type((event.request_id, event.account, event.operation), tuple[str, str, str])
    match event:
        case events.LimiterWaited() | events.AccountSlowed():
            assert_type(event.seconds, float)
        case events.AttemptStarted():
            assert_type(event.attempt, int)
            assert_type(event.request, str)
        case events.AttemptEnded():
            assert_type((event.attempt, event.request), tuple[int, str])
            assert_type(event.seconds, float)
            assert_type(event.evidence, str)
            assert_type(event.status, int | None)
            assert_type(event.error, str | None)
        case events.RetryScheduled():
            assert_type(event.after_seconds, float)
            assert_type(event.error, str)
        case events.Reconciled():
            assert_type(event.is_found, bool)
        case events.BecameDefault():
            assert_type((event.serie, event.sequence_id), tuple[str, int])
        case events.CallEnded():
            assert_type(event.seconds, float)
            assert_type(event.attempts, int)
            assert_type(event.error, str | None)
            assert_type(event.is_in_doubt, bool)
        case _:
            pass


def telemetry(tracers: TracerProvider, meters: MeterProvider, event: events.Event) -> None:
    hook = OpenTelemetryHook(tracer_provider=tracers, meter_provider=meters)
    assert_type(hook(event), None)
    on_event: Callable[[events.Event], None] = hook
    assert_type(ix.SessionManager(on_event=on_event), ix.SessionManager)
