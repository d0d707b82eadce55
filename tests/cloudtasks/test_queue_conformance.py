"""Queues for Google's own client over gRPC (sync, async) and REST.

The expected texts are Google's (facts §1, §2, §2.1).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from cloudtasks.refusals import (
    BAD_QUEUE,
    MISSING,
    MISSING_QUEUE,
    detail_kinds,
    queue,
    refused,
    task,
)
from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.api_errors import Code


def refused_queue(
    client: Any, made: Queue, message: str, code: Code = Code.INVALID_ARGUMENT
) -> GoogleAPICallError:
    """The refusal of CreateQueue."""
    return refused(client.create_queue, code, message, parent=LOCATION, queue=made)


def test_a_new_queue_has_googles_defaults(client: Any) -> None:
    made = client.create_queue(parent=LOCATION, queue=queue())
    limits, retry = made.rate_limits, made.retry_config
    assert (
        limits.max_dispatches_per_second,
        limits.max_burst_size,
        limits.max_concurrent_dispatches,
    ) == (
        500,
        100,
        1000,
    )
    assert (retry.max_attempts, retry.max_doublings) == (100, 16)
    assert (retry.min_backoff, retry.max_backoff) == (
        timedelta(milliseconds=100),
        timedelta(hours=1),
    )
    assert "max_retry_duration" not in retry
    assert "purge_time" not in made
    assert made.state is Queue.State.RUNNING


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"max_dispatches_per_second": 500.1},
            "maxDispatchesPerSecond must be less than or equal to 500.",
        ),
        ({"max_dispatches_per_second": -1}, "maxDispatchesPerSecond cannot be negative."),
        (
            {"max_concurrent_dispatches": 5001},
            "maxConcurrentDispatches must be less than or equal to 5000.",
        ),
        ({"max_concurrent_dispatches": -1}, "maxConcurrentDispatches cannot be negative."),
    ],
)
def test_a_rate_limit_out_of_range_is_refused(
    client: Any, limits: dict[str, Any], message: str
) -> None:
    refused_queue(client, queue(rate_limits=RateLimits(**limits)), f"RateLimits.{message}")


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        ({"max_attempts": -2}, "maxAttempts must be greater or equal to -1."),
        ({"max_doublings": -1}, "maxDoublings cannot be negative."),
        ({"min_backoff": Duration(seconds=-1)}, "minBackoff cannot be negative."),
        (
            {"min_backoff": Duration(seconds=2), "max_backoff": Duration(seconds=1)},
            "minBackoff must be less than or equal to RetryConfig.maxBackoff.",
        ),
    ],
)
def test_a_retry_setting_out_of_range_is_refused(
    client: Any, retry: dict[str, Any], message: str
) -> None:
    refused_queue(client, queue(retry_config=RetryConfig(**retry)), f"RetryConfig.{message}")


def test_the_burst_size_a_caller_sends_is_ignored(client: Any) -> None:
    made = client.create_queue(
        parent=LOCATION, queue=queue(rate_limits=RateLimits(max_burst_size=-1))
    )
    assert made.rate_limits.max_burst_size == 100


def test_creating_a_queue_twice_is_refused(client: Any) -> None:
    refused_queue(client, Queue(name=QUEUE), "Queue already exists", Code.ALREADY_EXISTS)


@pytest.mark.parametrize(
    "name", ["jobs", f"{LOCATION}/queues/under_score", f"{LOCATION}/queues/{'q' * 101}", ""]
)
def test_a_bad_queue_name_is_refused_with_help(client: Any, name: str) -> None:
    error = refused_queue(client, Queue(name=name), BAD_QUEUE)
    assert detail_kinds(error) == ["Help"]


def test_an_unknown_project_is_a_matter_of_permission(client: Any) -> None:
    message = "Permission denied on resource project other."
    parent = "projects/other/locations/us-central1"
    made = Queue(name=f"{parent}/queues/q")
    refused(client.create_queue, Code.PERMISSION_DENIED, message, parent=parent, queue=made)


@pytest.mark.parametrize("method", ["get_queue", "pause_queue", "resume_queue", "purge_queue"])
@pytest.mark.parametrize("deleted", [False, True])
def test_a_queue_that_is_missing_or_recently_deleted_does_not_exist(
    client: Any, method: str, *, deleted: bool
) -> None:
    name = QUEUE if deleted else f"{LOCATION}/queues/nope"
    if deleted:
        client.delete_queue(name=name)
    refused(getattr(client, method), Code.NOT_FOUND, MISSING_QUEUE, name=name)
    refused(client.create_task, Code.NOT_FOUND, MISSING_QUEUE, parent=name, task=task())


def test_a_deleted_queue_cannot_be_made_again_for_days(client: Any, remote: Remote) -> None:
    client.delete_queue(name=QUEUE)
    refused(client.delete_queue, Code.NOT_FOUND, MISSING, name=QUEUE)
    text = "The queue cannot be created because a queue with this name existed too recently."
    refused_queue(client, Queue(name=QUEUE), text, Code.FAILED_PRECONDITION)
    refused(client.update_queue, Code.FAILED_PRECONDITION, text, queue=Queue(name=QUEUE))
    remote.advance(3 * 86_400)
    assert client.create_queue(parent=LOCATION, queue=Queue(name=QUEUE)).name == QUEUE


def test_an_update_changes_only_what_the_mask_names(client: Any) -> None:
    client.update_queue(
        queue=Queue(name=QUEUE, rate_limits=RateLimits(max_dispatches_per_second=5))
    )
    changes = Queue(
        name=QUEUE,
        rate_limits=RateLimits(max_dispatches_per_second=7, max_concurrent_dispatches=3),
        retry_config=RetryConfig(max_attempts=9),
    )
    mask = FieldMask(paths=["rate_limits.max_concurrent_dispatches", "retry_config"])
    client.update_queue(queue=changes, update_mask=mask)
    now = client.get_queue(name=QUEUE)
    assert now.rate_limits == RateLimits(
        max_dispatches_per_second=5, max_burst_size=10, max_concurrent_dispatches=3
    )
    assert (now.retry_config.max_attempts, now.retry_config.max_doublings) == (9, 16)


def test_an_update_without_a_mask_sets_everything_and_creates_what_is_missing(client: Any) -> None:
    made = client.update_queue(queue=queue(retry_config=RetryConfig(max_attempts=3)))
    assert made.retry_config.max_attempts == 3
    assert client.update_queue(queue=queue()).retry_config.max_attempts == 100


def test_an_update_cannot_change_the_state_and_refuses_unknown_paths(client: Any) -> None:
    paused = Queue(name=QUEUE, state=Queue.State.PAUSED)
    assert (
        client.update_queue(queue=paused, update_mask=FieldMask(paths=["state"])).state
        is Queue.State.RUNNING
    )
    arguments = {"queue": paused, "update_mask": FieldMask(paths=["rate_limits.speed"])}
    refused(
        client.update_queue, Code.INVALID_ARGUMENT, "unknown path 'rate_limits.speed'.", **arguments
    )


def test_pause_resume_and_purge_answer_with_the_queue(client: Any) -> None:
    assert client.pause_queue(name=QUEUE).state is Queue.State.PAUSED
    assert client.resume_queue(name=QUEUE).state is Queue.State.RUNNING
    assert "purge_time" in client.purge_queue(name=QUEUE)
    assert "purge_time" in client.get_queue(name=QUEUE)


def test_queues_are_listed_in_order_by_pages_and_by_filter(client: Any) -> None:
    for name in ("c", "a", "b"):
        client.create_queue(parent=LOCATION, queue=Queue(name=f"{LOCATION}/queues/{name}"))
    client.pause_queue(name=f"{LOCATION}/queues/b")

    def listed(**request: Any) -> list[str]:
        found = client.list_queues(request={"parent": LOCATION, **request})
        return [item.name.rpartition("/")[2] for item in found]

    assert listed() == ["a", "b", "c", "jobs"]
    assert listed(page_size=1) == ["a", "b", "c", "jobs"]
    assert listed(filter="state: PAUSED") == ["b"]
    assert listed(filter="state=RUNNING AND NOT name:jobs", page_size=1) == ["a", "c"]
    refused(
        client.list_queues,
        Code.INVALID_ARGUMENT,
        "cannot be understood.",
        request={"parent": LOCATION, "filter": "?"},
    )
    refused(
        client.list_queues,
        Code.INVALID_ARGUMENT,
        "cannot be negative.",
        request={"parent": LOCATION, "page_size": -1},
    )
