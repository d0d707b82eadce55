"""The contract of the TaskQueue port, over the embedded queue and over Google's gRPC API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from httpx_sender import httpx_sender
from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.local.tasks import PARENT, EmbeddedTasks, SendRequest
from taskreel.app.jobs.enqueue import build_task
from taskreel.domain.errors import QueueError
from taskreel.ports import Task, TaskQueue
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.messages import Queue, RetryConfig
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

QUEUE = "image-generation-normal"
TARGET = "http://processor.test"


@dataclass
class Processor:
    """Accepts every delivery with 200."""

    requests: list[OutgoingRequest]

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        self.requests.append(request)
        return HandlerResponse(200, {})


@dataclass
class QueueUnderTest:
    """A queue adapter, and the local Cloud Tasks behind it under virtual time."""

    adapter: TaskQueue
    service: LocalCloudTasks
    processor: Processor

    async def advance(self, seconds: float) -> list[OutgoingRequest]:
        """Let time pass; return every request delivered so far."""
        await self.service.engine.advance(timedelta(seconds=seconds))
        return self.processor.requests

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.service.engine.clock.now() / SECOND, UTC)


@asynccontextmanager
async def connect_embedded(service: LocalCloudTasks) -> AsyncIterator[TaskQueue]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.rest_app)) as client:
        yield EmbeddedTasks(
            "http://local.test",
            target_url=TARGET,
            internal_key="key",
            send_request=httpx_sender(client),
        )


@asynccontextmanager
async def connect_cloud(service: LocalCloudTasks) -> AsyncIterator[TaskQueue]:
    """Connect the production adapter, over gRPC."""
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


@pytest.fixture(params=[connect_embedded, connect_cloud], ids=["embedded", "cloud"])
async def tested(request: pytest.FixtureRequest) -> AsyncIterator[QueueUnderTest]:
    processor = Processor([])
    retry = RetryConfig(max_attempts=3, min_backoff=SECOND)
    queues = [
        Queue(name=f"{PARENT}/queues/{name}", retry_config=retry) for name in (QUEUE, "script-low")
    ]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=processor
    )
    async with LocalCloudTasks(config) as service, request.param(service) as queue:
        yield QueueUnderTest(queue, service, processor)


def make_task(job_id: str, **fields: object) -> Task:
    given: dict[str, Any] = {"queue": QUEUE, "delivery": 1, **fields}
    return build_task(job_id=job_id, **given)


async def test_a_task_is_one_post_to_the_processor_with_ids_only_and_the_internal_key(
    tested: QueueUnderTest,
) -> None:
    await tested.adapter.enqueue(make_task("job-1", delivery=7))
    (request,) = await tested.advance(0)
    headers = {key.lower(): value for key, value in request.headers}
    assert (request.method, request.url) == ("POST", f"{TARGET}/tasks/process")
    assert json.loads(request.body) == {"jobId": "job-1", "delivery": 7}
    assert headers["x-internal-api-key"] == "key"
    assert headers["content-type"] == "application/json"
    assert headers["x-cloudtasks-queuename"] == QUEUE


async def test_the_same_job_and_delivery_is_one_task_and_a_new_delivery_another(
    tested: QueueUnderTest,
) -> None:
    await tested.adapter.enqueue(make_task("job-1"))
    await tested.adapter.enqueue(make_task("job-1"))
    await tested.advance(0)
    await tested.adapter.enqueue(make_task("job-1"))
    await tested.adapter.enqueue(make_task("job-1", delivery=2))
    assert len(await tested.advance(0)) == 2


async def test_a_task_is_not_delivered_before_its_time(tested: QueueUnderTest) -> None:
    await tested.adapter.enqueue(make_task("job-1", at=tested.now() + timedelta(minutes=5)))
    assert await tested.advance(299) == []
    assert len(await tested.advance(1)) == 1


async def test_many_tasks_of_several_queues_are_all_delivered(tested: QueueUnderTest) -> None:
    tasks = [make_task(f"job-{i}", queue=QUEUE if i % 3 else "script-low") for i in range(250)]
    await tested.adapter.enqueue_many(tasks)
    delivered = {json.loads(request.body)["jobId"] for request in await tested.advance(2)}
    assert delivered == {f"job-{i}" for i in range(250)}


async def test_concurrent_enqueues_all_arrive(tested: QueueUnderTest) -> None:
    await asyncio.gather(*(tested.adapter.enqueue(make_task(f"job-{i}")) for i in range(150)))
    assert len(await tested.advance(2)) == 150


async def test_a_paused_queue_holds_its_tasks_until_it_is_resumed(tested: QueueUnderTest) -> None:
    await tested.adapter.pause(QUEUE)
    await tested.adapter.enqueue(make_task("job-1"))
    assert await tested.advance(60) == []
    assert (await tested.adapter.stats(QUEUE)).paused
    await tested.adapter.resume(QUEUE)
    assert len(await tested.advance(1)) == 1
    assert not (await tested.adapter.stats(QUEUE)).paused


async def test_purging_a_queue_empties_it_and_no_other(tested: QueueUnderTest) -> None:
    later = tested.now() + timedelta(hours=1)
    await tested.adapter.enqueue_many(
        [make_task("job-1", at=later), make_task("job-2", at=later, queue="script-low")]
    )
    await tested.adapter.purge(QUEUE)
    assert (await tested.adapter.stats(QUEUE)).depth == 0
    assert (await tested.adapter.stats("script-low")).depth == 1


async def test_stats_count_waiting_tasks_and_name_the_next(tested: QueueUnderTest) -> None:
    assert (await tested.adapter.stats(QUEUE)).oldest_at is None
    await tested.adapter.enqueue(make_task("job-1", at=tested.now() + timedelta(hours=2)))
    await tested.advance(60)
    first = tested.now() + timedelta(hours=1)
    await tested.adapter.enqueue(make_task("job-2", at=first))
    stats = await tested.adapter.stats(QUEUE)
    assert (stats.queue, stats.depth) == (QUEUE, 2)
    assert stats.oldest_at is not None
    assert abs(stats.oldest_at - first) < timedelta(seconds=1)


async def test_a_queue_that_does_not_exist_is_a_queue_error(tested: QueueUnderTest) -> None:
    for call in (
        tested.adapter.enqueue(make_task("job-1", queue="nope")),
        tested.adapter.pause("nope"),
        tested.adapter.stats("nope"),
    ):
        with pytest.raises(QueueError, match="Queue does not exist"):
            await call


async def test_one_refused_task_does_not_stop_the_others_of_its_call(
    tested: QueueUnderTest,
) -> None:
    bad = make_task("job-bad", at=tested.now() + timedelta(days=31))
    with pytest.raises(QueueError, match="too far in the future"):
        await tested.adapter.enqueue_many([make_task("job-1"), bad, make_task("job-2")])
    assert len(await tested.advance(0)) == 2


async def test_an_api_that_cannot_be_reached_is_a_queue_error() -> None:
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
            await queue.enqueue(make_task("job-1"))


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
        await asyncio.gather(*(queue.enqueue(make_task(f"job-{i}")) for i in range(250)))
    assert calls == [100, 100, 50]


def _build_embedded(send: SendRequest) -> EmbeddedTasks:
    return EmbeddedTasks(
        "http://local.test", target_url=TARGET, internal_key="key", send_request=send
    )


async def test_a_sender_that_crashes_leaves_no_caller_without_an_answer() -> None:
    async def crash(_verb: str, _url: str, _body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        raise RuntimeError("Session is closed")

    queue = _build_embedded(crash)
    async with asyncio.timeout(5):
        found = await asyncio.gather(
            *(queue.enqueue(make_task(f"job-{i}")) for i in range(250)), return_exceptions=True
        )
    assert {type(each) for each in found} == {QueueError}


async def test_closing_sends_the_tasks_that_wait_and_refuses_later_ones() -> None:
    sent: list[int] = []

    async def slow(_verb: str, _url: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        await asyncio.sleep(0.01)
        sent.append(len((body or {})["requests"]))
        return 200, b'{"name": "operation", "done": true}'

    queue = _build_embedded(slow)
    waiting = [asyncio.ensure_future(queue.enqueue(make_task(f"job-{i}"))) for i in range(150)]
    await asyncio.sleep(0)
    await queue.close()
    await asyncio.gather(*waiting)
    assert sum(sent) == 150
    with pytest.raises(QueueError, match="stopping"):
        await queue.enqueue(make_task("job-late"))
