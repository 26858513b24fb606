import asyncio
import gc
import os
import pickle
import traceback
import warnings
from typing import Any, Self

import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    ConfigurationError,
    DeadlineExceededError,
    OutcomeUnknownError,
    RateLimit,
    RetryPolicy,
    ServerError,
    SessionClosedError,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.call.realm import Process
from invoicexpress_async.clock import MonotonicClock
from invoicexpress_async.sandbox import FaultServer, Sandbox


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0)  # each pass of the loop: a whole call may take a millisecond


class Silent:
    """A server that reads and never answers."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.base_url = ""
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._read, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/{{account}}"
        return self

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while data := await reader.read(65_536):
            self.requests.append(data)

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()
        await self._server.wait_closed()


async def test_a_handle_costs_no_request_and_no_connection(
    manager: SessionManager, sandbox: Sandbox
) -> None:
    account = manager.account("ACME", API_KEY)

    assert account.name == "acme"
    assert manager.health()["connections"] == 0
    assert sandbox.requests == []


async def test_name_key_and_base_url_come_from_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)
    monkeypatch.setenv("INVOICEXPRESS_BASE_URL", sandbox.base_url)

    async with SessionManager() as manager:
        assert await manager.account().sequences.list() == ()


@pytest.mark.parametrize(("own", "is_refused"), [("other", True), ("ACME", False), ("", False)])
async def test_the_key_of_the_environment_is_not_used_for_another_account(
    own: str, is_refused: bool, manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INVOICEXPRESS_ACCOUNT", own)
    monkeypatch.setenv("INVOICEXPRESS_API_KEY", API_KEY)

    if is_refused:
        with pytest.raises(ConfigurationError, match="and not of acme: give the key of acme"):
            manager.account(ACCOUNT)
    else:
        assert await manager.account(ACCOUNT).sequences.list() == ()
    assert manager.account(ACCOUNT, API_KEY).name == ACCOUNT


async def test_from_env_reads_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOICEXPRESS_TIMEOUT_SECONDS", "soon")
    with pytest.raises(ConfigurationError, match="INVOICEXPRESS_TIMEOUT_SECONDS is 'soon'"):
        SessionManager.from_env()

    monkeypatch.setenv("INVOICEXPRESS_TIMEOUT_SECONDS", "0.05")
    monkeypatch.setenv("INVOICEXPRESS_MAX_CONNECTIONS", "7")
    async with Silent() as silent:
        monkeypatch.setenv("INVOICEXPRESS_BASE_URL", silent.base_url)
        async with SessionManager.from_env() as manager:
            with pytest.raises(DeadlineExceededError, match="deadline"):
                await manager.account(ACCOUNT, API_KEY).sequences.list()


async def test_an_argument_is_used_instead_of_its_variable(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TIMEOUT_SECONDS", "MAX_CONNECTIONS"):
        monkeypatch.setenv(f"INVOICEXPRESS_{name}", "wrong")
    monkeypatch.setenv("INVOICEXPRESS_BASE_URL", "https://nobody.example/{account}")
    events: list[object] = []

    async with SessionManager.from_env(
        base_url=sandbox.base_url,
        timeouts=Timeouts(total_seconds=30),
        max_connections=7,
        on_event=events.append,
    ) as manager:
        assert await manager.account(ACCOUNT, API_KEY).sequences.list() == ()

    assert manager.total_seconds == 30
    assert events


@pytest.mark.parametrize("is_argument", [False, True])
def test_a_refused_proxy_is_in_no_frame_of_from_env(
    is_argument: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "password-of-a-proxy"
    monkeypatch.setenv("INVOICEXPRESS_PROXY", f"ftp://me:{password}@proxy.example")
    given = os.environ["INVOICEXPRESS_PROXY"] if is_argument else None

    with pytest.raises(ConfigurationError, match="proxy") as caught:
        SessionManager.from_env(proxy=given)

    inside = traceback.walk_tb(caught.value.__traceback__)
    _, *frames = traceback.StackSummary.extract(inside, capture_locals=True)
    assert len(frames) > 1
    assert password not in str([one.locals for one in frames])


@pytest.mark.parametrize(
    ("name", "key", "text"),
    [(None, API_KEY, "No account"), (ACCOUNT, None, "neither"), (ACCOUNT, 7, "neither")],
)
async def test_what_is_missing_is_named(
    name: Any, key: Any, text: str, manager: SessionManager
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        manager.account(name, key)


async def test_a_key_may_come_from_an_async_callable_awaited_when_first_needed(
    manager: SessionManager,
) -> None:
    requested = 0

    async def vault() -> str:
        nonlocal requested
        requested += 1
        return API_KEY

    account = manager.account(ACCOUNT, vault)
    assert requested == 0
    await account.sequences.list()
    await account.sequences.list()

    assert requested == 1


async def test_an_error_of_a_key_callable_is_the_callers_own(manager: SessionManager) -> None:
    async def vault() -> str:
        raise TimeoutError("the vault is slow")

    with pytest.raises(TimeoutError, match="the vault is slow"):
        await manager.account(ACCOUNT, vault).sequences.list()


async def test_a_key_callable_that_returns_no_key_is_a_configuration_error(
    manager: SessionManager,
) -> None:
    async def vault() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="API key is empty"):
        await manager.account(ACCOUNT, vault).sequences.list()


async def test_options_change_a_copy_of_the_handle(account: AccountSession) -> None:
    async with Silent() as silent, SessionManager(base_url=silent.base_url) as manager:
        slow = manager.account(ACCOUNT, API_KEY)
        quick = slow.with_options(timeout_seconds=0.05, retry=RetryPolicy(attempts=1))

        with pytest.raises(DeadlineExceededError, match="had no effect"):
            await quick.sequences.list()

    with pytest.raises(ConfigurationError, match="timeout_seconds"):
        account.with_options(timeout_seconds=-1)


async def test_the_deadline_of_a_create_that_was_sent_leaves_an_intent() -> None:
    async with Silent() as silent, SessionManager(base_url=silent.base_url) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences

        with pytest.raises(OutcomeUnknownError, match="deadline came") as caught:
            await sequences.create("2027", timeout_seconds=0.7)

        assert caught.value.may_have_been_processed
        assert caught.value.attempts == 1
        assert sequences.unresolved() == (caught.value.intent,)
        assert pickle.loads(pickle.dumps(caught.value)).intent == caught.value.intent
    assert len([data for data in silent.requests if data.startswith(b"POST")]) == 1


@pytest.mark.parametrize("verb", ["create", "ensure"])
async def test_a_timeout_from_outside_leaves_an_intent_and_the_next_call_sends_nothing(
    verb: str, sandbox: Sandbox
) -> None:
    async with Silent() as silent:
        async with SessionManager(base_url=silent.base_url) as manager:
            sequences = manager.account(ACCOUNT, API_KEY).sequences
            task = asyncio.create_task(sequences.create("2027"))
            await until(lambda: silent.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (intent,) = sequences.unresolved()

            with pytest.raises((OutcomeUnknownError, DeadlineExceededError)):
                await getattr(sequences, verb)("2027", timeout_seconds=0.1)

        assert len([data for data in silent.requests if data.startswith(b"POST")]) == 1
    async with SessionManager(base_url=sandbox.base_url) as manager:
        made = sandbox.add_sequence(ACCOUNT, "2027")
        found = await manager.account(ACCOUNT, API_KEY).sequences.resume(intent)
    assert found.id == made.id


async def test_an_intent_of_another_account_is_refused(manager: SessionManager) -> None:
    async with Silent() as silent, SessionManager(base_url=silent.base_url) as other:
        with pytest.raises(OutcomeUnknownError) as caught:
            await other.account("beta", API_KEY).sequences.create("2027", timeout_seconds=0.7)
    assert caught.value.intent is not None

    with pytest.raises(ConfigurationError, match="of account beta, not acme"):
        await manager.account(ACCOUNT, API_KEY).sequences.resume(caught.value.intent)


async def test_after_close_every_call_is_refused_and_closing_again_does_nothing(
    sandbox: Sandbox,
) -> None:
    manager = SessionManager(base_url=sandbox.base_url)
    account = manager.account(ACCOUNT, API_KEY)
    await account.sequences.list()

    await manager.close()
    await manager.close()

    with pytest.raises(SessionClosedError, match="closed"):
        await account.sequences.list()
    with pytest.raises(SessionClosedError, match="closed"):
        await account.sequences.ensure("2027")
    health = manager.health()
    calls = health["calls"]
    assert {name: value for name, value in health.items() if name != "calls"} == {
        "is_open": False,
        "calls_in_flight": 0,
        "connections": 0,
        "accounts_slowed": 0,
    }
    assert calls["errors"] == {}
    assert calls["seconds_since_success"] is not None


async def test_closing_lets_a_call_in_flight_end(sandbox: Sandbox) -> None:
    manager = SessionManager(base_url=sandbox.base_url)
    task = asyncio.create_task(manager.account(ACCOUNT, API_KEY).sequences.ensure("2027"))
    await until(lambda: manager.health()["calls_in_flight"])

    await manager.close(grace_seconds=5.0)

    assert (await task).created


async def test_closing_ends_what_does_not_end_and_says_what_may_have_happened() -> None:
    async with Silent() as silent:
        manager = SessionManager(base_url=silent.base_url)
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        tasks = [
            asyncio.create_task(sequences.list()),
            asyncio.create_task(sequences.create("2027")),
        ]
        await until(lambda: len(silent.requests) == 2)

        async with asyncio.timeout(60):
            await manager.close(grace_seconds=0.01)

        read, created = await asyncio.gather(*tasks, return_exceptions=True)
        assert type(read) is SessionClosedError
        assert type(created) is OutcomeUnknownError
        assert "manager was closed" in str(created)
        assert manager.health()["connections"] == 0


def test_a_second_event_loop_is_refused_with_a_clear_error() -> None:
    manager = SessionManager(base_url="http://127.0.0.1:9/{account}")
    account = manager.account(ACCOUNT, API_KEY)

    async def call() -> None:
        with pytest.raises(Exception, match="No response"):
            await account.sequences.list()
        await account.sequences.list()

    with pytest.raises(OSError, match="No response"):
        asyncio.run(call())
    with pytest.raises(SessionClosedError, match="another event loop"):
        asyncio.run(account.sequences.list())
    asyncio.run(manager.close())


async def test_a_manager_that_was_never_closed_warns_once(sandbox: Sandbox) -> None:
    manager = SessionManager(base_url=sandbox.base_url)
    account = manager.account(ACCOUNT, API_KEY)
    await account.sequences.list()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del manager, account
        gc.collect()

    ours = [str(one.message) for one in caught if "SessionManager" in str(one.message)]
    assert len(ours) == 1
    assert "async with" in ours[0]


async def test_pacing_holds_a_burst_to_the_limit(sandbox: Sandbox, clock: FakeClock) -> None:
    limit = RateLimit(5, per_seconds=60.0)
    async with SessionManager(base_url=sandbox.base_url, clock=clock, rate_limit=limit) as manager:
        account = manager.account(ACCOUNT, API_KEY).with_options(timeout_seconds=10_000)
        started = clock.now()

        await asyncio.gather(*(account.sequences.list() for _ in range(12)))

    assert 120.0 <= clock.now() - started <= 122.0


async def test_pacing_switched_off_slows_after_a_429_only(
    sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.requests_per_minute = 800
    async with SessionManager(base_url=sandbox.base_url, clock=clock, rate_limit=None) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        for _ in range(800):
            await account.sequences.list()
        assert clock.slept == []

        await account.sequences.list()

    assert clock.slept[0] == 5.0
    assert sandbox.requests[-1].status == 200


async def test_without_pacing_the_servers_429_slows_the_whole_account_and_no_other(
    sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.requests_per_minute = 5
    sandbox.add_account("other")
    async with SessionManager(base_url=sandbox.base_url, clock=clock) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        other = manager.account("other", sandbox.accounts["other"].api_key)

        for _ in range(6):
            await account.sequences.list()
        waited = clock.now() - 1_000.0
        await other.sequences.list()

    assert waited >= 60.0 - 1.0
    assert [request.status for request in sandbox.requests].count(429) <= 5
    assert sandbox.requests[-1].status == 200


async def test_managers_of_one_server_share_the_retries_of_an_outage(clock: FakeClock) -> None:
    calls_of_each, managers, capacity = 60, 3, 50
    async with FaultServer(accounts=[account_of(ACCOUNT)]) as on:
        on.faults.next("status", status=503, times=None)
        for _ in range(managers):
            async with SessionManager(base_url=on.base_url, clock=clock) as manager:
                account = manager.account(ACCOUNT, API_KEY)
                for _ in range(calls_of_each):
                    with pytest.raises(ServerError):
                        await account.sequences.list()

    retries = len(on.requests) - managers * calls_of_each
    assert capacity < retries <= capacity + managers * calls_of_each / 10


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param({"retry": 3}, id="retry"),
        pytest.param({"rate_limit": 780}, id="rate_limit"),
        pytest.param({"timeouts": 30}, id="timeouts"),
        pytest.param({"app_name": 3}, id="app_name"),
        pytest.param({"on_event": API_KEY}, id="on_event"),
        pytest.param({"ssl_context": False}, id="ssl_context"),
        pytest.param({"resolver": "1.1.1.1"}, id="resolver"),
        pytest.param({"trace_configs": API_KEY}, id="trace_configs"),
    ],
)
def test_a_setting_of_another_type_is_refused_at_once_and_not_shown(setting: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(setting))} is ") as caught:
        SessionManager(**setting)

    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), None, "x", True], ids=repr)
async def test_a_grace_that_cannot_be_is_refused_and_closes_nothing(
    seconds: Any, manager: SessionManager
) -> None:
    with pytest.raises(ConfigurationError, match="grace_seconds"):
        await manager.close(seconds)

    assert manager.health()["is_open"]


async def test_a_retry_policy_that_is_none_is_refused_before_anything_is_sent(
    manager: SessionManager,
) -> None:
    with pytest.raises(ConfigurationError, match="retry is of type int: give RetryPolicy"):
        manager.account(ACCOUNT, API_KEY).with_options(retry=3)  # type: ignore[arg-type]  # the point


def test_a_manager_that_is_refused_does_not_count_as_a_user_of_its_server() -> None:
    process, clock = Process(), MonotonicClock()
    with pytest.raises(ConfigurationError, match="app_name"):
        SessionManager(
            base_url="https://{account}.example", app_name="é", process=process, clock=clock
        )

    assert process.enter("https://{account}.example", clock).users == 1  # this one
