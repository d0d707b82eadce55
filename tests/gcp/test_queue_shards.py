"""A queue of several Cloud Tasks queues: its tasks are spread, and orders reach all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.gcp.queue_shards import choose_shard, list_shard_names, parse_shards
from taskreel.app.messages.job_task import build_task
from taskreel.ports import Task
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

from .test_cloud_tasks import PARENT, QUEUE, Deliveries, address_of, connect, make_task

SHARDS = 3
NAMES = (QUEUE, f"{QUEUE}-2", f"{QUEUE}-3")
OTHER = "image-upscale-queue"


@pytest.fixture
async def service() -> AsyncIterator[LocalCloudTasks]:
    queues = [Queue(name=f"{PARENT}/queues/{name}") for name in (*NAMES, OTHER)]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=Deliveries()
    )
    async with LocalCloudTasks(config) as running:
        yield running


@pytest.fixture
async def tasks(service: LocalCloudTasks) -> AsyncIterator[CloudTasks]:
    async with connect(address_of(service), shards={QUEUE: SHARDS}) as queue:
        yield queue


async def count_tasks(service: LocalCloudTasks) -> dict[str, int]:
    """The tasks of each Cloud Tasks queue."""
    async with connect(address_of(service)) as plain:
        return {name: (await plain.stats(name)).depth for name in (*NAMES, OTHER)}


def make_tasks(count: int) -> list[Task]:
    return [make_task(f"job-{number}") for number in range(count)]


async def test_tasks_are_spread_over_the_shards_and_a_repetition_is_no_second_task(
    service: LocalCloudTasks, tasks: CloudTasks
) -> None:
    await tasks.pause(QUEUE)
    await tasks.enqueue_many(make_tasks(60))
    await tasks.enqueue(make_tasks(1)[0])
    await tasks.enqueue(build_task(OTHER, "job-1", 1))
    found = await count_tasks(service)
    assert sum(found[name] for name in NAMES) == 60
    assert all(10 <= found[name] <= 30 for name in NAMES), found
    stats = await tasks.stats(QUEUE)
    assert (stats.queue, stats.depth, stats.paused) == (QUEUE, 60, True)


async def test_orders_reach_every_shard(service: LocalCloudTasks, tasks: CloudTasks) -> None:
    await tasks.pause(QUEUE)
    await tasks.enqueue_many(make_tasks(12))
    oldest = (await tasks.stats(QUEUE)).oldest_at
    assert oldest is not None
    await tasks.purge(QUEUE)
    assert sum((await count_tasks(service)).values()) == 0
    assert (await tasks.stats(QUEUE)).oldest_at is None
    await tasks.resume(QUEUE)
    async with connect(address_of(service)) as plain:
        assert not any([(await plain.stats(name)).paused for name in NAMES])
        await plain.pause(NAMES[-1])
    # One that is paused holds up a part of the tasks, which an operator must see.
    assert (await tasks.stats(QUEUE)).paused


def test_one_shard_is_the_queue_itself() -> None:
    assert list_shard_names(QUEUE, 1) == (QUEUE,)
    assert choose_shard(QUEUE, "ff" * 16, 1) == QUEUE
    assert list_shard_names(QUEUE, SHARDS) == NAMES


def test_the_url_names_the_shards() -> None:
    assert parse_shards("a-queue:2,b-queue:4") == {"a-queue": 2, "b-queue": 4}
    assert parse_shards(None) == parse_shards("") == {}
    for wrong in ("a-queue", "a-queue:0", "a-queue:two", ":2"):
        with pytest.raises(ValueError, match="QUEUE:NUMBER"):
            parse_shards(wrong)
