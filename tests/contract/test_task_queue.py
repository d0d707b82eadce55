"""Every adapter of the TaskQueue port does this: the embedded one, and the one over Google's gRPC API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from httpx_sender import httpx_sender
from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.local.tasks import PARENT, EmbeddedTasks
from taskreel.domain.errors import QueueError
from taskreel.ports import Task, TaskQueue
from taskreel_local.emulators.cloudtasks.clock import SECOND
from taskreel_local.emulators.cloudtasks.history import HandlerResponse, OutgoingRequest
from taskreel_local.emulators.cloudtasks.messages import Queue, RetryConfig
from taskreel_local.emulators.cloudtasks.service import LocalCloudTasks, ServiceConfig

LANE = "image-generation-normal"
TARGET = "http://processor.test"


@dataclass
class Processor:
    """Takes the deliveries; answers 200."""

    requests: list[OutgoingRequest]

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        self.requests.append(request)
        return HandlerResponse(200, {})


@dataclass
class Lanes:
    """A queue adapter, and the local Cloud Tasks behind it under virtual time."""

    queue: TaskQueue
    service: LocalCloudTasks
    processor: Processor

    async def advance(self, seconds: float) -> list[OutgoingRequest]:
        """Let time pass; every request delivered so far."""
        await self.service.engine.advance(timedelta(seconds=seconds))
        return self.processor.requests

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.service.engine.clock.now() / SECOND, UTC)


@asynccontextmanager
async def embedded(service: LocalCloudTasks) -> AsyncIterator[TaskQueue]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.rest_app)) as client:
        yield EmbeddedTasks(
            "http://local.test",
            target_url=TARGET,
            internal_key="key",
            send_request=httpx_sender(client),
        )


@asynccontextmanager
async def cloud(service: LocalCloudTasks) -> AsyncIterator[TaskQueue]:
    """The adapter of production, over gRPC."""
    _, project, _, location = PARENT.split("/")
    queue = CloudTasks(
        project=project,
        location=location,
        target_url=TARGET,
        internal_key="key",
        emulator=f"127.0.0.1:{service.grpc_port}",
    )
    yield queue
    await queue.close()


@pytest.fixture(params=[embedded, cloud], ids=["embedded", "cloud"])
async def lanes(request: pytest.FixtureRequest) -> AsyncIterator[Lanes]:
    processor = Processor([])
    retry = RetryConfig(max_attempts=3, min_backoff=SECOND)
    queues = [
        Queue(name=f"{PARENT}/queues/{lane}", retry_config=retry) for lane in (LANE, "script-low")
    ]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=processor
    )
    async with LocalCloudTasks(config) as service, request.param(service) as queue:
        yield Lanes(queue, service, processor)


def task(job_id: str, **fields: object) -> Task:
    return Task(**{"queue": LANE, "job_id": job_id, "delivery": 1, **fields})  # type: ignore[arg-type]


async def test_a_task_is_one_post_to_the_processor_with_ids_only_and_the_internal_key(
    lanes: Lanes,
) -> None:
    await lanes.queue.enqueue(task("job-1", delivery=7))
    (request,) = await lanes.advance(0)
    headers = {key.lower(): value for key, value in request.headers}
    assert (request.method, request.url) == ("POST", f"{TARGET}/tasks/process")
    assert json.loads(request.body) == {"jobId": "job-1", "delivery": 7}
    assert headers["x-internal-api-key"] == "key"
    assert headers["content-type"] == "application/json"
    assert headers["x-cloudtasks-queuename"] == LANE


async def test_the_same_job_and_delivery_is_one_task_and_a_new_delivery_another(
    lanes: Lanes,
) -> None:
    await lanes.queue.enqueue(task("job-1"))
    await lanes.queue.enqueue(task("job-1"))
    await lanes.advance(0)
    await lanes.queue.enqueue(task("job-1"))
    await lanes.queue.enqueue(task("job-1", delivery=2))
    assert len(await lanes.advance(0)) == 2


async def test_a_task_is_not_delivered_before_its_time(lanes: Lanes) -> None:
    await lanes.queue.enqueue(task("job-1", at=lanes.now() + timedelta(minutes=5)))
    assert await lanes.advance(299) == []
    assert len(await lanes.advance(1)) == 1


async def test_many_tasks_of_several_lanes_are_all_delivered(lanes: Lanes) -> None:
    tasks = [task(f"job-{i}", queue=LANE if i % 3 else "script-low") for i in range(250)]
    await lanes.queue.enqueue_many(tasks)
    delivered = {json.loads(request.body)["jobId"] for request in await lanes.advance(2)}
    assert delivered == {f"job-{i}" for i in range(250)}


async def test_concurrent_enqueues_all_arrive(lanes: Lanes) -> None:
    await asyncio.gather(*(lanes.queue.enqueue(task(f"job-{i}")) for i in range(150)))
    assert len(await lanes.advance(2)) == 150


async def test_a_paused_lane_keeps_its_tasks_until_it_is_resumed(lanes: Lanes) -> None:
    await lanes.queue.pause(LANE)
    await lanes.queue.enqueue(task("job-1"))
    assert await lanes.advance(60) == []
    assert (await lanes.queue.stats(LANE)).paused
    await lanes.queue.resume(LANE)
    assert len(await lanes.advance(1)) == 1
    assert not (await lanes.queue.stats(LANE)).paused


async def test_purging_a_lane_empties_it_and_no_other(lanes: Lanes) -> None:
    later = lanes.now() + timedelta(hours=1)
    await lanes.queue.enqueue_many(
        [task("job-1", at=later), task("job-2", at=later, queue="script-low")]
    )
    await lanes.queue.purge(LANE)
    assert (await lanes.queue.stats(LANE)).depth == 0
    assert (await lanes.queue.stats("script-low")).depth == 1


async def test_stats_count_what_waits_and_know_the_oldest(lanes: Lanes) -> None:
    assert (await lanes.queue.stats(LANE)).oldest_at is None
    await lanes.queue.enqueue(task("job-1", at=lanes.now() + timedelta(hours=1)))
    first = lanes.now()
    await lanes.advance(60)
    await lanes.queue.enqueue(task("job-2", at=lanes.now() + timedelta(hours=1)))
    stats = await lanes.queue.stats(LANE)
    assert (stats.queue, stats.depth) == (LANE, 2)
    assert stats.oldest_at is not None
    assert abs(stats.oldest_at - first) < timedelta(seconds=1)


async def test_a_lane_that_does_not_exist_is_a_queue_error(lanes: Lanes) -> None:
    for call in (
        lanes.queue.enqueue(task("job-1", queue="nope")),
        lanes.queue.pause("nope"),
        lanes.queue.stats("nope"),
    ):
        with pytest.raises(QueueError, match="Queue does not exist"):
            await call


async def test_one_bad_task_does_not_spoil_the_others_of_its_call(lanes: Lanes) -> None:
    bad = task("job-bad", at=lanes.now() + timedelta(days=31))
    with pytest.raises(QueueError, match="too far in the future"):
        await lanes.queue.enqueue_many([task("job-1"), bad, task("job-2")])
    assert len(await lanes.advance(0)) == 2


async def test_a_door_that_cannot_be_reached_is_a_queue_error() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        queue = EmbeddedTasks(
            "http://local.test",
            target_url=TARGET,
            internal_key="key",
            send_request=httpx_sender(client),
        )
        with pytest.raises(QueueError, match="cannot be reached"):
            await queue.enqueue(task("job-1"))


async def test_under_load_the_embedded_adapter_sends_a_hundred_tasks_a_call() -> None:
    calls: list[int] = []

    async def counting(request: httpx.Request) -> httpx.Response:
        calls.append(len(json.loads(request.content)["requests"]))
        await asyncio.sleep(0)
        return httpx.Response(200, json={"name": "operation", "done": True})

    async with httpx.AsyncClient(transport=httpx.MockTransport(counting)) as client:
        queue = EmbeddedTasks(
            "http://local.test",
            target_url=TARGET,
            internal_key="key",
            send_request=httpx_sender(client),
        )
        await asyncio.gather(*(queue.enqueue(task(f"job-{i}")) for i in range(250)))
    assert calls == [100, 100, 50]
