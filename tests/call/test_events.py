"""What is reported of calls: events, log lines, counters. None of it can carry a secret."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock
from scripted import serving_scripted

from invoicexpress_async import (
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    OutcomeUnknownError,
    SessionManager,
    StatusError,
    TransportError,
)
from invoicexpress_async.call.limiter import RateLimit
from invoicexpress_async.events import (
    AccountSlowed,
    AttemptEnded,
    AttemptStarted,
    BecameDefault,
    CallEnded,
    Event,
    LimiterWaited,
    Reconciled,
    RetryScheduled,
)
from invoicexpress_async.sandbox import FaultServer, Sandbox


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("invoicexpress_async")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


def reported(events: list[Event]) -> list[tuple[object, ...]]:
    """The events without their times and ids."""
    short: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case AttemptStarted():
                short.append(("start", event.request, event.attempt))
            case AttemptEnded():
                short.append(("end", event.request, event.evidence, event.status, event.error))
            case CallEnded():
                short.append(("call", event.operation, event.attempts, event.error))
            case Reconciled():
                short.append(("reconciled", event.is_found))
            case RetryScheduled():
                short.append(("retry", event.error))
            case _:
                short.append((type(event).__name__,))
    return short


async def test_every_step_of_a_call_is_reported_in_order(
    faulty: FaultServer, clock: FakeClock
) -> None:
    events: list[Event] = []
    faulty.faults.next("close_after_read", operation="create", commits=True)
    faulty.faults.next("status", status=503, operation="list")
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, on_event=events.append
    ) as manager:
        await manager.account(ACCOUNT, API_KEY).sequences.ensure("2027")

    assert reported(events) == [
        ("start", "list", 1),
        ("end", "list", "unknown", 503, "ServerError"),
        ("retry", "ServerError"),
        ("start", "list", 2),
        ("end", "list", "applied", 200, None),
        ("start", "create", 3),
        ("end", "create", "unknown", None, "TransportError"),
        ("start", "list", 4),
        ("end", "list", "applied", 200, None),
        ("reconciled", True),
        ("call", "ensure", 4, None),
    ]
    assert len({event.request_id for event in events}) == 1
    assert {event.account for event in events} == {ACCOUNT}
    assert API_KEY not in repr(events)


async def test_a_limit_and_a_429_are_reported(faulty: FaultServer, clock: FakeClock) -> None:
    events: list[Event] = []
    async with SessionManager(
        base_url=faulty.base_url,
        clock=clock,
        rate_limit=RateLimit(1, per_seconds=10.0),
        on_event=events.append,
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        faulty.faults.next("status", status=429, operation="list")
        await sequences.list()

    waits = [event.seconds for event in events if isinstance(event, LimiterWaited)]
    slowed = [event.seconds for event in events if isinstance(event, AccountSlowed)]
    assert waits[0] == pytest.approx(10.0, rel=0.01)
    assert slowed == [5.0]


LIMITED = r"the account's rate limit \(1 per 60 s\)"
SLOWED = "the account's pace after a 429 of the server"


@pytest.mark.parametrize(
    ("rate_limit", "status", "reason"), [(None, 429, SLOWED), (RateLimit(1), 404, LIMITED)]
)
async def test_a_deadline_that_passes_in_the_wait_for_the_limit_names_it(
    rate_limit: RateLimit | None, status: int, reason: str, faulty: FaultServer, clock: FakeClock
) -> None:
    faulty.faults.next("status", status=status, retry_after="60", operation="list")
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, rate_limit=rate_limit
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        with pytest.raises(StatusError):
            await sequences.list(timeout_seconds=4)

        until = asyncio.create_task(clock.sleep(4))  # the clock goes from one sleeper to the next
        with pytest.raises(DeadlineExceededError, match=f"passed, after 4.0 s for {reason}"):
            await sequences.list(timeout_seconds=4)
        await until


async def test_a_deadline_that_passes_after_the_wait_for_the_limit_does_not_name_it(
    faulty: FaultServer, clock: FakeClock
) -> None:
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, rate_limit=RateLimit(1, per_seconds=1.0)
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        faulty.faults.next("slow_close", operation="list", seconds=1_000.0)

        with pytest.raises(TransportError, match=r"deadline of the call has passed\. \["):
            await sequences.list(timeout_seconds=4)


async def test_an_unknown_outcome_that_the_limit_kept_from_being_read_names_it(
    faulty: FaultServer, clock: FakeClock
) -> None:
    faulty.faults.next("close_after_read", operation="create")
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, rate_limit=RateLimit(1)
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences

        until = asyncio.create_task(clock.sleep(4))
        with pytest.raises(OutcomeUnknownError, match=f"known, after 3.0 s for {LIMITED}"):
            await sequences.create("2027", timeout_seconds=4)
        await until


async def test_an_unknown_outcome_is_reported_with_the_id_of_its_error(
    faulty: FaultServer, clock: FakeClock
) -> None:
    events: list[Event] = []
    faulty.faults.next("close_after_read", operation="create", commits=False)
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, on_event=events.append
    ) as manager:
        with pytest.raises(OutcomeUnknownError) as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    end = events[-1]
    assert isinstance(end, CallEnded)
    assert (end.error, end.is_in_doubt) == ("OutcomeUnknownError", True)
    assert end.request_id == caught.value.request_id
    assert Reconciled(**about(end), is_found=False) in events


def about(event: Event) -> dict[str, str]:
    return {
        "request_id": event.request_id,
        "account": event.account,
        "operation": event.operation,
    }


async def test_a_cancelled_call_is_reported_too(sandbox: Sandbox) -> None:
    events: list[Event] = []
    async with SessionManager(base_url=sandbox.base_url, on_event=events.append) as manager:
        task = asyncio.create_task(manager.account(ACCOUNT, API_KEY).sequences.list())
        while not events:  # noqa: ASYNC110 - the first event is what is waited for
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert reported(events)[-1] == ("call", "list", 1, "CancelledError")


async def test_a_hook_that_raises_harms_nothing_and_is_logged(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(_: Event) -> None:
        raise RuntimeError("the hook's own")

    async with SessionManager(base_url=sandbox.base_url, on_event=hook) as manager:
        ensured = await manager.account(ACCOUNT, API_KEY).sequences.ensure("2027")

    assert ensured.created
    assert "on_event hook raised" in caplog.text
    assert "the hook's own" in caplog.text


async def test_each_call_is_one_line_of_the_log(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="invoicexpress_async")
    async with SessionManager(base_url=sandbox.base_url) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.ensure("2027")
        with pytest.raises(NotFoundError) as caught:
            await sequences.get(999)

    first, second = (record.getMessage() for record in caplog.records)
    assert "acme: ensure of sequence '2027': done in" in first
    assert first.endswith("2 requests")
    assert second.startswith(f"{caught.value.request_id} acme: get of sequence 999: NotFoundError")
    assert API_KEY not in caplog.text


async def test_attempts_are_logged_at_debug(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="invoicexpress_async")
    async with SessionManager(base_url=sandbox.base_url) as manager:
        await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert "list 1: applied (200) in" in caplog.text


_CALLER = """
import asyncio, sys
from invoicexpress_async import SessionManager

async def main():
    async with SessionManager() as manager:
        await manager.account("acme").sequences.list()

asyncio.run(main())
"""


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("debug", 2), ("", 0)])
async def test_a_variable_alone_writes_the_log_to_stderr(
    sandbox: Sandbox, level: str, lines: int
) -> None:
    variables = {
        "INVOICEXPRESS_LOG": level,
        "INVOICEXPRESS_API_KEY": API_KEY,
        "INVOICEXPRESS_BASE_URL": sandbox.base_url,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CALLER),
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
    )
    _, err = await process.communicate()

    ours = [line for line in err.decode().splitlines() if "acme: list" in line]
    assert process.returncode == 0
    assert len(ours) == lines or level == "debug"
    assert API_KEY not in err.decode()


def test_a_level_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOICEXPRESS_LOG", "loud")

    with pytest.raises(ConfigurationError, match="give info or debug"):
        SessionManager()


async def test_health_counts_the_ends_of_calls_by_class(sandbox: Sandbox) -> None:
    async with SessionManager(base_url=sandbox.base_url) as manager:
        before = manager.health()["calls"]
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await sequences.get(999)
        calls = manager.health()["calls"]

    assert before == {"seconds_since_success": None, "errors": {}, "seconds_since_error": {}}
    assert calls["errors"] == {"NotFoundError": 2}
    assert calls["seconds_since_success"] is not None
    assert calls["seconds_since_error"]["NotFoundError"] >= 0


async def test_a_key_callable_is_called_once_for_all_handles_until_it_is_old(
    sandbox: Sandbox, clock: FakeClock
) -> None:
    requested: list[float] = []

    async def vault() -> str:
        requested.append(clock.now())
        return API_KEY

    async with SessionManager(
        base_url=sandbox.base_url, clock=clock, key_ttl_seconds=60.0
    ) as manager:
        for _ in range(3):
            await manager.account(ACCOUNT, vault).sequences.list()
        clock.advance(61.0)
        await manager.account(ACCOUNT, vault).sequences.list()

    assert len(requested) == 2


async def test_a_key_that_was_changed_is_requested_again_after_a_401(sandbox: Sandbox) -> None:
    keys = ["old-key-0123456789", API_KEY]
    requested = 0

    async def vault() -> str:
        nonlocal requested
        requested += 1
        return keys[min(requested, len(keys)) - 1]

    async with SessionManager(base_url=sandbox.base_url) as manager:
        account = manager.account(ACCOUNT, vault)
        created = await account.sequences.create("2027")

    assert created.serie == "2027"
    assert requested == 2
    assert sandbox.count("POST", "/sequences.json") == 2  # the first of them was refused with 401


async def test_a_key_that_stays_wrong_is_requested_only_once_more(
    sandbox: Sandbox,
) -> None:
    requested = 0

    async def vault() -> str:
        nonlocal requested
        requested += 1
        return "wrong-key-0123456789"

    async with SessionManager(base_url=sandbox.base_url) as manager:
        with pytest.raises(AuthenticationError):
            await manager.account(ACCOUNT, vault).sequences.create("2027")

    assert requested == 2
    assert sandbox.count("POST", "/sequences.json") == 1


async def test_one_bad_account_slows_no_other(sandbox: Sandbox, clock: FakeClock) -> None:
    sandbox.add_account(account_of("beta"))
    async with SessionManager(base_url=sandbox.base_url, clock=clock) as manager:
        started = clock.now()
        with pytest.raises(AuthenticationError):
            await manager.account(ACCOUNT, "wrong-key-0123456789").sequences.list()
        await manager.account("beta", API_KEY).sequences.list()

        assert clock.now() == started


async def test_a_sequence_that_becomes_the_default_by_itself_is_reported_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []
    async with (
        serving_scripted() as (server, _),
        SessionManager(base_url=server.base_url, on_event=events.append) as manager,
    ):
        server.takes_the_default = True
        sequence = await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    assert sequence.is_default
    (event,) = (one for one in events if isinstance(one, BecameDefault))
    assert (event.serie, event.sequence_id, event.operation) == ("2027", sequence.id, "create")
    (record,) = (one for one in caplog.records if one.levelno == logging.WARNING)
    assert "acme: the new sequence '2027'" in record.getMessage()
