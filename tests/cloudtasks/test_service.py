"""Start and stop of the service, the queues file, the command, and gRPC only behaviour."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from google.cloud import tasks_v2, tasks_v2beta3

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE, Worker, http_task
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.delivery_history import EventKind, HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.messages import (
    HttpRequest,
    Queue,
    RateLimits,
    RetryConfig,
    State,
)
from taskreel_cloud_tasks.queues_file import load_queues
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

ROOT = Path(__file__).parents[2]

FILE = """
defaults:
  rateLimits: {maxDispatchesPerSecond: 10, maxConcurrentDispatches: 100}
  retryConfig: {maxAttempts: 3, minBackoff: 1s}
queues:
  plain:
  slow: {rateLimits: {maxConcurrentDispatches: 2}, retryConfig: {maxRetryDuration: 3600s}}
"""


def test_the_rest_server_starts_without_grpc_or_googles_client() -> None:
    modules = "'grpc', 'google.protobuf', 'google.cloud.tasks_v2'"
    code = (
        "import taskreel_cloud_tasks.service, sys; "
        f"print([m for m in ({modules}) if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "infra/local/cloud_tasks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"


def test_a_queue_takes_the_defaults_and_overrides_single_fields(tmp_path: Path) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(FILE)
    plain, slow = load_queues(path, LOCATION)
    assert plain.name == f"{LOCATION}/queues/plain"
    assert plain.rate_limits is not None
    assert plain.rate_limits.max_concurrent_dispatches == 100
    assert slow.rate_limits is not None
    assert (
        slow.rate_limits.max_concurrent_dispatches,
        slow.rate_limits.max_dispatches_per_second,
    ) == (2, 10)
    assert slow.retry_config == RetryConfig(
        max_attempts=3, min_backoff=SECOND, max_retry_duration=3600 * SECOND
    )


async def test_queues_of_the_file_are_created_or_updated_and_stay_paused(tmp_path: Path) -> None:
    data, queue = tmp_path / "tasks.db", Queue(name=QUEUE, retry_config=RetryConfig(max_attempts=3))
    async with LocalCloudTasks(
        ServiceConfig(rest_port=None, data=data, queues=[Queue(name=QUEUE)])
    ) as service:
        await service.engine.pause_queue(QUEUE)
    async with LocalCloudTasks(ServiceConfig(rest_port=None, data=data, queues=[queue])) as service:
        now = service.engine.get_queue(QUEUE)
    assert now.state is State.PAUSED
    assert now.retry_config is not None
    assert now.retry_config.max_attempts == 3


async def test_closing_lets_what_is_under_way_finish(worker: Worker) -> None:
    async with LocalCloudTasks(ServiceConfig(queues=[Queue(name=QUEUE)], grace_s=5)) as service:
        await service.engine.create_task(QUEUE, http_task(http_request=HttpRequest(url=worker.url)))
        await worker.received(1)
    assert service.engine.is_idle()


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with LocalCloudTasks(ServiceConfig(grpc_port=0)) as first:
        with pytest.raises(OSError, match="in use"):
            await LocalCloudTasks(ServiceConfig(rest_port=first.rest_port)).__aenter__()
        with pytest.raises(OSError, match="cannot listen"):
            await LocalCloudTasks(
                ServiceConfig(rest_port=None, grpc_port=first.grpc_port)
            ).__aenter__()


class Stuck:
    """Takes requests and never answers."""

    def __init__(self) -> None:
        self.count = 0
        self.hundred = asyncio.Event()

    async def send(self, _request: OutgoingRequest) -> HandlerResponse:
        self.count += 1
        if self.count == 100:
            self.hundred.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_without_throttling_rates_are_ignored_but_concurrency_is_not() -> None:
    sender = Stuck()
    limits = RateLimits(max_dispatches_per_second=0.1, max_concurrent_dispatches=100)
    queues, engine = [Queue(name=QUEUE, rate_limits=limits)], EngineConfig(unthrottled=True)
    config = ServiceConfig(rest_port=None, queues=queues, engine=engine, sender=sender, grace_s=0)
    async with LocalCloudTasks(config) as service:
        for _ in range(150):
            await service.engine.create_task(QUEUE, http_task())
        await asyncio.wait_for(sender.hundred.wait(), 60)
        assert (
            service.engine.get_dispatcher(QUEUE).compute_stats().concurrent_dispatches_count == 100
        )
    assert sender.count == 100


async def test_a_thousand_tasks_over_real_http_are_each_delivered_once(worker: Worker) -> None:
    config = ServiceConfig(queues=[Queue(name=QUEUE)], engine=EngineConfig(unthrottled=True))
    async with (
        LocalCloudTasks(config) as service,
        httpx.AsyncClient(base_url=service.rest_url) as client,
    ):
        request = {"parent": QUEUE, "task": {"httpRequest": {"url": worker.url}}}
        batch = {"requests": [request] * 100}
        answers = await asyncio.gather(
            *(client.post(f"/v2/{QUEUE}/tasks:batchCreate", json=batch) for _ in range(10))
        )
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.wait_for(service.engine.wait_idle(), 60)
    names = [seen.headers["X-CloudTasks-TaskName"] for seen in worker.seen]
    assert (len(names), len(set(names))) == (1000, 1000)


async def test_tasks_due_among_many_that_are_not_start_within_50_ms(worker: Worker) -> None:
    async with LocalCloudTasks(
        ServiceConfig(rest_port=None, queues=[Queue(name=QUEUE)])
    ) as service:
        engine = service.engine
        request = HttpRequest(url=worker.url)
        later = engine.clock.now() + 3600 * SECOND
        for _ in range(20_000):
            engine.add_task(QUEUE, http_task(http_request=request, schedule_time=later))
        first = engine.clock.now() + SECOND // 4
        due = {
            engine.add_task(
                QUEUE, http_task(http_request=request, schedule_time=first + i * 20_000)
            ).id: i
            for i in range(20)
        }
        await worker.received(20)
        started = {
            event.task: event.at
            for event in engine.history.events
            if event.kind is EventKind.DISPATCHED
        }
    late = sorted(started[task] - first - place * 20_000 for task, place in due.items())
    assert late[0] >= 0
    assert late[10] <= 50_000  # the median: the machine may be busy with other tests


# ── gRPC ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def channel(remote: Remote) -> grpc.Channel:
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": QUEUE})
    return grpc.insecure_channel(f"127.0.0.1:{remote.service.grpc_port}")


def test_a_deadline_of_more_than_30_s_is_refused(channel: grpc.Channel) -> None:
    call = channel.unary_unary(
        "/google.cloud.tasks.v2.CloudTasks/GetQueue",
        request_serializer=tasks_v2.GetQueueRequest.serialize,
        response_deserializer=tasks_v2.Queue.deserialize,
    )
    request = tasks_v2.GetQueueRequest(name=QUEUE)
    assert call(request, timeout=29).name == QUEUE
    with channel, pytest.raises(grpc.RpcError) as error:
        call(request, timeout=60)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.value.details() or "").endswith(
        "The deadline cannot be more than 30s in the future."
    )


def test_v2beta3_tells_how_much_waits(channel: grpc.Channel, remote: Remote) -> None:
    remote.control.post(f"/v2/{QUEUE}:pause")
    remote.control.post(
        f"/v2/{QUEUE}/tasks", json={"task": {"httpRequest": {"url": "http://worker.test"}}}
    )
    call = channel.unary_unary(
        "/google.cloud.tasks.v2beta3.CloudTasks/GetQueue",
        request_serializer=tasks_v2beta3.GetQueueRequest.serialize,
        response_deserializer=tasks_v2beta3.Queue.deserialize,
    )
    with channel:
        shown = call(
            tasks_v2beta3.GetQueueRequest(name=QUEUE, read_mask={"paths": ["stats", "state"]}),
            timeout=20,
        )
    assert shown.stats.tasks_count == 1
    assert shown.state is tasks_v2beta3.Queue.State.PAUSED
    assert not shown.name  # the mask does not name it


def check_health(remote: Remote, request: bytes) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{remote.service.grpc_port}") as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/grpc.health.v1.Health/Check"
        )
        return check(request, timeout=29)


@pytest.mark.parametrize("service", ["", "google.cloud.tasks.v2.CloudTasks"])
def test_the_standard_health_check_of_grpc_finds_it_serving(remote: Remote, service: str) -> None:
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    assert check_health(remote, request) == b"\x08\x01"  # SERVING, as health.proto numbers it


def test_the_health_of_a_service_that_does_not_exist_is_not_found(remote: Remote) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        check_health(remote, b"\x0a\x04mail")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
