"""The engine under virtual time: delivery, retry, de-duplication, pausing, deadlines, faults."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cloudtasks.worker import LOCATION, QUEUE, Bench, http_task, make_bench
from taskreel_cloud_tasks.api_errors import ApiError, Code
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from taskreel_cloud_tasks.delivery_history import EventKind, HandlerResponse
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.faults import NO_FAULTS, Faults
from taskreel_cloud_tasks.http_client import SendError
from taskreel_cloud_tasks.messages import (
    HttpRequest,
    Queue,
    RateLimits,
    RetryConfig,
    State,
    Status,
    View,
)

NAMED = f"{QUEUE}/tasks/named"


async def retrying(bench: Bench, **config: int) -> None:
    settings = RetryConfig(**{"min_backoff": SECOND, "max_backoff": 100 * SECOND, **config})
    await bench.engine.update_queue(Queue(name=QUEUE, retry_config=settings))


def kinds(bench: Bench) -> list[EventKind]:
    return [event.kind for event in bench.engine.history.events]


async def test_the_golden_sequence_of_headers(bench: Bench) -> None:
    bench.worker.answers.extend([503, 404, 429, 500, 302])
    await bench.create()
    await bench.advance(3600)
    assert bench.worker.header("X-CloudTasks-TaskRetryCount") == ["0", "1", "2", "3", "4", "5"]
    assert bench.worker.header("X-CloudTasks-TaskExecutionCount") == ["0", "0", "1", "2", "2", "3"]
    previous = [None, "503", "404", "429", "500", "302"]
    assert bench.worker.header("X-CloudTasks-TaskPreviousResponse") == previous
    assert bench.worker.header("X-CloudTasks-TaskRetryReason") == [None, "", "", "", "", ""]
    assert bench.worker.header("X-CloudTasks-QueueName") == ["jobs"] * 6
    assert bench.engine.is_idle()


async def test_a_retry_is_counted_from_the_failure_and_its_eta_says_so(bench: Bench) -> None:
    await retrying(bench, max_doublings=1)
    bench.worker.answers.extend([500, 500, 500, 500])
    await bench.create()
    await bench.advance(60)
    assert bench.worker.times() == [0, 1, 3, 7, 13]
    etas = [float(eta or 0) for eta in bench.worker.header("X-CloudTasks-TaskETA")]
    assert etas == [at for at, _ in bench.worker.sent]


async def test_an_exhausted_task_is_deleted_silently_with_an_event(bench: Bench) -> None:
    await retrying(bench, max_attempts=3)
    bench.worker.otherwise = 500
    name = await bench.create()
    await bench.advance(60)
    assert len(bench.worker.sent) == 3
    assert kinds(bench)[-1] is EventKind.EXHAUSTED
    with pytest.raises(ApiError, match="existed recently") as gone:
        bench.engine.get_task(name)
    assert gone.value.code is Code.NOT_FOUND


async def test_with_both_limits_set_attempts_go_on_until_the_duration_has_passed(
    bench: Bench,
) -> None:
    await retrying(bench, max_attempts=2, max_retry_duration=10 * SECOND, max_backoff=2 * SECOND)
    bench.worker.otherwise = 500
    await bench.create()
    await bench.advance(60)
    assert bench.worker.times() == [0, 1, 3, 5, 7, 9, 11]


async def test_a_tasks_own_retry_config_overrides_the_queues(bench: Bench) -> None:
    bench.worker.otherwise = 500
    await bench.create(retry_config=RetryConfig(max_attempts=2, min_backoff=5 * SECOND))
    await bench.advance(60)
    assert bench.worker.times() == [0, 5]


async def test_without_limits_a_task_is_retried_until_its_retention_ends(bench: Bench) -> None:
    await retrying(bench, max_attempts=-1, min_backoff=86_400 * SECOND, max_backoff=86_400 * SECOND)
    bench.worker.otherwise = 500
    await bench.create()
    await bench.advance(40 * 86_400)
    assert len(bench.worker.sent) == 32
    assert kinds(bench)[-1] is EventKind.EXPIRED


async def test_a_task_waits_for_its_schedule_time(bench: Bench) -> None:
    at = bench.engine.clock.now() + 90 * SECOND
    await bench.create(schedule_time=at)
    await bench.advance(89.999)
    assert not bench.worker.sent
    await bench.advance(0.001)
    assert len(bench.worker.sent) == 1


@pytest.mark.parametrize("end", ["live", "executed", "deleted", "purged"])
async def test_a_name_collides_with_a_live_or_recent_task_and_is_free_after_the_window(
    bench: Bench, end: str
) -> None:
    later = bench.engine.clock.now() + 48 * 3600 * SECOND
    await bench.create(name=NAMED, schedule_time=later if end != "executed" else None)
    if end == "deleted":
        await bench.engine.delete_task(NAMED)
    if end == "purged":
        await bench.engine.purge_queue(QUEUE)
    await bench.advance(24 * 3600 - 1)
    with pytest.raises(ApiError, match="Requested entity already exists") as taken:
        await bench.create(name=NAMED)
    assert taken.value.code is Code.ALREADY_EXISTS
    if end != "live":
        await bench.advance(1)
        await bench.create(name=NAMED)


async def test_a_paused_queue_dispatches_nothing_but_what_is_run_by_hand(bench: Bench) -> None:
    await bench.engine.pause_queue(QUEUE)
    name = await bench.create()
    await bench.create()
    await bench.advance(60)
    assert not bench.worker.sent
    bench.engine.run_task(name)
    await bench.advance(0)
    assert len(bench.worker.sent) == 1
    resumed = await bench.engine.resume_queue(QUEUE)
    await bench.advance(0)
    assert resumed.state is State.RUNNING
    assert len(bench.worker.sent) == 2


async def test_a_failed_run_by_hand_is_retried_from_when_it_was_asked_for(bench: Bench) -> None:
    await retrying(bench)
    later = bench.engine.clock.now() + 3600 * SECOND
    name = await bench.create(schedule_time=later)
    bench.worker.answers.append(500)
    asked = bench.engine.clock.now()
    bench.engine.run_task(name)
    await bench.advance(0)
    assert bench.engine.get_task(name).schedule == asked + SECOND
    await bench.advance(1)
    assert len(bench.worker.sent) == 2


async def test_running_a_task_that_runs_already_overlaps(bench: Bench) -> None:
    bench.worker.hold = asyncio.Event()
    name = await bench.create()
    await bench.advance(0)
    bench.engine.run_task(name)
    await bench.advance(0)
    assert bench.worker.most_running == 2
    bench.worker.hold.set()
    await bench.advance(0)
    assert bench.engine.is_idle()


async def test_no_more_than_the_allowed_number_run_at_once(bench: Bench) -> None:
    limits = RateLimits(max_concurrent_dispatches=3)
    await bench.engine.update_queue(Queue(name=QUEUE, rate_limits=limits))
    bench.worker.hold = asyncio.Event()
    for _ in range(10):
        await bench.create()
    await bench.advance(10)
    assert bench.worker.running == 3
    bench.worker.hold.set()
    await bench.advance(0)
    assert (len(bench.worker.sent), bench.worker.most_running) == (10, 3)


async def test_a_missed_dispatch_deadline_is_a_504_and_not_an_execution(bench: Bench) -> None:
    hold = bench.worker.hold = asyncio.Event()
    await bench.create(dispatch_deadline=20 * SECOND)
    await bench.advance(19.9)
    assert len(bench.worker.sent) == 1
    bench.worker.hold = None
    await bench.advance(5)
    hold.set()
    assert bench.worker.times() == [0, 20.1]
    assert bench.worker.header("X-CloudTasks-TaskPreviousResponse")[1] == "504"
    assert bench.worker.header("X-CloudTasks-TaskExecutionCount")[1] == "0"


async def test_a_lost_connection_is_retried(bench: Bench) -> None:
    bench.worker.answers.append(SendError("reset"))
    name = await bench.create()
    await bench.advance(0)
    status = bench.engine.get_task(name).last_status
    assert status is not None
    assert status == Status(code=14, message="UNAVAILABLE(14): reset")
    await bench.advance(1)
    assert bench.engine.is_idle()


async def test_purge_deletes_what_waits_and_sets_the_purge_time(bench: Bench) -> None:
    await bench.engine.pause_queue(QUEUE)
    for _ in range(5):
        await bench.create()
    queue = await bench.engine.purge_queue(QUEUE)
    assert queue.purge_time == bench.engine.clock.now()
    assert list(bench.engine.list_tasks(QUEUE)) == []
    await bench.engine.resume_queue(QUEUE)
    await bench.advance(60)
    assert not bench.worker.sent


async def test_a_task_deleted_while_it_runs_has_no_sequel(bench: Bench) -> None:
    bench.worker.hold = asyncio.Event()
    bench.worker.otherwise = 500
    name = await bench.create()
    await bench.advance(0)
    await bench.engine.delete_task(name)
    bench.worker.hold.set()
    await bench.advance(3600)
    assert len(bench.worker.sent) == 1


async def test_the_name_of_a_deleted_queue_stays_taken_for_three_days(bench: Bench) -> None:
    await bench.engine.delete_queue(QUEUE)
    with pytest.raises(ApiError, match="existed too recently") as taken:
        await bench.engine.create_queue(LOCATION, Queue(name=QUEUE))
    assert taken.value.code is Code.FAILED_PRECONDITION
    await bench.advance(3 * 86_400)
    await bench.engine.create_queue(LOCATION, Queue(name=QUEUE))


async def test_retry_after_makes_the_task_wait(bench: Bench) -> None:
    bench.worker.answers.append(HandlerResponse(503, {"retry-after": "30"}))
    await bench.create()
    await bench.advance(60)
    assert bench.worker.times() == [0, 30]


async def test_429_halves_the_queues_rate_and_success_gives_it_back(bench: Bench) -> None:
    bench.worker.answers.append(429)
    await bench.create()
    await bench.advance(0)
    assert bench.engine.get_dispatcher(QUEUE).compute_stats().effective_execution_rate == 250
    for _ in range(10):
        await bench.create()
    await bench.advance(1)
    assert bench.engine.get_dispatcher(QUEUE).compute_stats().effective_execution_rate == 500


async def test_basic_leaves_out_the_body_and_only_the_body(bench: Bench) -> None:
    request = HttpRequest(url="http://worker.test/", headers={"X-Secret": "s"}, body=b"payload")
    await bench.engine.pause_queue(QUEUE)
    entry = await bench.engine.create_task(QUEUE, http_task(http_request=request))
    basic, full = entry.to_message(QUEUE, View.BASIC), entry.to_message(QUEUE, View.FULL)
    assert basic.http_request is not None
    assert full.http_request is not None
    assert (basic.http_request.body, full.http_request.body) == (b"", b"payload")
    assert basic.http_request.headers == {"X-Secret": "s", "User-Agent": "Google-Cloud-Tasks"}


async def test_the_duplicate_fault_delivers_a_finished_task_again(bench: Bench) -> None:
    bench.engine.faults = Faults(duplicate=1.0)
    await bench.create()
    await bench.advance(0)
    assert bench.worker.header("X-CloudTasks-TaskRetryCount") == ["0", "0"]
    assert bench.engine.is_idle()


async def test_the_delay_fault_makes_a_delivery_minutes_late(bench: Bench) -> None:
    bench.engine.faults = Faults(delay=1.0, delay_s=120)
    start = bench.engine.clock.now() / SECOND
    await bench.create()
    await bench.advance(300)
    assert bench.worker.sent[0][0] - start == 120


async def test_the_reorder_fault_breaks_the_order(bench: Bench) -> None:
    bench.engine.faults = Faults(seed=3, reorder=1.0)
    ids = [await bench.create() for _ in range(20)]
    await bench.advance(2)
    delivered = [f"{QUEUE}/tasks/{task}" for task in bench.worker.header("X-CloudTasks-TaskName")]
    assert delivered != ids
    assert sorted(delivered) == sorted(ids)


async def test_create_can_answer_deadline_exceeded_after_storing_the_task(bench: Bench) -> None:
    bench.engine.faults = Faults(create_deadline=1.0)
    with pytest.raises(ApiError) as late:
        await bench.create(name=NAMED)
    assert late.value.code is Code.DEADLINE_EXCEEDED
    bench.engine.faults = Faults()
    with pytest.raises(ApiError, match="already exists"):
        await bench.create(name=NAMED)
    await bench.advance(0)
    assert len(bench.worker.sent) == 1


@pytest.mark.parametrize(("fault", "requests"), [("lose_before", 0), ("lose_after", 1)])
async def test_a_connection_lost_before_the_handler_ran_or_after(
    bench: Bench, fault: str, requests: int
) -> None:
    probability: dict[str, Any] = {fault: 1.0}
    bench.engine.faults = replace(NO_FAULTS, **probability)
    name = await bench.create()
    await bench.advance(0)
    assert len(bench.worker.sent) == requests
    assert bench.engine.get_task(name).failures == 1


async def test_the_same_seed_gives_the_same_faults() -> None:
    faults = Faults(seed=7, lose_before=0.3, delay=0.2, duplicate=0.2)
    runs = []
    for _ in range(2):
        made = await make_bench(EngineConfig(seed=1))
        made.engine.faults = faults
        for _ in range(50):
            await made.create()
        await made.advance(1000)
        runs.append(
            list(zip(made.worker.times(), made.worker.header("X-CloudTasks-TaskName"), strict=True))
        )
        await made.engine.close(0)
    assert runs[0] == runs[1]


async def test_waiting_for_empty_ends_when_the_last_task_does(bench: Bench) -> None:
    bench.worker.answers.append(500)
    await bench.create()
    waiting = asyncio.create_task(bench.engine.wait_idle())
    await bench.advance(0)
    assert not waiting.done()
    await bench.advance(10)
    await asyncio.wait_for(waiting, 30)


async def test_closing_gives_up_on_a_dispatch_that_takes_too_long() -> None:
    made = await make_bench()
    made.worker.hold = asyncio.Event()
    await made.create()
    await made.advance(0)
    await asyncio.wait_for(made.engine.close(0.01), 30)


async def test_a_real_clock_cannot_be_advanced() -> None:
    engine = Engine()
    with pytest.raises(ApiError, match="The clock is real"):
        await engine.advance(timedelta(seconds=1))
    assert not isinstance(engine.clock, VirtualClock)
    await engine.close()


async def test_after_a_reset_nothing_is_reported_of_earlier_deliveries(bench: Bench) -> None:
    bench.worker.hold = asyncio.Event()
    await bench.create()
    await bench.advance(0)
    await bench.engine.reset(keep_queues=True)
    bench.worker.hold.set()
    await bench.advance(60)
    assert not bench.engine.history.deliveries
    assert bench.engine.is_idle()
    assert bench.worker.running == 0
