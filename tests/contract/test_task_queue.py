"""The contract of the TaskQueue port, over the queues in memory and over Cloud Tasks' APIs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from msgspec.structs import replace

from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.local.memory_tasks import MemoryTasks
from taskreel.adapters.local.queue_settings import QueueSettings
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.app.messages.job_task import build_task
from taskreel.domain.errors import QueueError
from taskreel.ports import Task, TaskQueue
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from taskreel_cloud_tasks.delivery_history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.messages import Queue, RateLimits, RetryConfig
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig
from virtual_time import VirtualTime

QUEUE = "image-generation-queue"
TARGET = "http://processor.test"
PARENT = "projects/taskreel-local/locations/us-central1"
NARROW = "script-low"
#: The settings of both queues; NARROW also has a limit on concurrency.
ATTEMPTS, BACKOFF, CONCURRENT = 3, 1, 5


@dataclass(frozen=True)
class Delivered:
    """One delivery, with the values of its headers."""

    queue: str
    body: dict[str, Any]
    retry_count: int
    execution_count: int
    eta: float
    previous_response: int | None


@dataclass
class Processor:
    """Answers deliveries: 200, or the next of `answers`; while `open` is not set it hangs."""

    delivered: list[Delivered] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[OutgoingRequest] = field(default_factory=list)

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        """Take a delivery of the local Cloud Tasks."""
        self.requests.append(request)
        headers = {key.lower().removeprefix("x-cloudtasks-"): text for key, text in request.headers}
        delivered = Delivered(
            queue=headers["queuename"],
            body=json.loads(request.body),
            retry_count=int(headers["taskretrycount"]),
            execution_count=int(headers["taskexecutioncount"]),
            eta=float(headers["tasketa"]),
            previous_response=int(headers["taskpreviousresponse"])
            if "taskpreviousresponse" in headers
            else None,
        )
        return HandlerResponse(await self._answer(delivered), {})

    async def process(self, delivery: Delivery) -> int:
        """Take a delivery of the queues in memory."""
        return await self._answer(
            Delivered(
                queue=delivery.task.queue,
                body=json.loads(delivery.task.body),
                retry_count=delivery.retry_count,
                execution_count=delivery.execution_count,
                eta=delivery.eta.timestamp(),
                previous_response=delivery.previous_response,
            )
        )

    async def _answer(self, delivered: Delivered) -> int:
        self.delivered.append(delivered)
        await self.open.wait()
        return self.answers.pop(0) if self.answers else 200


class MovableTime(Protocol):
    """The virtual time of the queues under test."""

    def now(self) -> datetime:
        """The present time."""

    async def advance(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""


@dataclass
class EngineTime:
    """The time of the local Cloud Tasks."""

    service: LocalCloudTasks

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.service.engine.clock.now() / SECOND, UTC)

    async def advance(self, seconds: float) -> None:
        await self.service.engine.advance(timedelta(seconds=seconds))


class MemoryTime(VirtualTime):
    """The time of the queues in memory."""

    async def advance(self, seconds: float) -> None:
        until = self.clock.now() + round(seconds * SECOND)
        await _rest()
        while self.clock.run_next(until):
            await _rest()


async def _rest() -> None:
    """Let everything happen that is due now."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class QueueUnderTest:
    """A queue adapter under virtual time, and the processor that it calls."""

    adapter: TaskQueue
    time: MovableTime
    processor: Processor

    async def advance(self, seconds: float) -> list[Delivered]:
        """Let time pass; return every delivery so far."""
        await self.time.advance(seconds)
        return self.processor.delivered

    def now(self) -> datetime:
        return self.time.now()


@asynccontextmanager
async def run_in_memory(processor: Processor) -> AsyncIterator[QueueUnderTest]:
    time = MemoryTime(VirtualClock())
    settings = QueueSettings(max_attempts=ATTEMPTS, min_backoff=BACKOFF)
    narrow = replace(settings, max_concurrent_dispatches=CONCURRENT)
    adapter = MemoryTasks(lambda: {QUEUE: settings, NARROW: narrow}, time, processor.process)
    yield QueueUnderTest(adapter, time, processor)
    await adapter.close()


@asynccontextmanager
async def _run_cloud_tasks(processor: Processor) -> AsyncIterator[LocalCloudTasks]:
    retry = RetryConfig(max_attempts=ATTEMPTS, min_backoff=BACKOFF * SECOND)
    narrow = RateLimits(max_concurrent_dispatches=CONCURRENT)
    queues = [
        Queue(name=f"{PARENT}/queues/{name}", retry_config=retry, rate_limits=limits)
        for name, limits in ((QUEUE, None), (NARROW, narrow))
    ]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=processor
    )
    async with LocalCloudTasks(config) as service:
        yield service


@asynccontextmanager
async def run_over_grpc(processor: Processor) -> AsyncIterator[QueueUnderTest]:
    """Run the production adapter."""
    _, project, _, location = PARENT.split("/")
    async with _run_cloud_tasks(processor) as service:
        adapter = CloudTasks(
            project=project,
            location=location,
            target_url=TARGET,
            internal_key="key",
            emulator=f"127.0.0.1:{service.grpc_port}",
        )
        yield QueueUnderTest(adapter, EngineTime(service), processor)
        await adapter.close()


@pytest.fixture(params=[run_in_memory, run_over_grpc], ids=["memory", "cloud"])
async def tested(request: pytest.FixtureRequest) -> AsyncIterator[QueueUnderTest]:
    processor = Processor()
    processor.open.set()
    async with request.param(processor) as queue:
        yield queue


def make_task(job_id: str, **fields: object) -> Task:
    given: dict[str, Any] = {"queue": QUEUE, "delivery": 1, **fields}
    return build_task(job_id=job_id, **given)


async def test_a_task_is_one_post_to_the_processor_with_ids_only_and_the_internal_key(
    tested: QueueUnderTest,
) -> None:
    await tested.adapter.enqueue(make_task("job-1", delivery=7))
    (delivered,) = await tested.advance(0)
    assert (delivered.queue, delivered.body) == (QUEUE, {"jobId": "job-1", "delivery": 7})
    for request in tested.processor.requests:  # none where no socket is between
        headers = {key.lower(): value for key, value in request.headers}
        assert (request.method, request.url) == ("POST", f"{TARGET}/tasks/process")
        assert headers["x-internal-api-key"] == "key"
        assert headers["content-type"] == "application/json"


async def test_a_delivery_carries_what_cloud_tasks_tells_in_headers(
    tested: QueueUnderTest,
) -> None:
    tested.processor.answers = [409, 200]
    created = tested.now().timestamp()
    await tested.adapter.enqueue(make_task("job-1"))
    first, again = await tested.advance(BACKOFF)
    assert (first.retry_count, first.execution_count, first.previous_response) == (0, 0, None)
    assert (again.retry_count, again.execution_count, again.previous_response) == (1, 1, 409)
    assert first.eta == pytest.approx(created)
    assert again.eta == pytest.approx(created + BACKOFF)


async def test_a_failed_delivery_comes_again_after_a_doubled_wait_until_the_attempts_are_over(
    tested: QueueUnderTest,
) -> None:
    tested.processor.answers = [500, 409, 500]
    await tested.adapter.enqueue(make_task("job-1"))
    waits = (0, 0.99, 0.01, 1.99, 0.01, 3600)
    seen = [len(await tested.advance(seconds)) for seconds in waits]
    assert seen == [1, 1, 2, 2, 3, 3]
    assert (await tested.adapter.stats(QUEUE)).depth == 0


async def test_no_more_tasks_run_at_once_than_the_queue_allows(tested: QueueUnderTest) -> None:
    tested.processor.open.clear()
    tasks = [make_task(f"job-{i}", queue=NARROW) for i in range(CONCURRENT + 4)]
    await tested.adapter.enqueue_many(tasks)
    assert len(await tested.advance(1)) == CONCURRENT
    stats = await tested.adapter.stats(NARROW)
    assert stats.depth == CONCURRENT + 4
    assert stats.oldest_at is not None
    assert stats.oldest_at < tested.now()
    tested.processor.open.set()
    assert len(await tested.advance(1)) == CONCURRENT + 4
    assert (await tested.adapter.stats(NARROW)).depth == 0


async def test_a_burst_is_followed_by_the_queues_rate(tested: QueueUnderTest) -> None:
    await tested.adapter.enqueue_many([make_task(f"job-{i}") for i in range(1000)])
    seen = [len(await tested.advance(seconds)) for seconds in (0, 0.5, 0.5, 2)]
    assert seen[0] == 100
    assert seen[1:3] == [pytest.approx(350, abs=2), pytest.approx(600, abs=2)]
    assert seen[3] == 1000


async def test_a_delivery_past_its_deadline_comes_again_and_frees_its_slot(
    tested: QueueUnderTest,
) -> None:
    tested.processor.open.clear()
    await tested.adapter.enqueue(make_task("job-1", deadline=timedelta(seconds=30)))
    assert len(await tested.advance(30)) == 1
    _, again = await tested.advance(1)
    assert (again.retry_count, again.previous_response) == (1, 504)
    tested.processor.open.set()
    assert len(await tested.advance(3600)) == 2
    assert (await tested.adapter.stats(QUEUE)).depth == 0


async def test_a_task_that_is_purged_while_it_runs_is_not_repeated(
    tested: QueueUnderTest,
) -> None:
    tested.processor.open.clear()
    tested.processor.answers = [500]
    await tested.adapter.enqueue(make_task("job-1"))
    await tested.advance(0)
    await tested.adapter.purge(QUEUE)
    tested.processor.open.set()
    assert len(await tested.advance(60)) == 1


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
    tasks = [make_task(f"job-{i}", queue=QUEUE if i % 3 else NARROW) for i in range(250)]
    await tested.adapter.enqueue_many(tasks)
    delivered = {each.body["jobId"] for each in await tested.advance(2)}
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
        [make_task("job-1", at=later), make_task("job-2", at=later, queue=NARROW)]
    )
    await tested.adapter.purge(QUEUE)
    assert (await tested.adapter.stats(QUEUE)).depth == 0
    assert (await tested.adapter.stats(NARROW)).depth == 1


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


async def test_closed_queues_in_memory_deliver_nothing_more_and_refuse_no_task() -> None:
    processor = Processor()
    processor.open.set()
    async with run_in_memory(processor) as queue:
        later = make_task("job-1", at=queue.now() + timedelta(seconds=1))
        await queue.adapter.enqueue(later)
        await queue.adapter.close()
        await queue.adapter.enqueue(make_task("job-2"))
        assert await queue.advance(60) == []


async def test_a_processor_that_raises_is_called_again_by_the_queues_in_memory() -> None:
    calls: list[str] = []

    async def crash(delivery: Delivery) -> int:
        calls.append(delivery.task.job_id)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return 200

    time = MemoryTime(VirtualClock())
    queue = MemoryTasks(lambda: {QUEUE: QueueSettings(min_backoff=1)}, time, crash)
    await queue.enqueue(make_task("job-1"))
    await time.advance(10)
    assert calls == ["job-1", "job-1"]


async def test_queues_in_memory_read_their_settings_with_the_first_task() -> None:
    """A cold start's first health asks every queue, and reads no file for it."""
    read: list[str] = []

    def read_settings() -> dict[str, QueueSettings]:
        read.append("settings")
        if len(read) == 1:
            raise ValueError("queues.yaml: queue nope: a bad setting")
        return {QUEUE: QueueSettings()}

    time = MemoryTime(VirtualClock())
    queue = MemoryTasks(read_settings, time, Processor().process)
    assert (await queue.stats(QUEUE)).depth == 0
    assert read == []
    with pytest.raises(QueueError, match="a bad setting"):
        await queue.enqueue(make_task("job-1"))
    later = time.now() + timedelta(hours=1)
    await queue.enqueue(make_task("job-1", at=later))
    await queue.enqueue(make_task("job-2", at=later))
    assert ((await queue.stats(QUEUE)).depth, len(read)) == (2, 2)


async def test_queues_in_memory_that_were_closed_before_the_first_task_deliver_none() -> None:
    processor, time = Processor(), MemoryTime(VirtualClock())
    queue = MemoryTasks(lambda: {QUEUE: QueueSettings()}, time, processor.process)
    await queue.close()
    await queue.enqueue(make_task("job-1"))
    await time.advance(10)
    assert processor.delivered == []
