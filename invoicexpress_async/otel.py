"""Spans and metrics through OpenTelemetry's API: `SessionManager(on_event=OpenTelemetryHook())`.

Needs the extra `otel`, which installs `opentelemetry-api` only; you choose the exporter. Spans and
metrics contain account names, operations, statuses and error classes, but no key and no URL.
"""

from collections import OrderedDict
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from invoicexpress_async.events import AttemptEnded, AttemptStarted, CallEnded, Event, Reconciled

_NAME: Final = "invoicexpress_async"
# A call whose end is never reported, as when its loop was stopped, must not be kept for ever.
_MAX_OPEN: Final = 10_000


class OpenTelemetryHook:
    """Creates a span for each call, with a child span for each request, and two metrics.

    The parent of a call's span is the span that is current where the call is made.

    Metrics: `invoicexpress.call.duration` (seconds) by operation and error, and
    `invoicexpress.attempts` by request, evidence and status. Only spans have account names:
    thousands of accounts would be too many values for an attribute of a metric.

    Args:
        tracer_provider: Replaces the global provider.
        meter_provider: Replaces the global provider.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._durations = meter.create_histogram(
            "invoicexpress.call.duration", unit="s", description="Calls, with all that they do."
        )
        self._attempts = meter.create_counter(
            "invoicexpress.attempts", description="Requests, by what is known of them."
        )
        self._calls: OrderedDict[str, Span] = OrderedDict()
        self._open: dict[str, Span] = {}

    def __call__(self, event: Event) -> None:
        """Record one event in spans and metrics."""
        if isinstance(event, AttemptStarted):
            self._start_attempt(event)
        elif isinstance(event, AttemptEnded):
            self._end_attempt(event)
        elif isinstance(event, Reconciled):
            self._call_span(event).set_attribute("invoicexpress.reconciled", event.is_found)
        elif isinstance(event, CallEnded):
            self._end_call(event)

    def _call_span(self, event: Event) -> Span:
        span = self._calls.get(event.request_id)
        if span is None:
            span = self._calls[event.request_id] = self._tracer.start_span(
                f"invoicexpress {event.operation}",
                attributes={
                    "invoicexpress.account": event.account,
                    "invoicexpress.request_id": event.request_id,
                },
            )
            if len(self._calls) > _MAX_OPEN:
                self._calls.popitem(last=False)[1].end()
        return span

    def _start_attempt(self, event: AttemptStarted) -> None:
        self._open[event.request_id] = self._tracer.start_span(
            f"invoicexpress {event.request}",
            context=trace.set_span_in_context(self._call_span(event)),
            kind=SpanKind.CLIENT,
            attributes={"invoicexpress.attempt": event.attempt},
        )

    def _end_attempt(self, event: AttemptEnded) -> None:
        labels: dict[str, str | int] = {"request": event.request, "evidence": event.evidence}
        if event.status is not None:
            labels["http.response.status_code"] = event.status
        self._attempts.add(1, labels)
        span = self._open.pop(event.request_id, None)
        if span is None:
            return
        span.set_attribute("invoicexpress.evidence", event.evidence)
        if event.status is not None:
            span.set_attribute("http.response.status_code", event.status)
        if event.error is not None:
            span.set_status(StatusCode.ERROR, event.error)
        span.end()

    def _end_call(self, event: CallEnded) -> None:
        labels = {"operation": event.operation}
        if event.error is not None:
            labels["error.type"] = event.error
        self._durations.record(event.seconds, labels)
        span = self._call_span(event)
        span.set_attribute("invoicexpress.is_in_doubt", event.is_in_doubt)
        if event.error is not None:
            span.set_status(StatusCode.ERROR, event.error)
        attempt = self._open.pop(event.request_id, None)
        if attempt is not None:  # a cancelled call reports no end of its attempt
            attempt.end()
        self._calls.pop(event.request_id, None)
        span.end()
