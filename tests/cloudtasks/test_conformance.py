"""The service's behaviour for Google's own client over gRPC (sync, async) and REST.

The expected texts are Google's (facts §1, §2, §2.1).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import tasks_v2
from google.cloud.tasks_v2 import HttpMethod, HttpRequest, Queue, RateLimits, RetryConfig, Task
from google.iam.v1 import policy_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.api_errors import HTTP_STATUS, Code

MISSING_QUEUE = (
    "Queue does not exist. "
    "If you just created the queue, wait at least a minute for the queue to initialize."
)
MISSING = "Requested entity was not found."
GONE = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)
BAD_QUEUE = (
    "Queue name must be formatted: "
    '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
)
URL = "http://worker.test/run"


def queue(**fields: Any) -> Queue:
    return Queue(name=f"{LOCATION}/queues/new", **fields)


def task(name: str = "", **fields: Any) -> Task:
    fields.setdefault("http_request", HttpRequest(url=URL, body=b"{}"))
    return Task(name=f"{QUEUE}/tasks/{name}" if name else "", **fields)


def later(remote: Remote, **delta: float) -> datetime:
    return datetime.fromisoformat(remote.ask("GET", "time")["now"]) + timedelta(**delta)


def refused(call: Any, code: Code, message: str, **arguments: Any) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as error:
        call(**arguments)
    assert error.value.code == HTTP_STATUS[code]
    assert str(error.value.message).endswith(message)
    if error.value.grpc_status_code is not None:
        assert error.value.grpc_status_code.name == code.name
    return error.value


def detail_kinds(error: GoogleAPICallError) -> list[str]:
    """The REST transport leaves details as JSON."""
    names = [
        item["@type"] if isinstance(item, dict) else type(item).__name__ for item in error.details
    ]
    return [name.rpartition(".")[2] for name in names]


# ── queues ───────────────────────────────────────────────────────────────────────────────────────


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
    made = queue(rate_limits=RateLimits(**limits))
    refused(
        client.create_queue,
        Code.INVALID_ARGUMENT,
        f"RateLimits.{message}",
        parent=LOCATION,
        queue=made,
    )


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
    made = queue(retry_config=RetryConfig(**retry))
    refused(
        client.create_queue,
        Code.INVALID_ARGUMENT,
        f"RetryConfig.{message}",
        parent=LOCATION,
        queue=made,
    )


def test_the_burst_size_a_caller_sends_is_ignored(client: Any) -> None:
    made = client.create_queue(
        parent=LOCATION, queue=queue(rate_limits=RateLimits(max_burst_size=-1))
    )
    assert made.rate_limits.max_burst_size == 100


def test_creating_a_queue_twice_is_refused(client: Any) -> None:
    refused(
        client.create_queue,
        Code.ALREADY_EXISTS,
        "Queue already exists",
        parent=LOCATION,
        queue=Queue(name=QUEUE),
    )


@pytest.mark.parametrize(
    "name", ["jobs", f"{LOCATION}/queues/under_score", f"{LOCATION}/queues/{'q' * 101}", ""]
)
def test_a_bad_queue_name_is_refused_with_help(client: Any, name: str) -> None:
    error = refused(
        client.create_queue,
        Code.INVALID_ARGUMENT,
        BAD_QUEUE,
        parent=LOCATION,
        queue=Queue(name=name),
    )
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
    refused(
        client.create_queue,
        Code.FAILED_PRECONDITION,
        text,
        parent=LOCATION,
        queue=Queue(name=QUEUE),
    )
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


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────


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


# ── batches, operations, locations, IAM, keys ────────────────────────────────────────────────────


def test_a_batch_creates_what_it_can_and_names_what_it_cannot(client: Any) -> None:
    client.pause_queue(name=QUEUE)
    good, bad = task("t"), task(http_request=HttpRequest())
    requests = [tasks_v2.CreateTaskRequest(parent=QUEUE, task=item) for item in (good, bad, good)]
    operation = client.batch_create_tasks(parent=QUEUE, requests=requests)
    metadata = operation.metadata
    assert {place: status.code for place, status in metadata.failed_requests.items()} == {
        1: 3,
        2: 6,
    }
    assert metadata.state is tasks_v2.BatchCreateTasksMetadata.State.PARTIALLY_SUCCEEDED
    made = tasks_v2.BatchCreateTasksResponse.pb()()
    assert operation.operation.response.Unpack(made)
    assert [item.name for item in made.tasks] == [good.name]


def test_a_batch_is_of_one_queue_and_of_a_hundred_at_most(client: Any) -> None:
    many = [tasks_v2.CreateTaskRequest(parent=QUEUE, task=task())] * 101
    text = "A maximum of 100 tasks can be created in a single batch."
    refused(client.batch_create_tasks, Code.INVALID_ARGUMENT, text, parent=QUEUE, requests=many)
    stray = [tasks_v2.CreateTaskRequest(parent=f"{QUEUE}2", task=task())]
    text = "must be the same as the parent of the batch."
    refused(client.batch_create_tasks, Code.INVALID_ARGUMENT, text, parent=QUEUE, requests=stray)


def test_a_batch_of_deletes_that_all_fail_is_aborted_and_can_be_read(client: Any) -> None:
    request = {"parent": QUEUE, "names": [f"{QUEUE}/tasks/never"], "request_id": "once"}
    operation = client.batch_delete_tasks(request=request).operation
    assert (operation.done, operation.error.code) == (True, Code.ABORTED)
    assert client.get_operation({"name": operation.name}).error.message.startswith(
        "None of the requests succeeded"
    )
    client.create_task(parent=QUEUE, task=task("kept"))
    again = client.batch_delete_tasks(
        request={**request, "names": [f"{QUEUE}/tasks/kept"]}
    ).operation
    assert again == operation


def test_a_batch_deletes_its_tasks(client: Any) -> None:
    client.pause_queue(name=QUEUE)
    names = [client.create_task(parent=QUEUE, task=task()).name for _ in range(3)]
    assert client.batch_delete_tasks(parent=QUEUE, names=names[:2]).operation.done
    assert [item.name for item in client.list_tasks(parent=QUEUE)] == names[2:]


def test_locations_can_be_listed_and_read(client: Any) -> None:
    found = client.list_locations({"name": "projects/demo"})
    assert LOCATION in {place.name for place in found.locations}
    assert client.get_location({"name": LOCATION}).location_id == "us-central1"


def test_a_policy_is_stored_and_guarded_by_its_etag(client: Any) -> None:
    empty = client.get_iam_policy({"resource": QUEUE})
    policy = policy_pb2.Policy(etag=empty.etag)
    policy.bindings.add(role="roles/cloudtasks.enqueuer", members=["serviceAccount:api@demo.test"])
    client.set_iam_policy({"resource": QUEUE, "policy": policy})
    kept = client.get_iam_policy({"resource": QUEUE})
    assert [binding.role for binding in kept.bindings] == ["roles/cloudtasks.enqueuer"]
    text = "read-modify-write with exponential backoff."
    refused(
        client.set_iam_policy, Code.ABORTED, text, request={"resource": QUEUE, "policy": policy}
    )


def test_every_permission_is_granted_on_a_queue_that_exists(client: Any) -> None:
    asked = {"resource": QUEUE, "permissions": ["cloudtasks.tasks.create"]}
    assert list(client.test_iam_permissions(asked).permissions) == ["cloudtasks.tasks.create"]
    asked["resource"] = f"{QUEUE}-nope"  # not an error, says the method's description
    assert list(client.test_iam_permissions(asked).permissions) == []


def test_an_encryption_key_is_stored(client: Any) -> None:
    name = f"{LOCATION}/cmekConfig"
    config = tasks_v2.CmekConfig(
        name=name, kms_key="projects/demo/locations/us-central1/keyRings/r/cryptoKeys/k"
    )
    client.update_cmek_config(cmek_config=config)
    assert client.get_cmek_config(name=name) == config


def test_a_queues_http_target_is_checked_and_stored(client: Any) -> None:
    target = tasks_v2.HttpTarget(
        uri_override=tasks_v2.UriOverride(host="example.test", port=8443),
        http_method=HttpMethod.PUT,
        header_overrides=[{"header": {"key": "X-Added", "value": "yes"}}],
        oidc_token=tasks_v2.OidcToken(service_account_email="a@b.test", audience="aud"),
    )
    assert (
        client.create_queue(parent=LOCATION, queue=queue(http_target=target)).http_target == target
    )
    target.oidc_token.audience = ""
    text = "HttpTarget.oidcToken must have both serviceAccountEmail and audience."
    refused(client.update_queue, Code.INVALID_ARGUMENT, text, queue=queue(http_target=target))
