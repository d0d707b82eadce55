"""Batches, operations, locations, IAM and keys for Google's own client: gRPC (sync, async), REST.

The expected texts are Google's (facts §1, §2, §2.1).
"""

from __future__ import annotations

from typing import Any

from google.cloud import tasks_v2
from google.cloud.tasks_v2 import HttpMethod, HttpRequest
from google.iam.v1 import policy_pb2

from cloudtasks.refusals import (
    queue,
    refused,
    task,
)
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.api_errors import Code


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
