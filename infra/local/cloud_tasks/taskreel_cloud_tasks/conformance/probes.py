"""The behaviours of Google's service, each with the probe that looks for it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import tasks_v2, tasks_v2beta2, tasks_v2beta3
from google.protobuf import duration_pb2, timestamp_pb2

from taskreel_cloud_tasks.clients import connect
from taskreel_cloud_tasks.conformance.probed_emulator import LOCATION, Site

YES, NO, UNKNOWN = "yes", "no", "unknown"
OLDER = "yes (2024-12)"
"""Measured of the source of December 2024, not of version 2."""


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour: its probe returns True if it is there."""

    section: str
    behaviour: str
    source: str
    probe: Callable[[Site], bool]
    aertje: str = UNKNOWN
    ken109: str = UNKNOWN


def _refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of a refused call; empty texts if it was not refused."""
    try:
        call()
    except GoogleAPICallError as error:
        code = error.grpc_status_code
        return (code.name if code is not None else "", error.message or "")
    return "", ""


def _refuses(call: Callable[[Site], Any], code: str, text: str) -> Callable[[Site], bool]:
    def probe(site: Site) -> bool:
        found = _refusal(lambda: call(site))
        return found[0] == code and re.fullmatch(text, found[1], re.DOTALL) is not None

    return probe


def _seconds(value: float) -> duration_pb2.Duration:
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=int((value - whole) * 1e9))


def _exact(text: str) -> str:
    return re.escape(text)


_GONE = _exact(
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to "
    "initialize."
)


def _queue_with(**settings: Any) -> Callable[[Site], Any]:
    return lambda site: site.create_queue(**settings)


def _task_with(**fields: Any) -> Callable[[Site], Any]:
    return lambda site: site.create_task(site.create_queue(), **fields)


def _create_again(site: Site) -> Any:
    name = site.create_queue()
    return site.client.create_queue(parent=LOCATION, queue={"name": name})


def _create_deleted(site: Site) -> Any:
    name = site.create_queue()
    site.client.delete_queue(name=name)
    return site.client.create_queue(parent=LOCATION, queue={"name": name})


def _create_malformed_id(site: Site) -> Any:
    queue = site.create_queue()
    return site.create_task(queue, name=f"{queue}/tasks/a b")


def _create_task_twice(site: Site) -> Any:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    for _ in range(2):
        site.create_task(queue, name=f"{queue}/tasks/same")


def _create_executed(site: Site) -> Any:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/same")
    site.wait_for(path, 1)
    time.sleep(0.3)
    site.create_task(queue, path, name=f"{queue}/tasks/same")


def _get_executed(site: Site) -> Any:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/same")
    site.wait_for(path, 1)
    time.sleep(0.3)
    site.client.get_task(name=f"{queue}/tasks/same")


def _too_late(site: Site) -> Any:
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(hours=721))
    site.create_task(site.create_queue(), schedule_time=at)


def _missing_queue() -> str:
    return f"{LOCATION}/queues/m-{uuid.uuid4().hex[:12]}"


def _has_defaults(site: Site) -> bool:
    queue = site.client.get_queue(name=site.create_queue())
    limits, retry = queue.rate_limits, queue.retry_config
    return bool(
        limits.max_dispatches_per_second == 500
        and limits.max_concurrent_dispatches == 1000
        and limits.max_burst_size == 100
        and retry.max_attempts == 100
        and retry.min_backoff == timedelta(seconds=0.1)
        and retry.max_backoff == timedelta(hours=1)
        and retry.max_doublings == 16
        and queue.state is tasks_v2.Queue.State.RUNNING
    )


def _counts_golden_sequence(site: Site) -> bool:
    retry = {"min_backoff": _seconds(0.05), "max_backoff": _seconds(0.05)}
    queue, path = site.create_queue(retry_config=retry), site.script(503, 404, 429, 500, 302)
    site.create_task(queue, path)
    found = site.wait_for(path, 6, 15)
    counts = [each.headers.get("x-cloudtasks-taskexecutioncount") for each in found]
    retries = [each.headers.get("x-cloudtasks-taskretrycount") for each in found]
    before = [each.headers.get("x-cloudtasks-taskpreviousresponse") for each in found]
    return (
        counts == ["0", "0", "1", "2", "2", "3"]
        and retries == ["0", "1", "2", "3", "4", "5"]
        and before == [None, "503", "404", "429", "500", "302"]
    )


def _gaps(site: Site, answers: int, **retry: Any) -> list[float]:
    queue, path = site.create_queue(retry_config=retry), site.script(*[500] * answers)
    site.create_task(queue, path)
    times = [each.at for each in site.wait_for(path, answers + 1, 12)]
    return [after - before for before, after in pairwise(times)]


def _backs_off_linearly(site: Site) -> bool:
    settings = {
        "min_backoff": _seconds(0.2),
        "max_backoff": _seconds(10),
        "max_doublings": 1,
    }
    gaps = _gaps(site, 4, **settings)
    expected = (0.2, 0.4, 0.8, 1.2)
    return len(gaps) == 4 and all(
        want <= gap < want + 0.3 for gap, want in zip(gaps, expected, strict=True)
    )


def _attempts(site: Site, seconds: float, **retry: Any) -> int:
    fast = {"min_backoff": _seconds(0.05), "max_backoff": _seconds(0.05), **retry}
    queue, path = site.create_queue(retry_config=fast), site.script(*[500] * 200)
    site.create_task(queue, path)
    site.wait_for(path, 200, seconds)
    site.client.purge_queue(name=queue)
    return len([each for each in site.arrivals if each.path == path])


def _exhausted_task_is_gone(site: Site) -> bool:
    fast = {"max_attempts": 2, "min_backoff": _seconds(0.05), "max_backoff": _seconds(0.05)}
    queue, path = site.create_queue(retry_config=fast), site.script(500, 500, 500)
    site.create_task(queue, path)
    site.wait_for(path, 2)
    time.sleep(0.4)
    return not list(site.client.list_tasks(parent=queue)) and len(site.wait_for(path, 3, 0.3)) == 2


def _duration_extends_attempts(site: Site) -> bool:
    return _attempts(site, 2.5, max_attempts=2, max_retry_duration=_seconds(1)) > 5


def _task_retry_config_counts(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(500, 500)
    fast = {"max_attempts": 1}
    site.create_task(queue, path, retry_config=fast)
    return len(site.wait_for(path, 2, 1.0)) == 1


def _waits_for_retry_after(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(-2)  # 503 with Retry-After: 1
    site.create_task(queue, path)
    times = [each.at for each in site.wait_for(path, 2, 5)]
    return len(times) == 2 and times[1] - times[0] >= 0.95


def _basic_view_leaves_out_only_the_body(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    made = site.create_task(queue, http={"body": b"x", "headers": {"X-My": "1"}})
    full = site.client.get_task(request={"name": made.name, "response_view": "FULL"})
    return bool(
        made.http_request.body == b""
        and made.http_request.headers.get("X-My") == "1"
        and full.http_request.body == b"x"
    )


def _agent_is_googles(site: Site) -> bool:
    path = site.script()
    site.create_task(site.create_queue(), path, http={"headers": {"User-Agent": "mine"}})
    found = site.wait_for(path, 1)
    return bool(found) and found[0].headers.get("user-agent") == "Google-Cloud-Tasks"


def _names_are_short(site: Site) -> bool:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/t1")
    found = site.wait_for(path, 1)
    return bool(found) and (
        found[0].headers.get("x-cloudtasks-queuename") == queue.rpartition("/")[2]
        and found[0].headers.get("x-cloudtasks-taskname") == "t1"
    )


def _runs_while_paused(site: Site) -> bool:
    queue, path = site.create_queue(), site.script()
    site.client.pause_queue(name=queue)
    task = site.create_task(queue, path)
    quiet = not site.wait_for(path, 1, 0.3)
    site.client.run_task(name=task.name)
    return quiet and len(site.wait_for(path, 1)) == 1


def _half_a_task_a_second(site: Site) -> bool:
    queue = site.create_queue(rate_limits={"max_dispatches_per_second": 0.5})
    return bool(site.client.get_queue(name=queue).rate_limits.max_dispatches_per_second == 0.5)


def _schedule_is_waited_for(site: Site) -> bool:
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    path = site.script()
    site.create_task(site.create_queue(), path, schedule_time=at)
    early = site.wait_for(path, 1, 0.7)
    return not early and len(site.wait_for(path, 1, 2)) == 1


def _missed_deadline_is_504(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(-1)  # no answer for 17 s
    site.create_task(queue, path, dispatch_deadline=_seconds(15))
    found = site.wait_for(path, 2, 20)
    return len(found) > 1 and found[1].headers.get("x-cloudtasks-taskpreviousresponse") == "504"


def _updates_and_creates(site: Site) -> bool:
    name = _missing_queue()
    site.client.update_queue(queue={"name": name, "retry_config": {"max_attempts": 3}})
    mask = {"paths": ["rate_limits.max_dispatches_per_second"]}
    limits = {"max_dispatches_per_second": 9}
    site.client.update_queue(queue={"name": name, "rate_limits": limits}, update_mask=mask)
    shown = site.client.get_queue(name=name)
    return (shown.retry_config.max_attempts, shown.rate_limits.max_dispatches_per_second) == (3, 9)


def _pages(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    for _ in range(5):
        site.create_task(queue)
    pages = site.client.list_tasks(request={"parent": queue, "page_size": 2}).pages
    return [len(page.tasks) for page in pages] == [2, 2, 1]


def _filters(site: Site) -> bool:
    name = site.create_queue()
    site.client.pause_queue(name=name)
    found = site.client.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    states = {queue.state for queue in found}
    return states == {tasks_v2.Queue.State.PAUSED}


def _batches(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    item = {"parent": queue, "task": {"http_request": {"url": site.url}}}
    done = site.client.batch_create_tasks(request={"parent": queue, "requests": [item, item]})
    return len(done.result(timeout=5).tasks) == 2


def _target_overrides(site: Site) -> bool:
    target = {"http_method": "PUT", "header_overrides": [{"header": {"key": "X-Q", "value": "1"}}]}
    queue, path = site.create_queue(http_target=target), site.script()
    site.create_task(queue, path)
    found = site.wait_for(path, 1)
    return bool(found) and (found[0].method, found[0].headers.get("x-q")) == ("PUT", "1")


def _oidc(site: Site) -> bool:
    import jwt

    path = site.script()
    token = {"service_account_email": "a@b.iam.gserviceaccount.com"}
    site.create_task(site.create_queue(), path, http={"oidc_token": token})
    found = site.wait_for(path, 1)
    text = found[0].headers.get("authorization", "") if found else ""
    claims = jwt.decode(text.removeprefix("Bearer "), options={"verify_signature": False})
    return bool(
        claims["aud"] == site.url + path and claims["email"] == token["service_account_email"]
    )


def _version(api: Any) -> Callable[[Site], bool]:
    def probe(site: Site) -> bool:
        with connect(site.address, api=api) as client:
            name = _missing_queue()
            client.create_queue(parent=LOCATION, queue={"name": name})
            client.create_task(parent=name, task={"http_request": {"url": site.url}})
            return bool(client.get_queue(name=name).name == name)

    return probe


def _tests_permissions_of_nothing(site: Site) -> bool:
    asked = {"resource": _missing_queue(), "permissions": ["cloudtasks.tasks.create"]}
    return not site.client.test_iam_permissions(asked).permissions


def _largest_task(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    site.create_task(queue, http={"body": b"x" * 1_000_000})
    return _refusal(lambda: site.create_task(queue, http={"body": b"x" * 1_048_600}))[0] == (
        "INVALID_ARGUMENT"
    )


_TASK_ID = r'Task ID "a b" can contain only letters \(\[A-Za-z\]\), numbers \(\[0-9\]\), .*'
_RATE = {"max_dispatches_per_second": 501}
ROWS = (
    Row("Queues", "defaults are filled in", "doc", _has_defaults, OLDER),
    Row(
        "Queues",
        "a name that exists",
        "recorded",
        _refuses(_create_again, "ALREADY_EXISTS", _exact("Queue already exists")),
        OLDER,
    ),
    Row(
        "Queues",
        "a name deleted recently",
        "recorded",
        _refuses(
            _create_deleted,
            "FAILED_PRECONDITION",
            r"The queue cannot be created because .* existed too recently\.",
        ),
    ),
    Row(
        "Queues",
        "a malformed name",
        "recorded",
        _refuses(
            lambda site: site.client.create_queue(
                parent=LOCATION, queue={"name": f"{LOCATION}/queues/a_b"}
            ),
            "INVALID_ARGUMENT",
            "Queue name must be formatted: .*",
        ),
    ),
    Row(
        "Queues",
        "a rate over 500",
        "recorded",
        _refuses(
            _queue_with(rate_limits=_RATE),
            "INVALID_ARGUMENT",
            _exact("RateLimits.maxDispatchesPerSecond must be less than or equal to 500."),
        ),
    ),
    Row(
        "Queues",
        "a concurrency over 5000",
        "recorded",
        _refuses(
            _queue_with(rate_limits={"max_concurrent_dispatches": 5001}),
            "INVALID_ARGUMENT",
            _exact("RateLimits.maxConcurrentDispatches must be less than or equal to 5000."),
        ),
    ),
    Row(
        "Queues",
        "attempts under -1",
        "recorded",
        _refuses(
            _queue_with(retry_config={"max_attempts": -2}),
            "INVALID_ARGUMENT",
            _exact("RetryConfig.maxAttempts must be greater or equal to -1."),
        ),
    ),
    Row(
        "Queues",
        "a shortest backoff over the longest",
        "recorded",
        _refuses(
            _queue_with(retry_config={"min_backoff": _seconds(9), "max_backoff": _seconds(3)}),
            "INVALID_ARGUMENT",
            _exact("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."),
        ),
    ),
    Row(
        "Queues",
        "GetQueue of a missing queue",
        "recorded",
        _refuses(lambda site: site.client.get_queue(name=_missing_queue()), "NOT_FOUND", _GONE),
    ),
    Row(
        "Queues",
        "PauseQueue of a missing queue",
        "recorded",
        _refuses(lambda site: site.client.pause_queue(name=_missing_queue()), "NOT_FOUND", _GONE),
    ),
    Row(
        "Queues",
        "DeleteQueue of a missing queue",
        "recorded",
        _refuses(
            lambda site: site.client.delete_queue(name=_missing_queue()),
            "NOT_FOUND",
            _exact("Requested entity was not found."),
        ),
    ),
    Row(
        "Queues",
        "UpdateQueue with a mask; it creates a missing queue",
        "doc",
        _updates_and_creates,
        NO,
    ),
    Row("Queues", "fractional rates", "doc", _half_a_task_a_second),
    Row("Queues", "filters of ListQueues", "doc", _filters),
    Row("Queues", "http_target of the queue overrides its tasks", "doc", _target_overrides),
    Row(
        "Queues",
        "TestIamPermissions of a missing queue is empty",
        "doc",
        _tests_permissions_of_nothing,
    ),
    Row(
        "Tasks",
        "a name that is taken",
        "recorded",
        _refuses(_create_task_twice, "ALREADY_EXISTS", _exact("Requested entity already exists")),
        OLDER,
    ),
    Row(
        "Tasks",
        "a name of a task executed recently",
        "doc",
        _refuses(_create_executed, "ALREADY_EXISTS", _exact("Requested entity already exists")),
        OLDER,
    ),
    Row(
        "Tasks",
        "GetTask of a task executed recently",
        "recorded",
        _refuses(_get_executed, "NOT_FOUND", "The task no longer exists, .*"),
    ),
    Row(
        "Tasks",
        "GetTask of a task that never existed",
        "recorded",
        _refuses(
            lambda site: site.client.get_task(name=f"{site.create_queue()}/tasks/none"),
            "NOT_FOUND",
            _exact("Requested entity was not found."),
        ),
    ),
    Row(
        "Tasks",
        "a malformed id",
        "recorded",
        _refuses(_create_malformed_id, "INVALID_ARGUMENT", _TASK_ID),
    ),
    Row(
        "Tasks",
        "a missing queue",
        "recorded",
        _refuses(lambda site: site.create_task(_missing_queue()), "NOT_FOUND", _GONE),
    ),
    Row(
        "Tasks",
        "no URL",
        "recorded",
        _refuses(
            _task_with(http={"url": ""}), "INVALID_ARGUMENT", _exact("HttpRequest.url is required.")
        ),
    ),
    Row(
        "Tasks",
        "a URL that is not http",
        "recorded",
        _refuses(
            _task_with(http={"url": "ftp://a/"}),
            "INVALID_ARGUMENT",
            _exact("HttpTarget.url must start with 'http://' or 'https://'."),
        ),
    ),
    Row(
        "Tasks",
        "a deadline out of range",
        "recorded",
        _refuses(
            _task_with(dispatch_deadline=_seconds(5)),
            "INVALID_ARGUMENT",
            _exact("Task.dispatchDeadline must be between [15s, 30m]."),
        ),
        YES,
    ),
    Row(
        "Tasks",
        "a schedule over 30 days ahead",
        "recorded",
        _refuses(
            _too_late,
            "INVALID_ARGUMENT",
            r"The Task\.scheduleTime, .*, is too far in the future\. .* 720h in the future\.",
        ),
        YES,
    ),
    Row(
        "Tasks",
        "a body with GET",
        "doc",
        lambda site: (
            _refusal(
                lambda: site.create_task(
                    site.create_queue(), http={"http_method": "GET", "body": b"x"}
                )
            )[0]
            == "INVALID_ARGUMENT"
        ),
    ),
    Row("Tasks", "a task over 1 MiB", "recorded", _largest_task, YES),
    Row(
        "Tasks",
        "BASIC leaves out the body and nothing else",
        "recorded",
        _basic_view_leaves_out_only_the_body,
    ),
    Row("Tasks", "pages of ListTasks", "doc", _pages, UNKNOWN, YES),
    Row("Tasks", "BatchCreateTasks (2026-09)", "doc", _batches),
    Row("Dispatch", "short names in the headers", "doc", _names_are_short, OLDER),
    Row("Dispatch", "User-Agent is Google's", "recorded", _agent_is_googles),
    Row(
        "Dispatch", "counts after 503, 404, 429, 500, 302", "recorded", _counts_golden_sequence, YES
    ),
    Row("Dispatch", "the schedule is waited for", "doc", _schedule_is_waited_for),
    Row("Dispatch", "RunTask dispatches from a paused queue", "doc", _runs_while_paused),
    Row(
        "Dispatch", "a missed deadline is 504 and a retry", "recorded", _missed_deadline_is_504, YES
    ),
    Row("Dispatch", "OIDC: aud is the URL without an audience", "doc", _oidc),
    Row("Retries", "backoff doubles, then grows linearly", "doc", _backs_off_linearly, NO),
    Row(
        "Retries",
        "-1 attempts are without limit",
        "doc",
        lambda site: _attempts(site, 1.5, max_attempts=-1) > 10,
        YES,
    ),
    Row("Retries", "a task out of attempts is gone", "doc", _exhausted_task_is_gone, YES),
    Row("Retries", "maxRetryDuration extends maxAttempts", "doc", _duration_extends_attempts, NO),
    Row("Retries", "a task's own retry_config (2026-09)", "doc", _task_retry_config_counts),
    Row("Retries", "Retry-After is waited for", "doc", _waits_for_retry_after, NO),
    Row("Versions", "v2beta3 over gRPC", "doc", _version(tasks_v2beta3), NO, YES),
    Row("Versions", "v2beta2 over gRPC, push queues", "doc", _version(tasks_v2beta2), NO),
)
