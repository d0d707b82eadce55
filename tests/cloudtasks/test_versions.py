"""v2beta3 and v2beta2 by Google's own clients and over REST, and the paths of other clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import GoogleAPICallError, InvalidArgument
from google.cloud import tasks_v2, tasks_v2beta2, tasks_v2beta3
from google.protobuf import duration_pb2

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.clients import connect

URL = "http://worker.test/run"


@pytest.fixture
def beta3(remote: Remote) -> Iterator[Any]:
    with connect(f"127.0.0.1:{remote.service.grpc_port}", api=tasks_v2beta3) as client:
        yield client


@pytest.fixture
def beta2(remote: Remote) -> Iterator[Any]:
    with connect(f"127.0.0.1:{remote.service.grpc_port}", api=tasks_v2beta2) as client:
        yield client


@pytest.fixture
def v2(remote: Remote) -> Iterator[Any]:
    with connect(f"127.0.0.1:{remote.service.grpc_port}") as client:
        yield client


def call(remote: Remote, verb: str, path: str, body: object = None, **query: str) -> Any:
    answer = remote.control.request(verb, path, json=body, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_v2beta3_serves_the_whole_life_of_queues_and_tasks(beta3: Any) -> None:
    made = beta3.create_queue(
        parent=LOCATION,
        queue={
            "name": QUEUE,
            "app_engine_http_queue": {"app_engine_routing_override": {"service": "worker"}},
            "rate_limits": {"max_dispatches_per_second": 7},
            "task_ttl": duration_pb2.Duration(seconds=864_000),
            "tombstone_ttl": duration_pb2.Duration(seconds=7200),
        },
    )
    routing = made.app_engine_http_queue.app_engine_routing_override
    assert (routing.service, routing.host) == ("worker", "worker-dot-demo.appspot.com")
    assert made.type_ is tasks_v2beta3.Queue.Type.PUSH
    assert (made.rate_limits.max_dispatches_per_second, made.retry_config.max_attempts) == (7, 100)
    beta3.pause_queue(name=QUEUE)
    task = beta3.create_task(
        parent=QUEUE, task={"name": f"{QUEUE}/tasks/a", "http_request": {"url": URL, "body": b"x"}}
    )
    assert (task.http_request.url, task.http_request.body) == (URL, b"")
    full = tasks_v2beta3.Task.View.FULL
    found = beta3.get_task(request={"name": task.name, "response_view": full})
    assert (found.http_request.body, found.view) == (b"x", full)
    assert [each.name for each in beta3.list_tasks(parent=QUEUE)] == [task.name]
    listed = list(
        beta3.list_queues(request={"parent": LOCATION, "read_mask": {"paths": ["name", "stats"]}})
    )
    assert [(each.name, each.stats.tasks_count) for each in listed] == [(QUEUE, 1)]
    assert not listed[0].state
    assert not beta3.get_queue(name=QUEUE).stats.tasks_count  # only on demand
    assert beta3.run_task(name=task.name).name == task.name
    beta3.delete_task(name=task.name)
    assert [each.name for each in beta3.list_tasks(parent=QUEUE)] == []
    beta3.purge_queue(name=QUEUE)
    assert beta3.resume_queue(name=QUEUE).state is tasks_v2beta3.Queue.State.RUNNING
    beta3.delete_queue(name=QUEUE)
    with pytest.raises(GoogleAPICallError, match="existed too recently"):
        beta3.create_queue(parent=LOCATION, queue={"name": QUEUE})


def test_v2beta3_batches_are_operations_with_its_own_messages(beta3: Any, v2: Any) -> None:
    v2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    v2.pause_queue(name=QUEUE)
    tasks = [{"parent": QUEUE, "task": {"http_request": {"url": URL}}} for _ in range(3)]
    done = beta3.batch_create_tasks(request={"parent": QUEUE, "requests": tasks})
    assert isinstance(done.result(), tasks_v2beta3.BatchCreateTasksResponse)
    assert len(done.result().tasks) == 3
    assert isinstance(done.metadata, tasks_v2beta3.BatchCreateTasksMetadata)


def test_v2beta3_masks_update_what_they_name(beta3: Any, v2: Any) -> None:
    v2.create_queue(parent=LOCATION, queue={"name": QUEUE, "retry_config": {"max_attempts": 4}})
    changed = beta3.update_queue(
        queue={
            "name": QUEUE,
            "app_engine_http_queue": {"app_engine_routing_override": {"version": "v7"}},
            "tombstone_ttl": duration_pb2.Duration(seconds=3600),
        },
        update_mask={"paths": ["app_engine_http_queue", "tombstone_ttl"]},
    )
    assert changed.app_engine_http_queue.app_engine_routing_override.version == "v7"
    assert changed.tombstone_ttl.seconds == 3600
    assert changed.retry_config.max_attempts == 4
    assert v2.get_queue(name=QUEUE).app_engine_routing_override.version == "v7"
    updated = v2.update_queue(queue={"name": QUEUE, "retry_config": {"max_attempts": 5}})
    assert updated.retry_config.max_attempts == 5
    assert beta3.get_queue(name=QUEUE).tombstone_ttl.seconds == 3600  # v2 does not know it
    brief = {"name": QUEUE, "tombstone_ttl": duration_pb2.Duration(seconds=5)}
    with pytest.raises(InvalidArgument, match="between 1 hour and 9 days"):
        beta3.update_queue(queue=brief)
    with pytest.raises(InvalidArgument, match="unknown path 'tombstone_ttl'"):
        v2.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["tombstone_ttl"]})


def test_a_queues_own_times_to_live_hold(beta3: Any, remote: Remote) -> None:
    queue = {
        "name": QUEUE,
        "task_ttl": duration_pb2.Duration(seconds=864_000),
        "tombstone_ttl": duration_pb2.Duration(seconds=3600),
    }
    beta3.create_queue(parent=LOCATION, queue=queue)
    task = {"name": f"{QUEUE}/tasks/a", "http_request": {"url": URL}}
    beta3.create_task(parent=QUEUE, task=task)
    beta3.delete_task(name=task["name"])
    remote.advance(3500)
    with pytest.raises(GoogleAPICallError, match="already exists"):
        beta3.create_task(parent=QUEUE, task=task)
    remote.advance(200)
    beta3.pause_queue(name=QUEUE)
    beta3.create_task(parent=QUEUE, task=task)
    remote.advance(864_100)
    assert list(beta3.list_tasks(parent=QUEUE)) == []


def test_v2beta2_serves_push_queues_under_its_own_names(beta2: Any) -> None:
    made = beta2.create_queue(
        parent=LOCATION,
        queue={
            "name": QUEUE,
            "app_engine_http_target": {"app_engine_routing_override": {"service": "worker"}},
            "rate_limits": {"max_tasks_dispatched_per_second": 3, "max_concurrent_tasks": 2},
            "retry_config": {"unlimited_attempts": True},
        },
    )
    assert made.rate_limits.max_tasks_dispatched_per_second == 3
    assert made.rate_limits.max_concurrent_tasks == 2
    assert made.retry_config.unlimited_attempts
    assert made.app_engine_http_target.app_engine_routing_override.service == "worker"
    changed = beta2.update_queue(
        queue={"name": QUEUE, "rate_limits": {"max_concurrent_tasks": 9}},
        update_mask={"paths": ["rate_limits.max_concurrent_tasks"]},
    )
    assert changed.rate_limits.max_concurrent_tasks == 9
    assert changed.rate_limits.max_tasks_dispatched_per_second == 3
    beta2.pause_queue(name=QUEUE)
    app_engine = {"relative_url": "/run?x=1", "payload": b"hello"}
    task = beta2.create_task(parent=QUEUE, task={"app_engine_http_request": app_engine})
    assert task.app_engine_http_request.relative_url == "/run?x=1"
    assert task.status.attempt_dispatch_count == 0
    http = beta2.create_task(parent=QUEUE, task={"http_request": {"url": URL}})
    assert beta2.run_task(name=http.name).name == http.name
    beta2.delete_task(name=http.name)
    assert [each.name for each in beta2.list_tasks(parent=QUEUE)] == [task.name]
    with pytest.raises(GoogleAPICallError, match="has push queues only") as refused:
        beta2.lease_tasks(parent=QUEUE, lease_duration=duration_pb2.Duration(seconds=5))
    assert refused.value.grpc_status_code is grpc.StatusCode.UNIMPLEMENTED


def test_rest_has_the_older_versions_in_their_own_names(remote: Remote) -> None:
    beta3 = {"name": QUEUE, "appEngineHttpQueue": {}, "type": "PUSH", "taskTtl": "864000s"}
    made = call(remote, "POST", f"/v2beta3/{LOCATION}/queues", beta3)
    assert (made["type"], made["taskTtl"]) == ("PUSH", "864000s")
    shown = call(remote, "GET", f"/v2beta2/{QUEUE}")
    assert shown["rateLimits"]["maxTasksDispatchedPerSecond"] == 500
    assert shown["appEngineHttpTarget"] == {}
    assert "type" not in call(remote, "GET", f"/v2/{QUEUE}")
    refused = remote.control.post(f"/v2/{LOCATION}/queues", json={**beta3, "name": f"{QUEUE}2"})
    assert refused.status_code == 400
    assert "appEngineHttpQueue" in refused.text
    pull = remote.control.post(f"/v2beta2/{QUEUE}/tasks:lease", json={"maxTasks": 1})
    assert (pull.status_code, pull.json()["error"]["status"]) == (501, "UNIMPLEMENTED")
    batch = {"requests": [{"parent": QUEUE, "task": {"httpRequest": {"url": URL}}}]}
    done = call(remote, "POST", f"/v2beta3/{QUEUE}/tasks:batchCreate", batch)
    assert done["metadata"]["@type"].endswith("v2beta3.BatchCreateTasksMetadata")


def test_a_pull_queue_is_refused_in_words(remote: Remote) -> None:
    answer = remote.control.post(
        f"/v2beta3/{LOCATION}/queues", json={"name": QUEUE, "type": "PULL"}
    )
    assert answer.status_code == 400
    assert "Pull queues are not supported." in answer.text


def test_firebase_admin_calls_without_a_version(remote: Remote) -> None:
    call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": QUEUE})
    call(remote, "POST", f"/v2/{QUEUE}:pause")
    task = {"task": {"httpRequest": {"url": URL}, "name": f"{QUEUE}/tasks/a"}}
    made = call(remote, "POST", f"/{QUEUE}/tasks", task)
    assert made["name"] == f"{QUEUE}/tasks/a"
    call(remote, "DELETE", f"/{QUEUE}/tasks/a")


@pytest.mark.parametrize("path", ["tasks:buffer", "tasks/:buffer", "tasks/mine:buffer"])
def test_buffering_takes_a_task_id_an_empty_one_or_none(remote: Remote, path: str) -> None:
    target = {"uriOverride": {"host": "worker.test"}}
    call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": QUEUE, "httpTarget": target})
    for version in ("/v2", "/v2beta3", ""):
        call(remote, "POST", "/control/reset", {"keepQueues": True})
        answer = remote.control.post(
            f"{version}/{QUEUE}/{path}", content=b"raw", headers={"content-type": "text/plain"}
        )
        assert answer.status_code == 200, answer.text
        name = answer.json()["task"]["name"].rpartition("/")[2]
        assert (name == "mine") == ("mine" in path)


# ── zeros in masks ───────────────────────────────────────────────────────────────────────────────


def test_a_zero_that_the_mask_names_is_a_zero(v2: Any) -> None:
    v2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    changed = v2.update_queue(
        queue={"name": QUEUE, "retry_config": {"max_doublings": 0}},
        update_mask={"paths": ["retry_config.max_doublings"]},
    )
    assert changed.retry_config.max_doublings == 0
    changed = v2.update_queue(
        queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 5}},
        update_mask={"paths": ["rate_limits.max_dispatches_per_second"]},
    )
    assert changed.retry_config.max_doublings == 0  # and stays one
    whole = v2.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["retry_config"]})
    assert whole.retry_config.max_doublings == 16
    every = v2.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["*"]})
    assert every.rate_limits.max_dispatches_per_second == 500


def test_a_zero_that_the_mask_of_a_creating_update_names_outlives_a_reset(
    v2: Any, remote: Remote
) -> None:
    made = v2.update_queue(
        queue={"name": QUEUE, "retry_config": {"max_attempts": 4, "max_doublings": 0}},
        update_mask={"paths": ["retry_config.max_doublings"]},
    )
    assert (made.retry_config.max_doublings, made.retry_config.max_attempts) == (0, 4)
    assert made.rate_limits.max_dispatches_per_second == 500
    remote.ask("POST", "reset", {"keepQueues": True})
    assert v2.get_queue(name=QUEUE).retry_config == made.retry_config
    with pytest.raises(InvalidArgument, match="unknown path"):
        v2.update_queue(
            queue={"name": f"{LOCATION}/queues/new"},
            update_mask={"paths": ["retry_config.patience"]},
        )


def test_over_rest_a_field_that_is_masked_but_absent_is_cleared(remote: Remote) -> None:
    call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": QUEUE})
    mask = "retryConfig.maxDoublings,retryConfig.maxAttempts"
    shown = call(
        *(remote, "PATCH", f"/v2/{QUEUE}"), {"retryConfig": {"maxDoublings": 0}}, updateMask=mask
    )
    assert "maxDoublings" not in shown["retryConfig"]  # zero, which proto3 JSON leaves out
    assert shown["retryConfig"]["maxAttempts"] == 100
    shown = call(remote, "PATCH", f"/v2/{QUEUE}", {}, updateMask="retryConfig.maxDoublings")
    assert shown["retryConfig"]["maxDoublings"] == 16


def test_a_rate_of_zero_dispatches_nothing(v2: Any, remote: Remote) -> None:
    v2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    mask = {"paths": ["rate_limits.max_dispatches_per_second"]}
    v2.update_queue(queue={"name": QUEUE}, update_mask=mask)
    v2.create_task(parent=QUEUE, task={"http_request": {"url": URL}})
    remote.advance(3600)
    assert remote.ask("GET", "deliveries")["deliveries"] == []


# ── filters ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rateLimits.maxDispatchesPerSecond >= 10", ["fast", "mid"]),
        ("rate_limits.max_dispatches_per_second < 10", ["slow"]),
        ("retryConfig.minBackoff <= 2s", ["fast", "mid"]),
        ("retryConfig.minBackoff > 2", ["slow"]),
        ("retryConfig.maxAttempts != 100", ["slow"]),
        ("state = paused", ["mid"]),
        ('name = "projects/demo/locations/us-central1/queues/mid"', ["mid"]),
        ("name:OW", ["slow"]),
        ('name:"ow"', ["slow"]),
        ('state:"PAUSED" OR name:"fast"', ["fast", "mid"]),
        ('name:("slow" OR fast)', ["fast", "slow"]),
        ("-name:(slow OR fast)", ["mid"]),
        ("state = (NOT PAUSED) name:fast", ["fast"]),
        ("rateLimits.maxDispatchesPerSecond = (5 OR 50)", ["mid", "slow"]),
        ("NOT (name:slow OR name:fast)", ["mid"]),
        ("-state:PAUSED name:fast", ["fast"]),
        (
            "(state:RUNNING AND rateLimits.maxDispatchesPerSecond>400) OR state:PAUSED",
            ["fast", "mid"],
        ),
        ("purgeTime:*", ["slow"]),
        ("httpTarget.uriOverride.host = worker.test", ["fast"]),
        ("purgeTime > 2020-01-01T00:00:00Z", ["slow"]),
        ("", ["fast", "mid", "slow"]),
    ],
)
def test_every_field_of_a_queue_can_be_compared(v2: Any, text: str, expected: list[str]) -> None:
    target = {"uri_override": {"host": "worker.test"}}
    for name, rate, backoff, more in (
        ("fast", 500, 1, {"http_target": target}),
        ("mid", 50, 2, {}),
        ("slow", 5, 3, {}),
    ):
        retry: dict[str, Any] = {"min_backoff": duration_pb2.Duration(seconds=backoff)}
        if name == "slow":
            retry["max_attempts"] = 7
        queue = {
            "name": f"{LOCATION}/queues/{name}",
            "rate_limits": {"max_dispatches_per_second": rate},
            "retry_config": retry,
            **more,
        }
        v2.create_queue(parent=LOCATION, queue=queue)
    v2.pause_queue(name=f"{LOCATION}/queues/mid")
    v2.purge_queue(name=f"{LOCATION}/queues/slow")
    found = v2.list_queues(request={"parent": LOCATION, "filter": text})
    assert [queue.name.rpartition("/")[2] for queue in found] == expected


@pytest.mark.parametrize(
    "text",
    [
        "speed > 3",
        "state >= PAUSED",
        "rateLimits:fast",
        "(state:PAUSED",
        "state:",
        "AND",
        ")",
        "((" * 60,
        "retryConfig = 3",
        "state:PAUSED OR",
        "state = ()",
        "state = (PAUSED OR)",
        "state = (PAUSED OR name:fast)",
        "state = (PAUSED",
        "state = (SLEEPY)",
        '"state"',
    ],
)
def test_a_filter_that_means_nothing_is_refused(v2: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid filter"):
        list(v2.list_queues(request={"parent": LOCATION, "filter": text}))


def test_the_locations_are_those_of_googles_page(v2: Any) -> None:
    found = v2.list_locations({"name": "projects/demo"}).locations
    names = [location.location_id for location in found]
    assert {"asia-east2", "us-west3", "us-west4", "asia-northeast3"} <= set(names)
    assert names == sorted(names)


def test_the_url_limit_counts_the_encoded_url(v2: Any) -> None:
    v2.create_queue(parent=LOCATION, queue={"name": QUEUE})
    with pytest.raises(InvalidArgument, match="2083 characters long after encoding"):
        v2.create_task(parent=QUEUE, task={"http_request": {"url": "http://w.test/" + "é" * 400}})
    task = tasks_v2.Task(http_request={"url": "http://w.test/" + "é" * 300})
    assert v2.create_task(parent=QUEUE, task=task).name
