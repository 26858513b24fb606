"""Tests without an event loop of their own, and those of every fixture's contract."""

import asyncio
import os
import subprocess
import sys
import time

import application
import pytest

from invoicexpress_async import (
    AccountSession,
    AuthenticationError,
    ConnectionFailedError,
    OutcomeUnknownError,
    ServerError,
    SessionManager,
)
from invoicexpress_async.testing import SandboxThread


def test_an_application_that_is_not_changed_talks_to_the_sandbox(
    invoicexpress_sandbox: SandboxThread,
) -> None:
    assert asyncio.run(application.provision("2027"))
    assert not asyncio.run(application.provision("2027"))

    (sequence,) = invoicexpress_sandbox.sequences()
    assert sequence.is_default
    assert invoicexpress_sandbox.count("POST", "/sequences.json") == 1


def test_so_does_one_in_a_process_of_its_own(invoicexpress_sandbox: SandboxThread) -> None:
    process = subprocess.run(  # noqa: S603  # the file beside this one
        [sys.executable, application.__file__], capture_output=True, text=True, check=False
    )

    assert process.stdout == "created\n", process.stderr
    assert len(invoicexpress_sandbox.sequences()) == 1


def test_the_environment_is_as_before_outside_of_a_test() -> None:
    assert not [name for name in os.environ if name.startswith("INVOICEXPRESS_")]


def test_the_manager_serves_the_loop_that_uses_it(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    invoicexpress_sandbox.add_sequence("2026")

    sequences = asyncio.run(invoicexpress_manager.account().sequences.list())

    assert [one.serie for one in sequences] == ["2026"]


@pytest.mark.usefixtures("invoicexpress_sandbox")
def test_a_manager_that_is_not_used_is_no_trouble(invoicexpress_manager: SessionManager) -> None:
    assert invoicexpress_manager.health()["is_open"]


def test_a_lost_answer_is_found_in_tenths_of_seconds(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    invoicexpress_sandbox.fail_next("close_after_read", operation="create")
    began = time.monotonic()

    ensured = asyncio.run(invoicexpress_manager.account().sequences.ensure("2027"))

    assert ensured.via == "observed"
    assert time.monotonic() - began < 20  # with the pauses of real life it reads for 75 s
    assert invoicexpress_sandbox.duplicates() == ()
    assert invoicexpress_sandbox.count("POST", "/sequences.json") == 1


def test_faults_have_names_and_options(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    async def meet_them(account: AccountSession) -> None:
        invoicexpress_sandbox.fail_next("status", status=503, times=3)
        with pytest.raises(ServerError, match="503"):
            await account.sequences.list()
        invoicexpress_sandbox.fail_next("status", status=500, operation="list", times=None)
        invoicexpress_sandbox.heal()
        await account.sequences.list()
        invoicexpress_sandbox.fail_next("timeout", operation="create", commits="late")
        with pytest.raises(OutcomeUnknownError) as unknown:
            await account.sequences.create("2028")
        assert invoicexpress_sandbox.sequences() == ()
        assert invoicexpress_sandbox.commit_late() == 1
        found = await account.sequences.resume(unknown.value.intent)
        assert found.serie == "2028"
        invoicexpress_sandbox.go_down()
        with pytest.raises(ConnectionFailedError, match="no connection could be made"):
            await account.sequences.list()
        invoicexpress_sandbox.go_up()
        assert len(await account.sequences.list()) == 1

    asyncio.run(meet_them(invoicexpress_manager.account()))

    with pytest.raises(ValueError, match="no fault is called 'gremlin'"):
        invoicexpress_sandbox.fail_next("gremlin")


def test_other_accounts_can_be_added(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    other = invoicexpress_sandbox.add_account("other")
    invoicexpress_sandbox.add_sequence("2026", account="other")

    async def look() -> None:
        assert (
            len(await invoicexpress_manager.account("other", other.api_key).sequences.list()) == 1
        )
        with pytest.raises(AuthenticationError, match="401"):
            await invoicexpress_manager.account("other", "a-wrong-key").sequences.list()

    asyncio.run(look())


def test_random_faults_end_when_they_are_healed(
    invoicexpress_sandbox: SandboxThread, invoicexpress_manager: SessionManager
) -> None:
    async def meet_them(account: AccountSession) -> None:
        invoicexpress_sandbox.fail_randomly({"status": 1.0}, share=1.0, operations={"list"})
        with pytest.raises(ServerError, match="list"):
            await account.sequences.list()
        invoicexpress_sandbox.heal()
        await account.sequences.list()

    asyncio.run(meet_them(invoicexpress_manager.account()))

    assert {request.status for request in invoicexpress_sandbox.requests} >= {200}


def test_a_sandbox_may_live_as_long_as_its_owner_likes() -> None:
    with SandboxThread(account="company", seed=7) as sandbox:
        assert sandbox.environment["INVOICEXPRESS_ACCOUNT"] == "company"
        assert sandbox.api_key not in repr(sandbox)

    with pytest.raises(RuntimeError, match="not running"):
        sandbox.sequences()
