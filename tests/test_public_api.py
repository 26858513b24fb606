import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import invoicexpress_async
from invoicexpress_async import AccountService, SequenceService, SessionManager, errors
from invoicexpress_async.services.manager_settings import ManagerSettings

PROMISED = {
    "AccountSession", "DocumentSequenceState", "DocumentType", "Ensured", "Sequence",
    "SequenceService", "SessionManager",
    "InvoiceXpressError", "ConfigurationError", "SessionClosedError", "TransportError",
    "ConnectionFailedError", "DeadlineExceededError", "OutcomeUnknownError",
    "MalformedResponseError", "UnexpectedRedirectError", "PartialRegistrationError",
    "StatusError", "AuthenticationError", "PermissionDeniedError", "NotFoundError",
    "RateLimitedError", "ServerError", "ConflictError", "SequenceBeingRegisteredError",
    "SequenceAlreadyRegisteredError", "UnprocessableError", "UnknownSequenceError",
    "SequenceNameNotAllowedError", "SequenceAlreadyExistsError", "InvalidSequenceError",
    "TaxAuthorityCredentialsError", "NoOpenActivityError",
}  # fmt: skip
ADDED = {
    "AccountNotPortugueseError",
    "DefaultChangedError",
    "StepBackwardsError",
    "UntrustedConnectionError",
    "AccountDetails",
    "AccountService",
    "AccountUpdate",
    "AtCredentials",
    "CallCounters",
    "CommunicationType",
    "CreatedAccount",
    "Health",
    "Language",
    "NewAccount",
    "Secret",
    "TaxCountry",
    "Intent",
    "RateLimit",
    "Registration",
    "RepeatedCredentialsError",
    "RetryPolicy",
    "Timeouts",
    "Via",
}


def test_the_names_exported_are_the_names_promised() -> None:
    assert dir(invoicexpress_async) == sorted(PROMISED | ADDED)
    assert vars(invoicexpress_async)["__all__"] == sorted(PROMISED | ADDED)


def test_type_checkers_see_the_same_names() -> None:
    stub = Path(invoicexpress_async.__file__).with_suffix(".pyi").read_text()

    assert "from invoicexpress_async.errors import *" in stub
    named = {*re.findall(r"(\w+) as \1", stub), *errors.__all__}
    assert named == PROMISED | ADDED


def test_every_exported_name_is_there_and_documented() -> None:
    names = sorted(PROMISED | ADDED)

    assert [one for one in names if not inspect.getdoc(getattr(invoicexpress_async, one))] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Invoice'"):
        _ = invoicexpress_async.Invoice  # type: ignore[attr-defined]  # the point


def test_importing_the_package_alone_imports_no_library() -> None:
    code = "import sys, invoicexpress_async; print({'aiohttp', 'cattrs', 'attrs'} & {*sys.modules})"

    process = subprocess.run(  # noqa: S603  # our own line
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert process.stdout == "set()\n"


COROUTINES = {
    "create", "list", "get", "find", "set_current", "register", "ensure", "resume",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(COROUTINES))
def test_every_coroutine_takes_a_timeout_and_says_what_it_raises(name: str) -> None:
    method = getattr(SequenceService, name)

    assert inspect.iscoroutinefunction(method)
    assert "timeout_seconds" in inspect.signature(method).parameters
    assert "Raises:" in (inspect.getdoc(method) or "")


@pytest.mark.parametrize(
    "name",
    ["create", "create_for_existing_user", "get", "update", "configure_at_communication"],
)
def test_every_coroutine_of_accounts_takes_a_timeout_and_says_what_it_raises(name: str) -> None:
    method = getattr(AccountService, name)

    assert inspect.iscoroutinefunction(method)
    assert "timeout_seconds" in inspect.signature(method).parameters
    assert "Raises:" in (inspect.getdoc(method) or "")


def test_the_managers_settings_are_keyword_only() -> None:
    parameters = list(inspect.signature(SessionManager).parameters.values())

    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert {"base_url", "timeouts", "retry", "rate_limit", "max_connections", "ssl_context",
            "proxy", "trace_configs", "app_name"} <= {one.name for one in parameters}  # fmt: skip


def test_a_manager_from_the_environment_takes_every_setting_of_a_manager() -> None:
    (*own, rest) = inspect.signature(SessionManager.from_env).parameters.values()
    settings = set(ManagerSettings.__annotations__) | {one.name for one in own}

    assert rest.kind is inspect.Parameter.VAR_KEYWORD
    assert settings == set(inspect.signature(SessionManager).parameters)
