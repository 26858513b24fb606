"""Spans and metrics of real calls, as an exporter would get them."""

import asyncio

import pytest
from conftest import ACCOUNT, API_KEY
from fakes import FakeClock
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from invoicexpress_async import SessionManager
from invoicexpress_async.otel import OpenTelemetryHook
from invoicexpress_async.sandbox import FaultServer


class Exported:
    """What a program's exporters would have sent."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider(metric_readers=[self._reader])
        self.hook = OpenTelemetryHook(tracer_provider=self.tracers, meter_provider=self.meters)

    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def text(self) -> str:
        metrics = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans()) + (
            metrics.to_json() if metrics else ""
        )


@pytest.fixture
def exported() -> Exported:
    return Exported()


async def test_a_call_is_a_span_with_its_requests_under_it(
    faulty: FaultServer, clock: FakeClock, exported: Exported
) -> None:
    faulty.faults.next("status", status=503, operation="list")
    async with SessionManager(
        base_url=faulty.base_url, clock=clock, on_event=exported.hook
    ) as manager:
        with exported.tracers.get_tracer("app").start_as_current_span("a request of the app"):
            await manager.account(ACCOUNT, API_KEY).sequences.ensure("2027")

    spans = {span.name: span for span in exported.spans()}
    call, app = spans["invoicexpress ensure"], spans["a request of the app"]
    assert call.parent is not None
    assert call.parent.span_id == app.context.span_id
    under = [span for span in exported.spans() if span.parent == call.context]
    assert [(span.name, span.status.description) for span in under] == [
        ("invoicexpress list", "ServerError"),
        ("invoicexpress list", None),
        ("invoicexpress create", None),
    ]
    assert "invoicexpress.call.duration" in exported.text()
    assert "invoicexpress.attempts" in exported.text()
    assert API_KEY not in exported.text()
    assert "api_key" not in exported.text()


async def test_a_cancelled_call_leaves_no_span_open(
    faulty: FaultServer, exported: Exported
) -> None:
    faulty.faults.next("timeout", operation="list")
    async with SessionManager(base_url=faulty.base_url, on_event=exported.hook) as manager:
        task = asyncio.create_task(manager.account(ACCOUNT, API_KEY).sequences.list())
        while not faulty.count("GET", "/sequences.json"):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert sorted(span.name for span in exported.spans()) == [
        "invoicexpress list",
        "invoicexpress list",
    ]
    ended = [span.status.description for span in exported.spans()]
    assert "CancelledError" in ended
