"""Strange networks and machines: large headers, proxies, certificates, addresses, test plugins."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import freezegun
import pytest
import trustme
from blockbuster import blockbuster_ctx
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock

from invoicexpress_async import (
    ConfigurationError,
    ConnectionFailedError,
    SessionManager,
    UntrustedConnectionError,
)
from invoicexpress_async.provisioning import Plan, PlanRow, SqliteJournal, provision
from invoicexpress_async.sandbox import FaultServer


@contextlib.asynccontextmanager
async def saying(response: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    """Run a server that says the same to every request; yield its port and the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(response)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"X-Big: " + b"x" * 60_000 + b"\r\n", id="60 KB"),
        pytest.param(b"".join(b"X-%d: x\r\n" % number for number in range(200)), id="200 headers"),
    ],
)
@pytest.mark.parametrize("is_watched", [False, True])
async def test_large_headers_are_understood(headers: bytes, is_watched: bool) -> None:  # a case
    import aiohttp  # noqa: PLC0415  # for the hooks of one case

    body = b'{"sequences":[]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    traces = [aiohttp.TraceConfig()] if is_watched else []
    async with (
        saying(head % len(body) + headers + b"\r\n" + body) as (port, _),
        SessionManager(
            base_url=f"http://127.0.0.1:{port}/{{account}}", trace_configs=traces
        ) as manager,
    ):
        assert await manager.account(ACCOUNT, API_KEY).sequences.list() == ()


@pytest.mark.fault(70)
async def test_a_proxy_that_wants_a_password_gets_one_request_and_named(clock: FakeClock) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with (
        saying(refusal) as (port, requests),
        SessionManager(
            base_url="https://{account}.app.invoicexpress.com",
            proxy=f"http://user:canary-password@127.0.0.1:{port}",
            clock=clock,
        ) as manager,
    ):
        with pytest.raises(UntrustedConnectionError, match=r"proxy wants a user .*407") as caught:
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert len(requests) == 1
    assert "canary" not in str(caught.value)
    assert not caught.value.may_have_been_processed


async def test_a_proxy_that_cannot_connect_is_tried_again(clock: FakeClock) -> None:
    async with (
        saying(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as (port, requests),
        SessionManager(
            base_url="https://{account}.app.invoicexpress.com",
            proxy=f"http://127.0.0.1:{port}",
            clock=clock,
        ) as manager,
    ):
        with pytest.raises(ConnectionFailedError, match=r"would not connect to it \(HTTP 502"):
            await manager.account(ACCOUNT, API_KEY).sequences.list()

    assert len(requests) == 3


@pytest.mark.fault(69)
async def test_a_job_ends_at_once_when_the_certificate_is_not_trusted(clock: FakeClock) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    rows = [PlanRow(account=f"a{number}", api_key=API_KEY, serie="2027") for number in range(300)]
    async with (
        saying(b"", context) as (port, requests),
        SessionManager(base_url=f"https://127.0.0.1:{port}/{{account}}", clock=clock) as manager,
    ):
        report = await provision(manager, Plan(rows=rows))

    assert requests == []
    assert isinstance(report.problem, UntrustedConnectionError)
    assert {one.state.value for one in report.outcomes} == {"failed"}
    assert report.not_started >= 200
    assert clock.slept == []


@pytest.mark.fault(84)
async def test_a_frozen_clock_of_a_test_library_stops_no_call(faulty: FaultServer) -> None:
    with freezegun.freeze_time("2026-12-31 23:59", real_asyncio=True):
        async with SessionManager(base_url=faulty.base_url) as manager:
            assert await manager.account(ACCOUNT, API_KEY).sequences.list() == ()


@pytest.mark.fault(84)
async def test_nothing_in_the_event_loop_blocks(faulty: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"account;api_key\n{ACCOUNT};{API_KEY}\n")
    plan = Plan.from_csv(tmp_path / "rows.csv", serie="2027")

    with blockbuster_ctx():
        async with (
            SqliteJournal(tmp_path / "job.db") as journal,
            SessionManager(base_url=faulty.base_url) as manager,
        ):
            report = await provision(manager, plan, journal=journal)
            await manager.account(ACCOUNT, API_KEY).sequences.ensure("2028")

    assert report.is_complete


@pytest.mark.fault(84)
def test_a_plugin_that_forbids_sockets_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_a(invoicexpress_sandbox): pass\n")

    process = subprocess.run(  # pytest
        [sys.executable, "-m", "pytest", "-q", "--disable-socket", "--allow-unix-socket", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "SocketBlockedError" in process.stdout
    assert "TimeoutError" not in process.stdout  # as after a wait for a server that cannot start


@pytest.mark.fault(84)
def test_without_package_metadata_it_works() -> None:
    code = (
        "import importlib.metadata as metadata\n"
        "found = metadata.version\n"
        "def version(name):\n"
        "    if name.startswith('invoicexpress'): raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
        "import asyncio\n"
        "from invoicexpress_async import SessionManager\n"
        "async def main():\n"
        "    async with SessionManager(): print('open')\n"
        "asyncio.run(main())\n"
    )

    process = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (process.stdout, process.returncode) == ("open\n", 0), process.stderr


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        pytest.param("https://{account}", "nothing but", id="bare host"),
        pytest.param("https://{account}:8443/api", "nothing but", id="bare host with a port"),
        pytest.param("https://{account}./api", "nothing but", id="bare host with a dot"),
        pytest.param("https://x.example/../{account}", "dot segment", id="dots"),
        pytest.param("https://x.example/./{account}", "dot segment", id="a dot"),
        pytest.param("https://x.example/%2e%2e/{account}", "dot segment", id="escaped dots"),
        pytest.param("https://x.example", "must hold", id="no account"),
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(base_url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        SessionManager(base_url=base_url)


async def test_the_address_of_one_account_may_be_given_without_the_account() -> None:
    body = b'{"sequences":[]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    async with saying(head % len(body) + body) as (port, requests), SessionManager() as manager:
        account = manager.account(ACCOUNT, API_KEY, base_url=f"http://127.0.0.1:{port}/mock")
        await account.sequences.list()

        with pytest.raises(ConfigurationError, match="must not hold"):
            manager.account(ACCOUNT, API_KEY, base_url="https://x.example/{account}")

    assert requests[0].startswith(b"GET /mock/sequences.json?")


@pytest.mark.parametrize(
    "context", ["None", "truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)"], ids=["env", "truststore"]
)
async def test_the_certificates_of_a_company_are_trusted(context: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    code = (
        "import asyncio, ssl, sys, truststore\n"
        "from invoicexpress_async import SessionManager\n"
        "async def main():\n"
        f"    async with SessionManager(ssl_context={context}) as manager:\n"
        "        account = manager.account('acme', 'canary-key-0123', base_url=sys.argv[1])\n"
        "        print(await account.sequences.list())\n"
        "asyncio.run(main())\n"
    )
    body = b'{"sequences":[]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    async with saying(head % len(body) + body, server_context) as (port, requests):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, f"https://localhost:{port}"),
            env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "company.pem")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()

    assert (out, err) == (b"()\n", b"")
    assert len(requests) == 1
