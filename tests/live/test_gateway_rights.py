"""The gateway in the cloud: it reads, and has no key but that of its users' tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from functions.job_requests import submit_job
from functions.test_projects import make_project
from simulation.world import token
from taskreel import wiring
from taskreel.adapters.absent_tasks import AbsentTasks
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.errors import QueueError

from .conftest import Live, running_gateway
from .test_socket_client import Connect

#: What `roles/datastore.viewer` allows.
READS = {"get", "query", "aggregate", "watch", "watch_changes", "durable"}


class ReadOnlyStore:
    """The world's store with the rights of the gateway's account."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        assert name in READS, f"the gateway's account may not {name}"
        self.used.add(name)
        return getattr(self._store, name)


async def test_a_gateway_that_may_only_read_serves_every_scope(
    live: Live, connect: Connect
) -> None:
    world = live.world
    store: Any = ReadOnlyStore(world.services.store)
    services = replace(world.services, store=store, tasks=AbsentTasks())
    ada = world.as_user("ada")
    project = await make_project(ada)
    small = {"prompt": "a kite", "options": {"width": 64, "height": 64}, "projectId": project}
    job = await submit_job(ada, small)
    wishes = [{"own": True}, {"jobId": job["jobId"]}, {"projectId": project}]
    auth = {"token": token("ada"), "subscribe": wishes}
    async with running_gateway(services) as port:
        client = await connect(f"ws://127.0.0.1:{port}", auth=auth)
        await client.wait_until_printed("connect")
        await world.advance(5)
        await client.wait_for(lambda: any(one["status"] == "COMPLETED" for one in client.updates))
    assert client.updates[-1]["resultUrl"].startswith("http")
    assert {"get", "watch_changes"} <= store.used


async def test_it_starts_without_the_keys_of_tasks_and_links(tmp_path: Path) -> None:
    given = {
        "STORE_URL": "sqlite:///:memory:",
        "TASKS_URL": "none:",
        "BLOBS_URL": f"file:///{tmp_path}",
        "FILES_SECRET": "of the embedded stack's files alone",
        "SCRATCH_DIR": str(tmp_path / "scratch"),
        "JWT_SECRET": "j" * 32,
    }
    Settings.check_start(given, {})
    with pytest.raises(ConfigurationError, match="INTERNAL_API_KEY is not set"):
        Settings.check_start({**given, "TASKS_URL": "cloudtasks://p/l"}, {})
    built = wiring.build(Settings.from_environment(given, {}), wiring.SystemClock())
    try:
        with pytest.raises(QueueError, match="gateway"):
            await built.tasks.pause("image-generation-queue")
    finally:
        built.workers.close()
        await built.store.close()
