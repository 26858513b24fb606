"""faults.md, "Before the send": nothing left the machine, so any operation may be tried again."""

import asyncio
import contextlib
import datetime as dt
import resource
import socket
import ssl
import threading
import warnings
from collections.abc import Callable

import aiohttp
import pytest
import trustme
from conftest import ACCOUNT, API_KEY, LoopbackResolver, account_of
from fakes import FakeClock

from invoicexpress_async import (
    AccountSession,
    ConnectionFailedError,
    DeadlineExceededError,
    RateLimit,
    SessionManager,
    Timeouts,
)
from invoicexpress_async.sandbox import FaultServer


@pytest.mark.fault(1)
async def test_a_refused_connection_is_tried_three_times(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    await faulty.go_down()

    with pytest.raises(ConnectionFailedError, match="no connection could be made") as caught:
        await faulty_account.sequences.create("2027")

    assert caught.value.attempts == 3
    assert not caught.value.may_have_been_processed
    assert faulty.oracle.connections_total == 0
    assert faulty_account.sequences.unresolved() == ()


@pytest.mark.fault(2)
async def test_a_server_that_comes_up_inside_the_deadline_gets_one_post(
    faulty: FaultServer, faulty_account: AccountSession, clock: FakeClock
) -> None:
    await faulty.go_down()
    task = asyncio.create_task(faulty_account.sequences.create("2027"))
    while not clock.slept:  # noqa: ASYNC110  # the first back-off has no event
        await asyncio.sleep(0)
    await faulty.go_up()

    assert (await task).serie == "2027"
    assert faulty.oracle.posts(ACCOUNT, "2027") == 1


@pytest.mark.fault(3)
async def test_a_name_that_is_not_found_is_a_failed_connection(clock: FakeClock) -> None:
    async with SessionManager(base_url="https://{account}.invalid", clock=clock) as manager:
        with pytest.raises(ConnectionFailedError, match="name was not found") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    assert caught.value.attempts == 3


class SlowResolver(LoopbackResolver):
    async def resolve(self, *_: object, **__: object) -> list[aiohttp.abc.ResolveResult]:
        await asyncio.get_running_loop().create_future()
        return []


@pytest.mark.fault(3)
async def test_a_slow_resolver_costs_the_connect_time_only(clock: FakeClock) -> None:
    timeouts = Timeouts(connect_seconds=0.02)
    async with SessionManager(resolver=SlowResolver(), timeouts=timeouts, clock=clock) as manager:
        with pytest.raises(ConnectionFailedError, match="no connection was made in time"):
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")


def _expired(authority: trustme.CA) -> ssl.SSLContext:
    long_ago = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    certificate = authority.issue_cert("*.app.invoicexpress.com", not_after=long_ago)
    return _context(certificate)


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def _old(authority: trustme.CA) -> ssl.SSLContext:
    context = _context(authority.issue_cert("*.app.invoicexpress.com"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda _: _context(trustme.CA().issue_cert("*.app.invoicexpress.com")),
            id="self-signed",
        ),
        pytest.param(_expired, id="expired"),
        pytest.param(lambda ca: _context(ca.issue_cert("evil.test")), id="wrong host"),
    ],
)
async def test_a_server_that_cannot_be_trusted_is_left_at_once(
    make: Callable[[trustme.CA], ssl.SSLContext],
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    clock: FakeClock,
) -> None:
    async with (
        FaultServer(accounts=[account_of(ACCOUNT)], ssl_context=make(authority)) as server,
        SessionManager(
            base_url=server.base_url, ssl_context=trusting, resolver=LoopbackResolver(), clock=clock
        ) as manager,
    ):
        with pytest.raises(ConnectionFailedError, match="TLS or certificate is wrong") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    assert caught.value.attempts == 1
    assert server.requests == []
    assert server.oracle.bytes_received == 0


@pytest.mark.fault(4)
async def test_a_server_of_an_old_tls_version_is_left_at_once(
    authority: trustme.CA, trusting: ssl.SSLContext, clock: FakeClock
) -> None:
    # A blocking server: asyncio's resets the connection before its alert has left.
    context, connections = _old(authority), []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                with contextlib.suppress(OSError), connection:
                    context.wrap_socket(connection, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    base_url = f"https://{{account}}.app.invoicexpress.com:{listener.getsockname()[1]}"
    try:
        async with SessionManager(
            base_url=base_url, ssl_context=trusting, resolver=LoopbackResolver(), clock=clock
        ) as manager:
            with pytest.raises(ConnectionFailedError, match="TLS or certificate is wrong"):
                await manager.account(ACCOUNT, API_KEY).sequences.create("2027")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)

    assert len(connections) == 1


@pytest.mark.fault(5)
async def test_a_handshake_that_hangs_is_tried_again(
    authority: trustme.CA, trusting: ssl.SSLContext, clock: FakeClock
) -> None:
    context = _context(authority.issue_cert("*.app.invoicexpress.com"))
    async with (
        FaultServer(accounts=[account_of(ACCOUNT)], ssl_context=context) as server,
        SessionManager(
            base_url=server.base_url,
            ssl_context=trusting,
            resolver=LoopbackResolver(),
            timeouts=Timeouts(connect_seconds=0.05),
            clock=clock,
        ) as manager,
    ):
        server.faults.next("hang_on_accept", times=None)
        with pytest.raises(ConnectionFailedError, match="in time") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.create("2027")
        server.faults.clear()
        created = await manager.account(ACCOUNT, API_KEY).sequences.create("2027")

    assert caught.value.attempts == 3
    assert created.serie == "2027"
    assert server.oracle.posts(ACCOUNT) == 1


@pytest.mark.fault(6)
async def test_it_works_again_when_file_descriptors_are_freed(
    faulty: FaultServer, faulty_account: AccountSession
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(ConnectionFailedError, match="it had no effect"):
            await faulty_account.sequences.create("2027")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert faulty.oracle.connections_total == 0
    assert (await faulty_account.sequences.create("2027")).serie == "2027"


@pytest.mark.fault(7)
async def test_a_wait_for_the_limiter_past_the_deadline_sends_nothing(
    faulty: FaultServer, clock: FakeClock
) -> None:
    limit = RateLimit(1)
    async with SessionManager(base_url=faulty.base_url, rate_limit=limit, clock=clock) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        await sequences.list()

        with pytest.raises(DeadlineExceededError, match="it had no effect") as caught:
            await sequences.create("2027", timeout_seconds=5)

    assert caught.value.attempts == 0
    assert faulty.oracle.posts(ACCOUNT) == 0


@pytest.mark.fault(7)
async def test_a_wait_for_a_connection_past_the_deadline_sends_nothing(
    faulty: FaultServer, clock: FakeClock
) -> None:
    faulty.faults.next("timeout", operation="list")
    async with SessionManager(base_url=faulty.base_url, max_connections=1, clock=clock) as manager:
        sequences = manager.account(ACCOUNT, API_KEY).sequences
        holder = asyncio.create_task(sequences.list())
        while not faulty.requests:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.001)

        waiter = asyncio.create_task(sequences.create("2027", timeout_seconds=5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(6)
        with pytest.raises(DeadlineExceededError, match="it had no effect"):
            await waiter
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)

    assert faulty.oracle.posts(ACCOUNT) == 0
