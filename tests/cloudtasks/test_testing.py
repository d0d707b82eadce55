"""The test kit for other projects: the fixture, its clock, its assertions and its clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import NotFound
from google.cloud import tasks_v2beta3

from cloudtasks.worker import serving
from taskreel_cloud_tasks.clients import connect
from taskreel_cloud_tasks.delivery_history import HandlerResponse
from taskreel_cloud_tasks.testing import CloudTasksEmulator, DeliveredTask

URL = "https://shop.example/send"
TASK: Any = {"http_request": {"url": URL, "body": b'{"to": 7}', "headers": {"X-Kind": "mail"}}}


def test_a_task_is_delivered_and_found_by_its_content(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("emails")
    cloud_tasks_emulator.client().create_task(parent=queue, task=TASK)
    (found,) = cloud_tasks_emulator.assert_delivered(
        queue, url=URL, method="POST", json={"to": 7}, headers={"X-Kind": "mail"}, times=1
    )
    assert (found.attempt, found.status, found.succeeded) == (0, 200, True)
    assert cloud_tasks_emulator.assert_delivered("emails") == [found]
    cloud_tasks_emulator.assert_not_delivered(queue, json={"to": 8})
    assert cloud_tasks_emulator.waiting_tasks(queue) == []


def test_each_test_gets_the_emulator_without_the_queues_of_the_last(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    with pytest.raises(NotFound):
        cloud_tasks_emulator.client().get_queue(name=f"{cloud_tasks_emulator.parent}/queues/emails")
    assert cloud_tasks_emulator.deliveries() == []


def test_an_assertion_that_fails_lists_the_attempts(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("emails")
    with pytest.raises(AssertionError, match=r"at least one attempt.*found 0\. There was no"):
        cloud_tasks_emulator.assert_delivered(queue)
    cloud_tasks_emulator.client().create_task(parent=queue, task=TASK)
    with pytest.raises(AssertionError, match=r"2 attempts with .*status=500, found 0") as failed:
        cloud_tasks_emulator.assert_delivered(queue, status=500, times=2)
    assert "emails: attempt 0 of " in str(failed.value)
    assert f"POST {URL}" in str(failed.value)


def test_retries_follow_the_queues_settings_in_virtual_time(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    retry = {"max_attempts": 3, "min_backoff": "60s", "max_backoff": "3600s"}
    queue = cloud_tasks_emulator.create_queue("emails", retry_config=retry)
    cloud_tasks_emulator.handler = lambda arrived: 503 if arrived.attempt < 2 else 204
    cloud_tasks_emulator.client().create_task(parent=queue, task=TASK)
    cloud_tasks_emulator.assert_delivered(queue, times=1)
    cloud_tasks_emulator.advance(seconds=59)
    cloud_tasks_emulator.assert_delivered(queue, times=1)
    cloud_tasks_emulator.advance(seconds=2)
    cloud_tasks_emulator.assert_delivered(queue, times=2)
    cloud_tasks_emulator.advance(minutes=3)
    assert [each.status for each in cloud_tasks_emulator.deliveries(queue)] == [503, 503, 204]


def test_a_handler_may_create_tasks_itself_and_its_exceptions_are_answers(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("chain", retry_config={"max_attempts": 1})
    client = cloud_tasks_emulator.client()

    def counting(left: int) -> Any:
        return {"http_request": {"url": URL, "body": b'{"left": %d}' % left}}

    def handle(arrived: DeliveredTask) -> HandlerResponse | None:
        if arrived.json["left"] == 0:
            raise KeyError("nothing left")
        client.create_task(parent=queue, task=counting(arrived.json["left"] - 1))
        return HandlerResponse(201, {"x-made": "1"}) if arrived.json["left"] == 2 else None

    cloud_tasks_emulator.handler = handle
    client.create_task(parent=queue, task=counting(2))
    statuses = {each.json["left"]: each.status for each in cloud_tasks_emulator.deliveries()}
    assert statuses == {2: 201, 1: 200, 0: 500}


def test_an_async_handler_runs_too_but_may_not_block_the_emulator(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("emails", retry_config={"max_attempts": 1})

    async def handle(arrived: DeliveredTask) -> int:
        if arrived.method == "PUT":
            cloud_tasks_emulator.run_due_tasks()
        return 202

    cloud_tasks_emulator.handler = handle
    client = cloud_tasks_emulator.client()
    client.create_task(parent=queue, task=TASK)
    assert cloud_tasks_emulator.deliveries(status=202)
    put: Any = {"http_request": {"url": URL, "http_method": "PUT"}}
    client.create_task(parent=queue, task=put)
    cloud_tasks_emulator.assert_delivered(queue, method="PUT", status=500)


async def test_the_async_client_and_the_older_api_are_one_call_away(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("emails")
    client = cloud_tasks_emulator.async_client()
    made = await client.create_task(parent=queue, task=TASK)
    await client.transport.close()
    assert made.http_request.url == URL
    older = connect(cloud_tasks_emulator.address, api=tasks_v2beta3)
    with older:
        assert older.get_queue(name=queue).name == queue


async def test_tasks_go_to_their_urls_on_demand_and_on_the_real_clock() -> None:
    async with serving() as worker:
        with CloudTasksEmulator(virtual_clock=False) as emulator:
            queue = emulator.create_queue("emails")
            emulator.deliver_over_http()
            task: Any = {"http_request": {"url": f"{worker.url}/mail"}}
            emulator.client().create_task(parent=queue, task=task)
            (seen,) = await worker.received(1)
            emulator.wait_until_empty(queue)
            emulator.assert_delivered(queue, status=200)
            with grpc.insecure_channel(emulator.address) as channel:
                grpc.channel_ready_future(channel).result(5)
    assert (seen.method, seen.path) == ("POST", "/mail")


def test_faults_are_injected_until_the_end_of_the_test(
    cloud_tasks_emulator: CloudTasksEmulator,
) -> None:
    queue = cloud_tasks_emulator.create_queue("emails")
    cloud_tasks_emulator.inject_faults(duplicate=1.0)
    cloud_tasks_emulator.client().create_task(parent=queue, task=TASK)
    cloud_tasks_emulator.assert_delivered(queue, times=2)
    cloud_tasks_emulator.reset()
    queue = cloud_tasks_emulator.create_queue("emails")
    cloud_tasks_emulator.client().create_task(parent=queue, task=TASK)
    cloud_tasks_emulator.assert_delivered(queue, times=1)


def test_another_project_gets_the_fixture_by_installing_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "def test_mail(cloud_tasks_emulator):\n"
        "    queue = cloud_tasks_emulator.create_queue('emails')\n"
        "    cloud_tasks_emulator.assert_not_delivered(queue)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
