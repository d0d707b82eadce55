"""Spans and metrics for OpenTelemetry, sent over OTLP to the endpoint that a setting names.

`wiring` imports this, and OpenTelemetry's SDK with it, only where the setting is there, and puts
these wrappers around the applications, the providers and the sender of webhooks: the code inside
knows nothing of them. A span is the parent of what is called during it, by `trace_parent`, which
tasks, providers' requests and webhooks carry on.

Neither texts of errors nor payloads are recorded: they may hold what users wrote.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    format_trace_id,
    set_span_in_context,
)

from taskreel.adapters.span_contexts import format_trace_parent, parse_trace_parent
from taskreel.app.request_trace import trace_id, trace_parent
from taskreel.domain.client_webhook import SigningKey, WebhookAnswer
from taskreel.ports import (
    Capability,
    Done,
    Generation,
    Pending,
    Provider,
    SendWebhook,
    WebhookMessage,
)

_Message = MutableMapping[str, Any]
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]
_Attributes = dict[str, str | int]

_NAME = "taskreel"
#: Boundaries of durations that OpenTelemetry's conventions advise, and those of long work.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 1800)
_OUTPUT_TYPES = {
    Capability.IMAGE: "image",
    Capability.UPSCALE: "image",
    Capability.CUTOUT: "image",
    Capability.SPEECH: "speech",
    Capability.TEXT: "text",
}


class Telemetry:
    """The recorder of this process. `close` sends what has not been sent."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracers = tracers
        self._meters = meters
        self._tracer = tracers.get_tracer(_NAME)
        meter = meters.get_meter(_NAME)

        def create_histogram(name: str, description: str) -> Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS
            )

        self._requests = create_histogram("http.server.request.duration", "Requests of the API.")
        self._deliveries = create_histogram("messaging.process.duration", "Deliveries of tasks.")
        self._calls = create_histogram("gen_ai.client.operation.duration", "Calls of providers.")
        self._webhooks = create_histogram("taskreel.webhook.duration", "Tries of webhooks.")

    def trace_requests(self, app: _App) -> _App:
        """Return the application, a span around each of its requests."""

        async def serve(scope: _Scope, receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            method = scope["method"] if scope["method"] in _METHODS else None
            attributes: _Attributes = {"http.request.method": method or "_OTHER"}
            parent = self._sample_parent(_read_parent(dict(scope["headers"])))
            name = method or "HTTP"
            recording = _Recording(name, SpanKind.SERVER, attributes, self._requests, parent)
            await self._serve(app, scope, receive, send, recording)

        return serve

    def trace_deliveries(self, app: _App) -> _App:
        """Return the task processor's application, a span around each delivery."""

        async def serve(scope: _Scope, receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            headers = dict(scope["headers"])
            recording = self._describe_delivery(
                _read_header(headers, b"x-cloudtasks-queuename"),
                _read_header(headers, b"x-cloudtasks-taskname"),
                _read_parent(headers),
            )
            await self._serve(app, scope, receive, send, recording)

        return serve

    def trace_provider(self, provider: Provider) -> Provider:
        """Return the provider, a span around each call."""
        return _TracedProvider(provider, self)

    def trace_webhooks(self, sender: SendWebhook) -> SendWebhook:
        """Return the sender, a span around each try."""
        return _TracedWebhooks(sender, self)

    def flush(self) -> None:
        """Send all that has ended."""
        self._tracers.force_flush()
        self._meters.force_flush()

    def close(self) -> None:
        """Send all that has ended, and stop the threads that send."""
        self._tracers.shutdown()
        self._meters.shutdown()

    @contextmanager
    def record_delivery(self, queue: str, task_id: str, parent: str | None) -> Iterator[Span]:
        """Record a delivery of the queues in this process during the block."""
        recording = self._describe_delivery(queue, task_id, parse_trace_parent(parent or ""))
        with self._record(recording) as span:
            yield span

    @contextmanager
    def record_call(self, name: str, attributes: _Attributes) -> Iterator[Span]:
        """Record a call of a provider during the block."""
        recording = _Recording(name, SpanKind.CLIENT, attributes, self._calls, _find_parent())
        with self._record(recording) as span:
            yield span

    @contextmanager
    def record_webhook(self, attributes: _Attributes) -> Iterator[Span]:
        """Record a try of a webhook during the block."""
        recording = _Recording(
            "send webhook", SpanKind.CLIENT, attributes, self._webhooks, _find_parent()
        )
        with self._record(recording) as span:
            yield span

    def _sample_parent(self, parent: SpanContext | None) -> SpanContext | None:
        """A caller's span, which any client may call sampled: then our own sampler decides.

        By an id of ours, since a caller could choose theirs so that a ratio takes it.
        """
        if parent is None or not parent.trace_flags.sampled:
            return parent
        id_ = self._tracers.id_generator.generate_trace_id()
        found = self._tracers.sampler.should_sample(Context(), id_, _NAME)
        if found.decision is Decision.RECORD_AND_SAMPLE:
            return parent
        return SpanContext(parent.trace_id, parent.span_id, is_remote=True)

    def _describe_delivery(
        self, queue: str, task_id: str, parent: SpanContext | None
    ) -> _Recording:
        attributes: _Attributes = {
            "messaging.system": "gcp_cloud_tasks",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "messaging.message.id": task_id,
        }
        return _Recording(
            f"process {queue}", SpanKind.CONSUMER, attributes, self._deliveries, parent
        )

    async def _serve(
        self, app: _App, scope: _Scope, receive: _Receive, send: _Send, recording: _Recording
    ) -> None:
        host = scope.get("route"), scope.get("path_params")
        with self._record(recording) as span:
            # The application reads the trace from its request: of this span, not of its parent.
            scope["headers"] = [
                *((name, value) for name, value in scope["headers"] if name not in _TRACE_HEADERS),
                (b"traceparent", (trace_parent.get() or "").encode()),
            ]

            async def send_and_note(message: _Message) -> None:
                if message["type"] == "http.response.start":
                    _note_status(span, recording.attributes, message["status"])
                await send(message)

            try:
                await app(scope, receive, send_and_note)
            finally:
                is_request = recording.kind is SpanKind.SERVER
                route = _find_route(scope, *host) if is_request else None
                if route is not None:
                    _set_attribute(span, recording.attributes, "http.route", route)
                    span.update_name(f"{recording.name} {route}")

    @contextmanager
    def _record(self, recording: _Recording) -> Iterator[Span]:
        """Record a span, the parent of all that is recorded or sent during the block."""
        parent, attributes = recording.parent, recording.attributes
        context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
        span = self._tracer.start_span(recording.name, context, recording.kind, attributes)
        # Ids of tasks are as many as tasks: they are no attributes of a metric.
        attributes.pop("messaging.message.id", None)
        own = span.get_span_context()
        before = (
            trace_id.set(format_trace_id(own.trace_id)),
            trace_parent.set(format_trace_parent(own)),
        )
        started = time.perf_counter()
        try:
            yield span
        except BaseException as error:
            _set_attribute(span, attributes, "error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            recording.durations.record(time.perf_counter() - started, attributes)
            trace_id.reset(before[0])
            trace_parent.reset(before[1])
            span.end()


@dataclass(frozen=True, slots=True)
class _Recording:
    """A span, and the metric that its duration is a part of, with the same attributes."""

    name: str
    kind: SpanKind
    attributes: _Attributes
    durations: Histogram
    parent: SpanContext | None


def open_telemetry(
    endpoint: str,
    service: str,
    *,
    exporter: SpanExporter | None = None,
    reader: MetricReader | None = None,
) -> Telemetry:
    """Return the recorder that exports to `endpoint`, as OpenTelemetry's own variables tell it.

    OTEL_RESOURCE_ATTRIBUTES describes this process, OTEL_TRACES_SAMPLER chooses the traces that are
    recorded, OTEL_EXPORTER_OTLP_HEADERS go with each export. The end of the process sends what has
    not been sent. `exporter` and `reader` take the place of the endpoint's.
    """
    root = endpoint.rstrip("/")
    resource = Resource.create({"service.name": service})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(
        BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=f"{root}/v1/traces"))
    )
    metrics = reader or PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=f"{root}/v1/metrics")
    )
    return Telemetry(tracers, MeterProvider([metrics], resource))


class _TracedProvider:
    """A provider whose calls are recorded."""

    def __init__(self, provider: Provider, telemetry: Telemetry) -> None:
        self._provider = provider
        self._telemetry = telemetry
        self.name = provider.name

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        with self._telemetry.record_call(f"start {self.name}", self._describe("start", request)):
            return await self._provider.start(request, idempotency_key=idempotency_key)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        with self._telemetry.record_call(f"poll {self.name}", self._describe("poll", request)):
            return await self._provider.poll(operation, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        with self._telemetry.record_call(f"cancel {self.name}", self._describe("cancel")):
            await self._provider.cancel(operation)

    async def close(self) -> None:
        await self._provider.close()

    def _describe(self, call: str, request: Generation | None = None) -> _Attributes:
        found: _Attributes = {
            "gen_ai.provider.name": self.name,
            "gen_ai.operation.name": "generate_content",
            "taskreel.provider.call": call,
        }
        if request is not None:
            found["gen_ai.request.model"] = request.model
            output = _OUTPUT_TYPES.get(request.capability)
            found |= {"gen_ai.output.type": output} if output else {}
        return found


class _TracedWebhooks:
    """A sender of webhooks whose tries are recorded."""

    def __init__(self, sender: SendWebhook, telemetry: Telemetry) -> None:
        self._sender = sender
        self._telemetry = telemetry

    def check_url(self, url: str, path: str, /) -> None:
        self._sender.check_url(url, path)

    def public_key(self, key: SigningKey, /) -> str | None:
        return self._sender.public_key(key)

    async def send(self, message: WebhookMessage, /) -> WebhookAnswer:
        attributes: _Attributes = {"http.request.method": "POST"}
        with self._telemetry.record_webhook(attributes) as span:
            answer = await self._sender.send(message)
            if answer.status is not None:
                _set_attribute(span, attributes, "http.response.status_code", answer.status)
            if answer.error is not None:
                span.set_status(StatusCode.ERROR)
        return answer

    async def close(self) -> None:
        await self._sender.close()


#: OpenTelemetry's conventions: any other method, of which a caller may make up many, is `_OTHER`.
_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
_TRACE_HEADERS = (b"traceparent", b"x-cloud-trace-context")


def _find_parent() -> SpanContext | None:
    """The span that is recorded now; None outside of one."""
    return parse_trace_parent(trace_parent.get() or "")


def _read_parent(headers: Mapping[bytes, bytes]) -> SpanContext | None:
    return parse_trace_parent(_read_header(headers, b"traceparent"))


def _read_header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _set_attribute(span: Span, attributes: _Attributes, name: str, value: str | int) -> None:
    """Set an attribute of the span, and of its duration in the metrics."""
    span.set_attribute(name, value)
    attributes[name] = value


def _note_status(span: Span, attributes: _Attributes, status: int) -> None:
    _set_attribute(span, attributes, "http.response.status_code", status)
    if status >= 500:
        _set_attribute(span, attributes, "error.type", str(status))
        span.set_status(StatusCode.ERROR)


def _find_route(scope: _Scope, host_route: object, host_params: object) -> str | None:
    """The route that served a request, its parameters by name; None where none did.

    The server's own route and parameters, which it had before, are those of every request.
    """
    route = scope.get("route")
    if route is not host_route:
        return str(getattr(route, "path", "")) or None
    params = scope.get("path_params")
    if params is host_params or not isinstance(params, dict):
        return None
    names = {value: name for name, value in params.items()}
    parts = (f"{{{names[part]}}}" if part in names else part for part in scope["path"].split("/"))
    return "/".join(parts)
