"""faults.md, "Input" and "Concurrency and life": refused in time, nothing leaked, one POST."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from conftest import ACCOUNT, API_KEY, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    ConfigurationError,
    DeadlineExceededError,
    OutcomeUnknownError,
    RateLimit,
    SessionClosedError,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.sandbox import FaultServer, SandboxAccount


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0)


@pytest.mark.fault(33, 35, 36, 37)
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda m: m.account("evil.com/#", API_KEY).sequences.list(), id="name"),
        pytest.param(lambda m: m.account("x@evil.com", API_KEY).sequences.list(), id="user"),
        pytest.param(lambda m: m.account("127.0.0.1#", API_KEY).sequences.list(), id="address"),
        pytest.param(lambda m: m.account("ａｃｍｅ", API_KEY).sequences.list(), id="full width"),
        pytest.param(lambda m: m.account("xn--acme", API_KEY).sequences.list(), id="punycode"),
        pytest.param(lambda m: m.account(ACCOUNT, "key\r\nX: y").sequences.list(), id="CR LF"),
        pytest.param(lambda m: m.account(ACCOUNT, "").sequences.list(), id="empty key"),
        pytest.param(lambda m: m.account(ACCOUNT, API_KEY).sequences.create(""), id="empty serie"),
        pytest.param(lambda m: m.account(ACCOUNT, API_KEY).sequences.create("x" * 36), id="36"),
        pytest.param(lambda m: m.account(ACCOUNT, API_KEY).sequences.create("a\tb"), id="control"),
        pytest.param(lambda m: m.account(ACCOUNT, API_KEY).sequences.create(2027), id="no str"),
        *(
            pytest.param(
                lambda m, s=seconds: m.account(ACCOUNT, API_KEY).sequences.list(timeout_seconds=s),
                id=f"timeout {seconds}",
            )
            for seconds in (0, -1, float("nan"), float("inf"))
        ),
    ],
)
async def test_bad_input_never_reaches_a_socket(
    call: Callable[[SessionManager], Awaitable[object]],
    faulty: FaultServer,
    faulty_manager: SessionManager,
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        await call(faulty_manager)

    assert faulty.oracle.connections_total == 0


@pytest.mark.fault(35, 36)
@pytest.mark.parametrize("text", ["& # + %", " é ", "a/b?c=d", "日本", "\"'<>\\"])
async def test_a_key_and_a_serie_arrive_byte_for_byte(
    text: str, faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    faulty.add_account(SandboxAccount(name="other", api_key=text))

    sequence = await faulty_manager.account("OTHER", text).sequences.create(text)

    assert sequence.serie == faulty.sequences("other")[0].serie == text


@pytest.mark.fault(37)
async def test_a_deadline_that_is_past_before_the_send_sends_nothing(
    faulty: FaultServer, clock: FakeClock
) -> None:
    async def slow_vault() -> str:
        await clock.sleep(10.0)
        return API_KEY

    async with SessionManager(base_url=faulty.base_url, clock=clock) as manager:
        with pytest.raises(DeadlineExceededError, match="it had no effect"):
            await manager.account(ACCOUNT, slow_vault).sequences.create("x", timeout_seconds=5)

    assert faulty.oracle.connections_total == 0


@pytest.mark.fault(38)
async def test_a_thousand_tasks_that_ensure_the_same_through_a_lost_response_make_one_post(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("reset_peer", operation="create")
    tasks = [asyncio.create_task(faulty_account.sequences.ensure("2027")) for _ in range(1_000)]
    await until(lambda: faulty.oracle.posts(ACCOUNT))

    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert {result.sequence.id for result in results[1::2]} == {faulty.sequences(ACCOUNT)[0].id}  # type: ignore[union-attr]  # not the cancelled ones
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(38)
async def test_a_failure_is_each_waiters_own_error(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("reset_peer", operation="create", commits=False)

    results = await asyncio.gather(
        *(faulty_account.sequences.ensure("2027") for _ in range(20)), return_exceptions=True
    )

    assert {type(result) for result in results} == {OutcomeUnknownError}
    assert len({id(result) for result in results}) == 20
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(38)
async def test_a_waiters_own_deadline_ends_its_wait_and_not_the_work(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    faulty.faults.next("latency", operation="create", seconds=20.0)

    patient, impatient = await asyncio.gather(
        faulty_account.sequences.ensure("2027", timeout_seconds=100),
        faulty_account.sequences.ensure("2027", timeout_seconds=5),
        return_exceptions=True,
    )

    assert isinstance(impatient, OutcomeUnknownError | DeadlineExceededError)
    assert patient.sequence.serie == "2027"  # type: ignore[union-attr]  # not an error
    assert faulty.oracle.posts(ACCOUNT) == 1
    assert faulty_account.sequences.unresolved() == ()
    assert clock.slept


@pytest.mark.fault(39)
async def test_many_callers_on_many_accounts_stay_within_the_sockets(
    faulty: FaultServer, clock: FakeClock
) -> None:
    names = [f"account-{number}" for number in range(300)]
    for name in names:
        faulty.add_account(account_of(name))
    async with SessionManager(base_url=faulty.base_url, max_connections=10, clock=clock) as manager:
        await asyncio.gather(
            *(manager.account(name, API_KEY).sequences.ensure("2027") for name in names)
        )

    assert faulty.oracle.connections_peak <= 10 + 10
    assert sum(faulty.oracle.rows(name) for name in names) == 300


@pytest.mark.fault(40)
async def test_many_callers_on_one_account_never_pass_its_limit(
    faulty: FaultServer, clock: FakeClock
) -> None:
    faulty.requests_per_minute = 100
    timeouts = Timeouts(total_seconds=100_000)
    async with SessionManager(
        base_url=faulty.base_url, rate_limit=RateLimit(100), clock=clock, timeouts=timeouts
    ) as manager:
        account = manager.account(ACCOUNT, API_KEY)
        await asyncio.gather(*(account.sequences.list() for _ in range(1_000)))

    assert faulty.oracle.max_in_window(ACCOUNT, 60.0) == 100
    assert {request.status for request in faulty.requests} == {200}
    assert len(faulty.requests) == 1_000


def _stages() -> Iterator[Any]:
    yield pytest.param(None, lambda _: True, id="at once")
    yield pytest.param("hang_on_accept", lambda s: s.oracle.connections_total, id="unread")
    yield pytest.param("timeout", lambda s: s.oracle.posts(ACCOUNT), id="waiting")
    yield pytest.param("slow_close", lambda s: s.oracle.posts(ACCOUNT), id="reading the body")
    yield pytest.param("reset_peer", lambda s: s.count("GET", "/sequences.json"), id="reconciling")


@pytest.mark.fault(41, 42)
@pytest.mark.parametrize("verb", ["create", "ensure"])
@pytest.mark.parametrize(("fault", "is_reached"), list(_stages()))
async def test_cancelling_anywhere_is_a_cancellation_and_leaks_nothing(
    fault: str | None,
    is_reached: Callable[[FaultServer], object],
    verb: str,
    faulty: FaultServer,
    faulty_manager: SessionManager,
) -> None:
    sequences = faulty_manager.account(ACCOUNT, API_KEY).sequences
    if fault is not None:
        operation = None if fault.endswith("accept") else "create"
        late = {} if operation is None else {"commits": "late"}
        more = {"seconds": 1_000_000.0} if fault == "slow_close" else {}
        faulty.faults.next(fault, operation=operation, times=None, **late, **more)  # type: ignore[arg-type]  # options vary

    task = asyncio.create_task(getattr(sequences, verb)("2027"))
    await until(lambda: is_reached(faulty) and not task.done())
    posted = faulty.oracle.posts(ACCOUNT)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert faulty_manager.health()["calls_in_flight"] == 0
    if posted:
        (intent,) = sequences.unresolved()
        faulty.faults.clear()
        await faulty.commit_late()
        assert (await sequences.resume(intent)).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) <= 1


@pytest.mark.fault(41)
async def test_cancelling_a_waiter_for_the_limiter_leaks_no_slot(
    faulty: FaultServer, clock: FakeClock
) -> None:
    async with SessionManager(
        base_url=faulty.base_url, rate_limit=RateLimit(1), clock=clock
    ) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()
        tasks = [asyncio.create_task(sequences.list()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        await sequences.list()

    assert len(faulty.requests) == 2


@pytest.mark.fault(42)
async def test_a_timeout_from_outside_after_the_send_can_be_resumed(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("timeout", operation="create", commits="late")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.7):
            await faulty_account.sequences.ensure("2027")

    (intent,) = faulty_account.sequences.unresolved()
    await faulty.commit_late()
    sequence = await faulty_account.sequences.resume(json.loads(json.dumps(intent)))

    assert sequence.serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(43)
async def test_closing_in_mid_flight_ends_calls_with_typed_errors_in_bounded_time(
    faulty: FaultServer,
) -> None:
    faulty.faults.next("timeout", times=None)
    manager = SessionManager(base_url=faulty.base_url)
    sequences = manager.account(ACCOUNT, API_KEY).sequences
    tasks = [
        asyncio.create_task(work)
        for work in (sequences.list(), sequences.create("2027"), sequences.ensure("2028"))
    ]
    await until(lambda: len(faulty.requests) == 3)

    async with asyncio.timeout(60):
        await manager.close(grace_seconds=0.01)

    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [
        SessionClosedError,
        OutcomeUnknownError,
        SessionClosedError,
    ]
    with pytest.raises(SessionClosedError, match="closed"):
        await sequences.list()


def _script(base_url: str, body: str) -> subprocess.CompletedProcess[str]:
    head = f"""
        import asyncio, os, gc, warnings
        from invoicexpress_async import SessionManager, InvoiceXpressError
        manager = SessionManager(base_url={base_url!r})
        account = manager.account({ACCOUNT!r}, {API_KEY!r})
    """
    return subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(head) + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.fault(43)
async def test_a_manager_that_is_never_closed_warns_once(faulty: FaultServer) -> None:
    body = """
        async def main():
            global manager, account
            print(len(await account.sequences.list()))
            del manager, account
            gc.collect()
            await asyncio.sleep(0)
        asyncio.run(main())
    """

    process = await asyncio.to_thread(_script, faulty.base_url, body)

    assert process.stdout == "0\n"
    assert process.stderr.count("never closed") == 1
    assert "nclosed" not in process.stderr  # nothing of aiohttp's or asyncio's own


@pytest.mark.fault(44)
async def test_after_asyncio_run_has_ended_the_error_is_clear_and_nothing_is_noisy(
    faulty: FaultServer,
) -> None:
    body = """
        async def main():
            async with manager:
                await account.sequences.list()
        async def again():
            try:
                await account.sequences.list()
            except InvoiceXpressError as error:
                print(type(error).__name__)
        asyncio.run(main())
        asyncio.run(again())
    """

    process = await asyncio.to_thread(_script, faulty.base_url, body)

    assert (process.stdout, process.stderr) == ("SessionClosedError\n", "")


@pytest.mark.fault(44)
@pytest.mark.parametrize("end", ["asyncio.run(manager.close())", "del manager, account"])
async def test_a_manager_that_outlives_its_loop_can_be_closed_or_forgotten(
    end: str, faulty: FaultServer
) -> None:
    body = f"""
        async def main():
            print(len(await account.sequences.list()))
        asyncio.run(main())
        {end}
        gc.collect()
    """

    process = await asyncio.to_thread(_script, faulty.base_url, body)

    assert (process.returncode, process.stdout) == (0, "0\n")
    assert "is closed" not in process.stderr  # its loop; aiohttp would set a timer on it


@pytest.mark.fault(44)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
async def test_after_a_fork_the_child_gets_an_error_and_the_parent_goes_on(
    faulty: FaultServer,
) -> None:
    body = """
        async def call():
            try:
                return len(await account.sequences.list())
            except InvoiceXpressError as error:
                return type(error).__name__ + " " + str(error)
        async def main():
            print(await call(), flush=True)
            if os.fork() == 0:
                try:
                    loop = asyncio.events._set_running_loop(None)
                    print(asyncio.new_event_loop().run_until_complete(call()), flush=True)
                finally:
                    os._exit(0)
            os.wait()
            print(await call(), flush=True)
            await manager.close()
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(main())
    """

    process = await asyncio.to_thread(_script, faulty.base_url, body)

    lines = process.stdout.splitlines()
    assert lines[0] == lines[2] == "0", process.stderr
    assert lines[1].startswith("SessionClosedError")
    assert "fork" in lines[1]


@pytest.mark.fault(45)
async def test_a_key_callable_that_raises_leaves_the_next_call_well(
    faulty: FaultServer, faulty_manager: SessionManager
) -> None:
    answers: list[str | Exception] = [ValueError("the vault is sealed"), API_KEY]

    async def vault() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    account = faulty_manager.account(ACCOUNT, vault)
    with pytest.raises(ValueError, match="the vault is sealed"):
        await account.sequences.create("2027")
    assert faulty.oracle.connections_total == 0

    assert (await account.sequences.create("2027")).serie == "2027"
    assert faulty_manager.health()["calls_in_flight"] == 0


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "verbs", [("create", "ensure"), ("ensure", "create"), ("create", "create")]
)
async def test_a_create_and_an_ensure_of_one_name_make_one_row_on_a_server_that_would_make_two(
    verbs: tuple[str, str], faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.is_name_check_atomic = False
    faulty.faults.next("latency", operation="create", seconds=5.0)

    await asyncio.gather(
        *(getattr(faulty_account.sequences, verb)("2027") for verb in verbs),
        return_exceptions=True,
    )

    assert faulty.oracle.rows(ACCOUNT, "2027") == 1


@pytest.mark.fault(38, 41)
async def test_a_create_that_waits_for_another_reads_when_that_one_was_cancelled_unresolved(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    faulty.faults.next("timeout", operation="create", commits="late")
    first = asyncio.create_task(faulty_account.sequences.ensure("2027"))
    await until(lambda: faulty.oracle.posts(ACCOUNT))
    second = asyncio.create_task(faulty_account.sequences.create("2027"))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await faulty.commit_late()

    assert (await second).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT) == 1
