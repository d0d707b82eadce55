"""Spans and metrics, as a receiver of OTLP reads them; and nothing of them where none is named.

The receiver decodes what arrives with OpenTelemetry's own messages.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import IMAGE, read_job
from http_handlers import serve_handler
from taskreel import telemetry_setting, wiring
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.adapters.open_telemetry import Telemetry
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.messages.job_task import build_task
from taskreel.app.request_trace import trace_id, trace_parent
from taskreel.domain.client_webhook import WebhookAnswer
from taskreel.log import _JsonFormatter
from taskreel.ports import WebhookMessage

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SERVER, CLIENT, CONSUMER = 2, 3, 5


@dataclass
class Receiver:
    """A receiver of OTLP over HTTP: the spans and metrics that it got."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                self._note_service(one.resource)
                self.spans += [span for scope in one.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/metrics"
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self._note_service(each.resource)
                self.metrics += [one for scope in each.scope_metrics for one in scope.metrics]

    def find_spans(self, start: str) -> list[Any]:
        return [span for span in self.spans if span.name.startswith(start)]

    def _note_service(self, resource: Any) -> None:
        self.services.add(read_attributes(resource)["service.name"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            zipped = self.headers.get("content-encoding") == "gzip"
            made.take(self.path, gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serve_handler(Handler) as origin:
        made.url = origin
        yield made


@pytest.fixture
def telemetry(receiver: Receiver) -> Iterator[Telemetry]:
    built = telemetry_setting.build_telemetry(receiver.url, "taskreel")
    yield built
    built.close()
    telemetry_setting.build_telemetry.cache_clear()


async def _send(_message: Any) -> None: ...


def read_attributes(holder: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


async def test_a_job_is_one_trace_from_the_request_to_the_provider(
    start_providers: StartProviders, receiver: Receiver, telemetry: Telemetry
) -> None:
    setup = await start_providers("bfl", otel_exporter_otlp_endpoint=receiver.url)
    ada, fake = setup.user(), setup.fakes["bfl"]
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    job = (await ada.post(IMAGE, json=KITE, headers=headers)).json()
    await setup.world.advance(60)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    telemetry.flush()

    (submitted,) = receiver.find_spans("POST /api/jobs/{job_type}")
    assert submitted.kind == SERVER
    assert (submitted.trace_id.hex(), submitted.parent_span_id.hex()) == (TRACE, CALLER)
    assert read_attributes(submitted)["http.response.status_code"] == 202
    assert read_attributes(submitted)["http.route"] == "/api/jobs/{job_type}"

    (delivery,) = receiver.find_spans("process image-generation-queue")
    assert delivery.kind == CONSUMER
    assert delivery.parent_span_id == submitted.span_id
    assert read_attributes(delivery)["messaging.system"] == "gcp_cloud_tasks"

    (start,) = receiver.find_spans("start bfl")
    assert start.kind == CLIENT
    assert start.parent_span_id == delivery.span_id
    assert read_attributes(start) == {
        "gen_ai.provider.name": "bfl",
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "flux-1.1-pro",
        "gen_ai.output.type": "image",
        "taskreel.provider.call": "start",
    }
    # The provider was told the span of its call.
    assert fake.calls[0].headers["traceparent"] == f"00-{TRACE}-{start.span_id.hex()}-01"
    assert {span.trace_id.hex() for span in receiver.find_spans("poll bfl")} == {TRACE}
    # Reads of the job without a trace are traces of their own.
    assert receiver.find_spans("GET /api/jobs/{job_id}")[0].trace_id.hex() != TRACE

    durations = {one.name: one.histogram.data_points for one in receiver.metrics}
    assert durations.keys() == {
        "http.server.request.duration",
        "messaging.process.duration",
        "gen_ai.client.operation.duration",
    }
    queues = {
        read_attributes(point)["messaging.destination.name"]
        for point in durations["messaging.process.duration"]
    }
    assert queues == {"image-generation-queue", "provider-poll-queue"}
    assert all(
        "messaging.message.id" not in read_attributes(point)
        for point in durations["messaging.process.duration"]
    )
    assert receiver.services == {"taskreel"}


async def test_a_delivery_of_the_queues_in_this_process_goes_on_with_its_tasks_trace(
    start_providers: StartProviders, receiver: Receiver, telemetry: Telemetry
) -> None:
    await start_providers("bfl", otel_exporter_otlp_endpoint=receiver.url)
    parent = f"00-{TRACE}-{CALLER}-01"
    task = replace(build_task("provider-poll-queue", "job_unknown", 1), trace_parent=parent)
    due = wiring.SystemClock().now().timestamp()
    await wiring._process_delivery(
        Delivery(task=task, retry_count=0, execution_count=0, due=due, previous_response=None)
    )
    telemetry.flush()
    (span,) = receiver.find_spans("process provider-poll-queue")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)


async def test_nothing_that_a_user_wrote_is_recorded(
    start_providers: StartProviders, receiver: Receiver, telemetry: Telemetry
) -> None:
    setup = await start_providers("bfl", otel_exporter_otlp_endpoint=receiver.url)
    body = {**KITE, "prompt": "a-secret-prompt", "model": "no-such-model"}
    await setup.user().post(IMAGE, json=body)
    await setup.user().post(IMAGE, json={**KITE, "prompt": "a-secret-prompt"})
    await setup.user().get("/api/jobs?text=a-secret-search")
    await setup.user().get("/api/nothing/a-secret-path")
    await setup.world.advance(60)
    telemetry.flush()
    assert receiver.find_spans("GET")
    found = str(receiver.spans) + str(receiver.metrics)
    assert "a-secret" not in found
    # A path that no route has is no name: there are as many of them as anybody likes.
    assert [span.name for span in receiver.find_spans("GET") if " " not in span.name] == ["GET"]


async def test_a_webhook_carries_the_span_of_its_try(
    receiver: Receiver, telemetry: Telemetry
) -> None:
    got: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request.headers["traceparent"])
        return httpx.Response(410, stream=httpx.ByteStream(b"gone"))

    sender = telemetry.trace_webhooks(
        WebhookSender(["http://127.0.0.1:9"], transport=httpx.MockTransport(answer))
    )
    with telemetry.record_delivery("webhook-processing", "task", f"00-{TRACE}-{CALLER}-01"):
        now = wiring.SystemClock().now()
        sent = await sender.send(
            WebhookMessage(url="http://127.0.0.1:9/hook", id="m", body="{}", at=now, keys=[])
        )
    await sender.close()
    assert isinstance(sent, WebhookAnswer)
    assert sent.status == 410
    telemetry.flush()
    (span,) = receiver.find_spans("send webhook")
    assert got == [f"00-{TRACE}-{span.span_id.hex()}-01"]
    assert read_attributes(span)["http.response.status_code"] == 410
    assert trace_parent.get() is None
    assert trace_id.get() is None


async def test_a_failure_is_recorded_by_its_kind_alone(
    receiver: Receiver, telemetry: Telemetry
) -> None:
    async def app(*_: Any) -> None:
        raise RuntimeError("what a user wrote")

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with pytest.raises(RuntimeError):
        await telemetry.trace_requests(app)(scope, None, None)  # type: ignore[arg-type]
    telemetry.flush()
    (span,) = receiver.spans
    assert read_attributes(span)["error.type"] == "RuntimeError"
    assert span.status.code == 2
    assert "what a user wrote" not in str(span)


async def test_a_trace_that_is_not_sampled_is_carried_on_and_not_sent(
    receiver: Receiver, telemetry: Telemetry
) -> None:
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"])[b"traceparent"].decode())
        await send({"type": "http.response.start", "status": 500})

    headers = [(b"traceparent", f"00-{TRACE}-{CALLER}-00".encode())]
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": headers}
    await telemetry.trace_requests(app)(scope, None, _send)  # type: ignore[arg-type]
    telemetry.flush()
    assert receiver.spans == []
    assert seen[0].startswith(f"00-{TRACE}-")
    assert seen[0].endswith("-00")
    assert CALLER not in seen[0]


async def _refuse(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 405})


async def test_methods_that_a_caller_makes_up_are_one_method(
    receiver: Receiver, telemetry: Telemetry
) -> None:
    served = telemetry.trace_requests(_refuse)
    for method in [*(f"MADEUP{number}" for number in range(50)), "get", "GET"]:
        scope = {"type": "http", "method": method, "path": "/x", "headers": []}
        await served(scope, None, _send)  # type: ignore[arg-type]
    telemetry.flush()
    (durations,) = receiver.metrics
    methods = [
        read_attributes(point)["http.request.method"] for point in durations.histogram.data_points
    ]
    assert sorted(methods) == ["GET", "_OTHER"]
    assert {span.name for span in receiver.spans} == {"GET", "HTTP"}
    assert "MADEUP" not in str(receiver.spans)


async def test_a_caller_cannot_have_recorded_what_our_sampler_does_not_take(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0")
    built = telemetry_setting.build_telemetry.__wrapped__(receiver.url, "sampled")
    seen: list[str] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"])[b"traceparent"].decode())
        await send({"type": "http.response.start", "status": 200})

    headers = [(b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())]
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": headers}
    await built.trace_requests(app)(scope, None, _send)  # type: ignore[arg-type]
    # A task has the flag that we gave it: its delivery is recorded.
    with built.record_delivery("q", "t", f"00-{TRACE}-{CALLER}-01"):
        pass
    built.close()
    assert [span.name for span in receiver.spans] == ["process q"]
    assert seen[0].startswith(f"00-{TRACE}-")
    assert seen[0].endswith("-00")


def test_a_log_line_names_the_span_that_is_recorded(telemetry: Telemetry) -> None:
    record = logging.makeLogRecord({"msg": "hello", "created": 0.0})
    with telemetry.record_delivery("q", "t", f"00-{TRACE}-{CALLER}-01"):
        line = json.loads(_JsonFormatter("demo").format(record))
        span = (trace_parent.get() or "").split("-")[2]
    assert line["logging.googleapis.com/trace"] == f"projects/demo/traces/{TRACE}"
    assert line["logging.googleapis.com/spanId"] == span


async def test_without_an_endpoint_a_provider_and_a_webhook_carry_the_trace_all_the_same(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    await setup.user().post(IMAGE, json=KITE, headers=headers)
    await setup.world.advance(5)
    told = setup.fakes["bfl"].calls[0].headers["traceparent"]
    assert told.startswith(f"00-{TRACE}-")
    assert told.endswith("-00")
    assert CALLER not in told
