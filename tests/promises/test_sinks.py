"""Where people send what happens: error trackers, spans, recorded traffic. No key arrives there."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import vcr  # type: ignore[import-untyped]  # it has no types
from conftest import ACCOUNT
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from reported_calls import BODY, KEY, broken_calls

from invoicexpress_async import SessionManager
from invoicexpress_async.sandbox import FaultServer, SandboxAccount


@pytest.fixture
async def server() -> Any:
    account = SandboxAccount(name=ACCOUNT, api_key=KEY)
    async with FaultServer(accounts=[account]) as one:
        yield one


@pytest.mark.fault(55)
async def test_an_error_tracker_with_locals_gets_neither_key_nor_body() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "reported_calls"),
        cwd=Path(__file__).parent,
        stdout=asyncio.subprocess.PIPE,
    )
    events = (await process.communicate())[0].decode().splitlines()

    assert process.returncode == 0
    assert len(events) >= 5
    assert not [event for event in events if KEY in event or BODY in event]


@pytest.mark.fault(55)
async def test_spans_of_aiohttps_instrumentation_have_no_key(server: FaultServer) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    try:
        async with SessionManager(base_url=server.base_url) as manager:
            await manager.account(ACCOUNT, KEY).sequences.ensure("2027")
        await broken_calls(server.base_url, server.faults.next)
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
