"""The records of attempts: bounded in number and in bytes."""

from __future__ import annotations

from cloudtasks.worker import Bench, make_bench
from taskreel_cloud_tasks.delivery_history import (
    MOST_BYTES,
    Delivery,
    HandlerResponse,
    History,
    OutgoingRequest,
)
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.messages import HttpRequest


def delivery(size: int, number: int = 0) -> Delivery:
    request = OutgoingRequest("POST", "http://worker.test/", (), b"x" * size)
    return Delivery("q", str(number), 0, 0, 0, request, HandlerResponse(200, {}, b"y" * size))


def stored_bytes(history: History) -> int:
    return sum(len(each.request.body) * 2 for each in history.deliveries)


async def test_a_thousand_tasks_of_a_megabyte_do_not_stay_in_memory(bench: Bench) -> None:
    request = HttpRequest(url="http://worker.test/", body=b"x" * 1_000_000)
    for _ in range(100):
        await bench.create(http_request=request)
        await bench.engine.run_due_work()
    history = bench.engine.history
    assert stored_bytes(history) // 2 <= MOST_BYTES
    assert len(history.deliveries) >= 30


def test_the_newest_attempt_stays_whatever_its_size() -> None:
    history = History(size=10, most_bytes=1000)
    for number in range(3):
        history.record_delivery(delivery(5000, number))
    assert [each.task for each in history.deliveries] == ["2"]
    history.clear()
    history.record_delivery(delivery(1))
    assert len(history.deliveries) == 1


async def test_the_number_of_records_is_bounded_too() -> None:
    bench = await make_bench(EngineConfig(history_size=5))
    for _ in range(8):
        await bench.create()
    await bench.engine.run_due_work()
    assert (len(bench.engine.history.deliveries), len(bench.engine.history.events)) == (5, 5)
