"""Tasks for Google's own client over gRPC (sync, async) and REST.

The expected texts are Google's (facts §1, §2, §2.1).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.cloud.tasks_v2 import HttpMethod, HttpRequest, RetryConfig, Task
from google.protobuf.duration_pb2 import Duration

from cloudtasks.refusals import (
    GONE,
    MISSING,
    URL,
    detail_kinds,
    later,
    refused,
    task,
)
from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.api_errors import Code


def test_a_new_task_has_googles_defaults_and_basic_omits_only_the_body(
    client: Any, remote: Remote
) -> None:
    request = HttpRequest(
        url=URL, headers={"X-My-Header": "v", "user-agent": "mine"}, body=b"secret"
    )
    made = client.create_task(
        parent=QUEUE, task=task("t", http_request=request, schedule_time=later(remote, hours=1))
    )
    assert made.http_request.body == b""
    assert dict(made.http_request.headers) == {
        "X-My-Header": "v",
        "User-Agent": "Google-Cloud-Tasks",
    }
    assert (made.http_request.http_method, made.dispatch_deadline) == (
        HttpMethod.POST,
        timedelta(minutes=10),
    )
    assert (made.view, made.dispatch_count, made.create_time.microsecond) == (Task.View.BASIC, 0, 0)
    full = client.get_task(request={"name": made.name, "response_view": Task.View.FULL})
    assert (full.view, full.http_request.body) == (Task.View.FULL, b"secret")


def test_a_task_without_a_name_gets_digits_and_a_past_schedule_becomes_now(
    client: Any, remote: Remote
) -> None:
    now = later(remote)
    made = client.create_task(parent=QUEUE, task=task(schedule_time=later(remote, days=-1)))
    assert made.name.rpartition("/")[2].isdigit()
    assert made.schedule_time == now


TASK_ID_RULE = (
    " can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). "
    "Task ID must between 1 and 500 characters."
)


@pytest.mark.parametrize("name", ["with space", "x" * 501, "a.b", "ä"])
def test_a_bad_task_id_is_refused_with_help(client: Any, name: str) -> None:
    text = f'Task ID "{name}"{TASK_ID_RULE}'
    error = refused(client.create_task, Code.INVALID_ARGUMENT, text, parent=QUEUE, task=task(name))
    assert detail_kinds(error) == ["Help"]


def test_a_task_of_another_queue_is_refused(client: Any) -> None:
    other = f"{LOCATION}/queues/other"
    text = (
        f"The queue name from request ('{QUEUE}') must be the same as "
        f"the queue name in the named task ('{other}')."
    )
    named = Task(name=f"{other}/tasks/t", http_request=HttpRequest(url=URL))
    refused(client.create_task, Code.INVALID_ARGUMENT, text, parent=QUEUE, task=named)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"http_request": HttpRequest()}, "HttpRequest.url is required."),
        (
            {"http_request": HttpRequest(url="ftp://a/b")},
            "HttpTarget.url must start with 'http://' or 'https://'.",
        ),
        (
            {"http_request": HttpRequest(url="http://a/" + "x" * 2080)},
            "HttpRequest.url must be no more than 2083 characters long after encoding.",
        ),
        (
            {"http_request": None},
            "Task must have either an httpRequest or an appEngineHttpRequest.",
        ),
        (
            {"http_request": HttpRequest(url=URL, http_method=HttpMethod.GET, body=b"x")},
            "HttpRequest.body is allowed only if the HTTP method is POST, PUT or PATCH.",
        ),
        (
            {"dispatch_deadline": Duration(seconds=14)},
            "Task.dispatchDeadline must be between [15s, 30m].",
        ),
        (
            {"dispatch_deadline": Duration(seconds=1801)},
            "Task.dispatchDeadline must be between [15s, 30m].",
        ),
        (
            {"retry_config": RetryConfig(max_attempts=-2)},
            "RetryConfig.maxAttempts must be greater or equal to -1.",
        ),
    ],
)
def test_a_field_out_of_range_is_refused(client: Any, fields: dict[str, Any], message: str) -> None:
    refused(client.create_task, Code.INVALID_ARGUMENT, message, parent=QUEUE, task=task(**fields))


def test_a_bad_percent_escape_in_the_url_is_accepted(client: Any) -> None:
    made = client.create_task(parent=QUEUE, task=task(http_request=HttpRequest(url="http://a/%zz")))
    assert made.http_request.url == "http://a/%zz"


def test_a_schedule_of_more_than_720_hours_is_refused(client: Any, remote: Remote) -> None:
    at = later(remote, hours=720, seconds=1)
    text = (
        f"The Task.scheduleTime, {at.isoformat().replace('+00:00', 'Z')}, "
        "is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )
    refused(
        client.create_task, Code.INVALID_ARGUMENT, text, parent=QUEUE, task=task(schedule_time=at)
    )
    assert client.create_task(parent=QUEUE, task=task(schedule_time=later(remote, hours=720)))


def test_the_stored_task_may_have_1048569_bytes_and_no_more(client: Any) -> None:
    client.pause_queue(name=QUEUE)
    first = client.create_task(
        parent=QUEUE, task=task("a" * 10, http_request=HttpRequest(url=URL, body=b"x" * 1_000_000))
    )
    stored = client.get_task(request={"name": first.name, "response_view": Task.View.FULL})
    room = 1_048_569 - Task.pb(stored).ByteSize()
    fits = HttpRequest(url=URL, body=b"x" * (1_000_000 + room))
    client.create_task(parent=QUEUE, task=task("b" * 10, http_request=fits))
    over = HttpRequest(url=URL, body=b"x" * (1_000_001 + room))
    text = "The maximum task size is 1048569 bytes."
    refused(
        client.create_task,
        Code.INVALID_ARGUMENT,
        text,
        parent=QUEUE,
        task=task("c" * 10, http_request=over),
    )


def test_a_name_collides_while_it_lives_and_after(client: Any, remote: Remote) -> None:
    client.create_task(parent=QUEUE, task=task("t", schedule_time=later(remote, hours=1)))
    taken = {"parent": QUEUE, "task": task("t")}
    refused(client.create_task, Code.ALREADY_EXISTS, "Requested entity already exists", **taken)
    client.delete_task(name=f"{QUEUE}/tasks/t")
    refused(client.create_task, Code.ALREADY_EXISTS, "Requested entity already exists", **taken)


@pytest.mark.parametrize("method", ["get_task", "delete_task", "run_task"])
def test_a_task_that_never_was_is_told_from_one_that_ended(
    client: Any, remote: Remote, method: str
) -> None:
    refused(getattr(client, method), Code.NOT_FOUND, MISSING, name=f"{QUEUE}/tasks/never")
    made = client.create_task(parent=QUEUE, task=task("t", schedule_time=later(remote, hours=1)))
    client.delete_task(name=made.name)
    refused(getattr(client, method), Code.NOT_FOUND, GONE, name=made.name)


def test_tasks_are_listed_by_pages_and_views(client: Any) -> None:
    client.pause_queue(name=QUEUE)
    names = {client.create_task(parent=QUEUE, task=task()).name for _ in range(7)}
    listed = client.list_tasks(request={"parent": QUEUE, "page_size": 3})
    assert {item.name for item in listed} == names
    full = client.list_tasks(request={"parent": QUEUE, "response_view": Task.View.FULL})
    assert {item.http_request.body for item in full} == {b"{}"}
    bad = {"parent": QUEUE, "page_token": "nonsense"}
    refused(client.list_tasks, Code.INVALID_ARGUMENT, "The page token is invalid.", request=bad)


def test_running_a_task_by_hand_counts_as_a_dispatch(client: Any) -> None:
    client.pause_queue(name=QUEUE)
    made = client.create_task(
        parent=QUEUE, task=task(http_request=HttpRequest(url="http://127.0.0.1:1/refused"))
    )
    shown = client.run_task(name=made.name)
    assert (shown.name, shown.dispatch_count) == (made.name, 1)
    assert "dispatch_time" in shown.first_attempt


def test_an_attempts_status_is_stored_with_its_times(client: Any, remote: Remote) -> None:
    made = client.create_task(
        parent=QUEUE, task=task(http_request=HttpRequest(url="http://127.0.0.1:1/refused"))
    )
    remote.advance(0)
    shown = client.get_task(name=made.name)
    assert shown.last_attempt.response_status.code == Code.UNAVAILABLE
    assert shown.last_attempt.response_status.message.startswith("UNAVAILABLE(14): ")
    assert (shown.dispatch_count, shown.response_count) == (1, 0)
    assert shown.schedule_time - shown.last_attempt.response_time == timedelta(milliseconds=100)
    assert "schedule_time" not in shown.first_attempt
