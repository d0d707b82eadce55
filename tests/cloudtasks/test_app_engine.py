"""App Engine tasks, as Google's docstrings describe them (client 2.26)."""

from __future__ import annotations

from typing import Any

import pytest

from cloudtasks.worker import QUEUE, Bench, Worker, http_task, make_bench
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    AppEngineRouting,
    HttpMethod,
    HttpRequest,
    Queue,
    RetryConfig,
    Task,
)
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig


def app_task(**fields: Any) -> Task:
    return Task(app_engine_http_request=AppEngineHttpRequest(**fields))


async def serve(worker: Worker, *tasks: Task, **settings: Any) -> None:
    config = ServiceConfig(
        rest_port=None,
        queues=[Queue(name=QUEUE, retry_config=RetryConfig(max_attempts=1), **settings)],
        engine=EngineConfig(app_engine_url=worker.url),
    )
    async with LocalCloudTasks(config) as service:
        for task in tasks:
            await service.engine.create_task(QUEUE, task)
        await worker.received(len(tasks))


async def test_redirects_of_an_app_are_not_followed_and_of_other_handlers_are(
    worker: Worker,
) -> None:
    worker.answers.append((302, {"Location": f"{worker.url}/elsewhere"}))
    await serve(worker, app_task(relative_uri="/app"))
    assert [seen.path for seen in worker.seen] == ["/app"]
    worker.seen.clear()
    worker.answers.append((302, {"Location": f"{worker.url}/elsewhere"}))
    await serve(worker, Task(http_request=HttpRequest(url=f"{worker.url}/plain")))
    await worker.received(2)
    assert [seen.path for seen in worker.seen] == ["/plain", "/elsewhere"]


async def test_a_redirect_to_another_scheme_is_a_failure(worker: Worker) -> None:
    worker.answers.append((302, {"Location": "ftp://127.0.0.1/x"}))
    await serve(worker, Task(http_request=HttpRequest(url=f"{worker.url}/plain")))
    assert len(worker.seen) == 1


async def rate_after(status: int, task: Task) -> float:
    bench = await make_bench(EngineConfig(app_engine_url="http://app.test"))
    bench.worker.answers.append(status)
    await bench.engine.create_task(QUEUE, task)
    await bench.engine.run_due_work()
    return bench.engine.get_dispatcher(QUEUE).compute_stats().effective_execution_rate


async def test_an_apps_429_does_not_slow_the_queue_and_its_503_does() -> None:
    assert await rate_after(429, app_task()) == 500
    assert await rate_after(503, app_task()) == 250
    assert await rate_after(429, http_task()) == 250


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"http_method": HttpMethod.PATCH, "body": b"x"},
            "only if the HTTP method is POST or PUT.",
        ),
        ({"relative_uri": "/a b"}, "cannot contain spaces"),
        ({"relative_uri": "a"}, "must begin with '/'"),
    ],
)
async def test_what_an_app_cannot_take_is_refused(
    bench: Bench, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiError, match=message):
        await bench.engine.create_task(QUEUE, app_task(**fields))


async def test_the_host_is_filled_in_and_the_queues_routing_counts_for_all(bench: Bench) -> None:
    own = AppEngineRouting(service="s", version="v", instance="i", host="ignored.example")
    stored = await bench.engine.create_task(QUEUE, app_task(app_engine_routing=own))
    assert isinstance(stored.request, AppEngineHttpRequest)
    assert stored.request.app_engine_routing is not None
    assert stored.request.app_engine_routing.host == "i-dot-v-dot-s-dot-demo.appspot.com"
    plain = await bench.engine.create_task(QUEUE, app_task())
    assert isinstance(plain.request, AppEngineHttpRequest)
    assert plain.request.app_engine_routing == AppEngineRouting(host="demo.appspot.com")
    queue = Queue(name=QUEUE, app_engine_routing_override=AppEngineRouting(service="all"))
    shown = await bench.engine.update_queue(queue, ["app_engine_routing_override"])
    assert shown.app_engine_routing_override is not None
    assert shown.app_engine_routing_override.host == "all-dot-demo.appspot.com"
    third = await bench.engine.create_task(QUEUE, app_task(app_engine_routing=own))
    assert isinstance(third.request, AppEngineHttpRequest)
    assert third.request.app_engine_routing == shown.app_engine_routing_override


async def test_the_apps_address_may_name_service_and_version() -> None:
    bench = await make_bench(EngineConfig(app_engine_url="{service}.apps.test:{version}"))
    routing = AppEngineRouting(service="mail", version="8081")
    await bench.engine.create_task(QUEUE, app_task(relative_uri="/a", app_engine_routing=routing))
    await bench.engine.create_task(
        QUEUE, app_task(app_engine_routing=AppEngineRouting(version="80"))
    )
    await bench.engine.run_due_work()
    assert [request.url for _, request in bench.worker.sent] == [
        "http://mail.apps.test:8081/a",
        "http://default.apps.test:80/",
    ]
