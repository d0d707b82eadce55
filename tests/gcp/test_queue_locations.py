"""Queues in several locations: a task goes to the first that takes it, and orders reach all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from grpc.aio import UnaryUnaryClientInterceptor

from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.gcp.queue_locations import (
    FIRST_PAUSE_SECONDS,
    ORDER_AGE_SECONDS,
    Locations,
    parse_locations,
)
from taskreel.adapters.gcp.task_queues import _SINGLE_CALLS
from taskreel.domain.errors import QueueError, StoreError
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

from .calls import rpc_error
from .test_cloud_tasks import QUEUE, Deliveries, address_of, connect, make_task

FIRST, SECOND = "europe-central2", "europe-west1"


class Outages(UnaryUnaryClientInterceptor):
    """The locations whose calls fail, before the service has them or after; counts all calls."""

    def __init__(self) -> None:
        self.lost: dict[str, grpc.StatusCode] = {}
        self.answers_lost: set[str] = set()
        self.calls: list[str] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        place = (getattr(request, "parent", "") or request.name).split("/")[3]
        self.calls.append(place)
        if place in self.lost:
            raise rpc_error(self.lost[place])
        answer = await continuation(details, request)
        if place in self.answers_lost:
            await answer.code()  # it is stored, and a repetition would learn that
            raise rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED)
        return answer


@pytest.fixture
async def service() -> AsyncIterator[LocalCloudTasks]:
    queues = [
        Queue(name=f"projects/demo/locations/{place}/queues/{name}")
        for place in (FIRST, SECOND)
        for name in (QUEUE, f"{QUEUE}-2")
    ]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=Deliveries()
    )
    async with LocalCloudTasks(config) as running:
        yield running


@pytest.fixture
def outages() -> Outages:
    return Outages()


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def connect_both(
    service: LocalCloudTasks, outages: Outages, **options: Any
) -> AbstractAsyncContextManager[CloudTasks]:
    return connect(address_of(service), [outages], further_locations=[SECOND], **options)


async def count_tasks(service: LocalCloudTasks) -> tuple[int, int]:
    """The tasks in the first location and in the second, seen by clients of one location."""
    depths = []
    for place in (FIRST, SECOND):
        async with connect(address_of(service), location=place) as alone:
            await alone.pause(QUEUE)
            depths.append((await alone.stats(QUEUE)).depth)
    return depths[0], depths[1]


async def test_tasks_go_to_the_first_location_while_it_works(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages) as tasks:
        assert list(tasks.list_locations()) == [FIRST, SECOND]
        await tasks.pause(QUEUE)
        outages.calls.clear()
        await tasks.enqueue_many([make_task("job-1"), make_task("job-2")])
        await tasks.enqueue(make_task("job-3"))
    assert outages.calls == [FIRST, FIRST]  # a batch, and a task: nothing more than with one
    assert await count_tasks(service) == (3, 0)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
async def test_tasks_go_elsewhere_while_a_location_is_down_and_return_after_it(
    service: LocalCloudTasks, outages: Outages, code: grpc.StatusCode
) -> None:
    clock = Seconds()
    async with connect_both(service, outages) as tasks:
        tasks._locations = Locations([FIRST, SECOND], now=clock)
        await tasks.pause(QUEUE)
        outages.lost[FIRST] = code
        await tasks.enqueue_many([make_task("job-1"), make_task("job-2")])
        assert await count_tasks(service) == (0, 2)
        outages.calls.clear()
        await tasks.enqueue(make_task("job-3"))
        assert outages.calls == [SECOND]  # its failure is known: no call waits for it again
        outages.lost.clear()
        await tasks.enqueue(make_task("job-4"))
        assert await count_tasks(service) == (0, 4)
        clock.now += FIRST_PAUSE_SECONDS
        await tasks.enqueue(make_task("job-5"))
        assert await count_tasks(service) == (1, 4)


async def test_a_location_that_fails_again_is_passed_over_for_longer(
    service: LocalCloudTasks, outages: Outages
) -> None:
    clock = Seconds()
    async with connect_both(service, outages) as tasks:
        tasks._locations = Locations([FIRST, SECOND], now=clock)
        outages.lost[FIRST] = grpc.StatusCode.UNAVAILABLE
        await tasks.enqueue(make_task("job-1"))
        clock.now += FIRST_PAUSE_SECONDS
        await tasks.enqueue(make_task("job-2"))  # tries it, in vain
        outages.calls.clear()
        clock.now += FIRST_PAUSE_SECONDS
        await tasks.enqueue(make_task("job-3"))
        assert outages.calls == [SECOND]
        clock.now += FIRST_PAUSE_SECONDS
        await tasks.enqueue(make_task("job-4"))
        assert FIRST in outages.calls


async def test_without_batches_a_location_that_is_down_is_called_a_few_times_only(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages) as tasks:
        await tasks.pause(QUEUE)
        tasks._connect()._has_batches = False
        outages.lost[FIRST] = grpc.StatusCode.UNAVAILABLE
        outages.calls.clear()
        await tasks.enqueue_many([make_task(f"job-{number}") for number in range(100)])
        # Twice for those under way at once, and not in five rounds of 2.5 s.
        assert outages.calls.count(FIRST) <= 2 * _SINGLE_CALLS
    assert await count_tasks(service) == (0, 100)


async def test_a_lost_answer_may_double_a_task_and_loses_none(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages) as tasks:
        await tasks.pause(QUEUE)
        outages.answers_lost = {FIRST}
        await tasks.enqueue(make_task("job-1"))
    # The claim of the job decides which of them runs it: see queue_locations.py.
    assert await count_tasks(service) == (1, 1)


async def test_a_task_that_every_location_refuses_closes_none(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages) as tasks:
        outages.lost[FIRST] = grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(QueueError):
            await tasks.enqueue(make_task("job-1"))
        assert outages.calls == [FIRST]
        outages.lost.clear()
        await tasks.enqueue(make_task("job-2"))
        assert outages.calls == [FIRST, FIRST]


async def test_with_all_locations_down_the_caller_is_told(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages) as tasks:
        outages.lost = dict.fromkeys((FIRST, SECOND), grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(QueueError):
            await tasks.enqueue(make_task("job-1"))


async def test_a_drained_location_gets_no_tasks_and_its_orders_are_read_now_and_then(
    service: LocalCloudTasks, outages: Outages
) -> None:
    orders: list[Collection[str] | StoreError] = [{FIRST}, StoreError("away"), set()]

    async def read_drained() -> Collection[str]:
        found = orders.pop(0)
        if isinstance(found, StoreError):
            raise found
        return found

    clock = Seconds()
    async with connect_both(service, outages) as tasks:
        tasks._locations = Locations([FIRST, SECOND], read_drained, clock)
        for number in range(3):
            await tasks.enqueue(make_task(f"job-{number}"))
        assert (set(outages.calls), len(orders)) == ({SECOND}, 2)
        clock.now += ORDER_AGE_SECONDS
        await tasks.enqueue(make_task("job-3"))
        assert (set(outages.calls), len(orders)) == ({SECOND}, 1)  # the last order holds
        clock.now += ORDER_AGE_SECONDS
        await tasks.enqueue(make_task("job-4"))
        assert outages.calls[-1] == FIRST


async def test_orders_and_statistics_reach_all_shards_of_all_locations(
    service: LocalCloudTasks, outages: Outages
) -> None:
    async with connect_both(service, outages, shards={QUEUE: 2}) as tasks:
        await tasks.pause(QUEUE)
        await tasks.enqueue_many([make_task(f"job-{number}") for number in range(10)])
        async with connect(address_of(service), location=SECOND) as second:
            await second.enqueue(make_task("job-10"))
        stats = await tasks.stats(QUEUE)
        assert (stats.depth, stats.paused) == (11, True)
        assert {name: one and one.depth for name, one in stats.locations.items()} == {
            FIRST: 10,
            SECOND: 1,
        }
        outages.lost[FIRST] = grpc.StatusCode.UNAVAILABLE
        stats = await tasks.stats(QUEUE)
        assert (stats.depth, stats.locations[FIRST]) == (1, None)
        outages.lost[SECOND] = grpc.StatusCode.UNAVAILABLE
        with pytest.raises(QueueError):
            await tasks.stats(QUEUE)
        outages.lost.clear()
        await tasks.purge(QUEUE)
        assert (await tasks.stats(QUEUE)).depth == 0
        await tasks.resume(QUEUE)
        assert not (await tasks.stats(QUEUE)).paused


def test_the_url_names_the_further_locations() -> None:
    assert parse_locations(FIRST, f"{SECOND},{FIRST}") == (FIRST, SECOND)
    assert parse_locations(FIRST, None) == (FIRST,)
    for wrong in ("Europe", "a,,b", "a/b"):
        with pytest.raises(ValueError, match="LOCATION"):
            parse_locations(FIRST, wrong)
