"""Probes of the behaviours in `behaviours`: each returns True if the behaviour is there.

The functions before them make the calls that a probe expects to be refused.
"""

# ruff: noqa: D103 - `behaviours` says what each probe checks

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import tasks_v2, tasks_v2beta2
from google.protobuf import duration_pb2, timestamp_pb2

from taskreel_cloud_tasks.clients import connect
from taskreel_cloud_tasks.conformance.probed_emulator import LOCATION, Site


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of a refused call; empty texts if it was not refused."""
    try:
        call()
    except GoogleAPICallError as error:
        code = error.grpc_status_code
        return (code.name if code is not None else "", error.message or "")
    return "", ""


def refuses(call: Callable[[Site], Any], code: str, text: str) -> Callable[[Site], bool]:
    def probe(site: Site) -> bool:
        found = refusal(lambda: call(site))
        return found[0] == code and re.fullmatch(text, found[1], re.DOTALL) is not None

    return probe


def duration(value: float) -> duration_pb2.Duration:
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=int((value - whole) * 1e9))


def exact(text: str) -> str:
    return re.escape(text)


GONE = exact(
    "Queue does not exist. If you just created the queue, wait at least a minute for the queue to "
    "initialize."
)


def queue_with(**settings: Any) -> Callable[[Site], Any]:
    return lambda site: site.create_queue(**settings)


def task_with(**fields: Any) -> Callable[[Site], Any]:
    return lambda site: site.create_task(site.create_queue(), **fields)


def create_again(site: Site) -> Any:
    name = site.create_queue()
    return site.client.create_queue(parent=LOCATION, queue={"name": name})


def create_deleted(site: Site) -> Any:
    name = site.create_queue()
    site.client.delete_queue(name=name)
    return site.client.create_queue(parent=LOCATION, queue={"name": name})


def create_malformed_id(site: Site) -> Any:
    queue = site.create_queue()
    return site.create_task(queue, name=f"{queue}/tasks/a b")


def create_task_twice(site: Site) -> Any:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    for _ in range(2):
        site.create_task(queue, name=f"{queue}/tasks/same")


def create_executed(site: Site) -> Any:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/same")
    site.wait_for(path, 1)
    time.sleep(0.3)
    site.create_task(queue, path, name=f"{queue}/tasks/same")


def get_executed(site: Site) -> Any:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/same")
    site.wait_for(path, 1)
    time.sleep(0.3)
    site.client.get_task(name=f"{queue}/tasks/same")


def too_late(site: Site) -> Any:
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(hours=721))
    site.create_task(site.create_queue(), schedule_time=at)


def missing_queue() -> str:
    return f"{LOCATION}/queues/m-{uuid.uuid4().hex[:12]}"


def has_defaults(site: Site) -> bool:
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


def counts_golden_sequence(site: Site) -> bool:
    retry = {"min_backoff": duration(0.05), "max_backoff": duration(0.05)}
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


def measure_gaps(site: Site, answers: int, **retry: Any) -> list[float]:
    queue, path = site.create_queue(retry_config=retry), site.script(*[500] * answers)
    site.create_task(queue, path)
    times = [each.at for each in site.wait_for(path, answers + 1, 12)]
    return [after - before for before, after in pairwise(times)]


def backs_off_linearly(site: Site) -> bool:
    settings = {
        "min_backoff": duration(0.2),
        "max_backoff": duration(10),
        "max_doublings": 1,
    }
    found = measure_gaps(site, 4, **settings)
    expected = (0.2, 0.4, 0.8, 1.2)
    # A loaded machine is late; only a wait that is too short, or a doubled fourth, is wrong.
    return len(found) == 4 and all(
        want <= gap < want + 0.35 for gap, want in zip(found, expected, strict=True)
    )


def attempts(site: Site, seconds: float, **retry: Any) -> int:
    fast = {"min_backoff": duration(0.05), "max_backoff": duration(0.05), **retry}
    queue, path = site.create_queue(retry_config=fast), site.script(*[500] * 200)
    site.create_task(queue, path)
    site.wait_for(path, 200, seconds)
    site.client.purge_queue(name=queue)
    return len([each for each in site.arrivals if each.path == path])


def exhausted_task_is_gone(site: Site) -> bool:
    fast = {"max_attempts": 2, "min_backoff": duration(0.05), "max_backoff": duration(0.05)}
    queue, path = site.create_queue(retry_config=fast), site.script(500, 500, 500)
    site.create_task(queue, path)
    site.wait_for(path, 2)
    time.sleep(0.4)
    return not list(site.client.list_tasks(parent=queue)) and len(site.wait_for(path, 3, 0.3)) == 2


def duration_extends_attempts(site: Site) -> bool:
    return attempts(site, 2.5, max_attempts=2, max_retry_duration=duration(1)) > 5


def task_retry_config_counts(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(500, 500)
    fast = {"max_attempts": 1}
    site.create_task(queue, path, retry_config=fast)
    return len(site.wait_for(path, 2, 1.0)) == 1


def waits_for_retry_after(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(-2)  # 503 with Retry-After: 1
    site.create_task(queue, path)
    times = [each.at for each in site.wait_for(path, 2, 5)]
    return len(times) == 2 and times[1] - times[0] >= 0.95


def basic_view_leaves_out_only_the_body(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    made = site.create_task(queue, http={"body": b"x", "headers": {"X-My": "1"}})
    full = site.client.get_task(request={"name": made.name, "response_view": "FULL"})
    return bool(
        made.http_request.body == b""
        and made.http_request.headers.get("X-My") == "1"
        and full.http_request.body == b"x"
    )


def agent_is_googles(site: Site) -> bool:
    path = site.script()
    site.create_task(site.create_queue(), path, http={"headers": {"User-Agent": "mine"}})
    found = site.wait_for(path, 1)
    return bool(found) and found[0].headers.get("user-agent") == "Google-Cloud-Tasks"


def names_are_short(site: Site) -> bool:
    queue, path = site.create_queue(), site.script()
    site.create_task(queue, path, name=f"{queue}/tasks/t1")
    found = site.wait_for(path, 1)
    return bool(found) and (
        found[0].headers.get("x-cloudtasks-queuename") == queue.rpartition("/")[2]
        and found[0].headers.get("x-cloudtasks-taskname") == "t1"
    )


def runs_while_paused(site: Site) -> bool:
    queue, path = site.create_queue(), site.script()
    site.client.pause_queue(name=queue)
    task = site.create_task(queue, path)
    quiet = not site.wait_for(path, 1, 0.3)
    site.client.run_task(name=task.name)
    return quiet and len(site.wait_for(path, 1)) == 1


def half_a_task_a_second(site: Site) -> bool:
    queue = site.create_queue(rate_limits={"max_dispatches_per_second": 0.5})
    return bool(site.client.get_queue(name=queue).rate_limits.max_dispatches_per_second == 0.5)


def schedule_is_waited_for(site: Site) -> bool:
    at = timestamp_pb2.Timestamp()
    at.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    path = site.script()
    site.create_task(site.create_queue(), path, schedule_time=at)
    early = site.wait_for(path, 1, 0.7)
    return not early and len(site.wait_for(path, 1, 2)) == 1


def missed_deadline_is_504(site: Site) -> bool:
    queue, path = site.create_queue(), site.script(-1)  # no answer for 17 s
    site.create_task(queue, path, dispatch_deadline=duration(15))
    found = site.wait_for(path, 2, 20)
    return len(found) > 1 and found[1].headers.get("x-cloudtasks-taskpreviousresponse") == "504"


def updates_and_creates(site: Site) -> bool:
    name = missing_queue()
    site.client.update_queue(queue={"name": name, "retry_config": {"max_attempts": 3}})
    mask = {"paths": ["rate_limits.max_dispatches_per_second"]}
    limits = {"max_dispatches_per_second": 9}
    site.client.update_queue(queue={"name": name, "rate_limits": limits}, update_mask=mask)
    shown = site.client.get_queue(name=name)
    return (shown.retry_config.max_attempts, shown.rate_limits.max_dispatches_per_second) == (3, 9)


def pages(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    for _ in range(5):
        site.create_task(queue)
    pages = site.client.list_tasks(request={"parent": queue, "page_size": 2}).pages
    return [len(page.tasks) for page in pages] == [2, 2, 1]


def filters(site: Site) -> bool:
    name = site.create_queue()
    site.client.pause_queue(name=name)
    found = site.client.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    states = {queue.state for queue in found}
    return states == {tasks_v2.Queue.State.PAUSED}


def batches(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    item = {"parent": queue, "task": {"http_request": {"url": site.url}}}
    done = site.client.batch_create_tasks(request={"parent": queue, "requests": [item, item]})
    return len(done.result(timeout=5).tasks) == 2


def target_overrides(site: Site) -> bool:
    target = {"http_method": "PUT", "header_overrides": [{"header": {"key": "X-Q", "value": "1"}}]}
    queue, path = site.create_queue(http_target=target), site.script()
    site.create_task(queue, path)
    found = site.wait_for(path, 1)
    return bool(found) and (found[0].method, found[0].headers.get("x-q")) == ("PUT", "1")


def oidc(site: Site) -> bool:
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


def version(api: Any) -> Callable[[Site], bool]:
    def probe(site: Site) -> bool:
        with connect(site.address, api=api) as client:
            name = missing_queue()
            client.create_queue(parent=LOCATION, queue={"name": name})
            client.create_task(parent=name, task={"http_request": {"url": site.url}})
            return bool(client.get_queue(name=name).name == name)

    return probe


def leases_tasks(site: Site) -> bool:
    """Create a pull queue and lease from it, as only v2beta2 can."""
    with connect(site.address, api=tasks_v2beta2) as client:
        name = missing_queue()
        client.create_queue(parent=LOCATION, queue={"name": name, "pull_target": {}})
        client.create_task(parent=name, task={"pull_message": {"payload": b"x"}})
        asked = {"parent": name, "lease_duration": {"seconds": 60}}
        return len(client.lease_tasks(asked).tasks) == 1


def tests_permissions_of_nothing(site: Site) -> bool:
    asked = {"resource": missing_queue(), "permissions": ["cloudtasks.tasks.create"]}
    return not site.client.test_iam_permissions(asked).permissions


def largest_task(site: Site) -> bool:
    queue = site.create_queue()
    site.client.pause_queue(name=queue)
    site.create_task(queue, http={"body": b"x" * 1_000_000})
    return refusal(lambda: site.create_task(queue, http={"body": b"x" * 1_048_600}))[0] == (
        "INVALID_ARGUMENT"
    )
