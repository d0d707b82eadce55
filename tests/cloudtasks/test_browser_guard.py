"""A web page can reach a port of this machine; the REST API takes nothing from one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from cloudtasks.recording_server import recording_server
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

QUEUE = "projects/p/locations/l/queues/q"
TASK = json.dumps(
    {"task": {"httpRequest": {"url": "http://127.0.0.1:9/", "headers": {"X": "key"}}}}
)
JSON = {"content-type": "application/json"}


@pytest.fixture
async def service() -> AsyncIterator[LocalCloudTasks]:
    config = ServiceConfig(
        queues=[Queue(name=QUEUE)], allowed_hosts=["tasks.test"], virtual_clock=True
    )
    async with LocalCloudTasks(config) as started:
        yield started


@pytest.fixture
async def client(service: LocalCloudTasks) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.rest_url) as opened:
        yield opened


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8124", "127.0.0.1.evil.example", ""]
)
@pytest.mark.parametrize("path", [f"/v2/{QUEUE}/tasks?responseView=FULL", "/control/deliveries"])
async def test_a_page_that_rebinds_its_name_reads_nothing(
    client: httpx.AsyncClient, path: str, host: str
) -> None:
    answer = await client.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "[::1]:1", "10.0.0.1", "tasks.test"])
async def test_addresses_localhost_and_allowed_names_are_served(
    client: httpx.AsyncClient, host: str
) -> None:
    answer = await client.get(f"/v2/{QUEUE}/tasks", headers={"host": host})
    assert answer.status_code == 200


@pytest.mark.parametrize("verb", [":purge", ":pause", "/tasks"])
async def test_a_form_of_another_site_changes_nothing(client: httpx.AsyncClient, verb: str) -> None:
    for headers in (
        {"origin": "https://evil.example", **JSON},
        {"origin": "null", **JSON},
        {"origin": "http://127.0.0.1:1", **JSON},
    ):
        answer = await client.post(f"/v2/{QUEUE}{verb}", content=TASK, headers=headers)
        assert answer.status_code == 403
    assert (await client.get(f"/v2/{QUEUE}/tasks")).json() == {}
    assert (await client.get(f"/v2/{QUEUE}")).json()["state"] == "RUNNING"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_body_that_a_form_can_send_is_refused(
    client: httpx.AsyncClient, content_type: str
) -> None:
    for path in (f"/v2/{QUEUE}/tasks", "/control/reset"):
        answer = await client.post(path, content=TASK, headers={"content-type": content_type})
        assert answer.status_code == 415
        assert "application/json" in answer.json()["error"]["message"]


async def test_calls_of_ordinary_clients_are_served(client: httpx.AsyncClient) -> None:
    made = await client.post(f"/v2/{QUEUE}/tasks", content=TASK, headers=JSON)
    assert made.status_code == 200
    own = {"origin": str(client.base_url).rstrip("/")}
    assert (await client.post(f"/v2/{QUEUE}:pause", headers=own)).status_code == 200
    buffered = await client.post(f"/v2/{QUEUE}/tasks:buffer", content=b"any", headers={})
    assert buffered.status_code != 415


async def test_a_service_that_moved_gets_its_tasks_and_its_old_address_gets_none() -> None:
    """The old port may belong to another program, which must not see the tasks' keys."""
    async with recording_server() as old, recording_server() as new:
        config = ServiceConfig(
            queues=[Queue(name=QUEUE)],
            engine=EngineConfig(
                addresses={
                    "worker.localhost": f"127.0.0.1:{new.port}",
                    f"127.0.0.1:{old.port}": f"127.0.0.1:{new.port}",
                }
            ),
        )
        async with (
            LocalCloudTasks(config) as service,
            httpx.AsyncClient(base_url=service.rest_url) as client,
        ):
            for host in ("worker.localhost", f"127.0.0.1:{old.port}"):
                task = {"task": {"httpRequest": {"url": f"http://{host}/run"}}}
                answer = await client.post(f"/v2/{QUEUE}/tasks", json=task)
                assert answer.status_code == 200
            await client.post("/control/wait-empty", json={"timeout": "5s"})
    assert old.paths == []
    assert new.paths == ["/run", "/run"]
