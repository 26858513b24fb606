"""Schemathesis makes requests out of the description, and the sandbox answers as described."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core import NotSet
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from invoicexpress_async.live_check.description import read_description
from invoicexpress_async.sandbox import FaultServer, SandboxAccount
from invoicexpress_async.testing import SandboxThread

# They succeed with what chance does not find: a user's own password, the account's own sub-user.
NEVER_SUCCEED = {
    "POST /api/accounts/create_already_user.json",
    "POST /api/v3/accounts/at_communication.json",
}
OPERATIONS: list[schemathesis.APIOperation[Any, Any, Any, Any]] = []
for result in schemathesis.openapi.from_dict(dict(read_description())).get_all_operations():
    assert isinstance(result, Ok)
    OPERATIONS.append(result.ok())
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
# The same examples each time, and few: the description decides what is tried.
BOUNDED = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def server() -> Iterator[SandboxThread]:
    """A sandbox whose ids are small, so that some of those that are tried exist."""
    with SandboxThread() as running:
        running.call(_prepare)
        yield running


def _prepare(server: FaultServer) -> None:
    server.requests_per_minute = None
    (partner,) = server.accounts.values()
    server.add_account(SandboxAccount(name="owned", id="1", owner=partner.name))
    server.engine.generator.next_id = 1
    server.add_sequence(partner.name, "2026", is_registered=False)


def send(
    case: schemathesis.Case[Any], server: SandboxThread, client: httpx.Client
) -> httpx.Response:
    """Send a case with httpx: schemathesis itself cannot beside niquests, whose urllib3 it finds.

    The key is the right one, and a redirect is not followed.
    """
    wanted: dict[str, Any] = case.as_transport_kwargs(
        base_url=server.base_url.format(account=server.account)
    )
    content = wanted.get("data")
    if "json" in wanted and not isinstance(wanted["json"], NotSet):
        content = json.dumps(wanted["json"])
    return client.request(
        wanted["method"],
        wanted["url"],
        params={"api_key": server.api_key},
        headers=wanted["headers"],
        content=content,
    )


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_every_request_is_answered_as_described(
    operation: schemathesis.APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    server: SandboxThread,
) -> None:
    statuses: Counter[int] = Counter()

    with httpx.Client() as client:

        @BOUNDED
        @given(case=operation.as_strategy(mode))
        def check(case: schemathesis.Case[Any]) -> None:
            response = send(case, server, client)
            statuses[response.status_code] += 1
            # An id that is none leads to another route, if it has a slash in it.
            if response.status_code != httpx.codes.FOUND or mode is GenerationMode.POSITIVE:
                case.validate_response(response, checks=CHECKS)

        check()

    if mode is GenerationMode.POSITIVE and operation.label not in NEVER_SUCCEED:
        assert any(httpx.codes.is_success(status) for status in statuses)
