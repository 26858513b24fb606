"""Where people send what happens: error trackers, spans, recorded traffic. No key arrives there."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import vcr  # type: ignore[import-untyped]  # it has no types
from conftest import ACCOUNT
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from invoicexpress_async import ConfigurationError, InvoiceXpressError, SessionManager, Timeouts
from invoicexpress_async.sandbox import FaultServer, SandboxAccount

KEY = "canary-key-7f3a9c51d2e8"
BODY = "canary-body-51d2e87f3a9c"


@pytest.fixture
async def server() -> Any:
    account = SandboxAccount(name=ACCOUNT, api_key=KEY)
    async with FaultServer(accounts=[account]) as one:
        yield one


@pytest.fixture
def tracker() -> Iterator[list[str]]:
    """sentry-sdk with the locals of every frame, into a list."""
    events: list[str] = []

    def keep(event: Any, _: Any) -> None:
        events.append(json.dumps(event, default=repr))

    sentry_sdk.init(
        dsn="https://public@sentry.example/1",
        before_send=keep,
        include_local_variables=True,
        max_request_body_size="always",
    )
    yield events
    sentry_sdk.init()


async def broken_calls(server: FaultServer) -> None:
    """Let calls fail in many ways, each reported to the tracker."""
    quick = Timeouts(total_seconds=0.5, attempt_seconds=0.2, connect_seconds=0.2)
    async with SessionManager(base_url=server.base_url, timeouts=quick) as manager:
        account = manager.account(ACCOUNT, KEY)
        for fault in ("close_after_read", "timeout", "echo_key", "garbage", "truncated_json"):
            server.faults.next(fault)
            with contextlib.suppress(InvoiceXpressError):
                await reported(account.sequences.create(f"S{fault[:5]}"))
            server.faults.next(fault)
            with contextlib.suppress(InvoiceXpressError):
                await reported(account.request("POST", "/sequences.json", {"password": BODY}))
        with contextlib.suppress(ConfigurationError):
            manager.account(ACCOUNT, KEY.encode())  # type: ignore[arg-type]  # the slip itself


async def reported(call: Any) -> None:
    try:
        await call
    except InvoiceXpressError as error:
        sentry_sdk.capture_exception(error)
        raise


@pytest.mark.fault(55)
async def test_an_error_tracker_with_locals_gets_neither_key_nor_body(
    server: FaultServer, tracker: list[str]
) -> None:
    await broken_calls(server)

    assert len(tracker) >= 5
    assert not [event for event in tracker if KEY in event or BODY in event]


@pytest.mark.fault(55)
async def test_spans_of_aiohttps_instrumentation_have_no_key(server: FaultServer) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    try:
        async with SessionManager(base_url=server.base_url) as manager:
            await manager.account(ACCOUNT, KEY).sequences.ensure("2027")
        await broken_calls(server)
    finally:
        AioHttpClientInstrumentor().uninstrument()

    spans = [span.to_json() for span in exporter.get_finished_spans()]
    assert len(spans) >= 2
    assert not [span for span in spans if KEY in span]


@pytest.mark.fault(55)
async def test_recorded_traffic_has_no_key(server: FaultServer, tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.yaml"

    with vcr.use_cassette(str(cassette), record_mode="all"):
        async with SessionManager(base_url=server.base_url) as manager:
            await manager.account(ACCOUNT, KEY).sequences.list()
            await asyncio.sleep(0)

    recorded = cassette.read_text()
    assert "/sequences.json" in recorded
    assert KEY not in recorded
